"""The march on the CPU: numba, one ray at a time in small tiles, bands of rows shared out over threads.

Threads are Python's own and the kernels release the interpreter lock: no OpenMP, so forked, spawned and concurrent
callers are all safe, and the result does not depend on the number of threads.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from synthray.projector.march import STEEPEST, SURFACE_DENSITY_G_CM3, MarchVolume, RayBundle

# Rays of a tile this size share cache lines; whole detector rows would push them out of the second-level cache.
TILE_ROWS, TILE_COLUMNS = 16, 16
# The last voxel is empty rim, so ending a hair before it loses nothing and rounding can't lead out of the array.
_RIM = 1.0 + 1e-6
# Unsigned indices spare the check for negative ones.
_U = np.uint64


def march(
    volume: MarchVolume, rays: RayBundle, path_table: npt.NDArray[np.float32], threads: int | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Area density, mask words, depth and paths of every ray; see `reference.march` for the same in plain NumPy.

    Args:
        volume: the prepared patient.
        rays: views in voxel coordinates.
        path_table: (codes, paths) from `MarchVolume.path_table`.
        threads: all cores by default.

    Returns:
        (view, basis, row, column) float32 g/cm², (view, row, column, word) uint64, (view, row, column) float32 mm,
        (view, path, row, column) float32 mm.
    """
    views, rows, columns = len(rays.origin), rays.rows, rays.columns
    bit_table = volume.bit_table()
    density = np.empty((views, 2, rows, columns), dtype=np.float32)
    words = np.zeros((views, rows, columns, bit_table.shape[1]), dtype=np.uint64)
    depth = np.empty((views, rows, columns), dtype=np.float32)
    paths = np.zeros((views, path_table.shape[1], rows, columns), dtype=np.float32)
    # Density per unit times mm -> g/cm²: a tenth of a cm per mm.
    scale = (volume.scale_g_cm3 * 0.1).astype(np.float32)
    surface = np.float32(SURFACE_DENSITY_G_CM3 * 0.1)

    def tile(job: tuple[int, int]) -> None:
        view, first = job
        _march_rows(
            volume.packed,
            volume.codes,
            bit_table,
            path_table,
            scale,
            surface,
            rays.origin[view],
            rays.matrix[view],
            rays.inverse_K[view],
            rays.axis[view],
            first,
            min(first + TILE_ROWS, rows),
            density[view],
            words[view],
            depth[view],
            paths[view],
        )

    jobs = list(product(range(views), range(0, rows, TILE_ROWS)))
    count = threads or available_cores()
    if count == 1:
        for job in jobs:
            tile(job)
    else:
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(tile, jobs))
    return density, words, depth, paths


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@nb.njit(cache=True, nogil=True, inline="always")
def _clip(origin: float, step: float, upper: float, low: float, high: float) -> tuple[float, float]:
    """The part of [low, high] in which origin + t * step lies strictly inside (0, upper)."""
    if abs(step) < 1e-12:
        if origin <= 0.0 or origin >= upper:
            return 1.0, 0.0
        return low, high
    first, second = -origin / step, (upper - origin) / step
    return max(low, min(first, second)), min(high, max(first, second))


@nb.njit(cache=True, nogil=True, inline="always")
def _crossing(origin: Any, direction: Any, axis: int, shape: Any) -> tuple[int, int, int, int, int, int]:
    """How a ray crosses the grid: axis of its slices, the other two, first slice, step to the next, their number."""
    speed0, speed1, speed2 = abs(direction[0]), abs(direction[1]), abs(direction[2])
    fastest = 0
    if speed1 > speed0 and speed1 >= speed2:
        fastest = 1
    elif speed2 > speed0:
        fastest = 2
    a = axis if max(speed0, speed1, speed2) <= STEEPEST * abs(direction[axis]) else fastest
    u, v = (1 if a == 0 else 0), (1 if a == 2 else 2)
    low, high = _clip(origin[u], direction[u], shape[u] - _RIM, 0.0, 1e30)
    low, high = _clip(origin[v], direction[v], shape[v] - _RIM, low, high)
    low, high = _clip(origin[a], direction[a], shape[a] - _RIM, low, high)
    if low >= high:
        return a, u, v, 0, 1, 0
    start, stop = origin[a] + low * direction[a], origin[a] + high * direction[a]
    # The outermost slices are the empty rim.
    k_low = max(int(np.ceil(min(start, stop))), 1)
    k_high = min(int(np.floor(max(start, stop))), shape[a] - 2)
    if direction[a] > 0:
        return a, u, v, k_low, 1, k_high - k_low + 1
    return a, u, v, k_high, -1, k_high - k_low + 1


