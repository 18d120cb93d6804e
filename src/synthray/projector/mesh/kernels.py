"""Compiled: which faces each ray crosses, what lies between the crossings, and the tissue that was there before.

A pixel is the mean of `SAMPLES` rays, spread so that edges of any direction come out in as many steps. A ray crosses a
face when it passes the three edges of its picture on the same side. Edges are compared with the same operands for both
faces that share one, and a ray exactly on an edge counts as moved by (-ε², ε) pixels: no ray slips between two faces or
meets both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np

from synthray.projector.cpu.lines import slice_axis
from synthray.projector.rays import RIM

SAMPLES = 16
# These kernels allocate, unlike those of the march: what a ray crosses isn't known beforehand.
_compiled = nb.njit(cache=True, nogil=True, error_model="numpy")


class Strip(NamedTuple):
    """Rows of an image that are being drawn, and where results go.

    Attributes:
        row: first row.
        end_row: one past the last.
        column: first column.
        end_column: one past the last.
        offsets: (SAMPLES, 2) column and row of each ray, from the pixel's centre.
        inverse_K: (3, 3) pixel -> direction per mm of depth.
        lengths: (part, row, column) mm of ray in each part, whole image; mean over the pixel's rays.
        coverage: (tool, row, column) share of rays that meet a tool, whatever replaces it.
        depth: (row, column) mm, of the nearest surface; infinite without one.
    """

    row: Any
    end_row: Any
    column: Any
    end_column: Any
    offsets: Any
    inverse_K: Any
    lengths: Any
    coverage: Any
    depth: Any


@_compiled
def _edge(ax: float, ay: float, bx: float, by: float) -> tuple[float, float, float, float, int]:
    """An edge as its lower end, its run from there, and 1 or -1 when it was turned to get so.

    Both faces that share an edge get the same numbers.
    """
    if bx < ax or (bx == ax and by < ay):
        return bx, by, ax - bx, ay - by, -1
    return ax, ay, bx - ax, by - ay, 1


@_compiled
def _beside(edge: tuple[float, float, float, float, int], x: float, y: float) -> float:
    """Twice the area between an edge and a point; its sign is the point's side."""
    return edge[2] * (y - edge[1]) - edge[3] * (x - edge[0])


@_compiled
def _side(edge: tuple[float, float, float, float, int], x: float, y: float) -> int:
    """On which side of an edge a point lies: 1 or -1."""
    return edge[4] if _beside(edge, x, y) >= 0 else -edge[4]


@_compiled
def _past(edge: tuple[float, float, float, float, int], x: float, y: float) -> int:
    """The side of an edge that a whole pixel lies on, 0 when it may lie on both."""
    beside, reach = _beside(edge, x, y), 0.5001 * (abs(edge[2]) + abs(edge[3]))
    return 0 if abs(beside) <= reach else (edge[4] if beside > 0 else -edge[4])


@_compiled
def _grown(values: Any, room: int) -> Any:
    larger = np.empty(room, values.dtype)
    larger[: len(values)] = values
    return larger


@_compiled
def _taller(values: Any, room: int) -> Any:
    larger = np.empty((room, values.shape[1]), values.dtype)
    larger[: len(values)] = values
    return larger


@_compiled
def _span(corner: Any, top: float, bottom: float) -> tuple[float, float]:
    """Lowest and highest column, not below -0.5, of the part of a triangle that lies between two rows."""
    low, high = 1e9, -0.5
    for n in range(3):
        ax, ay, bx, by = corner[n, 0], corner[n, 1], corner[(n + 1) % 3, 0], corner[(n + 1) % 3, 1]
        if max(ay, by) < top or min(ay, by) > bottom:
            continue
        slope = (bx - ax) / (by - ay) if by != ay else 0.0
        for x, y in ((ax, ay), (bx, by)):
            at = x if by == ay else x + (min(max(y, top), bottom) - y) * slope
            low, high = min(low, at), max(high, at)
    # A hair wider than rounding can make it.
    return max(low - 1e-6, -0.5), high + 1e-6


