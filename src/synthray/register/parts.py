"""Bones that moved against the rest since the CT: a pose for each of them, from one X-ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient, Volume
from synthray.errors import InputError
from synthray.geometry import Camera, apply
from synthray.register.fit import Fit
from synthray.register.fixed import fixed_image
from synthray.register.moving import MovingImage, coarser, moving_image, moving_images
from synthray.register.objective import Agreement, Comparison, agreement, detail_correlation
from synthray.register.optimise import System, minimise
from synthray.register.pose import moved
from synthray.register.quality import covariance, requalified
from synthray.register.search import LEVELS, Range, Stage, Task, levels_to, posed, undone

Floats = npt.NDArray[np.float64]
Poses = tuple[Camera, ...]
REST = "rest"
# What a bone leaves behind when it moves; it carries its difference from this with it.
_MUSCLE_HU = 50
# -log units of a bone's own shadow beyond which a pixel is the bone's.
_SHADOW = 0.05
_NEAR = Range(rotation_deg=12, in_plane_mm=10, depth_mm=10, starts=32)


@dataclass(frozen=True, eq=False)
class Parts:
    """A person in rigid pieces, whose images add up.

    Attributes:
        names: `rest` first.
        people: each piece as a patient of its own.
        pivots_mm: (3,) each, what its pose turns about.
    """

    names: tuple[str, ...]
    people: tuple[Patient, ...]
    pivots_mm: tuple[Floats, ...]


def register_parts(
    patient: Patient,
    xray: npt.NDArray[Any],
    fit: Fit,
    parts: Mapping[str, Sequence[str]],
    *,
    mask: npt.NDArray[np.bool_] | None = None,
    reach: Range | None = None,
    largest_px: int = 256,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Fit]:
    """Refine a pose with bones that moved on their own, six parameters each.

    Each bone is cut out of the CT and muscle put in its place; poses around the whole person's are tried for one bone
    after the other on a small image, then all are refined together by Gauss-Newton.

    Args:
        patient: the CT with labels.
        xray: (row, column) as it was registered.
        fit: of the whole person, from `register`.
        parts: name -> structures that move together, such as {"femur_left": ["femur_left"]}.
        mask: pixels that count.
        reach: how far a bone may have moved against the rest; 12° and 10 mm by default.
        largest_px: longer side of the largest image compared.
        seed: of the random starts.
        threads: of the projector.

    Returns:
        `rest` and each part -> its fit; its quality judges the detail in its own shadow.

    Raises:
        InputError: no parts, a name or structure that isn't there, one structure in two parts, or as `register`.
    """
    split = separated(patient, parts, fit.pivot_mm)
    area = reach or _NEAR
    task = Task(fixed_image(xray, mask, fit.camera), patient, fit.pivot_mm, threads)
    sign = 1 if fit.bone_bright else -1
    rng = np.random.default_rng(seed)
    poses = _started(task, split, fit.camera, sign, area, rng)
    steps = 0
    for side, how, tolerance in levels_to(task, largest_px):
        level = undone(task, poses[0], sign)
        stage = level.at(side, poses[0])
        best = minimise(
            partial(_system, stage, split, how, threads),
            tuple(posed(stage.view, pose) for pose in poses),
            partial(_moved_apart, pivots_mm=split.pivots_mm),
            tolerance=tolerance,
        )
        poses, steps = best.poses, steps + best.steps
    there = _agreement(stage, split, how, threads, poses)
    spread = covariance(there, area)
    shadows = [moving_images(one, [pose], threads)[0] for one, pose in zip(split.people, poses, strict=True)]
    return {
        name: replace(
            fit,
            camera=posed(fit.camera, pose),
            covariance=spread[6 * n : 6 * n + 6, 6 * n : 6 * n + 6],
            pivot_mm=split.pivots_mm[n],
            quality=requalified(fit.quality, _detail(stage, shadows, n)),
            projections=fit.projections + steps * len(poses),
        )
        for n, (name, pose) in enumerate(zip(split.names, poses, strict=True))
    }


def separated(patient: Patient, parts: Mapping[str, Sequence[str]], pivot_mm: Floats) -> Parts:
    """The person with muscle in place of the parts, and each part less muscle, whose images add up to the person's.

    Attenuation is close to linear in Hounsfield units at the one energy that is compared.

    Args:
        patient: the CT with labels.
        parts: name -> structures.
        pivot_mm: of the rest.

    Raises:
        InputError: see `register_parts`.
    """
    if not parts or REST in parts:
        raise InputError(f"register_parts needs parts, and none may be called '{REST}'")
    labels = patient.labels
    if labels is None:
        raise InputError(f"{patient.name}: moving parts need labels, and this CT has none")
    hu = patient.ct.values.astype(np.float32)
    rest, people, pivots = hu.copy(), list[Patient](), [np.asarray(pivot_mm, dtype=np.float64)]
    taken = np.zeros(hu.shape, dtype=bool)
    for name, structures in parts.items():
        where = labels.mask(*structures)
        wrong = "is empty" if not where.any() else "overlaps another" if (where & taken).any() else ""
        if wrong:
            raise InputError(f"{patient.name}: part '{name}' {wrong}; choose other structures")
        taken |= where
        rest[where] = _MUSCLE_HU
        people.append(_piece(patient.ct, hu, where, name))
        pivots.append(people[-1].center_mm)
    whole = Patient(Volume(np.rint(rest).astype(np.int16), patient.ct.patient_from_voxel), name=patient.name)
    return Parts((REST, *parts), (whole, *people), tuple(pivots))


def _piece(ct: Volume, hu: npt.NDArray[np.float32], where: npt.NDArray[np.bool_], name: str) -> Patient:
    """A bone less the muscle that it replaced, in air, on the box around it."""
    index = np.argwhere(where)
    low, high = np.maximum(index.min(axis=0) - 1, 0), index.max(axis=0) + 2
    box = tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
    excess = np.where(where[box], np.maximum(hu[box] - _MUSCLE_HU, 0), 0) - 1000
    affine = ct.patient_from_voxel.copy()
    affine[:3, 3] = apply(affine, low)
    return Patient(Volume(np.rint(excess).astype(np.int16), affine), name=name)


def _started(task: Task, split: Parts, camera: Camera, sign: int, reach: Range, rng: np.random.Generator) -> Poses:
    """Each bone's best of some random poses on a small image, the others where they are."""
    side, how = LEVELS[1]
    stage = task.at(side, camera)
    poses = [stage.view] * len(split.names)
    sizes = _sized(stage, split)
    shadows = [moving_images(one, [stage.view], task.threads)[0] for one in sizes]
    for n in range(1, len(poses)):
        others = sum(shadow for m, shadow in enumerate(shadows) if m != n)
        tried = [stage.view, *(reach.draw(stage.view, split.pivots_mm[n], rng) for _ in range(reach.starts))]
        images = moving_images(sizes[n], tried, task.threads)
        scores = [agreement(stage.fixed, others + image, sign=sign, how=how).ncc for image in images]
        best = int(np.argmax(scores))
        poses[n], shadows[n] = tried[best], images[best]
    return tuple(poses)


