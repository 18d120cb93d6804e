"""From the -log image to grey values for people and networks: windows that no single pixel can move."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.checks import check_between
from synthray.imaging.contrast import equalised, multiscale, unsharp

Image = npt.NDArray[np.float32]

# -log below which a pixel counts as direct exposure: a centimetre of water shows 0.2.
_DIRECT_EXPOSURE = 0.15
_SAMPLED_PIXELS = 65536


@dataclass(frozen=True, kw_only=True)
class DisplayPreset:
    """How a -log image becomes grey values.

    Attributes:
        scale: "log" shows -ln(signal), "linear" shows the absorbed fraction 1 - signal.
        anchors: image values shown as black and white, or None to take them from `percentiles`.
        percentiles: of the pixels behind the object, taken when `anchors` is None.
        field: part of the image's sides, about its middle, in which the percentiles are taken.
        gamma: exponent of the grey value, 1 is none.
        sigmoid: gain of a logistic curve through the middle grey, 0 is none.
        invert: False shows high attenuation bright and direct exposure black, as radiographs are read.
        contrast: gain of the detail at 1/16 and 1/64 of the image's width, 0 is none.
        multiscale: exponent of the detail's amplitude in every band, 1 is none, 0.7 is usual; see
            `contrast.multiscale`.
        clahe: slope limit of adaptive histogram equalisation, 1 is none, 2 to 4 is usual; see `contrast.equalised`.
        lut: grey-value curve as (in, out) points within 0 to 1, in rising order of `in`; empty is none.
        bits: 8, 12 (in 16-bit words) or 16.
    """

    scale: Literal["log", "linear"] = "log"
    anchors: tuple[float, float] | None = None
    percentiles: tuple[float, float] = (1.0, 99.0)
    field: float = 1.0
    gamma: float = 1.0
    sigmoid: float = 0.0
    invert: bool = False
    contrast: float = 0.0
    multiscale: float = 1.0
    clahe: float = 1.0
    lut: tuple[tuple[float, float], ...] = ()
    bits: Literal[8, 12, 16] = 8

    def __post_init__(self) -> None:
        if self.scale not in ("log", "linear"):
            raise InputError(f"display scale must be log or linear, got '{self.scale}'")
        if self.bits not in (8, 12, 16):
            raise InputError(f"display bits must be 8, 12 or 16, got {self.bits}")
        low, high = self.percentiles if self.anchors is None else self.anchors
        if not low < high or (self.anchors is None and not 0 <= low < high <= 100):
            raise InputError(f"display window must rise from black to white, got {low} to {high}")
        check_between("display field", self.field, 0.1, 1)
        check_between("display gamma", self.gamma, 0.1, 10)
        check_between("display sigmoid", self.sigmoid, 0, 30)
        check_between("display contrast", self.contrast, 0, 5)
        check_between("display multiscale", self.multiscale, 0.2, 1)
        check_between("display clahe", self.clahe, 1, 100)
        points = [point for pair in self.lut for point in pair]
        rising = all(first[0] < second[0] for first, second in pairwise(self.lut))
        if self.lut and not (rising and len(self.lut) > 1 and all(0 <= point <= 1 for point in points)):
            raise InputError(f"display lut must be (in, out) points within 0 to 1 with rising in, got {self.lut}")


DISPLAY_PRESETS = MappingProxyType(
    {
        "linear": DisplayPreset(scale="linear", anchors=(0.0, 1.0)),
        "log-window": DisplayPreset(anchors=(0.0, 6.0)),
        "chest-pa": DisplayPreset(percentiles=(0.5, 99.5), sigmoid=3.0, contrast=0.4),
        # Most of a trunk's picture is soft tissue and its rim: start the window above them.
        "bone": DisplayPreset(percentiles=(6.0, 99.8), contrast=0.8),
        # Processed radiographs: detail of every size lifted to the same strength, as multiscale processing does.
        "chest-processed": DisplayPreset(percentiles=(0.5, 99.8), multiscale=0.75, sigmoid=2.0),
        "chest-clahe": DisplayPreset(percentiles=(0.5, 99.5), clahe=2.5),
        # As a C-arm sets its brightness: by the middle of the picture, whatever lies open beside the patient.
        "c-arm": DisplayPreset(percentiles=(1.0, 99.5), field=0.6, contrast=0.2, invert=True),
    }
)


def display(image: npt.ArrayLike, preset: str | DisplayPreset = "chest-pa") -> npt.NDArray[Any]:
    """Grey values of a -log image.

    Args:
        image: (..., row, column) -ln(signal / open-field signal); every image of a batch is windowed by itself.
        preset: a name in `DISPLAY_PRESETS`, or a `DisplayPreset`.

    Returns:
        (..., row, column) uint8, or uint16 for 12 and 16 bits.

    Raises:
        InputError: unknown preset or not an image.
    """
    chosen = _preset(preset)
    values = np.asarray(image, dtype=np.float32)
    if values.ndim < 2:
        raise InputError(f"display needs an image (..., row, column), got shape {values.shape}")
    flat = values.reshape(-1, *values.shape[-2:])
    return np.stack([_quantised(_grey(one, chosen), chosen) for one in flat]).reshape(values.shape)


def resolved(preset: str | DisplayPreset, image: Image) -> DisplayPreset:
    """A preset with the window that it takes in one image, to show others in the same way.

    Args:
        preset: a name or a preset.
        image: (row, column) -log image.
    """
    chosen = _preset(preset)
    shown = image if chosen.scale == "log" else -np.expm1(-image)
    return replace(chosen, anchors=window(shown, chosen))


def window(image: Image, preset: DisplayPreset) -> tuple[float, float]:
    """Image values that become black and white: the fixed anchors, or percentiles of the pixels behind the object.

    A regular subset of at most 65536 pixels is enough. With less than 1 % of the image behind an object, the window
    is that of "log-window".
    """
    if preset.anchors is not None:
        return preset.anchors
    step = max(1, int(np.sqrt(image.size / _SAMPLED_PIXELS)))
    top, left = (int(size * (1 - preset.field) / 2) for size in image.shape)
    sample = image[top : image.shape[0] - top : step, left : image.shape[1] - left : step].ravel()
    behind = sample[sample > _DIRECT_EXPOSURE]
    if len(behind) < 0.01 * len(sample):
        return 0.0, 6.0
    low, high = np.percentile(behind, preset.percentiles)
    # A flat object must not have its noise stretched to full contrast.
    return float(low), float(max(high, low + 0.1))


def _preset(preset: str | DisplayPreset) -> DisplayPreset:
    if isinstance(preset, DisplayPreset):
        return preset
    if preset not in DISPLAY_PRESETS:
        raise InputError(f"no display preset '{preset}'; known are {', '.join(DISPLAY_PRESETS)}")
    return DISPLAY_PRESETS[preset]


def _grey(image: Image, preset: DisplayPreset) -> Image:
    """(row, column) within 0 to 1."""
    shown = image if preset.scale == "log" else -np.expm1(-image)
    low, high = window(shown, preset)
    shown = np.clip(shown, low - (high - low), high + (high - low))
    if preset.contrast:
        shown = unsharp(shown, preset.contrast)
    if preset.multiscale != 1:
        shown = multiscale(shown, preset.multiscale, (high - low) / 4)
        # The bands' gain moves the ends of the range as well.
        low, high = window(shown, preset)
    grey: Image = np.clip((shown - low) / (high - low), 0, 1)
    if preset.clahe > 1:
        grey = equalised(grey, preset.clahe)
    if preset.gamma != 1:
        grey = grey**preset.gamma
    if preset.sigmoid:
        curve = np.tanh(preset.sigmoid / 2 * (grey - 0.5))
        grey = 0.5 + 0.5 * curve / np.tanh(preset.sigmoid / 4)
    if preset.lut:
        grey = np.interp(grey, *np.array(preset.lut).T).astype(np.float32)
    return (1 - grey if preset.invert else grey).astype(np.float32)


def _quantised(grey: Image, preset: DisplayPreset) -> npt.NDArray[Any]:
    highest = 2**preset.bits - 1
    return np.rint(grey * highest).astype(np.uint8 if preset.bits == 8 else np.uint16)