@_compiled
def crossings(drawn: Any, strip: Strip, flipped: bool) -> Any:
    """All crossings of the strip's rays with the faces, as one linked list per ray.

    Args:
        drawn: `Triangles`.
        strip: what is drawn.
        flipped: whether the image is a mirrored one, with K[0, 0] K[1, 1] < 0.

    Returns:
        (row, column, ray) int32 first crossing or -1, and for each crossing the next one, its depth in mm and its part,
        counted from 1 and negative where the ray leaves.
    """
    rows, columns = strip.end_row - strip.row, strip.end_column - strip.column
    first = np.full((rows, columns, SAMPLES), -1, np.int32)
    room, count = 4096, 0
    following, depth, step = np.empty(room, np.int32), np.empty(room, np.float64), np.empty(room, np.int32)
    for face in range(len(drawn.part)):
        p, box = drawn.corner_px[face], drawn.box_px[face]
        if box[0] >= strip.end_row or box[1] <= strip.row:
            continue
        w = drawn.inverse_depth[face]
        area = (p[1, 0] - p[0, 0]) * (p[2, 1] - p[0, 1]) - (p[2, 0] - p[0, 0]) * (p[1, 1] - p[0, 1])
        share = 1 / area if area != 0 else 0.0
        edges = (
            _edge(p[0, 0], p[0, 1], p[1, 0], p[1, 1]),
            _edge(p[1, 0], p[1, 1], p[2, 0], p[2, 1]),
            _edge(p[2, 0], p[2, 1], p[0, 0], p[0, 1]),
        )
        for row in range(max(box[0], strip.row), min(box[1], strip.end_row)):
            low, high = _span(p, row - 0.5, row + 0.5)
            for column in range(max(box[2], int(low + 0.5)), min(box[3], int(high + 0.5) + 1)):
                past = _past(edges[0], column, row), _past(edges[1], column, row), _past(edges[2], column, row)
                if max(past) > 0 and min(past) < 0:
                    continue
                whole = past[0] != 0 and past[0] == past[1] and past[0] == past[2]
                for ray in range(SAMPLES):
                    x, y = column + strip.offsets[ray, 0], row + strip.offsets[ray, 1]
                    side = past[0] if whole else _side(edges[0], x, y)
                    if not whole and (side != _side(edges[1], x, y) or side != _side(edges[2], x, y)):
                        continue
                    if count == room:
                        room *= 2
                        following, depth, step = _grown(following, room), _grown(depth, room), _grown(step, room)
                    # 1 / depth is linear in the image.
                    a = ((p[1, 0] - x) * (p[2, 1] - y) - (p[2, 0] - x) * (p[1, 1] - y)) * share
                    b = ((p[2, 0] - x) * (p[0, 1] - y) - (p[0, 0] - x) * (p[2, 1] - y)) * share
                    depth[count] = 1 / (w[2] + a * (w[0] - w[2]) + b * (w[1] - w[2]))
                    # A face whose picture turns to the right looks away from the source: there the ray leaves.
                    leaves = (side > 0) != flipped
                    step[count] = -(drawn.part[face] + 1) if leaves else drawn.part[face] + 1
                    slot = row - strip.row, column - strip.column, ray
                    following[count] = first[slot]
                    first[slot] = count
                    count += 1
    return first, following[:count], depth[:count], step[:count]


@_compiled
def _gather(start: int, following: Any, depth: Any, step: Any, depths: Any, steps: Any) -> int:
    """Copy a ray's crossings in order of depth; returns their number, at most the room that there is."""
    count = 0
    at = start
    while at >= 0 and count < len(depths):
        where = count
        while where > 0 and depths[where - 1] > depth[at]:
            depths[where], steps[where] = depths[where - 1], steps[where - 1]
            where -= 1
        depths[where], steps[where] = depth[at], step[at]
        count += 1
        at = following[at]
    return count


@_compiled
def _longest(first: Any, following: Any) -> int:
    longest = 0
    for start in first.flat:
        count, at = 0, start
        while at >= 0:
            count += 1
            at = following[at]
        longest = max(longest, count)
    return longest


