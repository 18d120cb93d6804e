"""From any grey image to the network's input: the one function that training, prediction and evaluation share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional

# Beyond the percentiles values go on linearly up to here, so that bright bone or a letter is not cut flat.
_LIMIT = 1.5
_PAD = -1.0
_MOST_SAMPLES = 96 * 96


class Preprocessing(BaseModel):
    """How an image becomes network input; stored with the model.

    Attributes:
        size: side of the square network input in pixels.
        fit: `letterbox` keeps the aspect ratio and pads with the darkest value, `stretch` fills the square.
        low_percentile, high_percentile: grey values that become -1 and 1. No single pixel can shift them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(default=192, ge=32, le=2048)
    fit: Literal["letterbox", "stretch"] = "letterbox"
    low_percentile: float = Field(default=1.0, ge=0, lt=100)
    high_percentile: float = Field(default=99.0, gt=0, le=100)

    @model_validator(mode="after")
    def _ordered(self) -> Preprocessing:
        if self.low_percentile >= self.high_percentile:
            raise ValueError("low_percentile must lie below high_percentile")
        return self


@dataclass(frozen=True)
class Fit:
    """Where an image of (rows, columns) lies in the square network input.

    Attributes:
        rows, columns: size of the image.
        size: side of the network input.
        top, left, height, width: the rectangle of the network input that the image fills, in whole pixels.
    """

    rows: int
    columns: int
    size: int
    top: int
    left: int
    height: int
    width: int

    @staticmethod
    def of(rows: int, columns: int, preprocessing: Preprocessing) -> Fit:
        """The placement of an image of this size, centred."""
        size = preprocessing.size
        height = width = size
        if preprocessing.fit == "letterbox":
            longest = max(rows, columns)
            height, width = (max(1, round(size * side / longest)) for side in (rows, columns))
        return Fit(rows, columns, size, (size - height) // 2, (size - width) // 2, height, width)

    def to_network(self, points_px: Tensor) -> Tensor:
        """(..., 2) image (column, row) -> network (column, row); integers are pixel centres in both."""
        return (points_px + 0.5) * self._scale(points_px) - 0.5 + self._offset(points_px)

    def to_image(self, points: Tensor) -> Tensor:
        """(..., 2) network (column, row) -> image (column, row)."""
        return (points - self._offset(points) + 0.5) / self._scale(points) - 0.5

    def crop(self, maps: Tensor) -> Tensor:
        """The part of (..., size, size) maps that the image fills, (..., height, width)."""
        return maps[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def _scale(self, like: Tensor) -> Tensor:
        return like.new_tensor([self.width / self.columns, self.height / self.rows])

    def _offset(self, like: Tensor) -> Tensor:
        return like.new_tensor([self.left, self.top])


def fit_images(images: Tensor, preprocessing: Preprocessing) -> tuple[Tensor, Fit]:
    """Network input of grey images of one size, whatever their range.

    Args:
        images: (n, rows, columns), finite.
        preprocessing: target size and percentiles.

    Returns:
        (n, 1, size, size) float32, about -1 to 1, and where the images lie in it.
    """
    fit = Fit.of(images.shape[-2], images.shape[-1], preprocessing)
    content = normalise(resize(images.float()[:, None], fit.height, fit.width), preprocessing)
    if (fit.height, fit.width) == (fit.size, fit.size):
        return content, fit
    beside, below = fit.size - fit.width - fit.left, fit.size - fit.height - fit.top
    return functional.pad(content, (fit.left, beside, fit.top, below), value=_PAD), fit


def fit_masks(masks: Tensor, fit: Fit) -> Tensor:
    """(n, structures, rows, columns) masks of 0 and 1 on the network's grid, bool (n, structures, size, size)."""
    small = resize(masks.float(), fit.height, fit.width) > 0.5
    beside, below = fit.size - fit.width - fit.left, fit.size - fit.height - fit.top
    return functional.pad(small, (fit.left, beside, fit.top, below), value=False)


def normalise(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Grey values scaled image by image so that the two percentiles become -1 and 1; a constant image becomes 0.

    Args:
        images: (n, channels, h, w).
        preprocessing: the percentiles.
    """
    low, high = percentiles(images, preprocessing.low_percentile, preprocessing.high_percentile)
    span = high - low
    scaled = (images - low) / torch.where(span > 0, span, torch.ones_like(span)) * 2 - 1
    return torch.where(span > 0, scaled, torch.zeros_like(scaled)).clamp(-_LIMIT, _LIMIT)


def percentiles(images: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Two percentiles of each image of (n, channels, h, w), (n, 1, 1, 1) each, from a regular grid of its pixels."""
    step = max(1, round((images.shape[-1] * images.shape[-2] / _MOST_SAMPLES) ** 0.5))
    sample = images[..., ::step, ::step].flatten(1).sort(dim=1).values
    places = [round((sample.shape[1] - 1) * percent / 100) for percent in (low, high)]
    shape = (-1, 1, 1, 1)
    return sample[:, places[0]].view(shape), sample[:, places[1]].view(shape)


def resize(maps: Tensor, rows: int, columns: int) -> Tensor:
    """(n, channels, h, w) resampled bilinearly, with a low-pass where it shrinks."""
    if tuple(maps.shape[-2:]) == (rows, columns):
        return maps
    if maps.shape[1] == 0:
        return maps.new_zeros((len(maps), 0, rows, columns))
    return functional.interpolate(maps, size=(rows, columns), mode="bilinear", antialias=True)