def _sized(stage: Stage, split: Parts) -> list[Patient]:
    return [coarser(one, stage.view, pivot) for one, pivot in zip(split.people, split.pivots_mm, strict=True)]


def _composed(stage: Stage, split: Parts, threads: int | None, poses: Poses) -> MovingImage:
    """The sum of the pieces' images, with 6 derivatives for each."""
    seen = [
        moving_image(one, pose, pivot, threads)
        for one, pose, pivot in zip(_sized(stage, split), poses, split.pivots_mm, strict=True)
    ]
    image = np.sum([one.image for one in seen], axis=0)
    return MovingImage(image, np.concatenate([one.jacobian for one in seen]))


def _agreement(stage: Stage, split: Parts, how: Comparison, threads: int | None, poses: Poses) -> Agreement:
    seen = _composed(stage, split, threads, poses)
    return agreement(stage.fixed, seen.image, seen.jacobian, 1, how)


def _system(stage: Stage, split: Parts, how: Comparison, threads: int | None, poses: Poses) -> System:
    return _agreement(stage, split, how, threads, poses).system


def _moved_apart(poses: Poses, step: Floats, pivots_mm: Sequence[Floats]) -> Poses:
    each = step.reshape(len(poses), 6)
    return tuple(moved(pose, one, pivot) for pose, one, pivot in zip(poses, each, pivots_mm, strict=True))


def _detail(stage: Stage, shadows: Sequence[npt.NDArray[np.float32]], n: int) -> float:
    """The detail's correlation in one piece's shadow; the rest's is judged outside the others'."""
    image = np.sum(shadows, axis=0)
    bone = shadows[n] > _SHADOW if n else np.max(shadows[1:], axis=0) <= _SHADOW
    return detail_correlation(replace(stage.fixed, mask=stage.fixed.mask & bone), image, 1)
