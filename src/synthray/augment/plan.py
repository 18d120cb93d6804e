"""Random choices drawn first, as data, then applied to a whole batch: a plan can be printed, stored and replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from synthray.augment.appearance import APPEARANCE
from synthray.augment.artefacts import FRAMES, OVERLAYS
from synthray.augment.config import AugmentConfig
from synthray.augment.display import DISPLAY
from synthray.augment.geometry import Geometry, apply_geometry, draw_geometry
from synthray.augment.intensity import PIXELS

_OPERATIONS = {**APPEARANCE, **DISPLAY, **PIXELS, **OVERLAYS}

# Gao et al. 2023: one or two of these six groups per image, each of them carried out half of the time.
_GROUPS: tuple[tuple[str, ...], ...] = (
    ("gaussian_blur", "average_blur"),
    ("dropout", "coarse_dropout"),
    ("sharpen", "emboss"),
    ("average_pool", "max_pool", "min_pool", "median_pool"),
    ("multiply", "multiply_elementwise"),
    ("jitter",),
)


@dataclass(frozen=True, eq=False)
class Step:
    """One operation on some images of a batch.

    Attributes:
        name: the operation.
        index: (k,) which images.
        params: its random choices, each array with a first axis of k.
        seed: for the fields of pixel noise that it draws when applied.
    """

    name: str
    index: npt.NDArray[np.int64]
    params: Mapping[str, npt.NDArray[Any]]
    seed: int


@dataclass(frozen=True, eq=False)
class Plan:
    """All random choices for one batch: a change of geometry (or none), then the steps in order."""

    count: int
    geometry: Geometry | None
    steps: tuple[Step, ...]


class Augmented(NamedTuple):
    """A batch with its labels.

    Attributes:
        images: (n, 1, h, w) float32, about 0 to 1.
        masks: (n, structures, h, w) bool.
        landmarks_px: (n, landmarks, 2) as (column, row).
        visible: (n, landmarks) bool, false outside the image, behind a border, or absent from the start.
    """

    images: Tensor
    masks: Tensor
    landmarks_px: Tensor
    visible: Tensor


def draw_plan(config: AugmentConfig, count: int, rng: np.random.Generator) -> Plan:
    """The random choices for `count` images."""
    geometry = draw_geometry(config, count, rng)
    steps: list[Step] = []
    for name, chosen in _choices(config, count, rng):
        index = np.flatnonzero(chosen)
        if len(index):
            operation = FRAMES[name] if name in FRAMES else _OPERATIONS[name]
            steps.append(Step(name, index, operation.draw(rng, len(index)), int(rng.integers(2**63))))
    return Plan(count, geometry, tuple(steps))


def apply_plan(
    plan: Plan,
    images: Tensor,
    masks: Tensor,
    landmarks_px: Tensor,
    visible: Tensor,
    *,
    structure_order: Sequence[int] | None = None,
    landmark_order: Sequence[int] | None = None,
) -> Augmented:
    """A batch under a plan; the inputs are left as they are.

    Args:
        plan: choices for exactly this many images.
        images: (n, 1, h, w) float32, about 0 to 1.
        masks: (n, structures, h, w) bool or 0/1.
        landmarks_px: (n, landmarks, 2) as (column, row), NaN where absent.
        visible: (n, landmarks) bool.
        structure_order: where each mask of a mirrored image comes from; needed when the plan mirrors.
        landmark_order: the same for landmarks.
    """
    images, masks, points = images.clone(), masks.bool(), landmarks_px.float()
    seen = visible.bool()
    if plan.geometry is not None:
        orders = (structure_order, landmark_order)
        images, masks, points, seen = apply_geometry(plan.geometry, images, masks, points, seen, orders)
    uncovered = torch.ones_like(images, dtype=torch.bool)
    for step in plan.steps:
        index = torch.from_numpy(step.index).to(images.device)
        params = {name: torch.from_numpy(value).to(images.device) for name, value in step.params.items()}
        generator = torch.Generator(images.device).manual_seed(step.seed)
        if step.name in FRAMES:
            images[index], inside = FRAMES[step.name].apply(images[index], params, generator)
            uncovered[index] &= inside
        else:
            images[index] = _OPERATIONS[step.name].apply(images[index], params, generator)
    return Augmented(images, masks & uncovered, points, seen & _inside(points, uncovered))


def augment(
    images: Tensor,
    masks: Tensor,
    landmarks_px: Tensor,
    visible: Tensor,
    config: AugmentConfig,
    rng: np.random.Generator,
    *,
    structure_order: Sequence[int] | None = None,
    landmark_order: Sequence[int] | None = None,
) -> Augmented:
    """`draw_plan` and `apply_plan` in one go."""
    plan = draw_plan(config, len(images), rng)
    return apply_plan(
        plan,
        images,
        masks,
        landmarks_px,
        visible,
        structure_order=structure_order,
        landmark_order=landmark_order,
    )


def _choices(config: AugmentConfig, count: int, rng: np.random.Generator) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Which images get which operation, in the order of application."""

    def often(probability: float) -> npt.NDArray[np.bool_]:
        return rng.random(count) < probability

    def if_on(probability: float) -> npt.NDArray[np.bool_]:
        # Draws nothing when off, so that recipes from before these switches give the plans that they gave.
        return often(probability) if probability else np.zeros(count, dtype=bool)

    regular = config.preset in ("regular", "strong")
    strong = config.preset == "strong"
    half = 0.5 if regular else 0.0
    return [
        ("random_convolution", often(config.random_convolution)),
        ("fourier", often(config.fourier)),
        ("bias_field", often(config.bias_field)),
        ("local_contrast", often(config.local_contrast)),
        ("multiscale_contrast", if_on(config.multiscale_contrast)),
        ("clahe", if_on(config.clahe)),
        ("curve", often(config.curve)),
        ("low_resolution", often(config.low_resolution)),
        ("lines", often(config.lines)),
        ("implants", if_on(config.implants)),
        ("letters", often(config.letters)),
        ("invert", often(half)),
        ("gamma", often(half)),
        ("contrast", often(half if strong else 0)),
        ("collimation", often(config.collimation)),
        ("borders", often(config.borders)),
        ("noise", often(half)),
        ("boxes", often(half / 2)),
        *(_some_of_the_groups(count, rng) if strong else ()),
        *(_one_of(("salt_pepper", "coarse_salt_pepper"), often(half if strong else 0), rng)),
    ]


def _some_of_the_groups(count: int, rng: np.random.Generator) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    wanted = rng.integers(1, 3, size=count)
    rank = rng.random((count, len(_GROUPS))).argsort(axis=1).argsort(axis=1)
    chosen = (rank < wanted[:, None]) & (rng.random((count, len(_GROUPS))) < 0.5)
    order = rng.permutation(len(_GROUPS))
    return [pair for group in order for pair in _one_of(_GROUPS[group], chosen[:, group], rng)]


def _one_of(
    names: Sequence[str], chosen: npt.NDArray[np.bool_], rng: np.random.Generator
) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    which = rng.integers(len(names), size=len(chosen))
    return [(name, chosen & (which == i)) for i, name in enumerate(names)]


def _inside(points: Tensor, uncovered: Tensor) -> Tensor:
    """(n, landmarks) bool: the pixel at each point exists and is not covered."""
    rows, columns = uncovered.shape[-2:]
    nearest = torch.nan_to_num(points, nan=-1.0).round().long()
    column, row = nearest[..., 0], nearest[..., 1]
    within = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    place = row.clamp(0, rows - 1) * columns + column.clamp(0, columns - 1)
    return within & uncovered.flatten(1).gather(1, place)
