"""2-D structures from path lengths: the rule that `Structure2D` states."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from synthray.dataset.recipe import Structure2D
from synthray.errors import InputError


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
    return mask


def middle_column(area_density: npt.NDArray[np.float32]) -> float:
    """Column of the body's middle: the centroid of bone, which the spine dominates. Image centre without bone.

    Args:
        area_density: (basis, row, column) g/cm².
    """
    bone = area_density[1].sum(axis=0, dtype=np.float64)
    columns = np.arange(len(bone))
    return float((bone @ columns) / bone.sum()) if bone.sum() > 0 else float(columns.mean())
