"""Several X-rays of one moment: one pose of the person from all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.errors import InputError
from synthray.geometry import Camera
from synthray.register.fit import Fit
from synthray.register.fixed import fixed_image
from synthray.register.objective import Agreement, system_of
from synthray.register.optimise import System, minimise
from synthray.register.pose import motion_between, moved
from synthray.register.quality import covariance, judged
from synthray.register.run import register
from synthray.register.search import (
    LEVELS,
    Found,
    Range,
    Task,
    found_at,
    levels_to,
    posed,
    same_pose,
    undone,
)

Floats = npt.NDArray[np.float64]
Rig = tuple[Camera, ...]


def register_together(
    patient: Patient,
    xrays: Sequence[npt.NDArray[Any]],
    cameras: Sequence[Camera],
    *,
    masks: Sequence[npt.NDArray[np.bool_] | None] | None = None,
    reach: Range | None = None,
    pivot_mm: npt.ArrayLike | None = None,
    largest_px: int = 256,
    seed: int = 0,
    threads: int | None = None,
) -> list[Fit]:
    """Find the pose of X-rays whose views are known relative to one another.

    Each X-ray is registered on its own; each result, carried over to all views, is scored on all of them; the best is
    refined by the sum of all views' Gauss-Newton systems. Views from different sides make up for each other's depth.

    Args:
        patient: the CT.
        xrays: (row, column) each.
        cameras: the rough views; how they lie to one another is taken as it is.
        masks: for each X-ray, or None.
        reach: how far the person may be from where the cameras say.
        pivot_mm: (3,) patient mm that poses turn about; as `register` chooses it for the first view by default.
        largest_px: longer side of the largest images compared.
        seed: of the random starts.
        threads: of the projector.

    Returns:
        A fit for each X-ray; the covariance of all is that of the one common pose, each along its own camera's axes.

    Raises:
        InputError: counts differ, or as `register`.
    """
    given = list(masks) if masks is not None else [None] * len(xrays)
    if not len(xrays) == len(cameras) == len(given) or not len(xrays):
        raise InputError(
            f"register_together needs as many cameras (and masks) as X-rays, got {len(xrays)} X-rays, "
            f"{len(cameras)} cameras, {len(given)} masks"
        )
    alone = [
        register(
            patient,
            xray,
            camera,
            mask=mask,
            reach=reach,
            pivot_mm=pivot_mm,
            largest_px=largest_px,
            seed=seed,
            threads=threads,
        )
        for xray, camera, mask in zip(xrays, cameras, given, strict=True)
    ]
    pivot = alone[0].pivot_mm
    looks = [
        Look(Task(fixed_image(xray, mask, camera), patient, pivot, threads), 1 if fit.bone_bright else -1)
        for xray, mask, camera, fit in zip(xrays, given, cameras, alone, strict=True)
    ]
    proposed = [carried(tuple(cameras), index, fit.camera, pivot) for index, fit in enumerate(alone)]
    rig, found = refined_together(looks, max(proposed, key=lambda rig: explained(looks, rig)), largest_px)
    agreed = np.mean([same_pose(one[0], rig[0], pivot) for one in proposed])
    common = summed([one.agreement for one in found], rig)
    return [
        Fit(
            camera=posed(camera, view),
            covariance=covariance(along(common, turned(view, rig[0])), reach or Range()),
            pivot_mm=pivot,
            bone_bright=look.sign > 0,
            quality=replace(judged(look.task, (), one), agreement=float(agreed)),
            projections=fit.projections + one.steps,
        )
        for camera, view, look, one, fit in zip(cameras, rig, looks, found, alone, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class Look:
    """One X-ray of several.

    Attributes:
        task: as for a single X-ray.
        sign: 1 when bone is bright in the X-ray, -1 when dark.
    """

    task: Task
    sign: int


def refined_together(looks: Sequence[Look], rig: Rig, largest_px: int) -> tuple[Rig, list[Found]]:
    """The common pose on larger and larger images, and how well it explains each of them."""
    steps, found = 0, list[Found]()
    pivot = looks[0].task.pivot_mm
    for side, how, tolerance in levels_to(looks[0].task, largest_px):
        tasks = [undone(look.task, view, look.sign) for look, view in zip(looks, rig, strict=True)]
        stages = [task.at(side, view) for task, view in zip(tasks, rig, strict=True)]
        systems = [
            system_of(stage.fixed, stage.patient, pivot, 1, how, task.threads)
            for stage, task in zip(stages, tasks, strict=True)
        ]
        best = minimise(
            partial(_joint, systems),
            tuple(stage.view for stage in stages),
            partial(_moved_together, pivot_mm=pivot),
            tolerance=tolerance,
        )
        steps += best.steps
        rig = best.poses
        found = [
            replace(found_at(task, view, 1, side, how, steps), sign=look.sign)
            for task, view, look in zip(tasks, rig, looks, strict=True)
        ]
    return rig, found


def carried(rig: Rig, index: int, found: Camera, pivot_mm: Floats) -> Rig:
    """All views after the person moved as one view says."""
    motion = motion_between(rig[index], found, pivot_mm)
    return _moved_together(rig, turned(rig[index], rig[0]) @ motion, pivot_mm)


def explained(looks: Sequence[Look], rig: Rig) -> float:
    """Sum over the X-rays of what a common pose explains."""
    side, how = LEVELS[1]
    found = [found_at(look.task, view, look.sign, side, how, 0) for look, view in zip(looks, rig, strict=True)]
    return sum(one.explained for one in found)


def turned(start: Camera, end: Camera) -> Floats:
    """(6, 6) a motion along one camera's axes as the same motion of the person along another's."""
    rotation = end.camera_from_patient[:3, :3] @ start.camera_from_patient[:3, :3].T
    return np.asarray(np.kron(np.eye(2), rotation), dtype=np.float64)


def summed(agreements: Sequence[Agreement], rig: Rig) -> Agreement:
    """The agreement of all X-rays with the common pose, along the first camera's axes."""
    system = _sum([one.system for one in agreements], rig)
    turns = [turned(rig[0], view) for view in rig]
    scatter = sum(t.T @ one.scatter @ t for t, one in zip(turns, agreements, strict=True))
    return Agreement(float(np.mean([one.ncc for one in agreements])), system, np.asarray(scatter))


def along(common: Agreement, turn: Floats) -> Agreement:
    """The same along the axes of a camera whose motions `turn` carries to the first one's."""
    system = System(common.system.cost, turn.T @ common.system.gradient, turn.T @ common.system.matrix @ turn)
    return replace(common, system=system, scatter=turn.T @ common.scatter @ turn)


def _joint(systems: Sequence[Callable[[Camera], System]], rig: Rig) -> System:
    return _sum([system(view) for system, view in zip(systems, rig, strict=True)], rig)


def _sum(systems: Sequence[System], rig: Rig) -> System:
    turns = [turned(rig[0], view) for view in rig]
    gradient = sum(t.T @ one.gradient for t, one in zip(turns, systems, strict=True))
    matrix = sum(t.T @ one.matrix @ t for t, one in zip(turns, systems, strict=True))
    return System(sum(one.cost for one in systems), np.asarray(gradient), np.asarray(matrix))


def _moved_together(rig: Rig, step: Floats, pivot_mm: Floats) -> Rig:
    return tuple(moved(view, turned(rig[0], view) @ step, pivot_mm) for view in rig)
