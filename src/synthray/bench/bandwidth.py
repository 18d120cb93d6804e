"""How fast this machine reads memory: the limit of any march that reads its volume once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba as nb
import numpy as np
import numpy.typing as npt

MIB = 1 << 20
# Reading this many times the last-level cache leaves at most a small part of it from the round before.
CACHES = 16
SMALLEST_MIB = 512
ASSUMED_CACHE_MIB = 32


@nb.njit(nogil=True, cache=True)
def _sum(words: npt.NDArray[np.uint64]) -> np.uint64:
    """Sum of all words: one load and one addition each, which the compiler vectorises."""
    total = np.uint64(0)
    for n in range(len(words)):
        total += words[n]
    return total


def measure_read_bandwidth(threads: int, *, mebibytes: int | None = None, repeats: int = 10) -> float:
    """The best of several reads of one large array, in GB/s (10⁹ bytes), as STREAM counts it.

    Args:
        threads: how many threads read, each its own stretch.
        mebibytes: size of the array; 16 times the last-level cache and at least 512 MiB by default.
        repeats: how often it is read.
    """
    size = (mebibytes or max(SMALLEST_MIB, CACHES * last_level_cache_mib())) * MIB // 8
    words = np.ones(size, dtype=np.uint64)
    parts = np.array_split(words, threads)
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(_sum, [words[:8]] * threads))
        for _ in range(repeats):
            began = time.perf_counter()
            total = sum(map(int, pool.map(_sum, parts)))
            seconds.append(time.perf_counter() - began)
    return words.nbytes / min(seconds) / 1e9 if total == size else float("nan")


def last_level_cache_mib() -> int:
    """Size of this machine's last-level cache; 32 MiB where the system doesn't say."""
    largest = 0
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text(encoding="ascii").strip()
        if text.endswith("K"):
            largest = max(largest, int(text[:-1]) // 1024)
    return largest or ASSUMED_CACHE_MIB
