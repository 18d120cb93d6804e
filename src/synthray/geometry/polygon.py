"""Polygons to masks."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError

# Crossings worked on at once: some tens of MiB.
_MOST_CROSSINGS: Final = 1 << 20


def polygon_mask(points: npt.ArrayLike, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """(A, B) bool: the grid points (a, b) inside a closed polygon, by the even-odd rule.

    A grid point counts when it lies inside; of two polygons that share an edge exactly one gets a point on it.

    Args:
        points: (N, 2) corners in grid coordinates; integers are grid points. The last joins the first.
        shape: (A, B) of the grid.

    Raises:
        InputError: fewer than three corners, or a corner that is not finite.
    """
    corners = np.asarray(points, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        raise InputError(f"a polygon needs at least three finite corners, got an array of shape {corners.shape}")
    ends = np.roll(corners, -1, axis=0)
    # Each crossing of an edge with a line b = 0, 1, … turns all points beyond it over.
    turns = np.zeros((shape[0] + 1, shape[1]), dtype=np.int32)
    at_once = max(1, _MOST_CROSSINGS // shape[1])
    for start in range(0, len(corners), at_once):
        block = slice(start, start + at_once)
        _turn(turns, corners[block], ends[block])
    return (np.cumsum(turns[:-1], axis=0) & 1).astype(bool)


def _turn(turns: npt.NDArray[np.int32], start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]) -> None:
    """Count the crossings of edges at the first grid point beyond each."""
    (a0, b0), (a1, b1) = start.T, end.T
    beyond, width = turns.shape
    # An edge's lower end is included and its upper end not, so that a corner counts once.
    first = np.clip(np.ceil(np.minimum(b0, b1)), 0, width).astype(np.int64)
    last = np.clip(np.ceil(np.maximum(b0, b1)), 0, width).astype(np.int64)
    counts = last - first
    edge = np.repeat(np.arange(len(start)), counts)
    line = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    crossing = a0[edge] + (line - b0[edge]) * (a1[edge] - a0[edge]) / (b1[edge] - b0[edge])
    np.add.at(turns, (np.clip(np.ceil(crossing), 0, beyond - 1).astype(np.int64), line), 1)
