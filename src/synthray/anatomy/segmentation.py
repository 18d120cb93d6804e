"""The body without table, board and frame, by thresholds and shape: no learned model, no labels needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.anatomy.morphology import Mask, closed, components, dilated, eroded, filled_slices, opened
from synthray.anatomy.patient import Volume
from synthray.anatomy.resample import resample
from synthray.anatomy.working_grid import bounding_box, cropped, to_working_grid
from synthray.errors import InputError

AIR_HU: Final = -1000
_GRID_MM: Final = 3.0
_SKIN_HU: Final = -350  # above foam, below fat, half-way down the ramp from skin to air
_THICK_MM: Final = 5.0  # opening radius: table shells, straps and wires are thinner than 10 mm
_LUNG_HU: Final = (-960, -500)
_LEAST_LUNG_ML: Final = 100.0
_LIMB_ML: Final = 60.0
_LIMB_RADIUS_MM: Final = 12.5  # an arm holds a ball this big somewhere, a table's side rail does not


def body_mask(volume: Volume) -> Mask:
    """(I, J, K) bool, true inside the skin; lungs, airways and gas inside the body count as body.

    Arms and other thick separate parts that are as dense as tissue stay; table, mattress, boards and frames do not.

    Raises:
        InputError: nothing as dense as tissue is big enough to be a body.
    """
    grid = to_working_grid(volume, _GRID_MM, outside=AIR_HU)
    body = coarse_body(grid)
    # The coarse surface is half a voxel too blunt: let the fine grid decide in a thin shell around it.
    shells = Volume((dilated(body, 1) + eroded(body, 1).astype(np.uint8)) * np.uint8(100), grid.patient_from_voxel)
    depth = resample(shells, volume.shape, volume.patient_from_voxel, linear=True, outside=0)
    return (depth >= 150) | ((depth >= 50) & (volume.values > _SKIN_HU))


def remove_table(volume: Volume) -> Volume:
    """The same CT with everything outside the body set to air (-1000 HU).

    Raises:
        InputError: there is no body in it.
    """
    air = np.asarray(AIR_HU, dtype=volume.values.dtype)
    return replace(volume, values=np.where(body_mask(volume), volume.values, air))


def coarse_body(grid: Volume) -> Mask:
    """The body on a working grid (axes to left, back, head; isotropic).

    Raises:
        InputError: nothing is big enough.
    """
    thick = _thick_parts(grid.values > _SKIN_HU, grid)
    box = bounding_box(thick, _radius(grid) + 2)
    body = np.zeros(grid.shape, dtype=bool)
    body[box] = _whole_body(cropped(grid, box), thick[box])
    return body


def _whole_body(grid: Volume, thick: Mask) -> Mask:
    """The body around its thick parts: with its thin walls and edges, and filled."""
    # A chest wall thinner than the opening would let the lungs leak out, so lungs are made solid first.
    solid = (grid.values > _SKIN_HU) | _enclosed_lung(grid, thick)
    kept = _thick_parts(solid, grid)
    near = dilated(kept, _radius(grid)) & solid  # gives nose, ears and skin folds back
    return filled_slices(closed(near, 1) | kept)


def _thick_parts(solid: Mask, grid: Volume) -> Mask:
    """The largest part that an opening leaves, and other parts that look like limbs."""
    voxel_ml = float(np.prod(grid.voxel_mm)) / 1000
    parts, sizes = components(opened(solid, _radius(grid)))
    if not len(sizes) or sizes[0] * voxel_ml < _LIMB_ML:
        raise InputError("no body in this CT: no connected tissue above 60 ml; are the values Hounsfield units?")
    kept: Mask = np.asarray(parts == 1)
    for part in range(2, 1 + int(np.count_nonzero(sizes * voxel_ml > _LIMB_ML))):
        box = bounding_box(parts == part, 1)
        piece = parts[box] == part
        if _is_limb(grid.values[box][piece]) and eroded(piece, round(_LIMB_RADIUS_MM / grid.voxel_mm[0])).any():
            kept[box] |= piece
    return kept


def _enclosed_lung(grid: Volume, kept: Mask) -> Mask:
    """Parts with the density of lung that thick tissue surrounds on most sides; the foam of a table it does not."""
    parts, sizes = components(opened((grid.values > _LUNG_HU[0]) & (grid.values < _LUNG_HU[1]), 1))
    lung = np.zeros_like(kept)
    for part in range(1, 1 + int(np.count_nonzero(sizes * float(np.prod(grid.voxel_mm)) > _LEAST_LUNG_ML * 1000))):
        box = bounding_box(parts == part, 4)
        piece = parts[box] == part
        around = dilated(piece, 3) & ~dilated(piece, 1)
        if kept[box][around].mean() > 0.5:
            lung[box] |= piece
    return lung


def _radius(grid: Volume) -> int:
    return max(1, round(_THICK_MM / float(grid.voxel_mm[0])))


def _is_limb(hu: npt.NDArray[Any]) -> bool:
    """Whether a separate part is tissue around bone rather than a board: median like muscle or fat, some bone."""
    return bool(-150 < np.median(hu) < 150 and np.mean(hu > 200) > 0.02)
