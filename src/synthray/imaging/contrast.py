"""Local contrast for display: what vendors' processing does to a radiograph, in its published forms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synthray.imaging.blur import gaussian

Image = npt.NDArray[np.float32]

_BINS = 256
_TILES = 8
# Standard deviations of the bands' blurs double from this, in pixels.
_FINEST_SIGMA_PX = 1.0


def unsharp(image: Image, gain: float) -> Image:
    """Unsharp masking at 1/64 and 1/16 of the image's width; the coarse one counts half."""
    width = max(image.shape)
    fine, coarse = gaussian(image, width / 64), gaussian(image, width / 16)
    return image + gain * (image - fine) + gain / 2 * (image - coarse)


def multiscale(image: Image, power: float, reach: float) -> Image:
    """Amplify weak detail and hold back strong detail, band by band.

    The image is split into bands by Gaussian blurs of doubling width; in each band b becomes
    reach · sign(b) |b / reach|^power, so that detail smaller than `reach` gains and larger detail loses (Vuylsteke &
    Schoeters 1994, multiscale image contrast amplification). Detail under a hundredth of `reach`, which is noise,
    gains no more than that hundredth does.

    Args:
        image: (row, column).
        power: 1 changes nothing; 0.7 is usual.
        reach: amplitude that stays as it is, in the image's unit.
    """
    least = 0.01 * reach
    total, rest, sigma = np.zeros_like(image), image, _FINEST_SIGMA_PX
    while sigma < max(image.shape) / 8:
        smooth = gaussian(image, sigma)
        band = rest - smooth
        total += band * (np.maximum(np.abs(band), least) / reach) ** (power - 1)
        rest, sigma = smooth, 2 * sigma
    return (total + rest).astype(np.float32)


def equalised(grey: Image, limit: float) -> Image:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) of an image within 0 to 1.

    Args:
        grey: (row, column) within 0 to 1.
        limit: highest slope of the mapping; 1 changes nothing, 2 to 4 is usual.
    """
    rows, columns = grey.shape
    tiles = (min(_TILES, rows), min(_TILES, columns))
    edges = [np.linspace(0, size, count + 1).astype(int) for size, count in zip(grey.shape, tiles, strict=True)]
    level = np.minimum((grey * _BINS).astype(np.int64), _BINS - 1)
    maps = np.empty((*tiles, _BINS), dtype=np.float32)
    for i in range(tiles[0]):
        for j in range(tiles[1]):
            maps[i, j] = _mapping(level[edges[0][i] : edges[0][i + 1], edges[1][j] : edges[1][j + 1]], limit)
    (up, down, row_part), (left, right, column_part) = (
        _between(edge, size) for edge, size in zip(edges, grey.shape, strict=True)
    )
    corner = np.empty((2, 2, rows, columns), dtype=np.float32)
    for a, tile_row in enumerate((up, down)):
        for b, tile_column in enumerate((left, right)):
            corner[a, b] = maps[tile_row[:, None], tile_column[None, :], level]
    upper = corner[0, 0] + (corner[0, 1] - corner[0, 0]) * column_part
    lower = corner[1, 0] + (corner[1, 1] - corner[1, 0]) * column_part
    return upper + (lower - upper) * row_part[:, None]


def _mapping(level: npt.NDArray[np.int64], limit: float) -> Image:
    """(bins,) grey value of each level: the clipped cumulative histogram of a tile."""
    histogram = np.bincount(level.ravel(), minlength=_BINS).astype(np.float64) / level.size
    highest = limit / _BINS
    # What is cut off goes evenly to all bins; a few rounds until none sticks out.
    for _ in range(10):
        excess = np.sum(np.maximum(histogram - highest, 0))
        histogram = np.minimum(histogram, highest)
        if excess < 1e-6:
            break
        room = np.maximum(highest - histogram, 0)
        histogram += excess * room / max(float(room.sum()), 1e-12) if room.sum() > 0 else excess / _BINS
    return (np.cumsum(histogram) - histogram / 2).astype(np.float32)


def _between(edges: npt.NDArray[np.int64], size: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Image]:
    """For each row or column the tiles before and after it, and how far it is between their centres."""
    centres = (edges[:-1] + edges[1:] - 1) / 2
    position = np.interp(np.arange(size), centres, np.arange(len(centres)))
    before = np.floor(position).astype(np.int64)
    return before, np.minimum(before + 1, len(centres) - 1), (position - before).astype(np.float32)