class Sorted(NamedTuple):
    """One ray's crossings in order of depth, and room to add up what lies between them.

    Attributes:
        depths: (crossing,) mm.
        steps: (crossing,) part from 1, negative where the ray leaves.
        winding: (part,) how many shells of a part the ray is in.
        lengths: (part,) mm of depth in each part.
        met: (tool,) 1 for the tools that the ray meets.
        stretches: (crossing, 2) first and last depth in any tool.
    """

    depths: Any
    steps: Any
    winding: Any
    lengths: Any
    met: Any
    stretches: Any


@_compiled
def _sweep(ray: Sorted, hits: int, tool_of_part: Any) -> int:
    """Walk along one ray; returns the number of stretches, or -1 when its crossings don't pair up."""
    ray.winding[:], ray.lengths[:], ray.met[:] = 0, 0, 0
    count, owner = 0, -1
    for hit in range(hits):
        part = abs(ray.steps[hit]) - 1
        ray.winding[part] += 1 if ray.steps[hit] > 0 else -1
        before, owner = owner, -1
        for upper in range(len(tool_of_part)):
            if ray.winding[upper] > 0:
                owner = upper
                ray.met[tool_of_part[upper]] = 1
        if owner >= 0 and hit + 1 < hits:
            ray.lengths[owner] += ray.depths[hit + 1] - ray.depths[hit]
        if owner >= 0 and before < 0:
            ray.stretches[count, 0] = ray.depths[hit]
        if owner < 0 and before >= 0:
            ray.stretches[count, 1] = ray.depths[hit]
            count += 1
    return -1 if np.any(ray.winding != 0) else count


@_compiled
def _mm_per_depth(inverse_K: Any, column: float, row: float) -> float:
    x = inverse_K[0, 0] * column + inverse_K[0, 1] * row + inverse_K[0, 2]
    y = inverse_K[1, 1] * row + inverse_K[1, 2]
    return np.sqrt(x * x + y * y + 1)


@_compiled
def between(drawn: Any, tool_of_part: Any, strip: Strip, flipped: bool) -> Any:
    """Lengths, coverage and depth of the strip's pixels, and the stretches of their rays that lie in any tool.

    Where parts overlap, the last one counts. A ray whose crossings don't pair up (it passed within rounding of an edge
    between three faces) is left out of its pixel.

    Returns:
        (n, 2) int64 row and column, and (n, 5) float64: column and row of the ray, first and last depth, and the ray's
        share of the pixel.
    """
    first, following, depth, step = crossings(drawn, strip, flipped)
    longest, parts, tools = _longest(first, following), len(tool_of_part), len(strip.coverage)
    one = Sorted(
        np.empty(longest, np.float64), np.empty(longest, np.int32), np.zeros(parts, np.int64), np.zeros(parts),
        np.zeros(tools), np.zeros((longest, 2)),
    )  # fmt: skip
    lengths, met = np.zeros(parts), np.zeros(tools)
    room, count = 1024, 0
    where, stretch = np.empty((room, 2), np.int64), np.empty((room, 5), np.float64)
    for row in range(strip.row, strip.end_row):
        for column in range(strip.column, strip.end_column):
            lengths[:], met[:] = 0, 0
            rays, begin = 0, count
            for ray in range(SAMPLES):
                start = first[row - strip.row, column - strip.column, ray]
                if start < 0:
                    rays += 1
                    continue
                hits = _gather(start, following, depth, step, one.depths, one.steps)
                pairs = _sweep(one, hits, tool_of_part)
                if pairs < 0:
                    continue
                rays += 1
                if pairs == 0:
                    continue
                x, y = column + strip.offsets[ray, 0], row + strip.offsets[ray, 1]
                lengths += one.lengths * _mm_per_depth(strip.inverse_K, x, y)
                met += one.met
                strip.depth[row, column] = min(strip.depth[row, column], one.stretches[0, 0])
                if count + pairs > room:
                    room = 2 * (count + pairs)
                    where, stretch = _taller(where, room), _taller(stretch, room)
                for pair in range(pairs):
                    where[count, 0], where[count, 1] = row, column
                    stretch[count, 0], stretch[count, 1] = x, y
                    stretch[count, 2:4] = one.stretches[pair]
                    count += 1
            if count > begin:
                strip.lengths[:, row, column] = lengths / rays
                strip.coverage[:, row, column] = met / rays
                stretch[begin:count, 4] = 1 / rays
    return where[:count], stretch[:count]


