"""From a rough view to the pose: many starts on a small image, the best of them on larger and larger ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.errors import InputError
from synthray.geometry import Camera
from synthray.register.fixed import FixedImage, fitted_display, noise_deviation, reduced
from synthray.register.moving import coarser, covered, moving_image, moving_images
from synthray.register.objective import Agreement, Comparison, agreement, system_of
from synthray.register.optimise import minimise
from synthray.register.pose import motion_between, moved, perturbed

Floats = npt.NDArray[np.float64]
# Sides of the images of a search, and what each compares. Small patches mislead while the pose is far off; outliers
# (tools, what the CT doesn't hold) can be told from a wrong pose once it is near.
SMALLEST_PX = 32
LEVELS = (
    (SMALLEST_PX, Comparison(sides=(2, 4))),
    (64, Comparison(sides=(2, 4, 8))),
    (128, Comparison(sides=(2, 4, 8), tolerance=1.0)),
    (256, Comparison(sides=(2, 4, 8), tolerance=0.5)),
)
_BATCH = 64
_RIVALS = 4
_SAME_DEG, _SAME_MM = 5.0, 10.0


@dataclass(frozen=True, kw_only=True)
class Range:
    """How far the true pose may be from the given one.

    Attributes:
        rotation_deg: about each axis of the camera, through the pivot.
        in_plane_mm: along the detector's axes, in the anatomy.
        depth_mm: along the beam.
        starts: random poses within the range that are looked at; 0 trusts the given pose.
        followed: the best of them that are followed, for each display sign.
    """

    rotation_deg: float = 15.0
    in_plane_mm: float = 25.0
    depth_mm: float = 60.0
    starts: int = 64
    followed: int = 5

    def __post_init__(self) -> None:
        sizes = (self.rotation_deg, self.in_plane_mm, self.depth_mm)
        if not all(np.isfinite(size) and size >= 0 for size in sizes) or self.rotation_deg > 180:
            raise InputError(f"search range {sizes}: rotation_deg 0 to 180, in_plane_mm and depth_mm from 0")
        if self.starts < 0 or self.followed < 1:
            raise InputError(f"search with starts={self.starts}, followed={self.followed}: from 0, and from 1")

    @staticmethod
    def preset(name: Literal["small", "large"]) -> Range:
        """`small`: a rough view is known, to about 10° and 20 mm. `large`: to about 30° and 60 mm."""
        if name == "small":
            return Range()
        if name == "large":
            return Range(rotation_deg=32.0, in_plane_mm=65.0, depth_mm=65.0, starts=512, followed=12)
        raise InputError(f"no search range '{name}'; there are small and large")

    def draw(self, camera: Camera, pivot_mm: Floats, rng: np.random.Generator) -> Camera:
        """A pose within the range."""
        turn = rng.uniform(-1, 1, 3) * self.rotation_deg
        shift = rng.uniform(-1, 1, 3) * (self.in_plane_mm, self.in_plane_mm, self.depth_mm)
        return perturbed(camera, turn.tolist(), shift.tolist(), pivot_mm)


@dataclass(frozen=True, eq=False)
class Found:
    """A pose that a search ended at.

    Attributes:
        camera: the pose, of the size of the level that it was found on.
        sign: 1 when bone is bright in the X-ray, -1 when dark.
        agreement: with the X-ray at that level.
        share: of the X-ray's pixels, those that the CT covers.
        steps: projections with derivatives that it took.
    """

    camera: Camera
    sign: int
    agreement: Agreement
    share: float
    steps: int

    @property
    def explained(self) -> float:
        """Correlation times share: a pose gains nothing by moving the CT out of the picture."""
        return self.agreement.ncc * self.share


@dataclass(frozen=True, eq=False)
class Task:
    """What doesn't change during a search.

    Attributes:
        fixed: the X-ray at its full size.
        patient: the CT.
        pivot_mm: (3,) what poses turn about.
        threads: of the projector.
    """

    fixed: FixedImage
    patient: Patient
    pivot_mm: Floats
    threads: int | None = None

    def at(self, side: int, camera: Camera) -> Stage:
        """One level around a pose."""
        level = reduced(self.fixed, side)
        view = posed(level.camera, camera)
        both = level.mask & covered(self.patient, view)
        share = both.sum() / max(1, level.mask.sum())
        # Where nothing would be left the mask stays as it is; the share tells.
        shown = replace(level, mask=both) if both.any() else level
        return Stage(shown, coarser(self.patient, view, self.pivot_mm), view, float(share))


@dataclass(frozen=True, eq=False)
class Stage:
    """One level of a search around one pose.

    Attributes:
        fixed: the X-ray at the level's size; only pixels that the CT covers count.
        patient: the CT on voxels to match.
        view: the pose, at the level's size.
        share: of the X-ray's pixels, those that the CT covers.
    """

    fixed: FixedImage
    patient: Patient
    view: Camera
    share: float


def posed(like: Camera, pose: Camera) -> Camera:
    """A camera with another's pose."""
    return replace(like, camera_from_patient=pose.camera_from_patient)


