"""The tissue below the diaphragm's domes, which a radiologist's lung field leaves out."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.anatomy.morphology import Mask, distance, to_nearest
from synthray.anatomy.patient import Patient
from synthray.anatomy.segmentation import AIR_HU, coarse_body
from synthray.anatomy.thorax import GRID_MM, with_lungs
from synthray.anatomy.working_grid import mask_on_grid, mask_to_working_grid, to_working_grid
from synthray.errors import InputError

_RECESS_MM: Final = 20.0  # nearer than this to the outline of the lung's floor lies the costophrenic recess
# Steps of the floor from one column to the next, GRID_MM on: the diaphragm climbs less than the step up to the heart,
# even in slices 6 mm thick, and falls steeply into the recess.
_STEP_UP_MM: Final = 8.0
_STEP_DOWN_MM: Final = 25.0
_RIM_STEP_MM: Final = 4.0
_LOWEST_CARRIED_MM: Final = 30.0  # below the dome's top
_ABOVE_FIT_MM: Final = 12.0  # a floor higher than this above the fitted dome is not diaphragm
_ABOVE_TOP_MM: Final = 4.0  # nor is one higher than this above the top of the dome's lateral part
_FADE_MM: Final = 20.0  # the dome passes from its own shape to the fitted one over this distance
_LEAST_COLUMNS: Final = 30

Map = npt.NDArray[np.float64]


def below_diaphragm(patient: Patient) -> Mask:
    """(I, J, K) bool: tissue of the body below the two domes of the diaphragm.

    Under each lung the dome is the lung's floor where that floor lies on the diaphragm. Where it lies on the heart, and
    in the columns between lung and spine, the dome is carried on smoothly from its lateral part. In the costophrenic
    recess the floor itself bounds the tissue, so no lung is cut there, and the chest wall doesn't count.

    Raises:
        InputError: there is no lung of a plausible size.
    """
    labelled = with_lungs(patient)
    if labelled.labels is None:
        raise InputError(f"{patient.name}: no lungs")
    grid = to_working_grid(patient.ct, GRID_MM, outside=AIR_HU)
    left, right = (mask_to_working_grid(labelled.labels.mask(n), patient.ct, grid) for n in ("lung_left", "lung_right"))
    middle = _midline(left, right)
    below = np.zeros(grid.shape, dtype=bool)
    for lung, towards_middle in ((left, slice(middle, None)), (right, slice(None, middle))):
        height = dome_height(lung[::-1] if lung is left else lung)
        height = height[::-1] if lung is left else height
        below[towards_middle] |= np.arange(grid.shape[2]) < height[towards_middle, :, None]
    return mask_on_grid(below & coarse_body(grid), grid, patient.ct)


def dome_height(lung: Mask) -> Map:
    """Per column (i, j) the slice below which tissue lies under the dome; 0 where there is no diaphragm.

    Args:
        lung: one lung on the working grid, mirrored where needed so that i runs from its lateral side to the middle.
    """
    columns: Mask = np.asarray(lung.any(axis=2))
    columns[[0, -1]] = columns[:, [0, -1]] = False
    floor = lung.argmax(axis=2).astype(np.float64)
    if not columns.any():
        return np.zeros(columns.shape)
    inside_mm = distance(~columns).astype(np.float64) * GRID_MM
    seeds = _seeds(columns, floor, inside_mm > _RECESS_MM)
    if not seeds.any():
        return np.zeros(columns.shape)
    diaphragm = _grown(seeds, columns, floor, inside_mm)
    smooth = diaphragm & (inside_mm > _RECESS_MM)
    top = float(floor[smooth & _lateral(columns)].max(initial=floor[seeds].max()))
    fitted = _fitted(smooth, floor, top)
    diaphragm &= floor < np.minimum(fitted + _ABOVE_FIT_MM / GRID_MM, top + _ABOVE_TOP_MM / GRID_MM)
    smooth &= diaphragm
    crest = np.where(smooth & _lateral(columns), floor, 0.0).max(axis=0)
    carried = np.minimum(_carried_on(smooth, floor, fitted), np.where(crest > 0, crest, top))
    return np.where(diaphragm, floor, np.where(_domain(smooth), carried, 0.0))


def _lateral(columns: Mask) -> Mask:
    """(I, 1) true in the lateral six tenths of the lung's width, where the floor is seldom heart."""
    i = np.flatnonzero(columns.any(axis=1))
    return np.arange(columns.shape[0])[:, None] < i[0] + 0.6 * (i[-1] - i[0])


