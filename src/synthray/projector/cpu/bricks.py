"""A coarse map of a march volume: what is where, in bricks of a few voxels, so that marches can skip."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.projector.cpu.jit import kernel
from synthray.projector.volume import MarchVolume

# Voxels along a brick's side.
BRICK = 8
# Entry of `Bricks.code` where a brick holds more than one label code.
MIXED = -1


@dataclass(frozen=True, eq=False)
class Bricks:
    """What each brick holds; a brick reaches one voxel into the next ones, as far as interpolation inside it reads.

    Attributes:
        peak_g_cm3: (I, J, K) float32, upper bound of the density.
        words: (I, J, K, word) uint64, union of the structures' bits.
        code: (I, J, K) int32, the label code when there is only one, else `MIXED`.
    """

    peak_g_cm3: npt.NDArray[np.float32]
    words: npt.NDArray[np.uint64]
    code: npt.NDArray[np.int32]


def map_bricks(volume: MarchVolume, threads: int) -> Bricks:
    """The bricks of a volume.

    Args:
        volume: what is mapped.
        threads: threads that share the work.
    """
    shape = tuple(-(-n // BRICK) for n in volume.shape)
    table = volume.bit_table()
    bricks = Bricks(
        np.zeros(shape, dtype=np.float32),
        np.zeros((*shape, table.shape[1]), dtype=np.uint64),
        np.zeros(shape, dtype=np.int32),
    )
    scale = volume.scale_g_cm3.astype(np.float32)

    def layer(i: int) -> None:
        _peaks(volume.packed, scale, bricks.peak_g_cm3, i)
        if volume.labelled:
            _labels(volume.codes, table, bricks.words, bricks.code, i)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(layer, range(shape[0])))
    return bricks


@kernel
def _peaks(packed: Any, scale: Any, peak: Any, i: int) -> None:
    size_i, size_j, size_k = packed.shape[:3]
    for j in range(peak.shape[1]):
        for k in range(peak.shape[2]):
            top0, top1 = np.uint16(0), np.uint16(0)
            for x in range(i * BRICK, min(i * BRICK + BRICK + 1, size_i)):
                for y in range(j * BRICK, min(j * BRICK + BRICK + 1, size_j)):
                    for z in range(k * BRICK, min(k * BRICK + BRICK + 1, size_k)):
                        top0, top1 = max(top0, packed[x, y, z, 0]), max(top1, packed[x, y, z, 1])
            peak[i, j, k] = top0 * scale[0] + top1 * scale[1]


@kernel
def _labels(codes: Any, table: Any, words: Any, code: Any, i: int) -> None:
    size_i, size_j, size_k = codes.shape
    for j in range(code.shape[1]):
        for k in range(code.shape[2]):
            first = codes[i * BRICK, j * BRICK, k * BRICK]
            last, one = first, True
            for w in range(table.shape[1]):
                words[i, j, k, w] |= table[first, w]
            for x in range(i * BRICK, min(i * BRICK + BRICK + 1, size_i)):
                for y in range(j * BRICK, min(j * BRICK + BRICK + 1, size_j)):
                    for z in range(k * BRICK, min(k * BRICK + BRICK + 1, size_k)):
                        here = codes[x, y, z]
                        if here != last:
                            last, one = here, False
                            for w in range(table.shape[1]):
                                words[i, j, k, w] |= table[here, w]
            code[i, j, k] = np.int32(first) if one else MIXED
