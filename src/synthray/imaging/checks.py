"""Range checks of settings, shared by the room's dataclasses."""

from __future__ import annotations

import math

from synthray.errors import InputError


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Refuse a setting that is not a number within [low, high].

    Raises:
        InputError: NaN, infinite (unless a bound is), or out of range.
    """
    if math.isnan(value) or not low <= value <= high:
        raise InputError(f"{name} must lie within {low:g} to {high:g}, got {value:g}")
