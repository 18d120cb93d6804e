"""Separable Gaussian blur of images, and what blurs them."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from synthray.imaging.checks import check_between

Image = npt.NDArray[np.float32]
Edge = Literal["reflect", "zero"]

# Above this width the blur runs on block means, which by then hold no detail that it would keep.
_DIRECT_SIGMA_PX = 6.0
_COARSE_SIGMA_PX = 3.0
# Below this, samples of a Gaussian have more than 1 % too little variance.
_SAMPLED_SIGMA_PX = 0.65
# Below this the neighbours' share is under 0.01.
_LEAST_SIGMA_PX = 0.1


def focal_spot_sigma_mm(magnification: float, spot_mm: float) -> float:
    """Standard deviation, at the detector, of the blur by a uniform focal spot of width `spot_mm`: a (M - 1) / √12."""
    check_between("magnification", magnification, 1, 20)
    check_between("spot_mm", spot_mm, 0, 5)
    return spot_mm * (magnification - 1) / math.sqrt(12)


def gaussian(image: npt.ArrayLike, sigma_px: float, edge: Edge = "reflect") -> Image:
    """Gaussian blur of the last two axes.

    No tap is negative and the variance is the one asked for at any width: samples of a Gaussian, or three taps where
    samples would be too coarse. Wide blurs run on block means and stay within 1 % of the image's range of the direct
    form.

    Args:
        image: (..., row, column).
        sigma_px: standard deviation in pixels.
        edge: beyond the image lies its mirror image ("reflect") or nothing ("zero").

    Returns:
        (..., row, column) float32, a new array.
    """
    check_between("sigma_px", sigma_px, 0, 1e4)
    values = np.asarray(image, dtype=np.float32)
    if sigma_px < _LEAST_SIGMA_PX:
        return values.copy()
    if sigma_px <= _DIRECT_SIGMA_PX:
        kernel = gaussian_taps(sigma_px)
        return _convolve(_pad(values, len(kernel) - 1, edge), kernel)
    factor = int(sigma_px / _COARSE_SIGMA_PX)
    # Block means (1/12) and linear interpolation (1/6) blur too.
    kernel = gaussian_taps(math.sqrt((sigma_px / factor) ** 2 - 1 / 12 - 1 / 6))
    coarse = _convolve(_pad(block_means(values, factor, edge), len(kernel), edge), kernel)
    return enlarge(coarse, factor, values.shape[-2:])


@lru_cache(maxsize=256)
def gaussian_taps(sigma_px: float) -> tuple[float, ...]:
    """Centre tap and the taps to one side; together with the other side they sum to 1."""
    if sigma_px < _SAMPLED_SIGMA_PX:
        return 1 - sigma_px**2, sigma_px**2 / 2
    taps = np.exp(-0.5 * (np.arange(math.ceil(4 * sigma_px) + 1) / sigma_px) ** 2)
    return tuple((taps / (taps[0] + 2 * taps[1:].sum())).tolist())


def _pad(image: Image, width: int, edge: Edge) -> Image:
    widths = [(0, 0)] * (image.ndim - 2) + [(width, width)] * 2
    return np.pad(image, widths, mode="symmetric" if edge == "reflect" else "constant")


def _convolve(padded: Image, kernel: tuple[float, ...]) -> Image:
    """Both axes, keeping only what the kernel covers fully."""
    radius = len(kernel) - 1
    rows, columns = (length - 2 * radius for length in padded.shape[-2:])
    half = padded[..., radius : radius + rows, :] * np.float32(kernel[0])
    for shift, tap in enumerate(kernel[1:], 1):
        pair = padded[..., radius - shift : radius - shift + rows, :] + padded[..., radius + shift :, :][..., :rows, :]
        half += np.multiply(pair, np.float32(tap), out=pair)
    out = half[..., radius : radius + columns] * np.float32(kernel[0])
    for shift, tap in enumerate(kernel[1:], 1):
        pair = half[..., radius - shift : radius - shift + columns] + half[..., radius + shift :][..., :columns]
        out += np.multiply(pair, np.float32(tap), out=pair)
    return out


def block_means(image: Image, factor: int, edge: Edge) -> Image:
    """Means of blocks of factor x factor pixels; the last blocks are filled up with what lies beyond the edge."""
    rows, columns = image.shape[-2:]
    missing = [(0, 0)] * (image.ndim - 2) + [(0, -rows % factor), (0, -columns % factor)]
    full = np.pad(image, missing, mode="symmetric" if edge == "reflect" else "constant")
    blocks = full.reshape(*image.shape[:-2], full.shape[-2] // factor, factor, full.shape[-1] // factor, factor)
    return blocks.mean(axis=-1).mean(axis=-2)


def enlarge(coarse: Image, factor: int, shape: tuple[int, ...]) -> Image:
    """Linear interpolation of block means that carry one extra block on each side."""
    for axis, length in zip((-2, -1), shape, strict=True):
        position = (np.arange(length) + 0.5) / factor + 0.5
        lower = position.astype(np.int64)
        part = (position - lower).astype(np.float32)
        part = part[:, None] if axis == -2 else part
        below, above = coarse.take(lower, axis=axis), coarse.take(lower + 1, axis=axis)
        coarse = below + (above - below) * part
    return coarse
