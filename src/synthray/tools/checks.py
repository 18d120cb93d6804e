"""Checks that every tool's sizes go through."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError


def positive(tool: str, **sizes_mm: float) -> None:
    """Refuse sizes that aren't finite and positive.

    Raises:
        InputError: names the size.
    """
    for name, value in sizes_mm.items():
        if not (isinstance(value, (int, float, np.number)) and np.isfinite(value) and value > 0):
            raise InputError(f"{tool}: {name} must be a positive number, got {value}")


def smaller(tool: str, inner: str, inner_mm: float, outer: str, outer_mm: float) -> None:
    """Refuse an inner size that does not fit into the outer one.

    Raises:
        InputError: names both.
    """
    if not inner_mm < outer_mm:
        raise InputError(f"{tool}: {inner} ({inner_mm:g}) must be below {outer} ({outer_mm:g})")


def path(tool: str, points_mm: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Points (k, 3) of a path.

    Raises:
        InputError: fewer than two, not three coordinates, not finite, or two neighbours that coincide.
    """
    points = np.asarray(points_mm, dtype=np.float64)
    if points.ndim != 2 or points.shape[-1] != 3 or len(points) < 2 or not np.isfinite(points).all():
        raise InputError(f"{tool}: points_mm must be at least two finite points (k, 3) in mm, got shape {points.shape}")
    if np.linalg.norm(np.diff(points, axis=0), axis=1).min() < 1e-3:
        raise InputError(f"{tool}: two neighbouring points of points_mm coincide")
    return points
