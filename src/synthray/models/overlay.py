"""Outlines and points drawn over an X-ray, for people."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

# Bright, told apart on grey by most colour-blind eyes (after Okabe and Ito 2008).
PALETTE: tuple[Colour, ...] = (
    (240, 80, 60),
    (86, 180, 233),
    (240, 228, 66),
    (0, 190, 140),
    (230, 120, 190),
    (230, 159, 0),
    (120, 130, 255),
)


@dataclass(frozen=True, eq=False)
class Layer:
    """What to draw in one colour.

    Attributes:
        colour: red, green, blue, 0 to 255.
        mask: (rows, columns) bool, outlined; or None.
        points_px: (m, 2) as (column, row), drawn as crosses; NaN is skipped.
        labels: a text per point, or none at all.
    """

    colour: Colour
    mask: npt.NDArray[np.bool_] | None = None
    points_px: npt.NDArray[np.float64] | None = None
    labels: tuple[str, ...] = ()


def display_grey(image: npt.NDArray[np.floating], low: float = 0.5, high: float = 99.5) -> npt.NDArray[np.uint8]:
    """Grey values between two percentiles as 0 to 255."""
    sample = image[:: max(1, image.shape[0] // 512), :: max(1, image.shape[1] // 512)]
    bottom, top = np.percentile(sample, [low, high])
    scaled = (image - bottom) / max(float(top - bottom), 1e-12)
    return np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def overlay(image: npt.NDArray[np.floating], layers: Sequence[Layer]) -> npt.NDArray[np.uint8]:
    """(rows, columns, 3) uint8: the image with the outline of each mask and a cross at each point."""
    grey = display_grey(image)
    coloured = np.repeat(grey[..., None], 3, axis=2)
    width = max(1, round(max(grey.shape) / 300))
    for layer in layers:
        if layer.mask is not None:
            coloured[outline(layer.mask, width)] = layer.colour
    return _draw_points(coloured, layers)


def outline(mask: npt.NDArray[np.bool_], width_px: int) -> npt.NDArray[np.bool_]:
    """The pixels of a mask within `width_px` of its edge; the image border is no edge."""
    inner = np.pad(mask, width_px, mode="edge")
    for axis in (0, 1):
        # Running minimum over a window, one axis after the other: erosion with a square.
        views = [np.roll(inner, shift, axis=axis) for shift in range(-width_px, width_px + 1)]
        inner = np.logical_and.reduce(views)
    return mask & ~inner[width_px:-width_px, width_px:-width_px]


def _draw_points(coloured: npt.NDArray[np.uint8], layers: Sequence[Layer]) -> npt.NDArray[np.uint8]:
    picture = Image.fromarray(coloured)
    pen = ImageDraw.Draw(picture)
    arm = max(4, max(coloured.shape) // 60)
    for layer in layers:
        points = np.empty((0, 2)) if layer.points_px is None else layer.points_px
        for i, (column, row) in enumerate(points):
            if not (np.isfinite(column) and np.isfinite(row)):
                continue
            width = max(1, arm // 4)
            pen.line([(column - arm, row), (column + arm, row)], fill=layer.colour, width=width)
            pen.line([(column, row - arm), (column, row + arm)], fill=layer.colour, width=width)
            if i < len(layer.labels):
                pen.text((column + arm, row + 1), layer.labels[i], fill=layer.colour)
    return np.asarray(picture)


def png_bytes(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG file of (rows, columns) grey or (rows, columns, 3) colour pixels."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()
