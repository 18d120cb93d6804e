"""Masks as COCO run lengths: counts of alternating 0 and 1 pixels, down the columns, starting with 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError

_MOST_PIXELS = 1 << 28


def encode(mask: npt.NDArray[np.bool_]) -> dict[str, list[int]]:
    """A (rows, columns) mask as `{"size": [rows, columns], "counts": [...]}` (COCO's uncompressed form)."""
    flat = np.asarray(mask, dtype=bool).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], edges, [flat.size]])
    counts = np.diff(bounds).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat.size and flat[0] else counts}


def coco_region(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """What a COCO annotation says of a mask that isn't empty: run lengths, area, box (left, top, width, height)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    return {
        "segmentation": encode(mask),
        "area": int(mask.sum()),
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "iscrowd": 0,
    }


def encode_bits(words: npt.NDArray[np.uint64], names: Sequence[str]) -> dict[str, dict[str, list[int]]]:
    """Many masks at once from the bits of a march: what `encode` gives for each.

    Only pixels where some mask begins or ends are looked at, which are few.

    Args:
        words: (rows, columns, word); bit b of word w is mask 64 w + b.
        names: of the masks, in order.
    """
    rows, columns, depth = words.shape
    flat = np.ascontiguousarray(words.transpose(1, 0, 2)).reshape(-1, depth)
    steps = flat[1:] ^ flat[:-1]
    edges = np.flatnonzero(steps.any(axis=1))
    # One row per word, so that each mask reads its bits in one go.
    changes = np.ascontiguousarray(steps[edges].T)
    found = {}
    for number, name in enumerate(names):
        word, bit = divmod(number, 64)
        flag = np.uint64(1 << bit)
        bounds = np.concatenate([[0], edges[(changes[word] & flag) != 0] + 1, [len(flat)]])
        counts = np.diff(bounds).tolist()
        found[name] = {"size": [rows, columns], "counts": [0, *counts] if flat[0, word] & flag else counts}
    return found


def decode(rle: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """The (rows, columns) mask of uncompressed COCO run lengths.

    Raises:
        InputError: fields are missing or the counts don't add up to the size.
    """
    try:
        rows, columns = (int(n) for n in rle["size"])
        counts = np.asarray(rle["counts"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise InputError("a run-length mask needs 'size' (rows, columns) and a list 'counts'") from None
    if counts.ndim != 1 or (counts.size and counts.dtype.kind != "i"):
        raise InputError("run lengths must be a list of whole numbers")
    if min(rows, columns) < 0 or rows * columns > _MOST_PIXELS:
        raise InputError(f"a mask of {rows} x {columns} pixels makes no sense")
    # Each one within the whole, so that the sum can't wrap around.
    if counts.min(initial=0) < 0 or counts.max(initial=0) > rows * columns or counts.sum() != rows * columns:
        raise InputError(f"run lengths don't add up to the {rows} x {columns} pixels of the mask")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape((rows, columns), order="F")
