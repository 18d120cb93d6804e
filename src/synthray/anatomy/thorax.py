"""Left and right lung of any thorax CT by thresholds, connectivity and shape."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from synthray.anatomy.morphology import (
    Mask,
    averaged,
    closed,
    components,
    dilated,
    distance,
    eroded,
    filled,
    filled_slices,
)
from synthray.anatomy.patient import Patient, Volume
from synthray.anatomy.segmentation import AIR_HU, coarse_body
from synthray.anatomy.working_grid import bounding_box, cropped, mask_on_grid, to_working_grid
from synthray.errors import InputError

GRID_MM: Final = 3.0
_LUNG_HU: Final = -400  # half-way between aerated lung (-850) and soft tissue (40)
_GAS_HU: Final = -930  # airway lumen and bowel gas lie below, lung parenchyma above
_GAS_CORE_HU: Final = -950
_GAS_CORE_ML: Final = 0.5
_LEAST_LUNG_ML: Final = 50.0
_LEAST_PART_ML: Final = 20.0
_VESSEL_MM: Final = 10.0
_AIRWAY_CM2: Final = (0.4, 6.0)
_MAIN_BRONCHUS_MM: Final = 35.0
# Whole lungs and their lobes by the names people give them; lesions, nodules and vessels don't match.
_SIDED: Final = r"lung_{0}|{0}_lung|lung_\w*lobe_{0}|{0}_\w*lobe"
_LEFT: Final = re.compile(_SIDED.format("(left|l)"))
_RIGHT: Final = re.compile(_SIDED.format("(right|r)"))
_BOTH: Final = re.compile(r"(both_)?lungs?")


def lungs(patient: Patient | Volume) -> tuple[Mask, Mask]:
    """(left, right) lung masks, each (I, J, K) bool; left is the patient's left.

    The vessels within are included, as are opacities that lung surrounds; trachea and main bronchi are not, nor is
    gas in stomach and bowel.

    Raises:
        InputError: there is no lung of a plausible size.
    """
    volume = patient.ct if isinstance(patient, Patient) else patient
    grid = to_working_grid(volume, GRID_MM, outside=AIR_HU)
    body = coarse_body(grid)
    grid, body = cropped(grid, box := bounding_box(body, 4)), body[box]
    air = (grid.values < _LUNG_HU) & eroded(body, 1)
    airways = _airways(grid, air, body)
    air &= ~dilated(airways, 1)
    parts = _lung_parts(air & ~_bowel_gas(grid, air), grid)
    left, right = (_closed_lung(side, airways, body) for side in split_left_right(parts))
    return mask_on_grid(left, grid, volume), mask_on_grid(right, grid, volume)


def with_lungs(patient: Patient) -> Patient:
    """A copy whose labels hold `lung_left` and `lung_right`.

    Taken from the labels where they can be: as they are, joined from lobes, or one lung label split at the midline;
    else found in the CT.

    Raises:
        InputError: there is no lung of a plausible size.
    """
    labels = patient.labels
    if labels is None:
        return _add(patient, *lungs(patient))
    if {"lung_left", "lung_right"} <= set(labels.names):
        return patient
    left, right, both = (
        [n for n in labels.names if pattern.fullmatch(re.sub(r"[ -]", "_", n.lower()))]
        for pattern in (_LEFT, _RIGHT, _BOTH)
    )
    if left and right:
        return _add(patient, labels.mask(*left), labels.mask(*right))
    if both and labels.mask(*both).any():
        return _add(patient, *_split_label(labels.mask(*both), patient.ct))
    return _add(patient, *lungs(patient))


def _add(patient: Patient, left: Mask, right: Mask) -> Patient:
    for name, mask in (("lung_left", left), ("lung_right", right)):
        if name not in patient.structure_names:
            patient = patient.with_structure(name, mask)
    return patient


def _split_label(mask: Mask, ct: Volume) -> tuple[Mask, Mask]:
    """A lung label cut into left and right on the working grid, each voxel going to the nearer side."""
    grid = to_working_grid(Volume(mask.astype(np.uint8), ct.patient_from_voxel), GRID_MM, outside=0)
    left, right = split_left_right(grid.values > 0.5)
    nearer_left = distance(left) < distance(right)
    on_left = mask_on_grid(nearer_left, grid, ct)
    return mask & on_left, mask & ~on_left


def _airways(grid: Volume, air: Mask, body: Mask) -> Mask:
    """Trachea and main bronchi, followed slice by slice from the trachea's round section downwards."""
    spacing_mm = float(grid.voxel_mm[0])
    lumen = (grid.values < _GAS_HU) & air
    found = np.zeros_like(lumen)
    start = _trachea_section(lumen, body, spacing_mm)
    if start is None:
        return found
    top, section = start
    found[:, :, top] = section
    usual = section.sum()
    for direction in (1, -1):
        below_carina = 0
        section = found[:, :, top]
        for k in range(top + direction, lumen.shape[2] if direction > 0 else -1, direction):
            section = _connected_to(lumen[:, :, k] & dilated(section, 2), section)
            pieces = len(components(section)[1])
            below_carina += pieces > 1
            if not section.any() or section.sum() > 3 * usual or below_carina * spacing_mm > _MAIN_BRONCHUS_MM:
                break
            found[:, :, k] = section
    return filled_slices(dilated(found, 1) & (air | found))


