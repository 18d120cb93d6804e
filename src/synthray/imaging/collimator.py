"""Collimators and other things that shape the beam before and behind the patient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.blur import gaussian
from synthray.imaging.checks import check_between

Image = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Collimator:
    """Blades that limit the beam, as they show on the detector.

    Attributes:
        shape: "rectangle" or "circle".
        width_mm: extent along the columns at the detector; the diameter of a circle.
        height_mm: extent along the rows; a circle has none.
        center_mm: (along columns, along rows) of the opening from the image's centre.
        rotation_deg: counter-clockwise turn of the opening as seen in the image.
        edge_mm: width over which the beam falls from full to nothing, the blades' penumbra.
        leakage: part of the beam that passes the blades.
    """

    shape: Literal["rectangle", "circle"] = "rectangle"
    width_mm: float = 300.0
    height_mm: float = 300.0
    center_mm: tuple[float, float] = (0.0, 0.0)
    rotation_deg: float = 0.0
    edge_mm: float = 2.0
    leakage: float = 0.001

    def __post_init__(self) -> None:
        if self.shape not in ("rectangle", "circle"):
            raise InputError(f"collimator shape must be rectangle or circle, got '{self.shape}'")
        check_between("collimator width_mm", self.width_mm, 1, 2000)
        check_between("collimator height_mm", self.height_mm, 1, 2000)
        check_between("collimator rotation_deg", self.rotation_deg, -360, 360)
        check_between("collimator edge_mm", self.edge_mm, 0, 100)
        check_between("collimator leakage", self.leakage, 0, 0.5)
        for offset in self.center_mm:
            check_between("collimator center_mm", offset, -2000, 2000)


def opening(collimator: Collimator, rows: int, columns: int, pixel_mm: float) -> Image:
    """(row, column) part of the beam that the collimator lets through, `leakage` to 1."""
    x = (np.arange(columns) - (columns - 1) / 2) * pixel_mm - collimator.center_mm[0]
    y = (np.arange(rows) - (rows - 1) / 2) * pixel_mm - collimator.center_mm[1]
    angle = math.radians(collimator.rotation_deg)
    # Rows grow downwards, so a turn that looks counter-clockwise is clockwise in (x, y).
    along = x[None, :] * math.cos(angle) - y[:, None] * math.sin(angle)
    across = x[None, :] * math.sin(angle) + y[:, None] * math.cos(angle)
    if collimator.shape == "circle":
        inside = collimator.width_mm / 2 - np.hypot(along, across)
    else:
        inside = np.minimum(collimator.width_mm / 2 - np.abs(along), collimator.height_mm / 2 - np.abs(across))
    edge = max(collimator.edge_mm, pixel_mm)
    part = np.clip(inside / edge + 0.5, 0, 1)
    return (collimator.leakage + (1 - collimator.leakage) * part).astype(np.float32)


def with_veil(image: Image, part: float, sigma_px: float) -> Image:
    """An image of which a part is spread widely: off-focus radiation, veiling glare, fluorescence in the detector.

    Args:
        image: (..., row, column).
        part: fraction that is spread, 0 to 1.
        sigma_px: standard deviation of the spread, in pixels.
    """
    check_between("spread part", part, 0, 1)
    if part == 0:
        return image
    return image + np.float32(part) * (gaussian(image, sigma_px) - image)


def moved(image: Image, shift_px: tuple[float, float]) -> Image:
    """Blur by an even motion of the object during the exposure.

    Args:
        image: (..., row, column).
        shift_px: (along columns, along rows) that the object moves, in pixels.
    """
    length = math.hypot(*shift_px)
    check_between("motion in pixels", length, 0, 1000)
    if length < 0.05:
        return image
    steps = max(3, 2 * math.ceil(length) + 1)
    total = np.zeros_like(image)
    for part in np.linspace(-0.5, 0.5, steps):
        total += _shifted(_shifted(image, part * shift_px[0], -1), part * shift_px[1], -2)
    return total / np.float32(steps)


def _shifted(image: Image, shift: float, axis: int) -> Image:
    """Linear shift along an axis by a fraction of pixels; the border is repeated."""
    if shift == 0:
        return image
    size = image.shape[axis]
    position = np.clip(np.arange(size) - shift, 0, size - 1)
    lower = np.minimum(position.astype(np.int64), max(size - 2, 0))
    part = (position - lower).astype(np.float32)
    part = part[:, None] if axis == -2 else part
    below, above = image.take(lower, axis=axis), image.take(np.minimum(lower + 1, size - 1), axis=axis)
    return below + (above - below) * part
