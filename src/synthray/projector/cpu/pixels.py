"""From what a ray has gathered to the pixel that it belongs to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from synthray.projector.cpu.jit import inlined, kernel
from synthray.projector.cpu.lines import ONE, Lines, View, other_axes
from synthray.projector.cpu.simd import LANES


class Output(NamedTuple):
    """Where one view's results go; see `Marched`. Arrays that aren't wanted are empty."""

    density: Any
    words: Any
    depth: Any
    paths: Any
    gradient: Any


@inlined
def _plain_sum(lanes: Any, ray: int, basis: int) -> Any:
    """Density sum of one basis."""
    total = np.float32(0.0)
    for lane in range(0, LANES, 2):
        total += lanes[ray, 0, lane + basis]
    return total


@kernel
def _slope(lanes: Any, ray: int, vector: int, basis: int, period: int) -> float:
    """Sum of one basis in which lower voxels count negative: `period` is 8 lanes along u, 4 along v."""
    total = 0.0
    for lane in range(basis, LANES, 2):
        total += -lanes[ray, vector, lane] if lane % period < period // 2 else lanes[ray, vector, lane]
    return total


@kernel
def _write_gradient(
    lanes: Any, lines: Lines, origin: Any, ray: int, unit: float, basis: int, density: float, to: Any
) -> None:
    """Write the derivative of a ray's density of one basis with respect to its origin and direction.

    With the sum over slices k of slope and of k x slope the derivative with respect to the line's two numbers is known;
    the rest is the chain rule of `reference`.

    Args:
        lanes: sums of the tile.
        lines: rays of the tile.
        origin: of the rays.
        ray: the ray's number.
        unit: g/cm² per unit of the sums.
        basis: 0 or 1.
        density: g/cm² of the ray.
        to: (6,) derivatives.
    """
    axis, speed = lines.axis[ray], lines.speed[ray]
    u, v = other_axes(axis)
    aside_u, aside_v = lines.slope_u[ray] / ONE, lines.slope_v[ray] / ONE
    slope_u, slope_v = _slope(lanes, ray, 1, basis, 8) * unit, _slope(lanes, ray, 2, basis, 4) * unit
    moment_u = (_slope(lanes, ray, 3, basis, 8) * unit - origin[axis] * slope_u) / speed
    moment_v = (_slope(lanes, ray, 4, basis, 4) * unit - origin[axis] * slope_v) / speed
    to[u], to[v], to[axis] = slope_u, slope_v, -(aside_u * slope_u + aside_v * slope_v)
    to[3 + u], to[3 + v] = moment_u, moment_v
    to[3 + axis] = -(aside_u * moment_u + aside_v * moment_v) - density / speed


@inlined
def write_ray(
    scale: Any, lines: Lines, gathered: Any, view: View, ray: int, row: int, column: int, gradient: bool, out: Output
) -> None:
    """Add a ray to its pixel.

    Args:
        scale: g/cm³ per unit of either basis.
        lines: rays of the tile.
        gathered: their sums, words, paths and surface slices, see `tile.Scratch`.
        view: the view.
        ray: the ray's number in the tile.
        row: the ray's number along the detector's rows.
        column: and along its columns.
        gradient: whether the gradient is wanted.
        out: where results go.
    """
    lanes, words, paths, surface = gathered
    fine = view.supersample
    y, x = row // fine, column // fine
    first = y * fine == row and x * fine == column
    share = 1.0 / (fine * fine)
    for basis in range(2):
        # Sums carry both weights, each in units of ONE; density per unit times mm -> g/cm²: a tenth of a cm per mm.
        unit = 0.1 * lines.step_mm[ray] * scale[basis] / (ONE * ONE)
        density = _plain_sum(lanes, ray, basis) * unit
        out.density[basis, y, x] = np.float32(density * share + (0.0 if first else out.density[basis, y, x]))
        if gradient:
            # One weight fewer in these sums.
            _write_gradient(lanes, lines, view.origin, ray, unit * ONE, basis, density, out.gradient[basis, :, y, x])
    for w in range(out.words.shape[2]):
        out.words[y, x, w] = words[ray, w] | (np.uint64(0) if first else out.words[y, x, w])
    for path in range(len(out.paths)):
        length = paths[ray, path] * np.float32(share)
        out.paths[path, y, x] = length if first else out.paths[path, y, x] + length
    if len(out.depth):
        depth = np.float32(np.nan)
        if surface[ray] >= 0:
            depth = np.float32((surface[ray] - view.origin[lines.axis[ray]]) / lines.speed[ray])
        if first or not (depth >= out.depth[y, x] or np.isnan(depth)):
            out.depth[y, x] = depth