def _midline(left: Mask, right: Mask) -> int:
    """Slice i half-way between the lungs' centres."""
    centers = [np.flatnonzero(m.any(axis=(1, 2))).mean() for m in (left, right) if m.any()]
    return round(float(np.mean(centers))) if len(centers) == 2 else left.shape[0] // 2


def _seeds(columns: Mask, floor: Map, inner: Mask) -> Mask:
    """Columns that surely stand on the diaphragm: lateral and posterior, away from the heart and from the recess."""
    j = np.flatnonzero(columns.any(axis=0))
    posterior = np.arange(columns.shape[1])[None, :] > (j[0] + j[-1]) / 2
    for candidates in (inner & _lateral(columns) & posterior, inner & _lateral(columns), inner):
        if candidates.sum() >= _LEAST_COLUMNS:
            return candidates & (floor <= np.median(floor[candidates]) + _ABOVE_FIT_MM / GRID_MM)
    return np.zeros_like(columns)


def _grown(seeds: Mask, columns: Mask, floor: Map, inside_mm: Map) -> Mask:
    """Columns reached from the seeds in steps to face neighbours that rise and fall no faster than a diaphragm does.

    In the outer band a step away from the middle must not climb: there the floor has left the diaphragm at the bottom
    of the recess and follows the chest wall.
    """
    outer = inside_mm < _RECESS_MM
    grown = seeds.copy()
    while True:
        reached = grown.copy()
        for axis in (0, 1):
            for step in (1, -1):
                rise_mm = (floor - np.roll(floor, step, axis)) * GRID_MM
                outwards = outer & (inside_mm <= np.roll(inside_mm, step, axis))
                passable = (rise_mm < np.where(outwards, _RIM_STEP_MM, _STEP_UP_MM)) & (rise_mm > -_STEP_DOWN_MM)
                reached |= np.roll(grown, step, axis) & passable
        reached &= columns  # columns never touch the border, so that np.roll's wrapping does no harm
        if (reached == grown).all():
            return grown
        grown = reached


def _fitted(smooth: Mask, floor: Map, top: float) -> Map:
    """Quadratic surface through the dome by least squares, refitted twice without columns that stand above it."""
    kept = smooth
    surface = np.where(smooth, floor, 0.0)
    for _ in range(3):
        i, j = np.nonzero(kept)
        center = i.mean(), j.mean()
        weights = np.linalg.lstsq(_quadratic(i - center[0], j - center[1]), floor[kept], rcond=None)[0]
        surface = _quadratic(*(np.indices(floor.shape) - np.reshape(center, (2, 1, 1)))) @ weights
        kept = smooth & (floor < surface + _ABOVE_FIT_MM / GRID_MM)
    return np.clip(surface, top - _LOWEST_CARRIED_MM / GRID_MM, top)


def _quadratic(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.stack([np.ones_like(x, dtype=np.float64), x, y, x * x, x * y, y * y], axis=-1)


def _carried_on(known: Mask, floor: Map, fitted: Map) -> Map:
    """The dome beyond its known columns: the fit, plus the nearest known column's difference from it, fading out."""
    step = to_nearest(known)
    i, j = np.indices(known.shape)
    fade = np.exp(-np.hypot(step[..., 0], step[..., 1]) * GRID_MM / _FADE_MM)
    near = np.clip(i + step[..., 0], 0, known.shape[0] - 1), np.clip(j + step[..., 1], 0, known.shape[1] - 1)
    return fitted + (floor - fitted)[near] * fade


def _domain(smooth: Mask) -> Mask:
    """Where the dome is carried on: from its known columns to the middle, over their extent from front to back."""
    j = np.flatnonzero(smooth.any(axis=0))
    first = np.where(smooth.any(axis=0), smooth.argmax(axis=0), smooth.any(axis=1).argmax())
    medial = np.arange(smooth.shape[0])[:, None] > first
    medial[:, : j[0]] = medial[:, j[-1] + 1 :] = False
    return medial
