"""Smooth shapes as signed distances on a coarse grid, where NumPy is fast enough, painted at full resolution.

A distance that varies over centimetres is computed every few millimetres and interpolated trilinearly by the painter,
so that a body of 60 million voxels needs no NumPy array of its own size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from os import cpu_count
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy.body.canvas import Box, Canvas, Floats

STEP_MM = 4.5
EVERYWHERE = np.ones(256, dtype=bool)


@dataclass(frozen=True, eq=False)
class Grid:
    """A coarse grid over a box of the canvas; x, y, z in mm broadcast against each other."""

    box: Box
    x: Floats
    y: Floats
    z: Floats
    step_mm: float

    @property
    def empty(self) -> bool:
        """Whether the box lies outside the canvas."""
        return any(s.stop <= s.start for s in self.box)


def grid(canvas: Canvas, low_mm: npt.ArrayLike | None = None, high_mm: npt.ArrayLike | None = None,
         step_mm: float = STEP_MM) -> Grid:  # fmt: skip
    """The coarse grid over a box in patient mm, the whole canvas when left out."""
    box = canvas.whole if low_mm is None or high_mm is None else canvas.box(low_mm, high_mm)
    step = max(step_mm, canvas.voxel_mm)
    axes = []
    for axis, part in enumerate(box):
        start = canvas.origin_mm[axis] + canvas.voxel_mm * part.start
        cells = int(np.ceil(max(part.stop - part.start - 1, 1) * canvas.voxel_mm / step)) + 1
        axes.append((start + step * np.arange(cells + 1)).astype(np.float32))
    x, y, z = axes
    return Grid(box, x[:, None, None], y[None, :, None], z[None, None, :], step)


def paint_field(
    canvas: Canvas,
    area: Grid,
    distance_mm: Floats,
    values: float | Sequence[float],
    name: str | None,
    *,
    edges_mm: Sequence[float] = (0.0,),
    over: npt.NDArray[np.bool_] = EVERYWHERE,
    first_mm: float = 0.0,
) -> None:
    """Paint the inside of a field on a coarse grid, in layers of HU `values` that start at depths `edges_mm`.

    Args:
        canvas: painted in place.
        area: the coarse grid.
        distance_mm: signed distance, broadcast over the grid.
        values: HU of each layer.
        name: structure; None leaves the labels.
        edges_mm: depth at which each layer starts.
        over: (256,) codes that may be painted over.
        first_mm: the distance that counts as the surface.
    """
    from synthray.anatomy.body.soft_kernels import paint_layers

    if area.empty:
        return
    field = np.ascontiguousarray(
        np.broadcast_to(distance_mm, (area.x.size, area.y.size, area.z.size)), dtype=np.float32
    )
    step = np.full(3, canvas.voxel_mm / area.step_mm)
    code = canvas.code(name) if name is not None else 0
    layers = np.atleast_1d(np.asarray(values, dtype=np.float64))
    edges = np.asarray(edges_mm, dtype=np.float64)

    def slab(part: slice) -> None:
        rows = slice(area.box[0].start + part.start, area.box[0].start + part.stop)
        where = rows, *area.box[1:]
        corner = np.array([part.start * step[0], 0.0, 0.0])
        paint_layers(canvas.hu[where], canvas.codes[where], field, corner, step, first_mm, edges, layers, over, code,
                     canvas.voxel_mm)  # fmt: skip

    in_slabs(area.box[0].stop - area.box[0].start, slab)


def in_slabs(count: int, work: Any) -> None:
    """Call `work` with slices of 0 to `count`, on the machine's cores; slabs must not depend on each other."""
    cores = min(cpu_count() or 1, 8)
    if count < 32 or cores == 1:
        work(slice(0, count))
        return
    ends = np.linspace(0, count, 2 * cores + 1).astype(int)
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(work, [slice(int(a), int(b)) for a, b in pairwise(ends)]))


def codes_of(canvas: Canvas, names: Iterable[str] = (), *, free: bool = True) -> npt.NDArray[np.bool_]:
    """(256,) mask of the named structures' codes, and of unlabelled tissue when `free`."""
    wanted = set(names)
    found = np.zeros(256, dtype=bool)
    found[0] = free
    for code, name in canvas.names.items():
        found[code] = name in wanted
    return found


def ellipsoid(area: Grid, center_mm: npt.ArrayLike, radii_mm: npt.ArrayLike, tilt_deg: float = 0.0) -> Floats:
    """Signed distance (first order) to an ellipsoid, turned by `tilt_deg` in the frontal plane, left side down."""
    c, r = np.asarray(center_mm, dtype=np.float32), np.asarray(radii_mm, dtype=np.float32)
    cos, sin = np.float32(np.cos(np.deg2rad(tilt_deg))), np.float32(np.sin(np.deg2rad(tilt_deg)))
    dx, dz = area.x - c[0], area.z - c[2]
    u, v, w = (cos * dx - sin * dz) / r[0], (area.y - c[1]) / r[1], (sin * dx + cos * dz) / r[2]
    norm = np.sqrt(u * u + v * v + w * w)
    slope = np.sqrt((u / r[0]) ** 2 + (v / r[1]) ** 2 + (w / r[2]) ** 2)
    return np.where(norm > 1e-3, norm * (norm - 1) / np.maximum(slope, 1e-6), -r.min())


def capsule(area: Grid, start_mm: npt.ArrayLike, end_mm: npt.ArrayLike, radii_mm: tuple[float, float],
            flat: float = 1.0) -> Floats:  # fmt: skip
    """Signed distance to a tapered capsule; `flat` stretches its section from front to back."""
    a, b = np.asarray(start_mm, dtype=np.float32), np.asarray(end_mm, dtype=np.float32)
    d = b - a
    px, py, pz = area.x - a[0], area.y - a[1], area.z - a[2]
    t = np.clip((px * d[0] + py * d[1] + pz * d[2]) / max(float(d @ d), 1e-6), 0, 1)
    away = np.sqrt((px - t * d[0]) ** 2 + ((py - t * d[1]) / np.float32(flat)) ** 2 + (pz - t * d[2]) ** 2)
    return away - (radii_mm[0] + t * (radii_mm[1] - radii_mm[0]))


def join(first: Floats, second: Floats, blend_mm: float) -> Floats:
    """Smooth union (Quilez' polynomial smooth minimum)."""
    h = np.maximum(blend_mm - np.abs(first - second), 0) / np.float32(blend_mm)
    return np.minimum(first, second) - h * h * np.float32(blend_mm / 4)


def cross(first: Floats, second: Floats, blend_mm: float) -> Floats:
    """Smooth intersection."""
    return -join(-first, -second, blend_mm)


def tube_field(area: Grid, points_mm: npt.ArrayLike, radii_mm: npt.ArrayLike) -> Floats:
    """Signed distance to a tube along a polyline (n, 3) with a radius (n,) or one for all; far away it is capped."""
    from synthray.anatomy.body.kernels import lower_to_tube

    points = np.asarray(points_mm, dtype=np.float64)
    radii = np.broadcast_to(np.asarray(radii_mm, dtype=np.float64), len(points)).copy()
    field = np.full((area.x.size, area.y.size, area.z.size), 60.0, dtype=np.float32)
    start = np.array([float(a.flat[0]) for a in (area.x, area.y, area.z)])
    # The kernel visits two voxels around each piece; wider radii give a band of distances around the tube.
    band = 24.0
    lower_to_tube(field, start, area.step_mm, points, radii + band, np.ones(3))
    return np.minimum(field + band, 60.0)
