"""The march in plain NumPy and double precision: slow, and easy to see right; fast backends are tested against it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.projector.march import STEEPEST, SURFACE_DENSITY_G_CM3, MarchVolume, RayBundle

Floats = npt.NDArray[np.float64]


def march(
    volume: MarchVolume, rays: RayBundle, path_table: npt.NDArray[np.float32], threads: int | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Area density, mask words, depth and paths of every ray.

    Args:
        volume: the prepared patient.
        rays: views in voxel coordinates.
        path_table: (codes, paths) from `MarchVolume.path_table`.
        threads: not used; every backend has the same signature.

    Returns:
        (view, basis, row, column) float32 g/cm², (view, row, column, word) uint64, (view, row, column) float32 mm,
        (view, path, row, column) float32 mm.
    """
    results = [_march_view(volume, rays, path_table, view) for view in range(len(rays.origin))]
    density, words, depth, paths = (np.stack(parts) for parts in zip(*results, strict=True))
    return density.astype(np.float32), words, depth.astype(np.float32), paths.astype(np.float32)


def _march_view(
    volume: MarchVolume, rays: RayBundle, path_table: npt.NDArray[np.float32], view: int
) -> tuple[Floats, npt.NDArray[np.uint64], Floats, Floats]:
    column, row = np.meshgrid(np.arange(rays.columns), np.arange(rays.rows))
    pixels = np.stack([column.ravel(), row.ravel(), np.ones(column.size)], axis=0)
    direction = (rays.matrix[view] @ pixels).T
    mm_per_depth = np.linalg.norm((rays.inverse_K[view] @ pixels).T, axis=1)
    chosen_axis = _slice_axis(direction, int(rays.axis[view]))
    bits = volume.bit_table()
    density = np.zeros((len(direction), 2))
    words = np.zeros((len(direction), bits.shape[1]), dtype=np.uint64)
    depth = np.full(len(direction), np.inf)
    paths = np.zeros((len(direction), path_table.shape[1]))
    for axis in range(3):
        chosen = np.flatnonzero(chosen_axis == axis)
        ray, step_mm = direction[chosen], mm_per_depth[chosen] / np.abs(direction[chosen, axis])
        for slice_index in range(volume.packed.shape[axis]):
            t = (slice_index - rays.origin[view, axis]) / ray[:, axis]
            point = rays.origin[view] + t[:, None] * ray
            point[:, axis] = slice_index
            inside = (t > 0) & np.all((point >= 0) & (point <= np.array(volume.packed.shape[:3]) - 1), axis=1)
            hit, where = chosen[inside], point[inside]
            value = _bilinear(volume, where, axis)
            code = volume.codes[tuple(_nearest(where).T)]
            density[hit] += value * step_mm[inside, None] * 0.1
            words[hit] |= bits[code]
            paths[hit] += path_table[code] * step_mm[inside, None]
            surface = value.sum(axis=1) > SURFACE_DENSITY_G_CM3
            depth[hit[surface]] = np.minimum(depth[hit[surface]], t[inside][surface])
    shape = rays.rows, rays.columns
    depth[np.isinf(depth)] = np.nan
    return (
        density.T.reshape(2, *shape),
        words.reshape(*shape, -1),
        depth.reshape(shape),
        paths.T.reshape(-1, *shape),
    )


def _slice_axis(direction: Floats, view_axis: int) -> npt.NDArray[np.intp]:
    """(n,) axis whose slices each ray visits: the view's, or for very slanting rays the one they cross fastest."""
    speed = np.abs(direction)
    slanting = speed.max(axis=1) > STEEPEST * speed[:, view_axis]
    return np.where(slanting, np.argmax(speed, axis=1), view_axis)


def _bilinear(volume: MarchVolume, point: Floats, axis: int) -> Floats:
    """(n, 2) g/cm³ at points that lie on a slice of the grid."""
    base = np.minimum(np.floor(point).astype(int), np.array(volume.packed.shape[:3]) - 2)
    base = np.maximum(base, 0)
    fraction = point - base
    total: Any = 0.0
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, fraction, 1 - fraction), axis=1)
        total = total + weight[:, None] * volume.packed[tuple((base + corner).T)]
    return total * volume.scale_g_cm3


def _nearest(point: Floats) -> npt.NDArray[np.intp]:
    """(n, 3) voxel indices; a point halfway between two voxels goes to the lower one."""
    return np.ceil(point - 0.5).astype(int)
