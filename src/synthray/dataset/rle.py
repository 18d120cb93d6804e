"""Masks as COCO run lengths: counts of alternating 0 and 1 pixels, down the columns, starting with 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError


def encode(mask: npt.NDArray[np.bool_]) -> dict[str, list[int]]:
    """A (rows, columns) mask as `{"size": [rows, columns], "counts": [...]}` (COCO's uncompressed form)."""
    flat = np.asarray(mask, dtype=bool).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], edges, [flat.size]])
    counts = np.diff(bounds).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat.size and flat[0] else counts}


def decode(rle: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """The (rows, columns) mask of uncompressed COCO run lengths.

    Raises:
        InputError: fields are missing or the counts don't add up to the size.
    """
    try:
        rows, columns = (int(n) for n in rle["size"])
        counts = np.asarray(rle["counts"], dtype=np.int64)
    except (KeyError, TypeError, ValueError):
        raise InputError("a run-length mask needs 'size' (rows, columns) and a list 'counts'") from None
    if counts.ndim != 1 or counts.min(initial=0) < 0 or counts.sum() != rows * columns:
        raise InputError(f"run lengths add up to {counts.sum()}, not to the {rows} x {columns} pixels of the mask")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape((rows, columns), order="F")
