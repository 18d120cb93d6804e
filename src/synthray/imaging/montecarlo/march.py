"""Straight lines through a rectilinear grid of mixed materials; compiled."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from synthray.imaging.montecarlo.tables import LOWEST_KEV, STEP_KEV


@nb.njit(cache=True, nogil=True)
def dot(a: Any, b: Any) -> float:
    """Scalar product of 3-vectors; NumPy's would need SciPy here."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@nb.njit(cache=True, nogil=True)
def attenuation_at(mass: Any, energy: float, out: Any, total: Any) -> None:
    """Mass attenuation (3, M) of each kind and (M,) in total at one energy, by linear interpolation."""
    place = (energy - LOWEST_KEV) / STEP_KEV
    low = min(int(place), mass.shape[2] - 2)
    part = place - low
    for kind in range(3):
        for material in range(mass.shape[1]):
            out[kind, material] = (1 - part) * mass[kind, material, low] + part * mass[kind, material, low + 1]
    for material in range(mass.shape[1]):
        total[material] = out[0, material] + out[1, material] + out[2, material]


@nb.njit(cache=True, nogil=True)
def _cell(edges: Any, position: float, direction: float) -> int:
    """Index of the cell that a point lies in; on an edge, the one that it moves into."""
    if direction >= 0:
        below = np.searchsorted(edges, position, side="right") - 1
    else:
        below = np.searchsorted(edges, position, side="left") - 1
    return min(max(int(below), 0), len(edges) - 2)


@nb.njit(cache=True, nogil=True)
def _span(edges: Any, position: Any, direction: Any) -> tuple[float, float]:
    """Distances at which a ray enters (at least 0) and leaves the grid."""
    near, far = 0.0, np.inf
    for axis in range(3):
        low, high = edges[axis][0], edges[axis][-1]
        if direction[axis] == 0.0:
            if not low <= position[axis] <= high:
                return 0.0, -1.0
            continue
        first, last = (low - position[axis]) / direction[axis], (high - position[axis]) / direction[axis]
        near, far = max(near, min(first, last)), min(far, max(first, last))
    return near, far


@nb.njit(cache=True, nogil=True)
def march(
    edges: Any, density: Any, per_mass: Any, ray: Any, stop: float, limit: float, cell: Any
) -> tuple[float, float]:
    """Optical depth and distance along a ray to a depth, a distance or the grid's end; `cell` takes the last voxel.

    Args:
        edges: three arrays of cell borders in mm.
        density: (M, I, J, K) g/cm³.
        per_mass: (M,) total attenuation in cm²/g.
        ray: (2, 3) position and direction.
        stop: optical depth.
        limit: distance in mm.
        cell: (3,) int64, written.
    """
    position, direction = ray[0], ray[1]
    near, far = _span(edges, position, direction)
    far = min(far, limit)
    if far <= near:
        return 0.0, near
    for axis in range(3):
        cell[axis] = _cell(edges[axis], position[axis] + near * direction[axis], direction[axis])
    depth, at = 0.0, near
    while True:
        axis, leave = 0, np.inf
        for candidate in range(3):
            if direction[candidate] != 0.0:
                border = edges[candidate][cell[candidate] + (1 if direction[candidate] > 0 else 0)]
                distance = (border - position[candidate]) / direction[candidate]
                if distance < leave:
                    axis, leave = candidate, distance
        attenuation = 0.0
        for material in range(density.shape[0]):
            attenuation += density[material, cell[0], cell[1], cell[2]] * per_mass[material]
        attenuation *= 0.1  # 1/cm -> 1/mm
        step = max(min(leave, far) - at, 0.0)
        if attenuation > 0 and depth + attenuation * step >= stop:
            return stop, at + (stop - depth) / attenuation
        depth += attenuation * step
        if leave >= far:
            return depth, far
        at = max(at, leave)
        following = cell[axis] + (1 if direction[axis] > 0 else -1)
        if following < 0 or following > len(edges[axis]) - 2:
            return depth, at
        cell[axis] = following


@nb.njit(cache=True, nogil=True)
def area_densities(edges: Any, density: Any, source: Any, targets: Any) -> Any:
    """(M, N) g/cm² of each material between the source and each of (N, 3) targets, all in mm."""
    materials, count = density.shape[0], len(targets)
    out = np.zeros((materials, count))
    ray, cell = np.empty((2, 3)), np.zeros(3, dtype=np.int64)
    single = np.zeros(materials)
    for target in range(count):
        ray[0] = source
        ray[1] = (targets[target] - source) / np.sqrt(((targets[target] - source) ** 2).sum())
        for material in range(materials):
            single[:] = 0.0
            single[material] = 1.0
            out[material, target] = march(edges, density, single, ray, np.inf, np.inf, cell)[0]
    return out
