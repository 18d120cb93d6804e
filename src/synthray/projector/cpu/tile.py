"""One tile of rays at a time, slab by slab of slices.

A tile's rays share cache lines, and a slab of it touches so few bricks of the coarse map that what needs no work is
known beforehand: slabs of air are skipped, and labels are looked at only where a slab holds a structure that a ray has
not met yet. Slabs are visited in the order of memory, whatever the rays' direction, so that the processor can fetch
ahead.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from synthray.projector.cpu import simd
from synthray.projector.cpu.bricks import BRICK, MIXED
from synthray.projector.cpu.jit import inlined, kernel
from synthray.projector.cpu.lines import Lines, View, aim, bricks_across, empty_lines, other_axes, reach
from synthray.projector.cpu.pixels import Output, write_ray
from synthray.projector.cpu.readings import (
    GRADIENT_SUMS,
    find_surface,
    leave,
    meet_labels,
    sum_densities,
    sum_gradients,
)
from synthray.projector.cpu.simd import LANES, VOXEL_BYTES
from synthray.projector.result import SURFACE_DENSITY_G_CM3

# Rays along a tile's sides, multiples of every supersampling factor: measured, and within 10 % of the best for grids
# of 256 and 512 voxels a side.
TILE_ROWS, TILE_COLUMNS = 16, 16
# Slices of a slab, and slabs that are summed in one go: a ray's start costs as much as twenty slices, but what a run
# of slices touches must stay in the second-level cache, and errors of the 32-bit positions grow along it.
SLAB = BRICK
RUN = 8

_LINE_BYTES = 64


class Grid(NamedTuple):
    """A march volume and its bricks; see `MarchVolume` and `Bricks`."""

    packed: Any
    codes: Any
    scale: Any
    bit_table: Any
    path_table: Any
    path_words: Any
    peak: Any
    brick_words: Any
    brick_code: Any


class Scratch(NamedTuple):
    """What a tile needs while it is marched.

    Attributes:
        lines: its rays.
        lanes: (ray, vector, lane) float32 sums.
        words: (ray, word) bits met so far.
        paths: (ray, path) lengths so far in mm.
        surface: (ray,) slice of the surface, -1 before it is found.
        seen: (word,) bits of a slab's bricks.
        box: (2, 3) first and last brick of a slab.
    """

    lines: Lines
    lanes: Any
    words: Any
    paths: Any
    surface: Any
    seen: Any
    box: Any


def empty_scratch(words: int, paths: int, gradient: bool) -> Scratch:
    """Memory for one tile at a time."""
    rays = TILE_ROWS * TILE_COLUMNS
    return Scratch(
        empty_lines(rays),
        np.empty((rays, GRADIENT_SUMS if gradient else 1, LANES), dtype=np.float32),
        np.empty((rays, words), dtype=np.uint64),
        np.empty((rays, paths), dtype=np.float32),
        np.empty(rays, dtype=np.int64),
        np.empty(words, dtype=np.uint64),
        np.empty((2, 3), dtype=np.int64),
    )


@kernel
def march_band(
    grid: Grid, view: View, scratch: Scratch, first_row: int, rows: int, columns: int, gradient: bool, out: Output
) -> None:
    """March `rows` rows of `columns` rays, at most `TILE_ROWS`."""
    lines, surface_wanted = scratch.lines, len(out.depth) > 0
    for first_column in range(0, columns, TILE_COLUMNS):
        width = min(TILE_COLUMNS, columns - first_column)
        for y in range(rows):
            for x in range(width):
                aim(grid.packed.shape, view, first_row + y, first_column + x, y * width + x, lines)
        scratch.lanes[:], scratch.words[:], scratch.paths[:], scratch.surface[:] = 0, 0, 0, -1
        for axis in range(3):
            first, end, uniform = reach(lines, rows * width, axis)
            if first < end:
                _march_slabs(grid, scratch, (rows, width), axis, (first, end), uniform, gradient)
                if surface_wanted:
                    _find_surfaces(grid, scratch, (rows, width), axis, (first, end), uniform)
        gathered = (scratch.lanes, scratch.words, scratch.paths, scratch.surface)
        for y in range(rows):
            for x in range(width):
                ray, row, column = y * width + x, first_row + y, first_column + x
                write_ray(grid.scale, lines, gathered, view, ray, row, column, gradient, out)


@kernel
def _survey(grid: Grid, scratch: Scratch, tile: Any, axis: int, slab: Any, uniform: bool) -> tuple[Any, Any]:
    """Peak density and only label code (or MIXED) of a slab's bricks; `scratch.seen` receives the union of their bits.

    Where rays of several axes share a tile the slab is taken to be as wide as the grid.
    """
    shape, bricks, box, seen = grid.packed.shape, grid.peak.shape, scratch.box, scratch.seen
    u, v = other_axes(axis)
    box[0, axis], box[1, axis] = slab[0] // BRICK, (slab[1] - 1) // BRICK
    box[0, u], box[1, u], box[0, v], box[1, v] = 0, bricks[u] - 1, 0, bricks[v] - 1
    if uniform:
        rays = tile[0] * tile[1]
        corners, lines = (0, tile[1] - 1, rays - tile[1], rays - 1), scratch.lines
        box[0, u], box[1, u] = bricks_across(lines.start_u, lines.slope_u, corners, slab[0], slab[1], shape[u])
        box[0, v], box[1, v] = bricks_across(lines.start_v, lines.slope_v, corners, slab[0], slab[1], shape[v])
    seen[:] = 0
    peak, code = np.float32(0.0), grid.brick_code[box[0, 0], box[0, 1], box[0, 2]]
    for i in range(box[0, 0], box[1, 0] + 1):
        for j in range(box[0, 1], box[1, 1] + 1):
            for k in range(box[0, 2], box[1, 2] + 1):
                peak = max(peak, grid.peak[i, j, k])
                if grid.brick_code[i, j, k] != code:
                    code = np.int32(MIXED)
                for w in range(len(seen)):
                    seen[w] |= grid.brick_words[i, j, k, w]
    return peak, code


@inlined
def _strides(shape: Any, axis: int) -> tuple[int, int, int]:
    """Voxels from one to the next along an axis, u and v."""
    steps = (shape[1] * shape[2], shape[2], 1)
    u, v = other_axes(axis)
    return steps[axis], steps[u], steps[v]


@inlined
def _on_slice(start: float, slope: float, k: int) -> tuple[Any, Any]:
    """Fixed-point position on a slice, and its advance per slice."""
    return np.int32(np.rint(start + k * slope)), np.int32(np.rint(slope))


@kernel
def _march_slabs(
    grid: Grid, scratch: Scratch, tile: Any, axis: int, slices: Any, uniform: bool, gradient: bool
) -> None:
    """Carry a tile's rays that use an axis through all slabs: labels slab by slab, densities in runs of full slabs."""
    along_a, along_u, along_v = _strides(grid.packed.shape, axis)
    bytes_a, bytes_u, bytes_v = along_a * VOXEL_BYTES, along_u * VOXEL_BYTES, along_v * VOXEL_BYTES
    rays, last = tile[0] * tile[1], (slices[1] - 1) // SLAB
    begin, waiting = 0, 0
    for n in range(slices[0] // SLAB, last + 1):
        slab = (max(n * SLAB, slices[0]), min((n + 1) * SLAB, slices[1]))
        peak, code = _survey(grid, scratch, tile, axis, slab, uniform)
        if peak > 0:
            _fetch(grid.packed.ctypes.data, VOXEL_BYTES, grid.packed.shape, scratch.box)
            begin, waiting = (slab[0] if waiting == 0 else begin), waiting + 1
        if code != 0:
            _label_slab(grid, scratch, rays, axis, slab, code)
        if waiting and (peak == 0 or waiting == RUN or n == last):
            run = (begin, slab[1] if peak > 0 else slab[0])
            if bytes_v == VOXEL_BYTES:
                _sum_slab((bytes_a, bytes_u), grid, scratch, rays, axis, run, gradient)
            else:
                _sum_slab((bytes_a, bytes_u, bytes_v), grid, scratch, rays, axis, run, gradient)
            waiting = 0


@kernel
def _fetch(address: int, voxel_bytes: int, shape: Any, box: Any) -> None:
    """Ask for the voxels of a box of bricks."""
    start, end = box[0, 2] * BRICK, min(box[1, 2] * BRICK + BRICK, shape[2] - 1)
    for i in range(box[0, 0] * BRICK, min(box[1, 0] * BRICK + BRICK + 1, shape[0])):
        for j in range(box[0, 1] * BRICK, min(box[1, 1] * BRICK + BRICK + 1, shape[1])):
            row = address + ((i * shape[1] + j) * shape[2] + start) * voxel_bytes
            for line in range(0, (end - start) * voxel_bytes + 1, _LINE_BYTES):
                simd.fetch(row + line)


@kernel
def _sum_slab(strides: Any, grid: Grid, scratch: Scratch, rays: int, axis: int, slab: Any, gradient: bool) -> None:
    lines, lanes = scratch.lines, scratch.lanes
    address, ray_bytes, voxels = lanes.ctypes.data, lanes.shape[1] * LANES * 4, grid.packed.ctypes.data
    for ray in range(rays):
        first, end = max(slab[0], lines.first[ray]), min(slab[1], lines.end[ray])
        if first >= end or lines.axis[ray] != axis:
            continue
        u = _on_slice(lines.start_u[ray], lines.slope_u[ray], first)
        v = _on_slice(lines.start_v[ray], lines.slope_v[ray], first)
        sums, slice0 = address + ray * ray_bytes, voxels + first * strides[0]
        if gradient:
            sum_gradients(sums, slice0, strides, u, v, end - first, float(first))
        else:
            sum_densities(sums, slice0, strides, u, v, end - first)


@kernel
def _label_slab(grid: Grid, scratch: Scratch, rays: int, axis: int, slab: Any, code: int) -> None:
    """Gather bits and paths in a slab whose bricks hold `code` only, or several when it is MIXED."""
    lines, words, paths, seen = scratch.lines, scratch.words, scratch.paths, scratch.seen
    codes, tables, met = grid.codes.reshape(-1), (grid.bit_table, grid.path_table), (words, paths)
    strides = _strides(grid.packed.shape, axis)
    measured, fetched = False, False
    for w in range(len(seen)):
        measured |= (seen[w] & grid.path_words[w]) != 0
    for ray in range(rays):
        first, end = max(slab[0], lines.first[ray]), min(slab[1], lines.end[ray])
        if first >= end or lines.axis[ray] != axis:
            continue
        new = measured
        for w in range(len(seen)):
            new |= (seen[w] & ~words[ray, w]) != 0
        if not new:
            continue
        if code == MIXED and not fetched:
            _fetch(grid.codes.ctypes.data, grid.codes.itemsize, grid.codes.shape, scratch.box)
            fetched = True
        count, step_mm = end - first, lines.step_mm[ray]
        if code != MIXED:
            leave(tables, met, ray, code, count * step_mm)
        else:
            u = _on_slice(lines.start_u[ray], lines.slope_u[ray], first)
            v = _on_slice(lines.start_v[ray], lines.slope_v[ray], first)
            meet_labels(codes, tables, met, ray, first * strides[0], strides, u, v, count, step_mm)


@kernel
def _find_surfaces(grid: Grid, scratch: Scratch, tile: Any, axis: int, slices: Any, uniform: bool) -> None:
    """Find the surface along a tile's rays that use an axis, one layer of bricks after another as they travel."""
    lines, surface, rays = scratch.lines, scratch.surface, tile[0] * tile[1]
    slabs = (slices[1] - 1) // BRICK - slices[0] // BRICK + 1
    for back in (False, True):
        for n in range(slabs):
            index = slices[0] // BRICK + (slabs - 1 - n if back else n)
            slab = (max(index * BRICK, slices[0]), min(index * BRICK + BRICK, slices[1]))
            left = False
            for ray in range(rays):
                on_way = lines.axis[ray] == axis and (lines.speed[ray] < 0) == back
                left |= on_way and surface[ray] < 0 and lines.first[ray] < lines.end[ray]
            if not left:
                break
            peak, _ = _survey(grid, scratch, tile, axis, slab, uniform)
            if peak > SURFACE_DENSITY_G_CM3:
                _search_slab(grid, scratch, rays, axis, slab, back)


@kernel
def _search_slab(grid: Grid, scratch: Scratch, rays: int, axis: int, slab: Any, back: bool) -> None:
    lines, surface = scratch.lines, scratch.surface
    flat = grid.packed.reshape(-1).view(np.uint32)
    scale = (np.float32(grid.scale[0]), np.float32(grid.scale[1]))
    along_a, along_u, along_v = _strides(grid.packed.shape, axis)
    forward = -1 if back else 1
    for ray in range(rays):
        first, end = max(slab[0], lines.first[ray]), min(slab[1], lines.end[ray])
        if first >= end or lines.axis[ray] != axis or (lines.speed[ray] < 0) != back or surface[ray] >= 0:
            continue
        begin = end - 1 if back else first
        u = _on_slice(lines.start_u[ray], lines.slope_u[ray], begin)
        v = _on_slice(lines.start_v[ray], lines.slope_v[ray], begin)
        u, v = (u[0], np.int32(u[1] * forward)), (v[0], np.int32(v[1] * forward))
        strides = (along_a * forward, along_u, along_v)
        n = find_surface(flat, scale, begin * along_a, strides, u, v, end - first)
        if n >= 0:
            surface[ray] = begin + n * forward
