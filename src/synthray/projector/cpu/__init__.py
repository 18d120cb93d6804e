"""The march on the CPU: bands of tiles shared out over threads.

Threads are Python's own and the kernels release the interpreter lock: no OpenMP, so forked, spawned and concurrent
callers are all safe, and the result does not depend on the number of threads.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from synthray.projector.cpu import tile
from synthray.projector.cpu.bricks import Bricks, map_bricks
from synthray.projector.cpu.lines import View
from synthray.projector.cpu.pixels import Output
from synthray.projector.rays import RayBundle
from synthray.projector.result import Marched, Wanted
from synthray.projector.volume import MarchVolume


def march(
    volume: MarchVolume, rays: RayBundle, wanted: Wanted, threads: int | None = None, out: Marched | None = None
) -> Marched:
    """Area density, and what else is wanted, of every pixel; see `reference.march` for the same in plain NumPy.

    Args:
        volume: the prepared patient.
        rays: views in voxel coordinates; without supersampling when the gradient is wanted.
        wanted: what to return.
        threads: all cores by default.
        out: arrays to write into.
    """
    count = threads or available_cores()
    grid = _grid(volume, wanted, count)
    result = out or _empty(volume, rays, wanted)
    words = grid.bit_table.shape[1] if wanted.masks or wanted.paths else 0

    def band(job: tuple[int, int]) -> None:
        index, first = job
        fine = int(rays.supersample[index])
        view = View(rays.origin[index], rays.matrix[index], rays.inverse_K[index], int(rays.axis[index]), fine)
        rows = min(tile.TILE_ROWS, rays.rows * fine - first)
        scratch = tile.empty_scratch(words, len(wanted.paths), wanted.gradient)
        to = _of_view(result, index)
        tile.march_band(grid, view, scratch, first, rows, rays.columns * fine, wanted.gradient, to)

    jobs = [
        (view, first)
        for view, fine in enumerate(rays.supersample.tolist())
        for first in range(0, rays.rows * fine, tile.TILE_ROWS)
    ]
    with _announced():
        if count == 1:
            for job in jobs:
                band(job)
        else:
            with ThreadPoolExecutor(count) as pool:
                list(pool.map(band, jobs))
    return result


@contextmanager
def _announced() -> Iterator[None]:
    """Say so on a terminal when the kernels are being compiled, which happens once per machine."""
    if tile.march_band.signatures or not sys.stderr.isatty():
        yield
        return
    line = "synthray: compiling the projector for this processor, once; about ten seconds\n"
    timer = threading.Timer(1.0, sys.stderr.write, [line])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _grid(volume: MarchVolume, wanted: Wanted, threads: int) -> tile.Grid:
    if "bricks" not in volume.derived:
        volume.derived["bricks"] = map_bricks(volume, threads)
    bricks: Bricks = volume.derived["bricks"]
    bit_table = volume.bit_table()
    measured = [code for name in wanted.paths for code in volume.members.get(name, ())]
    return tile.Grid(
        packed=volume.packed,
        codes=volume.codes,
        scale=volume.scale_g_cm3,
        bit_table=bit_table,
        path_table=volume.path_table(wanted.paths),
        path_words=np.bitwise_or.reduce(bit_table[measured], axis=0, initial=np.uint64(0)),
        peak=bricks.peak_g_cm3,
        brick_words=bricks.words,
        brick_code=bricks.code,
    )


def _empty(volume: MarchVolume, rays: RayBundle, wanted: Wanted) -> Marched:
    views, size = len(rays.origin), (rays.rows, rays.columns)
    words = volume.bit_table().shape[1] if wanted.masks else 0
    return Marched(
        density=np.empty((views, 2, *size), dtype=np.float32),
        words=np.empty((views, *size, words), dtype=np.uint64),
        depth=np.empty((views, *size), dtype=np.float32) if wanted.depth else None,
        paths=np.empty((views, len(wanted.paths), *size), dtype=np.float32),
        gradient=np.empty((views, 2, 6, *size), dtype=np.float32) if wanted.gradient else None,
    )


def _of_view(result: Marched, view: int) -> Output:
    no_depth, no_gradient = np.empty((0, 0), dtype=np.float32), np.empty((0, 0, 0, 0), dtype=np.float32)
    return Output(
        result.density[view],
        result.words[view],
        no_depth if result.depth is None else result.depth[view],
        result.paths[view],
        no_gradient if result.gradient is None else result.gradient[view],
    )
