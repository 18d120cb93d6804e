"""How the rays of a tile cross the grid."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from synthray.projector.cpu.bricks import BRICK
from synthray.projector.cpu.jit import inlined, kernel
from synthray.projector.cpu.simd import FRACTION_BITS
from synthray.projector.rays import RIM, STEEPEST

# One voxel in the fixed-point units of positions.
ONE = float(1 << FRACTION_BITS)


class View(NamedTuple):
    """One view of a `RayBundle`."""

    origin: Any
    matrix: Any
    inverse_K: Any
    axis: Any
    supersample: Any


class Lines(NamedTuple):
    """The rays of a tile, one entry per ray.

    Attributes:
        start_u: position along u at slice 0, in fixed-point units.
        slope_u: its change per slice.
        start_v: the same along v.
        slope_v: the same along v.
        first: first slice.
        end: one past the last slice; `first` when the ray misses.
        axis: across whose slices the ray goes.
        speed: component of the direction along the axis, per mm of depth.
        step_mm: length of ray per slice.
    """

    start_u: Any
    slope_u: Any
    start_v: Any
    slope_v: Any
    first: Any
    end: Any
    axis: Any
    speed: Any
    step_mm: Any


def empty_lines(count: int) -> Lines:
    """Room for `count` rays."""
    floats, whole = np.empty((6, count)), np.empty((3, count), dtype=np.int64)
    return Lines(floats[0], floats[1], floats[2], floats[3], whole[0], whole[1], whole[2], floats[4], floats[5])


@inlined
def other_axes(axis: int) -> tuple[int, int]:
    """The axes along which slices are read: u, then v, which is the faster one in memory."""
    return (1 if axis == 0 else 0), (1 if axis == 2 else 2)


@inlined
def _clip(origin: float, per_step: float, size: int, low: float, high: float) -> tuple[float, float]:
    """The part of [low, high] in which origin + t / per_step lies inside the grid."""
    first, second = (RIM - origin) * per_step, (size - 1 - RIM - origin) * per_step
    return max(low, min(first, second)), min(high, max(first, second))


@inlined
def _inverse(step: float) -> float:
    """1 / step, finite for rays that run along a slice."""
    return 1.0 / step if abs(step) > 1e-12 else 1e12


@inlined
def slice_axis(speed0: float, speed1: float, speed2: float, view_axis: int) -> int:
    """Axis whose slices a ray visits: the view's, or for a very slanting ray the one that it crosses fastest."""
    speed, fastest = speed0, 0
    if speed1 > speed:
        speed, fastest = speed1, 1
    if speed2 > speed:
        speed, fastest = speed2, 2
    along = speed0 if view_axis == 0 else (speed1 if view_axis == 1 else speed2)
    return view_axis if speed <= STEEPEST * along else fastest


@inlined
def aim(shape: Any, view: View, row: int, column: int, ray: int, lines: Lines) -> None:
    """Work out how one ray crosses a grid of a shape."""
    o, m, inverse = view.origin, view.matrix, view.inverse_K
    d0 = m[0, 0] * column + m[0, 1] * row + m[0, 2]
    d1 = m[1, 0] * column + m[1, 1] * row + m[1, 2]
    d2 = m[2, 0] * column + m[2, 1] * row + m[2, 2]
    a = slice_axis(abs(d0), abs(d1), abs(d2), view.axis)
    u, v = other_axes(a)
    d, per_step = (d0, d1, d2), (_inverse(d0), _inverse(d1), _inverse(d2))
    low, high = _clip(o[0], per_step[0], shape[0], 0.0, 1e30)
    low, high = _clip(o[1], per_step[1], shape[1], low, high)
    low, high = _clip(o[2], per_step[2], shape[2], low, high)
    first, end = 1, 1
    if low < high:
        start, stop = o[a] + low * d[a], o[a] + high * d[a]
        # The outermost slices are the empty rim.
        first = max(int(np.ceil(min(start, stop))), 1)
        end = max(min(int(np.floor(max(start, stop))), shape[a] - 2) + 1, first)
    slope_u, slope_v = d[u] * per_step[a] * ONE, d[v] * per_step[a] * ONE
    lines.slope_u[ray], lines.slope_v[ray] = slope_u, slope_v
    lines.start_u[ray], lines.start_v[ray] = o[u] * ONE - o[a] * slope_u, o[v] * ONE - o[a] * slope_v
    lines.first[ray], lines.end[ray], lines.axis[ray], lines.speed[ray] = first, end, a, d[a]
    x = inverse[0, 0] * column + inverse[0, 1] * row + inverse[0, 2]
    y = inverse[1, 1] * row + inverse[1, 2]
    lines.step_mm[ray] = np.sqrt(x * x + y * y + 1.0) * abs(per_step[a])


@kernel
def reach(lines: Lines, rays: int, axis: int) -> tuple[Any, Any, bool]:
    """First and end slice of a tile's rays that use an axis, and whether all its rays do, in the same direction."""
    first, end, uniform = np.int64(1 << 40), np.int64(-1), True
    for ray in range(rays):
        if lines.axis[ray] != axis:
            uniform = False
            continue
        uniform &= lines.speed[ray] * lines.speed[0] > 0
        if lines.first[ray] < lines.end[ray]:
            first, end = min(first, lines.first[ray]), max(end, lines.end[ray])
    return first, end, uniform


@kernel
def bricks_across(start: Any, slope: Any, corners: Any, first: int, end: int, size: int) -> tuple[int, int]:
    """First and last brick that a tile meets between two slices, along u or v.

    The rays between the corner rays lie between them on every slice.
    """
    low, high = 1e30, -1e30
    for corner in corners:
        one, other = start[corner] + first * slope[corner], start[corner] + (end - 1) * slope[corner]
        low, high = min(low, one, other), max(high, one, other)
    last = (size - 1) // BRICK
    lower = int(min(max(low / ONE - RIM, 0.0), size - 1.0)) // BRICK
    upper = int(min(max(high / ONE + RIM, 0.0), size - 1.0)) // BRICK
    return min(lower, last), min(upper, last)
