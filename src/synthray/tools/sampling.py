"""Points inside a tool, by winding numbers along columns of a fine grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synthray.geometry import apply
from synthray.tools.tool import Part, Tool

Floats = npt.NDArray[np.float64]
_MOST_CELLS = 6_000_000
_BATCH = 4_000_000


def inside_points(tool: Tool, spacing_mm: float | None = None) -> tuple[Floats, float]:
    """Points (n, 3) in patient mm on a regular grid inside a tool, and the volume in mm³ that each stands for.

    Args:
        tool: posed.
        spacing_mm: of the grid; None takes the finest of about six million cells, 0.1 mm at least.
    """
    corners = np.concatenate([part.vertices_mm for part in tool.parts])
    low, size = corners.min(axis=0), np.ptp(corners, axis=0)
    finest = max(float(np.prod(size + 1e-3) / _MOST_CELLS) ** (1 / 3), 0.1)
    step = max(spacing_mm or 0.0, finest)
    # The columns start at an odd fraction of a cell, so that they miss edges that lie on round numbers.
    origin = low + step * (np.array([0.3819, 0.6180, 0.5]) - 1)
    shape = tuple(int(n) for n in np.ceil(size / step) + 2)
    filled = np.zeros(shape, dtype=bool)
    for part in tool.parts:
        filled |= _filled(part, origin, step, shape)
    points = origin + step * np.argwhere(filled)
    return apply(tool.patient_from_tool, points), step**3


def _filled(part: Part, origin: Floats, step: float, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Which grid points have a winding number above zero: crossings are summed along z."""
    triangles = ((part.vertices_mm - origin) / step)[part.faces]
    turns = np.zeros(shape, dtype=np.int16)
    low = np.maximum(np.ceil(triangles[..., :2].min(axis=1)).astype(np.int64), 0)
    span = np.maximum(np.floor(triangles[..., :2].max(axis=1)).astype(np.int64) - low + 1, 0)
    counts = span[:, 0] * span[:, 1]
    ends = np.cumsum(counts)
    for first in range(0, int(ends[-1]), _BATCH):
        cells = np.arange(first, min(first + _BATCH, int(ends[-1])))
        which = np.searchsorted(ends, cells, side="right")
        rest = cells - (ends - counts)[which]
        at = low[which] + np.stack([rest // span[which, 1], rest % span[which, 1]], axis=-1)
        _cross(triangles[which], at, turns)
    return np.cumsum(turns, axis=2, dtype=np.int16) > 0


def _cross(triangles: Floats, at: npt.NDArray[np.int64], turns: npt.NDArray[np.int16]) -> None:
    """Add each crossing of a column (x, y) with a triangle to the first grid point above it."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    area = _turn(b[:, :2] - a[:, :2], c[:, :2] - a[:, :2])
    shares = [_turn(q[:, :2] - p[:, :2], at - p[:, :2]) for p, q in ((b, c), (c, a), (a, b))]
    hit = (area != 0) & np.all([share * np.sign(area) > 0 for share in shares], axis=0)
    weights = np.stack(shares, axis=-1)[hit] / area[hit, None]
    height = np.einsum("ij,ij->i", weights, triangles[hit, :, 2])
    k = np.clip(np.ceil(height).astype(np.int64), 0, turns.shape[2] - 1)
    # Going up, a surface that faces down is entered.
    np.add.at(turns, (at[hit, 0], at[hit, 1], k), np.where(area[hit] > 0, -1, 1).astype(np.int16))


def _turn(u: Floats, v: Floats) -> Floats:
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
