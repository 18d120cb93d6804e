"""How alike two X-rays are, and how that changes with the pose.

The fixed image is the real X-ray, the moving one the projection of the CT. Correlation is measured patch by patch, so
that any locally linear display, vignetting and scatter drop out. With z the patch less its mean over its norm, the
residual z_moving - z_fixed has the square 2 (1 - NCC): Gauss-Newton on it climbs the correlation.

All sums that a patch of any size needs are entries of the Gram matrix of (derivatives, moving, fixed, 1) over its
pixels, and Gram matrices of small tiles add up: many overlapping patches of several sizes cost one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
TILE_PX = 8


@dataclass(frozen=True, eq=False)
class Patches:
    """Patch-wise correlation of two images, for one size of patch.

    Attributes:
        ncc: (patch,) normalised cross-correlation, damped where the moving image is nearly flat.
        squared: (patch,) squared residual.
        gradient: (patch, 6) half the derivative of `squared`; empty without a Jacobian.
        matrix: (patch, 6, 6) its Gauss-Newton matrix; empty without a Jacobian.
        deviation: (patch,) standard deviation of the fixed image.
        filled: (patch,) share of the patch's pixels that count.
    """

    ncc: Floats
    squared: Floats
    gradient: Floats
    matrix: Floats
    deviation: Floats
    filled: Floats


def gram_tiles(
    fixed: npt.NDArray[Any],
    moving: npt.NDArray[Any],
    mask: npt.NDArray[np.bool_],
    jacobian: npt.NDArray[Any] | None = None,
) -> Floats:
    """Gram matrices of small tiles, from which correlations of patches follow.

    Args:
        fixed: (row, column).
        moving: (row, column).
        mask: (row, column), pixels that count.
        jacobian: (n, row, column) derivatives of the moving image.

    Returns:
        (tile row, tile column, n + 3, n + 3): sums of products of (derivatives, moving, fixed, 1).
    """
    rows, columns = fixed.shape
    layers = [] if jacobian is None else list(jacobian)
    stack = np.zeros((len(layers) + 3, -(-rows // TILE_PX) * TILE_PX, -(-columns // TILE_PX) * TILE_PX))
    for layer, values in zip(stack, [*layers, moving - moving.mean(), fixed - fixed.mean(), 1.0], strict=True):
        layer[:rows, :columns] = values * mask
    tiles = stack.reshape(len(stack), stack.shape[1] // TILE_PX, TILE_PX, stack.shape[2] // TILE_PX, TILE_PX)
    flat = np.ascontiguousarray(tiles.transpose(1, 3, 0, 2, 4)).reshape(*tiles.shape[1:4:2], len(stack), -1)
    return flat @ flat.swapaxes(-1, -2)


def correlate(tiles: Floats, side: int, sign: int = 1, noise: tuple[float, float] = (1e-6, 1e-6)) -> Patches:
    """Patch-wise correlation over all squares of `side` x `side` tiles.

    Args:
        tiles: from `gram_tiles`.
        side: of a patch, in tiles; more than the image has takes the whole image.
        sign: 1, or -1 when the fixed image is dark where the moving one is bright.
        noise: standard deviations of the fixed and the moving image that count as nothing: they are added to the
            norms in quadrature, so that flat patches have no say.
    """
    sums = windows(tiles, side)
    count = np.maximum(sums[:, -1, -1], 1.0)
    centred = sums[:, :-1, :-1] - sums[:, :-1, -1:] * sums[:, -1:, :-1] / count[:, None, None]
    n = centred.shape[1] - 2
    fixed_norm = np.sqrt(np.maximum(centred[:, n + 1, n + 1], 0) + count * noise[0] ** 2)
    moving_norm = np.sqrt(np.maximum(centred[:, n, n], 0) + count * noise[1] ** 2)
    ncc = sign * centred[:, n, n + 1] / (moving_norm * fixed_norm)
    along_moving = centred[:, :n, n] / moving_norm[:, None]
    along_fixed = sign * centred[:, :n, n + 1] / fixed_norm[:, None]
    # The moving patch with its noise as one more entry is a unit vector whatever the pose: going flat gains nothing.
    squared = 1 + np.maximum(centred[:, n + 1, n + 1], 0) / fixed_norm**2 - 2 * ncc
    gradient = (along_moving * ncc[:, None] - along_fixed) / moving_norm[:, None]
    outer = along_moving[:, :, None] * along_moving[:, None, :]
    matrix = (centred[:, :n, :n] - outer) / moving_norm[:, None, None] ** 2
    pixels = (min(side, tiles.shape[0]) * min(side, tiles.shape[1])) * TILE_PX**2
    deviation = np.sqrt(np.maximum(centred[:, n + 1, n + 1], 0) / count)
    return Patches(ncc, squared, gradient, matrix, deviation, sums[:, -1, -1] / pixels)


def windows(tiles: Floats, side: int) -> Floats:
    """(window, ...) sums over all squares of `side` x `side` tiles, one tile apart."""
    for axis in (0, 1):
        length = min(side, tiles.shape[axis])
        total = np.cumsum(tiles, axis=axis)
        upper = np.take(total, range(length - 1, total.shape[axis]), axis=axis)
        lower = np.take(total, range(upper.shape[axis] - 1), axis=axis)
        index = (slice(None),) * axis + (slice(1, None),)
        upper[index] -= lower
        tiles = upper
    return tiles.reshape(-1, *tiles.shape[2:])


def gradient_images(image: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Central differences (..., row, column) down the rows and along the columns, zero at the rim.

    Gradient correlation (Penney et al. 1998) is the correlation of these; they are linear, so derivatives with respect
    to the pose go through as well.
    """
    down, along = np.zeros_like(image), np.zeros_like(image)
    down[..., 1:-1, :] = (image[..., 2:, :] - image[..., :-2, :]) / 2
    along[..., :, 1:-1] = (image[..., :, 2:] - image[..., :, :-2]) / 2
    return down, along


