"""From rays to pixels: the mean of area densities, the union of masks, the nearest surface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.projector.result import Marched

Array = npt.NDArray[Any]


def binned(marched: Marched, factor: int) -> Marched:
    """Results of single rays as results of pixels of `factor` x `factor` rays each."""
    if factor == 1:
        return marched
    words = np.moveaxis(marched.words, -1, 1)
    return Marched(
        density=_blocks(marched.density, factor).mean(axis=-1),
        words=np.moveaxis(np.bitwise_or.reduce(_blocks(words, factor), axis=-1), 1, -1),
        depth=None if marched.depth is None else np.fmin.reduce(_blocks(marched.depth, factor), axis=-1),
        paths=_blocks(marched.paths, factor).mean(axis=-1),
        gradient=None if marched.gradient is None else _blocks(marched.gradient, factor).mean(axis=-1),
    )


def joined(parts: Sequence[Marched]) -> Marched:
    """Marches of single views as the march of a batch."""
    return Marched(
        density=np.concatenate([part.density for part in parts]),
        words=np.concatenate([part.words for part in parts]),
        depth=_joined([part.depth for part in parts]),
        paths=np.concatenate([part.paths for part in parts]),
        gradient=_joined([part.gradient for part in parts]),
    )


def _joined(arrays: Sequence[Array | None]) -> Array | None:
    present = [array for array in arrays if array is not None]
    return np.concatenate(present) if present else None


def _blocks(values: Array, factor: int) -> Array:
    """(..., rows * factor, columns * factor) -> (..., rows, columns, factor * factor)."""
    *leading, rows, columns = values.shape
    cut = values.reshape(*leading, rows // factor, factor, columns // factor, factor)
    return np.moveaxis(cut, -3, -2).reshape(*leading, rows // factor, columns // factor, factor * factor)
