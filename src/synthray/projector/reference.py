"""The march in plain NumPy and double precision: slow, and easy to see right; fast backends are tested against it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synthray.projector.binning import binned, joined
from synthray.projector.rays import RIM, STEEPEST, RayBundle
from synthray.projector.result import SURFACE_DENSITY_G_CM3, Marched, Wanted
from synthray.projector.volume import MarchVolume

Floats = npt.NDArray[np.float64]


def march(
    volume: MarchVolume, rays: RayBundle, wanted: Wanted, threads: int | None = None, out: Marched | None = None
) -> Marched:
    """Area density, and what else is wanted, of every pixel.

    Args:
        volume: the prepared patient.
        rays: views in voxel coordinates.
        wanted: what to return.
        threads: not used; every backend has the same signature.
        out: not used.
    """
    views = range(len(rays.origin))
    whole = joined([binned(march_rays(volume, rays, wanted, v), int(rays.supersample[v])) for v in views])
    single = [None if a is None else a.astype(np.float32) for a in (whole.depth, whole.gradient)]
    return Marched(
        whole.density.astype(np.float32),
        whole.words if wanted.masks else whole.words[..., :0],
        single[0] if wanted.depth else None,
        whole.paths.astype(np.float32),
        single[1] if wanted.gradient else None,
    )


def march_rays(volume: MarchVolume, rays: RayBundle, wanted: Wanted, view: int) -> Marched:
    """The rays of one view, each on its own, in double precision."""
    factor = int(rays.supersample[view])
    size = rays.rows * factor, rays.columns * factor
    column, row = np.meshgrid(np.arange(size[1]), np.arange(size[0]))
    pixels = np.stack([column.ravel(), row.ravel(), np.ones(column.size)], axis=0)
    direction = (rays.matrix[view] @ pixels).T
    mm_per_depth = np.linalg.norm((rays.inverse_K[view] @ pixels).T, axis=1)
    table, bits = volume.path_table(wanted.paths), volume.bit_table()
    density, gradient = np.zeros((len(direction), 2)), np.zeros((len(direction), 2, 6))
    words = np.zeros((len(direction), bits.shape[1]), dtype=np.uint64)
    depth = np.full(len(direction), np.inf)
    paths = np.zeros((len(direction), table.shape[1]))
    chosen_axis = _slice_axis(direction, int(rays.axis[view]))
    for axis in range(3):
        chosen = np.flatnonzero(chosen_axis == axis)
        ray, step_mm = direction[chosen], mm_per_depth[chosen] / np.abs(direction[chosen, axis])
        for slice_index in range(1, volume.shape[axis] - 1):
            t = (slice_index - rays.origin[view, axis]) / ray[:, axis]
            point = rays.origin[view] + t[:, None] * ray
            point[:, axis] = slice_index
            inside = (t > 0) & np.all((point >= RIM) & (point <= np.array(volume.shape) - 1 - RIM), axis=1)
            hit, where, reach = chosen[inside], point[inside], step_mm[inside]
            value, slope = _bilinear(volume, where, axis)
            density[hit] += value * reach[:, None] * 0.1
            gradient[hit] += _gradient(slope, t[inside], ray[inside], axis) * reach[:, None, None] * 0.1
            surface = value.sum(axis=1) > SURFACE_DENSITY_G_CM3
            depth[hit[surface]] = np.minimum(depth[hit[surface]], t[inside][surface])
            if volume.labelled:
                code = volume.codes[tuple(_nearest(where).T)]
                words[hit] |= bits[code]
                paths[hit] += table[code] * reach[:, None]
        # The length of a step follows the direction's component along the axis.
        gradient[chosen, :, 3 + axis] -= density[chosen] / ray[:, axis, None]
    return Marched(
        density.T.reshape(1, 2, *size),
        words.reshape(1, *size, -1),
        np.where(np.isinf(depth), np.nan, depth).reshape(1, *size),
        paths.T.reshape(1, -1, *size),
        gradient.transpose(1, 2, 0).reshape(1, 2, 6, *size),
    )


def _slice_axis(direction: Floats, view_axis: int) -> npt.NDArray[np.intp]:
    """(n,) axis whose slices each ray visits: the view's, or for very slanting rays the one they cross fastest."""
    speed = np.abs(direction)
    slanting = speed.max(axis=1) > STEEPEST * speed[:, view_axis]
    return np.where(slanting, np.argmax(speed, axis=1), view_axis)


def _bilinear(volume: MarchVolume, point: Floats, axis: int) -> tuple[Floats, Floats]:
    """(n, 2) g/cm³ at points that lie on a slice of the grid, and (n, 2, 3) its slope per voxel within the slice."""
    base = np.clip(np.floor(point).astype(int), 0, np.array(volume.shape) - 2)
    fraction = point - base
    total, slope = np.zeros((len(point), 2)), np.zeros((len(point), 2, 3))
    for corner in np.ndindex(2, 2, 2):
        if corner[axis]:
            continue
        share = np.where(corner, fraction, 1 - fraction)
        share[:, axis] = 1
        value = volume.packed[tuple((base + corner).T)] * volume.scale_g_cm3
        total += share.prod(axis=1)[:, None] * value
        for along in {0, 1, 2} - {axis}:
            others = np.delete(share, along, axis=1).prod(axis=1)
            slope[:, :, along] += (1 if corner[along] else -1) * others[:, None] * value
    return total, slope


def _gradient(slope: Floats, t: Floats, ray: Floats, axis: int) -> Floats:
    """(n, 2, 6) derivative of a reading with respect to the ray's origin and direction.

    The reading lies at origin + t ray on a fixed slice: as the ray changes, t changes so that the point stays on it.
    """
    to_origin = slope.copy()
    to_origin[:, :, axis] = -(slope * (ray / ray[:, axis, None])[:, None, :]).sum(axis=2)
    return np.concatenate([to_origin, to_origin * t[:, None, None]], axis=2)


def _nearest(point: Floats) -> npt.NDArray[np.intp]:
    """(n, 3) voxel indices; a point halfway between two voxels goes to the lower one."""
    return np.ceil(point - 0.5).astype(int)
