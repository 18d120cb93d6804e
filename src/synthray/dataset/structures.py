"""2-D structures from path lengths: the rule that `Structure2D` states."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from synthray.dataset.recipe import Structure2D
from synthray.errors import InputError

# Shares of a mask's rows, from above, between which its medial border guides the line; fewer rows guide nothing.
_GUIDES, _LEAST_ROWS, _MOST_GUIDES = (0.1, 0.85), 5, 200
_CLOSED_SHARE = 0.15


def needed_paths(
    structures: Mapping[str, Structure2D], available: tuple[str, ...], who: str, optional: Collection[str] = ()
) -> tuple[str, ...]:
    """The 3-D structures whose path lengths the rules need, of those that a person has.

    Args:
        structures: the rules.
        available: what the person has.
        who: the person's name, for the message.
        optional: what the person may or may not have.

    Raises:
        InputError: a rule finds none of its structures in this person.
    """
    wanted: list[str] = []
    for name, rule in structures.items():
        if not set(rule.of) & {*available, *optional}:
            raise InputError(f"structures.{name}: {who} has none of {', '.join(rule.of)}")
        wanted += [part for part in (*rule.of, *rule.minus) if part in available and part not in wanted]
    return tuple(wanted)


def path_mm(rule: Structure2D, paths_mm: Mapping[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """(row, column) path length in mm through all of a rule's structures `of`."""
    return np.sum([paths_mm[part] for part in rule.of if part in paths_mm], axis=0, dtype=np.float32)


def flat_mask(
    rule: Structure2D, paths_mm: Mapping[str, npt.NDArray[np.float32]], middle_column: float
) -> npt.NDArray[np.bool_]:
    """The rule applied to one view.

    Args:
        rule: what belongs to the structure.
        paths_mm: 3-D structure -> (row, column) path lengths in mm; absent structures count as empty.
        middle_column: column of the body's middle, for stricter borders towards it.

    Returns:
        (row, column) bool.
    """
    mask = np.logical_or.reduce([_part(rule, paths_mm[part], middle_column) for part in rule.of if part in paths_mm])
    for part in rule.minus:
        if part in paths_mm:
            mask &= paths_mm[part] <= rule.minus_above_mm
    return mask


def _part(rule: Structure2D, length: npt.NDArray[np.float32], middle_column: float) -> npt.NDArray[np.bool_]:
    mask = length > rule.path_above_mm
    if rule.medial_path_above_mm > rule.path_above_mm:
        deepest = length.argmax(axis=1)[:, None]
        longest = length.max(axis=1, keepdims=True)
        beyond = (np.arange(length.shape[1]) - deepest) * np.sign(middle_column - deepest) > 0
        limit = np.minimum(rule.medial_path_above_mm, rule.medial_row_fraction * longest)
        mask &= ~beyond | (length > limit)
    return _with_straight_border(mask, middle_column) if rule.medial_line and mask.any() else mask


def _with_straight_border(mask: npt.NDArray[np.bool_], middle_column: float) -> npt.NDArray[np.bool_]:
    """The mask with the straight line that follows its border towards the middle best as that border.

    Rows near the upper and lower end, which curve away, don't guide the line. Gaps are closed up to a share of the
    mask's width, beyond which the row belongs to another part of the outline, and not at the upper end, which is round.
    """
    columns = np.arange(mask.shape[1])
    across = columns[mask.any(axis=0)]
    way = 1 if middle_column > across.mean() else -1
    rows = np.flatnonzero(mask.any(axis=1))
    border = way * np.where(mask[rows], way * columns, -np.inf).max(axis=1)
    guides = slice(int(_GUIDES[0] * len(rows)), max(2, int(_GUIDES[1] * len(rows))))
    if len(rows[guides]) < _LEAST_ROWS:
        return mask
    slope, start = _robust_line(rows[guides], border[guides])
    line = (start + slope * np.arange(mask.shape[0]))[:, None]
    straight = mask & (way * (columns - line) <= 0.5)
    gap = way * (line[rows, 0] - border)
    closed = rows[(gap > 0) & (gap <= _CLOSED_SHARE * len(across)) & (rows >= rows[guides][0])]
    held = np.zeros(mask.shape[0])
    held[rows] = border
    between = (way * (columns - line) <= 0.5) & (way * (columns - held[:, None]) > 0)
    straight[closed] |= between[closed]
    return straight


def _robust_line(x: npt.NDArray[np.int64], y: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Slope and value at 0 of the line through points of which up to 29 % may lie anywhere (Theil 1950, Sen 1968)."""
    some = slice(None, None, -(-len(x) // _MOST_GUIDES))
    x, y = x[some], y[some]
    first, second = np.triu_indices(len(x), 1)
    slope = float(np.median((y[second] - y[first]) / (x[second] - x[first])))
    return slope, float(np.median(y - slope * x))


def middle_column(area_density: npt.NDArray[np.float32]) -> float:
    """Column of the body's middle: the centroid of bone, which the spine dominates. Image centre without bone.

    Args:
        area_density: (basis, row, column) g/cm².
    """
    bone = area_density[1].sum(axis=0, dtype=np.float64)
    columns = np.arange(len(bone))
    return float((bone @ columns) / bone.sum()) if bone.sum() > 0 else float(columns.mean())