@_compiled
def _index(axis: int, k: int, u: int, v: int) -> tuple[int, int, int]:
    """Voxel index from the slice and the place in it."""
    if axis == 0:
        return k, u, v
    return (u, k, v) if axis == 1 else (u, v, k)


@_compiled
def take_out(
    volume: Any, origin: Any, matrix: Any, view_axis: int, inverse_K: Any, where: Any, stretch: Any, density: Any,
    paths: Any,
) -> None:  # fmt: skip
    """Add up what the march has read on some stretches of rays; the same sum, cut off at the stretches' ends.

    Each reading stands for the length of ray between two slices, half on either side.

    Args:
        volume: packed densities, g/cm³ per unit, codes, (codes, path) table.
        origin: (3,) source in voxel coordinates.
        matrix: (3, 3) pixel -> direction in voxel coordinates.
        view_axis: of the bundle.
        inverse_K: (3, 3).
        where: from `between`.
        stretch: from `between`.
        density: (2, row, column) float64, added to.
        paths: (path, row, column) float64, added to.
    """
    packed, scale, codes, table = volume
    size = packed.shape[0], packed.shape[1], packed.shape[2]
    labelled = len(table[0]) > 0 and codes.shape == size
    for n in range(len(where)):
        row, column = where[n, 0], where[n, 1]
        x, y, start, stop, share = stretch[n, 0], stretch[n, 1], stretch[n, 2], stretch[n, 3], stretch[n, 4]
        d = (
            matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2],
            matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2],
            matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2],
        )
        axis = slice_axis(abs(d[0]), abs(d[1]), abs(d[2]), view_axis)
        u, v = (1 if axis == 0 else 0), (1 if axis == 2 else 2)
        along, o_u, o_v, d_u, d_v = d[axis], origin[u], origin[v], d[u], d[v]
        per_slice_mm = _mm_per_depth(inverse_K, x, y) / abs(along) * share
        low, high = origin[axis] + start * along, origin[axis] + stop * along
        if low > high:
            low, high = high, low
        for k in range(max(int(np.floor(low + 0.5)), 1), min(int(np.floor(high + 0.5)), size[axis] - 2) + 1):
            t = (k - origin[axis]) / along
            p_u, p_v = o_u + t * d_u, o_v + t * d_v
            reach = (min(high, k + 0.5) - max(low, k - 0.5)) * per_slice_mm
            if reach <= 0 or t <= 0 or min(p_u, p_v) < RIM or p_u > size[u] - 1 - RIM or p_v > size[v] - 1 - RIM:
                continue
            i, j = min(int(p_u), size[u] - 2), min(int(p_v), size[v] - 2)
            f_u, f_v = p_u - i, p_v - j
            fat, bone = 0.0, 0.0
            for a in range(2):
                for b in range(2):
                    at = _index(axis, k, i + a, j + b)
                    weight = (f_u if a else 1 - f_u) * (f_v if b else 1 - f_v)
                    fat += weight * packed[at[0], at[1], at[2], 0]
                    bone += weight * packed[at[0], at[1], at[2], 1]
            density[0, row, column] += fat * scale[0] * reach * 0.1
            density[1, row, column] += bone * scale[1] * reach * 0.1
            if labelled:
                code = codes[_index(axis, k, int(np.ceil(p_u - 0.5)), int(np.ceil(p_v - 0.5)))]
                for path in range(len(paths)):
                    paths[path, row, column] += table[code, path] * reach