def first_poses(
    task: Task, cameras: Sequence[Camera], reach: Range, sign: int, rng: np.random.Generator
) -> list[Found]:
    """Search on the smallest image.

    Args:
        task: of the search.
        cameras: poses to start from; random ones are drawn around the first.
        reach: how far to look.
        sign: of the display, 0 when it isn't known.
        rng: draws the starts.

    Returns:
        The poses that it leads to, best first.
    """
    side, how = LEVELS[0]
    drawn = [reach.draw(cameras[0], task.pivot_mm, rng) for _ in range(reach.starts)]
    stage = task.at(side, cameras[0])
    starts = [posed(stage.view, camera) for camera in (*cameras, *drawn)]
    images = (
        image
        for first in range(0, len(starts), _BATCH)
        for image in moving_images(stage.patient, starts[first : first + _BATCH], task.threads)
    )
    scores = np.array([agreement(stage.fixed, image, how=how).ncc for image in images])
    found: list[Found] = []
    for one in (sign,) if sign else (1, -1):
        best = np.argsort(-one * scores, kind="stable")[: reach.followed]
        # The given poses are followed whatever their score.
        chosen = dict.fromkeys([*range(len(cameras)), *best.tolist()])
        found.extend(followed(task, starts[index], one, side, how) for index in chosen)
    return sorted(found, key=lambda one: -one.explained)


def followed(task: Task, camera: Camera, sign: int, side: int, how: Comparison, tolerance: float = 1e-3) -> Found:
    """The nearest optimum on one level."""
    stage = task.at(side, camera)
    system = system_of(stage.fixed, stage.patient, task.pivot_mm, sign, how, task.threads)
    best = minimise(system, stage.view, partial(moved, pivot_mm=task.pivot_mm), tolerance=tolerance)
    return found_at(task, best.poses, sign, side, how, best.steps)


def found_at(task: Task, camera: Camera, sign: int, side: int, how: Comparison, steps: int) -> Found:
    """A pose with how well it explains the X-ray on one level."""
    stage = task.at(side, camera)
    seen = moving_image(stage.patient, stage.view, task.pivot_mm, task.threads)
    return Found(stage.view, sign, agreement(stage.fixed, seen.image, seen.jacobian, sign, how), stage.share, steps)


def levels_to(task: Task, largest_px: int) -> list[tuple[int, Comparison, float]]:
    """Sides of the images to refine on, how they are compared, and the decrease that is worth a step."""
    most = min(largest_px, 1.5 * max(task.fixed.image.shape))
    sides = [(side, how) for side, how in LEVELS[1:] if side <= most] or [LEVELS[1]]
    return [(side, how, 1e-5 if (side, how) == sides[-1] else 1e-4) for side, how in sides]


def refined(task: Task, found: Sequence[Found], largest_px: int) -> Found:
    """The pose on larger and larger images, up to `largest_px`.

    The smallest image's best optima compete on the second level. From there on the display is replaced by the monotone
    curve that fits the pose found so far.
    """
    rivals = [followed(task, one.camera, one.sign, *LEVELS[1]) for one in distinct(task, found)]
    current = max(rivals, key=lambda one: one.explained)
    steps = sum(one.steps for one in (*found, *rivals))
    for side, how, tolerance in levels_to(task, largest_px):
        level = undone(task, current.camera, current.sign)
        result = followed(level, current.camera, 1, side, how, tolerance)
        steps += result.steps
        current = replace(result, sign=current.sign, steps=steps)
    return current


def distinct(task: Task, found: Sequence[Found]) -> list[Found]:
    """The best few optima that are not one and the same."""
    chosen: list[Found] = []
    for one in found:
        if len(chosen) < _RIVALS and not any(same_optimum(one, held, task.pivot_mm) for held in chosen):
            chosen.append(one)
    return chosen


def same_optimum(one: Found, other: Found, pivot_mm: Floats) -> bool:
    """Whether two poses are one optimum of a small image; depth is too weak there to tell."""
    return one.sign == other.sign and same_pose(one.camera, other.camera, pivot_mm)


def same_pose(one: Camera, other: Camera, pivot_mm: Floats) -> bool:
    """Whether two poses differ by less than a small image's optimum is wide."""
    motion = np.abs(motion_between(one, other, pivot_mm))
    return bool(np.rad2deg(motion[:3]).max() < _SAME_DEG and motion[3:5].max() < _SAME_MM)


def undone(task: Task, camera: Camera, sign: int) -> Task:
    """The task with its X-ray on the moving image's scale: the display replaced by the curve that fits a pose."""
    stage = task.at(LEVELS[1][0], camera)
    seen = moving_images(stage.patient, [stage.view], task.threads)[0]
    image = fitted_display(stage.fixed.image, seen, stage.fixed.mask, sign)(task.fixed.image)
    return replace(task, fixed=replace(task.fixed, image=image, noise=noise_deviation(image, task.fixed.mask)))
