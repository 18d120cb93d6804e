"""Parts that a bone is made of: rods along splines, ellipsoids, rounded blocks, vertebral drums and thick sheets.

A bone is one signed distance field, the smooth union of its parts; `paint` draws cortex, spongy bone and edge at once.
All lengths are mm of patient space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy.body.canvas import FAR_MM, Canvas, Shell

Floats = npt.NDArray[Any]
Lower = Callable[[Floats, Floats, float, float], None]


@dataclass(frozen=True, eq=False)
class Part:
    """One piece of a bone.

    Attributes:
        low_mm: lowest corner of its box.
        high_mm: highest corner of its box.
        lower: lowers a field (array, position of its first voxel, voxel size, margin) to the part's distance.
        blend_mm: width over which it flows into the rest of the bone.
        cut: whether it's taken away.
        shell: its tissue where that differs from the rest of the bone.
    """

    low_mm: Floats
    high_mm: Floats
    lower: Lower
    blend_mm: float = 3.0
    cut: bool = False
    shell: Shell | None = None

    def cutting(self, blend_mm: float = 2.0) -> Part:
        """The same piece, taken away."""
        return replace(self, cut=True, blend_mm=blend_mm)


def rod(
    points_mm: npt.ArrayLike,
    radius_mm: npt.ArrayLike,
    across_mm: npt.ArrayLike | None = None,
    *,
    axis: npt.ArrayLike = (0.0, 0.0, 1.0),
    blend_mm: float = 3.0,
    shell: Shell | None = None,
) -> Part:
    """A chain of tapered capsules.

    Args:
        points_mm: (n, 3) centre line.
        radius_mm: half-axis along `axis`, one or one per point.
        across_mm: half-axis across it; as `radius_mm` when left out.
        axis: (3,) or (n, 3) direction of the first half-axis.
        blend_mm: see `Part`.
        shell: see `Part`.
    """
    points = np.atleast_2d(np.asarray(points_mm, dtype=np.float64))
    first = np.broadcast_to(np.asarray(radius_mm, dtype=np.float64), len(points)).copy()
    second = (
        first if across_mm is None else np.broadcast_to(np.asarray(across_mm, dtype=np.float64), len(points)).copy()
    )
    axes = np.broadcast_to(np.asarray(axis, dtype=np.float64), points.shape)
    axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)

    def lower(field: Floats, start: Floats, voxel: float, margin: float) -> None:
        from synthray.anatomy.body.kernels import lower_to_rod

        lower_to_rod(field, start, voxel, points, first, second, axes, margin)

    reach = np.maximum(first, second).max()
    return Part(points.min(axis=0) - reach, points.max(axis=0) + reach, lower, blend_mm, shell=shell)


def block(
    center_mm: npt.ArrayLike,
    half_mm: npt.ArrayLike,
    *,
    rounding_mm: float = 3.0,
    rotation: Floats | None = None,
    blend_mm: float = 3.0,
    shell: Shell | None = None,
) -> Part:
    """A box with rounded edges; `rotation` (3, 3) holds its axes as columns."""
    center, half = np.asarray(center_mm, dtype=np.float64), np.asarray(half_mm, dtype=np.float64)
    turn = np.eye(3) if rotation is None else np.ascontiguousarray(rotation, dtype=np.float64)
    rounding = min(rounding_mm, float(half.min()))

    def lower(field: Floats, start: Floats, voxel: float, margin: float) -> None:
        from synthray.anatomy.body.kernels import lower_to_block

        lower_to_block(field, start, voxel, center, half, rounding, turn)

    reach = np.abs(turn) @ half
    return Part(center - reach, center + reach, lower, blend_mm, shell=shell)


def ball(
    center_mm: npt.ArrayLike,
    radii_mm: npt.ArrayLike,
    *,
    rotation: Floats | None = None,
    blend_mm: float = 3.0,
    shell: Shell | None = None,
) -> Part:
    """An ellipsoid; `rotation` (3, 3) holds its axes as columns."""
    center = np.asarray(center_mm, dtype=np.float64)
    radii = np.broadcast_to(np.asarray(radii_mm, dtype=np.float64), 3).copy()
    turn = np.eye(3) if rotation is None else np.ascontiguousarray(rotation, dtype=np.float64)

    def lower(field: Floats, start: Floats, voxel: float, margin: float) -> None:
        from synthray.anatomy.body.kernels import lower_to_block

        lower_to_block(field, start, voxel, center, radii, -1.0, turn)

    reach = np.sqrt(((turn * radii) ** 2).sum(axis=1))
    return Part(center - reach, center + reach, lower, blend_mm, shell=shell)


def drum(
    center_mm: Floats,
    half_mm: npt.ArrayLike,
    rotation: Floats,
    *,
    waist: float = 0.1,
    hollow_mm: float = 1.0,
    notch_mm: float = 2.0,
    wedge: float = 0.0,
    shell: Shell | None = None,
) -> Part:
    """A vertebral body: see `kernels.lower_to_drum`."""
    half, turn = np.asarray(half_mm, dtype=np.float64), np.ascontiguousarray(rotation, dtype=np.float64)

    def lower(field: Floats, start: Floats, voxel: float, margin: float) -> None:
        from synthray.anatomy.body.kernels import lower_to_drum

        lower_to_drum(field, start, voxel, center_mm, half, waist, hollow_mm, notch_mm, wedge, turn)

    reach = np.abs(turn) @ half
    return Part(center_mm - reach, center_mm + reach, lower, shell=shell)


def sheet(
    grid_mm: npt.ArrayLike,
    thickness_mm: npt.ArrayLike,
    *,
    blend_mm: float = 3.0,
    shell: Shell | None = None,
    holes: Floats | None = None,
) -> Part:
    """A plate: a grid of points joined by triangles.

    Args:
        grid_mm: (m, n, 3) points of its middle surface.
        thickness_mm: its thickness, one or (m, n).
        blend_mm: see `Part`.
        shell: see `Part`.
        holes: (m - 1, n - 1) bool, cells of the grid left open.
    """
    grid = np.asarray(grid_mm, dtype=np.float64)
    rows, columns = grid.shape[:2]
    half = np.broadcast_to(np.asarray(thickness_mm, dtype=np.float64) / 2, (rows, columns)).reshape(-1).copy()
    vertices = np.ascontiguousarray(grid.reshape(-1, 3))
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (part.reshape(-1) for part in (index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]))
    kept = slice(None) if holes is None else ~np.asarray(holes).reshape(-1)
    triangles = np.concatenate([np.stack([a, b, c], axis=1)[kept], np.stack([b, d, c], axis=1)[kept]])

    def lower(field: Floats, start: Floats, voxel: float, margin: float) -> None:
        from synthray.anatomy.body.kernels import lower_to_sheet

        lower_to_sheet(field, start, voxel, vertices, half, triangles, margin)

    return Part(vertices.min(axis=0) - half.max(), vertices.max(axis=0) + half.max(), lower, blend_mm, shell=shell)


def paint(canvas: Canvas, parts: Sequence[Part], shell: Shell, name: str) -> None:
    """Paint one bone: the smooth union of its parts in order, parts that cut taken away in their turn."""
    from synthray.anatomy.body.kernels import merge, paint_bone

    solid = [part for part in parts if not part.cut]
    rim = max(part.blend_mm for part in solid) / 4 + 1.5 * canvas.voxel_mm
    low, high = np.min([p.low_mm for p in solid], axis=0), np.max([p.high_mm for p in solid], axis=0)
    box = canvas.box(low - rim, high + rim)
    shape = tuple(s.stop - s.start for s in box)
    if 0 in shape:
        return
    corner = np.array([s.start for s in box])
    field = np.full(shape, FAR_MM, dtype=np.float32)
    cortex, spongy = np.full(shape, shell.cortex_mm, np.float32), np.full(shape, shell.spongy_hu, np.float32)
    for part in parts:
        margin = max(part.blend_mm, canvas.voxel_mm) + canvas.voxel_mm
        near = canvas.box(part.low_mm - margin, part.high_mm + margin)
        own = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(near, box, strict=True)]
        size = tuple(s.stop - s.start for s in own)
        if min(size) <= 0:
            continue
        first = np.array([s.start for s in own])
        distance = np.full(size, FAR_MM, dtype=np.float32)
        part.lower(distance, canvas.origin_mm + canvas.voxel_mm * first, canvas.voxel_mm, margin)
        tissue = shell if part.shell is None else part.shell
        merge(
            field, cortex, spongy, distance, first - corner, part.blend_mm, part.cut, tissue.cortex_mm, tissue.spongy_hu
        )
    paint_bone(
        canvas.hu, canvas.codes, field, cortex, spongy, corner, canvas.voxel_mm, shell.cortical_hu, canvas.code(name)
    )


def bezier(control_mm: npt.ArrayLike, count: int) -> Floats:
    """(count, 3) points of a cubic Bézier curve with four control points."""
    t = np.linspace(0, 1, count)[:, None]
    a, b, c, d = np.asarray(control_mm, dtype=np.float64)
    return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d


def spline(points_mm: npt.ArrayLike, count: int) -> Floats:
    """(count, d) points of a Catmull-Rom curve through given points (n, d), evenly spread over its spans' chords."""
    points = np.asarray(points_mm, dtype=np.float64)
    padded = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
    chord = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.interp(np.linspace(0, chord[-1], count), chord, np.arange(len(points)))
    n = np.minimum(at.astype(int), len(points) - 2)
    t = (at - n)[:, None]
    a, b, c, d = (padded[n + k] for k in range(4))
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
