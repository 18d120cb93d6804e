"""A coarse, axis-aligned copy of a CT to segment on, and the way back: one code path for any orientation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy.patient import Volume
from synthray.anatomy.resample import resample
from synthray.geometry import apply


def to_working_grid(volume: Volume, spacing_mm: float, *, outside: float) -> Volume:
    """The volume on an isotropic grid whose axes i, j, k run to the patient's left, back and head.

    Averages whole voxels before sampling, so that noise is lessened and thin structures fade rather than vanish.
    """
    coarse = block_mean(volume, np.maximum(1, np.floor(spacing_mm / volume.voxel_mm + 0.1).astype(int)))
    lowest, highest = volume.corners_mm.min(axis=0), volume.corners_mm.max(axis=0)
    shape = np.maximum(1, np.round((highest - lowest) / spacing_mm)).astype(int)
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = (lowest + highest) / 2 - (shape - 1) / 2 * spacing_mm
    i, j, k = (int(n) for n in shape)
    return Volume(resample(coarse, (i, j, k), affine, linear=True, outside=outside), affine)


def mask_on_grid(mask: npt.NDArray[np.bool_], grid: Volume, target: Volume) -> npt.NDArray[np.bool_]:
    """A mask of the working grid on the target's own grid, its surface kept smooth by linear interpolation."""
    soft = Volume((mask * np.uint8(200)).astype(np.uint8), grid.patient_from_voxel)
    return resample(soft, target.shape, target.patient_from_voxel, linear=True, outside=0) >= 100


def mask_to_working_grid(mask: npt.NDArray[np.bool_], volume: Volume, grid: Volume) -> npt.NDArray[np.bool_]:
    """A mask of the volume's grid on the working grid, by nearest neighbour."""
    source = Volume(mask.view(np.uint8), volume.patient_from_voxel)
    return resample(source, grid.shape, grid.patient_from_voxel, linear=False, outside=0) > 0


def bounding_box(mask: npt.NDArray[np.bool_], margin: int) -> tuple[slice, ...]:
    """The smallest box around a mask that is not empty, widened by a margin within the array."""
    spans = [np.flatnonzero(mask.any(axis=tuple(b for b in range(mask.ndim) if b != a))) for a in range(mask.ndim)]
    return tuple(slice(max(0, int(s[0]) - margin), int(s[-1]) + 1 + margin) for s in spans)


def cropped(volume: Volume, box: tuple[slice, ...]) -> Volume:
    """The part of a volume within a box."""
    affine = volume.patient_from_voxel.copy()
    affine[:3, 3] = apply(affine, [s.start for s in box])
    return Volume(volume.values[box], affine)


def block_mean(volume: Volume, factors: npt.NDArray[Any]) -> Volume:
    """Means over blocks of whole voxels, float32; the last block repeats the outer voxels where it needs more."""
    values = volume.values
    for axis, factor in enumerate(int(f) for f in factors):
        if factor > 1:
            short = -values.shape[axis] % factor
            if short:
                values = np.concatenate([values, *[values.take([-1], axis=axis)] * short], axis=axis)
            split = (*values.shape[:axis], -1, factor, *values.shape[axis + 1 :])
            values = values.reshape(split).mean(axis=axis + 1, dtype=np.float32)
    affine = volume.patient_from_voxel.copy()
    affine[:3, 3] += affine[:3, :3] @ ((factors - 1) / 2)
    affine[:3, :3] *= factors
    return Volume(values.astype(np.float32, copy=False), affine)