@nb.njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy", boundscheck=False)
def _march_rows(
    packed: Any,
    codes: Any,
    bit_table: Any,
    path_table: Any,
    scale: Any,
    surface: Any,
    origin: Any,
    matrix: Any,
    inverse_K: Any,
    axis: int,
    first_row: int,
    last_row: int,
    density: Any,
    words: Any,
    depth: Any,
    paths: Any,
) -> None:
    """March the rays of some detector rows of one view into the arrays of results."""
    shape = packed.shape
    strides = (shape[1] * shape[2], shape[2], 1)
    flat, flat_codes = packed.reshape(-1, 2), codes.reshape(-1)
    for first_column in range(0, density.shape[2], TILE_COLUMNS):
        for row in range(first_row, last_row):
            for column in range(first_column, min(first_column + TILE_COLUMNS, density.shape[2])):
                direction = (
                    matrix[0, 0] * column + matrix[0, 1] * row + matrix[0, 2],
                    matrix[1, 0] * column + matrix[1, 1] * row + matrix[1, 2],
                    matrix[2, 0] * column + matrix[2, 1] * row + matrix[2, 2],
                )
                a, u, v, k, dk, count = _crossing(origin, direction, axis, shape)
                x = inverse_K[0, 0] * column + inverse_K[0, 1] * row + inverse_K[0, 2]
                y = inverse_K[1, 1] * row + inverse_K[1, 2]
                step_mm = np.float32(np.sqrt(x * x + y * y + 1.0) / abs(direction[a]))
                per_u, per_v = direction[u] / direction[a], direction[v] / direction[a]
                sum0, sum1, surface_slice = _along_ray(
                    flat,
                    flat_codes,
                    bit_table,
                    path_table,
                    scale,
                    surface,
                    (k * strides[a], strides[a] * dk, strides[u], strides[v]),
                    (origin[u] + (k - origin[a]) * per_u, per_u * dk),
                    (origin[v] + (k - origin[a]) * per_v, per_v * dk),
                    count,
                    step_mm,
                    words[row, column],
                    paths[:, row, column],
                )
                density[0, row, column] = sum0 * scale[0] * step_mm
                density[1, row, column] = sum1 * scale[1] * step_mm
                if surface_slice < 0:
                    depth[row, column] = np.nan
                else:
                    depth[row, column] = (k + surface_slice * dk - origin[a]) / direction[a]


@nb.njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy", boundscheck=False)
def _along_ray(
    flat: Any,
    flat_codes: Any,
    bit_table: Any,
    path_table: Any,
    scale: Any,
    surface: Any,
    strides: Any,
    along_u: Any,
    along_v: Any,
    count: int,
    step_mm: Any,
    words: Any,
    paths: Any,
) -> tuple[Any, Any, int]:
    """Sums of both densities over the slices, in packed units, and the slice of the surface (-1 for none)."""
    base, stride_a, stride_u, stride_v = strides
    next_u, next_v, here = _U(stride_u), _U(stride_v), _U(0)
    sum0, sum1 = np.float32(0.0), np.float32(0.0)
    surface_slice, last_code = -1, 0
    for n in range(count):
        at_u, at_v = along_u[0] + n * along_u[1], along_v[0] + n * along_v[1]
        iu, iv = int(at_u), int(at_v)
        fu, fv = np.float32(at_u - iu), np.float32(at_v - iv)
        p = _U(base + iu * stride_u + iv * stride_v)
        q = p + next_u
        w11 = fu * fv
        w10, w01 = fu - w11, fv - w11
        w00 = np.float32(1.0) - fu - w01
        s0 = w00 * np.float32(flat[p, 0]) + w01 * np.float32(flat[p + next_v, 0])
        s0 += w10 * np.float32(flat[q, 0]) + w11 * np.float32(flat[q + next_v, 0])
        s1 = w00 * np.float32(flat[p, 1]) + w01 * np.float32(flat[p + next_v, 1])
        s1 += w10 * np.float32(flat[q, 1]) + w11 * np.float32(flat[q + next_v, 1])
        sum0 += s0
        sum1 += s1
        if surface_slice < 0 and s0 * scale[0] + s1 * scale[1] > surface:
            surface_slice = n
        code = flat_codes[p + (next_u if fu > 0.5 else here) + (next_v if fv > 0.5 else here)]
        if code != 0:
            if code != last_code:
                for w in range(bit_table.shape[1]):
                    words[w] |= bit_table[code, w]
                last_code = code
            for path in range(path_table.shape[1]):
                paths[path] += path_table[code, path] * step_mm
        base += stride_a
    return sum0, sum1, surface_slice