def normalised_cross_correlation(
    fixed: npt.NDArray[Any], moving: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None = None
) -> tuple[float, Floats]:
    """Global NCC and its derivative with respect to the moving image.

    Args:
        fixed: (row, column).
        moving: (row, column).
        mask: pixels that count; all by default.

    Returns:
        The correlation, and (row, column) its derivative; multiply by a Jacobian and sum for that of the pose.
    """
    weight = np.ones(fixed.shape) if mask is None else mask.astype(np.float64)
    centred = [weight * (image - (weight * image).sum() / weight.sum()) for image in (fixed, moving)]
    norms = [max(float(np.linalg.norm(one)), 1e-12) for one in centred]
    unit_fixed, unit_moving = centred[0] / norms[0], centred[1] / norms[1]
    value = float((unit_fixed * unit_moving).sum())
    return value, (unit_fixed - value * unit_moving) / norms[1]


def gradient_correlation(
    fixed: npt.NDArray[Any], moving: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None = None
) -> tuple[float, Floats]:
    """Mean NCC of the images' two gradients (Penney et al. 1998), and its derivative; see the global NCC."""
    total, slope = 0.0, np.zeros(fixed.shape)
    for axis, (one, other) in enumerate(zip(gradient_images(fixed), gradient_images(moving), strict=True)):
        value, change = normalised_cross_correlation(one, other, mask)
        total += value / 2
        # The transpose of central differences.
        inner = [slice(None), slice(None)]
        inner[axis] = slice(1, -1)
        before, after = list(inner), list(inner)
        before[axis], after[axis] = slice(None, -2), slice(2, None)
        slope[tuple(after)] += change[tuple(inner)] / 4
        slope[tuple(before)] -= change[tuple(inner)] / 4
    return total, slope


def mutual_information(
    fixed: npt.NDArray[Any],
    moving: npt.NDArray[Any],
    mask: npt.NDArray[np.bool_] | None = None,
    bins: int = 32,
) -> tuple[float, Floats]:
    """Mutual information in nats and its derivative with respect to the moving image.

    Histograms with cubic B-spline windows for the moving image and boxes for the fixed one (Mattes et al. 2003): blind
    to any one-to-one display of the fixed image, inversion included.

    Args:
        fixed: (row, column).
        moving: (row, column).
        mask: pixels that count; all by default.
        bins: of each histogram.
    """
    used = np.ones(fixed.shape, dtype=bool) if mask is None else mask
    if not used.any():
        return 0.0, np.zeros(fixed.shape)
    one, other = fixed[used].astype(np.float64), moving[used].astype(np.float64)
    box = np.minimum(_scaled(one, bins)[0].astype(np.int64), bins - 1)
    place, width = _scaled(other, bins)
    first = np.floor(place).astype(np.int64)
    reach = np.arange(-1, 3)
    distance = place[:, None] - (first[:, None] + reach)
    weight, slope = _cubic(distance)
    index = box[:, None] * (bins + 4) + first[:, None] + reach + 1
    joint = np.bincount(index.ravel(), weight.ravel(), minlength=bins * (bins + 4)).reshape(bins, -1) / len(one)
    ratio = joint / np.maximum(joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True), 1e-300)
    log_ratio = np.log(np.where(joint > 0, ratio, 1.0))
    # The row sums don't depend on the moving image and the column sums' share cancels.
    changed = (slope * log_ratio.ravel()[index]).sum(axis=1) / (width * len(one))
    derivative = np.zeros(fixed.shape)
    derivative[used] = changed
    return float((joint * log_ratio).sum()), derivative


def _scaled(values: Floats, bins: int) -> tuple[Floats, float]:
    """Positions in units of bins, 0 to `bins`, and the width of one."""
    low, high = float(values.min()), float(values.max())
    width = max(high - low, 1e-12) / bins
    return (values - low) / width, width


def _cubic(distance: Floats) -> tuple[Floats, Floats]:
    """The cubic B-spline and its slope."""
    x = np.abs(distance)
    near, far = x < 1, x < 2
    value = np.where(near, 2 / 3 - x**2 + x**3 / 2, np.where(far, (2 - x) ** 3 / 6, 0.0))
    slope = np.where(near, -2 * x + 1.5 * x**2, np.where(far, -((2 - x) ** 2) / 2, 0.0))
    return value, np.sign(distance) * slope