def _trachea_section(lumen: Mask, body: Mask, spacing_mm: float) -> tuple[int, Mask] | None:
    """The highest round gas-filled section near the middle of the body that goes on for 2 cm."""
    least, most = (cm2 * 100 / spacing_mm**2 for cm2 in _AIRWAY_CM2)
    for k in range(lumen.shape[2] - 1, round(20 / spacing_mm), -1):
        if not lumen[:, :, k].any():
            continue
        middle = np.argwhere(body[:, :, k]).mean(axis=0)
        parts, sizes = components(lumen[:, :, k])
        for part in np.flatnonzero((sizes > least) & (sizes < most)) + 1:
            section = parts == part
            where = np.argwhere(section)
            width = np.ptp(where, axis=0) + 1
            near = np.abs(where.mean(axis=0) - middle) * spacing_mm < (30, 60)
            rounded = section.sum() > 0.5 * width.prod() and width.max() < 2.2 * width.min()
            if near.all() and rounded and _goes_on(lumen, section, k, round(20 / spacing_mm)):
                return k, section
    return None


def _goes_on(lumen: Mask, section: Mask, k: int, count: int) -> bool:
    size = section.sum()
    for lower in range(k - 1, k - 1 - count, -1):
        section = _connected_to(lumen[:, :, lower], section)
        if not 0.4 * size < section.sum() < 2.5 * size:
            return False
    return True


def _connected_to(mask: Mask, section: Mask) -> Mask:
    """The parts of a slice's mask that overlap the section of the slice above."""
    parts, _ = components(mask)
    met = np.unique(parts[section])
    return np.isin(parts, met[met > 0])


def _bowel_gas(grid: Volume, air: Mask) -> Mask:
    """Gas in stomach and bowel, even where its thin wall lets it touch the lung above.

    Gas is told from emptied lung (emphysema, bullae) by what lies around it: a wall, not lung.
    """
    smooth = averaged(grid.values)
    inside = eroded(air, 1)
    cores, sizes = components(inside & (smooth < _GAS_CORE_HU))
    gas = np.zeros_like(air)
    for core in range(1, int(np.count_nonzero(sizes * _voxel_ml(grid) > _GAS_CORE_ML)) + 1):
        box = bounding_box(cores == core, 4)
        piece = cores[box] == core
        around = dilated(piece, 4) & ~dilated(piece, 2)
        if np.mean(grid.values[box][around] > _LUNG_HU) > 0.5:
            gas[box] |= piece
    if not gas.any():
        return gas
    lung = eroded(air & ~dilated(gas, 1), 2)
    return air & (distance(gas) < np.minimum(distance(lung), 4))


def _lung_parts(air: Mask, grid: Volume) -> Mask:
    """The air-filled parts that are lung: not bowel gas, which is as empty as the airways."""
    voxel_ml = _voxel_ml(grid)
    parts, sizes = components(air)
    kept = np.zeros_like(air)
    for part in range(1, int(np.count_nonzero(sizes * voxel_ml > _LEAST_PART_ML)) + 1):
        piece = parts == part
        inside = eroded(piece, 1)
        if inside.any() and np.median(grid.values[inside]) > _GAS_HU:
            kept |= piece
    if kept.sum() * voxel_ml < _LEAST_LUNG_ML:
        raise InputError("no lung in this CT: less than 50 ml of aerated tissue inside the body")
    return kept


def split_left_right(both: Mask) -> tuple[Mask, Mask]:
    """(left, right) of a mask of both lungs on a working grid; lungs that touch are parted where they are thinnest."""
    if not both.any():
        return both, both
    for radius in range(6):
        parts, sizes = components(eroded(both, radius) if radius else both)
        if len(sizes) > 1 and sizes[1] > 0.15 * sizes[0]:
            break
    else:
        return _split_at_midline(both)
    centers = [float(np.argwhere(parts == p)[:, 0].mean()) for p in (1, 2)]
    seeds = (parts == 1 + int(np.argmax(centers)), parts == 1 + int(np.argmin(centers)))
    left = distance(seeds[0]) < distance(seeds[1])
    return both & left, both & ~left


def _split_at_midline(both: Mask) -> tuple[Mask, Mask]:
    """Left and right of the middle of the lungs' width; a lung on one side of the scan alone stays whole."""
    held = np.argwhere(both)[:, 0]
    to_left = np.mean(held > (both.shape[0] - 1) / 2)
    middle = (held.min() + held.max()) / 2 if 0.15 < to_left < 0.85 else both.shape[0] * float(to_left < 0.5)
    left = np.arange(both.shape[0])[:, None, None] > middle
    return both & left, both & ~left


def _closed_lung(lung: Mask, airways: Mask, body: Mask) -> Mask:
    """Vessels, and opacities that lung surrounds, filled; airways left out."""
    if not lung.any():
        return lung
    margin = round(_VESSEL_MM / GRID_MM)
    padded = np.pad(lung, margin)
    whole = filled(closed(padded, margin))[(slice(margin, -margin),) * 3]
    return whole & body & ~dilated(airways, 1)


def _voxel_ml(grid: Volume) -> float:
    return float(np.prod(grid.voxel_mm)) / 1000
