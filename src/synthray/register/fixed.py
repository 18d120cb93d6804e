"""The real X-ray's side of the comparison: what counts of it, its noise, and its unknown display."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry import Camera

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FixedImage:
    """One level of the real X-ray's pyramid.

    Attributes:
        image: (row, column) grey values.
        mask: (row, column) pixels that count.
        camera: a view of this size, of the pose that the search starts from.
        noise: standard deviation of the image's noise.
    """

    image: Floats
    mask: npt.NDArray[np.bool_]
    camera: Camera
    noise: float


def fixed_image(xray: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None, camera: Camera) -> FixedImage:
    """The X-ray as it is read, checked.

    Args:
        xray: (row, column) any grey values, bone bright or dark.
        mask: (row, column) bool, pixels that count: not the collimator, not a tool; all by default.
        camera: of the same size.

    Raises:
        InputError: sizes differ, values are not finite numbers, or the mask leaves nothing.
    """
    image = np.asarray(xray)
    if image.ndim != 2 or image.dtype.kind not in "iufb":
        raise InputError(f"the X-ray must be one image (row, column) of numbers, got {image.dtype} {image.shape}")
    if image.shape != (camera.rows, camera.columns):
        raise InputError(
            f"the X-ray has {image.shape[0]} x {image.shape[1]} pixels, its camera {camera.rows} x {camera.columns}; "
            "use camera.resized(rows, columns)"
        )
    values = image.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("the X-ray holds NaN or infinity; mask those pixels and set them to 0")
    counts = np.ones(image.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if counts.shape != image.shape:
        raise InputError(f"the mask has shape {counts.shape}, the X-ray {image.shape}")
    if not counts.any():
        raise InputError("the mask leaves no pixel of the X-ray; it must be true where pixels count")
    counts = counts & ~clipped(values)
    return FixedImage(values, counts, camera, noise_deviation(values, counts))


def reduced(fixed: FixedImage, side: int) -> FixedImage:
    """Averaged over squares of pixels until the longer side has about `side` pixels.

    What the factor doesn't divide is cut off at the right and the bottom. A pixel counts when most of its square does.
    """
    factor = max(1, round(max(fixed.image.shape) / side))
    if factor == 1:
        return fixed
    rows, columns = (max(1, n // factor) for n in fixed.image.shape)

    def squares(values: npt.NDArray[Any]) -> Floats:
        cut = values[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
        return cut.sum(axis=(1, 3), dtype=np.float64)

    weight = squares(fixed.mask)
    image = np.where(weight > 0, squares(fixed.image * fixed.mask) / np.maximum(weight, 1), 0.0)
    mask = weight > factor**2 / 2
    camera = replace(fixed.camera, rows=rows * factor, columns=columns * factor).resized(rows, columns)
    return FixedImage(image, mask, camera, noise_deviation(image, mask))


def noise_deviation(image: Floats, mask: npt.NDArray[np.bool_]) -> float:
    """Standard deviation of the noise: the median size of second differences along both axes (after Immerkær 1996)."""
    if min(image.shape) < 3:
        return 0.0
    down = image[:-2] - 2 * image[1:-1] + image[2:]
    both = down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]
    inside = mask[1:-1, 1:-1]
    # Squares of the weights 1 -2 1 in both axes add up to 36; a normal deviate's median size is 0.6745.
    return float(np.median(np.abs(both[inside]))) / (6 * 0.6745) if inside.any() else 0.0


def clipped(image: Floats) -> npt.NDArray[np.bool_]:
    """(row, column) pixels in areas of one same value at least five pixels wide: clipped or behind a shutter."""
    same = np.ones(image.shape, dtype=bool)
    same[1:] &= image[1:] == image[:-1]
    same[:, 1:] &= image[:, 1:] == image[:, :-1]
    return _grown(~_grown(~same, 2), 2)


def _grown(mask: npt.NDArray[np.bool_], pixels: int) -> npt.NDArray[np.bool_]:
    """The mask widened by a square of so many pixels to each side."""
    for axis in (0, 1):
        padded = np.pad(mask, [(pixels, pixels) if a == axis else (0, 0) for a in (0, 1)])
        length = mask.shape[axis]
        mask = np.logical_or.reduce([np.take(padded, range(s, s + length), axis=axis) for s in range(2 * pixels + 1)])
    return mask


def isotonic(value: Floats, weight: Floats) -> Floats:
    """The rising sequence nearest to `value` by weighted squares (pool adjacent violators)."""
    blocks: list[list[float]] = []
    for one, mass in zip(value.tolist(), weight.tolist(), strict=True):
        blocks.append([one, mass, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            last, before = blocks.pop(), blocks.pop()
            total = before[1] + last[1]
            blocks.append([(before[0] * before[1] + last[0] * last[1]) / total, total, before[2] + last[2]])
    return np.repeat([block[0] for block in blocks], [int(block[2]) for block in blocks])


@dataclass(frozen=True, eq=False)
class DisplayCurve:
    """A monotone curve from an X-ray's grey values to the moving image's -log units, bone bright.

    Attributes:
        grey: (n,) rising.
        value: (n,) rising, or falling where bone is dark.
    """

    grey: Floats
    value: Floats

    def __call__(self, image: npt.NDArray[Any]) -> Floats:
        """The image on the moving image's scale.

        A little of the straight line keeps detail where the curve is flat.
        """
        slope = (self.value[-1] - self.value[0]) / max(self.grey[-1] - self.grey[0], 1e-12)
        return np.interp(image, self.grey, self.value) + 0.1 * slope * (image - self.grey[0])


def fitted_display(
    fixed: npt.NDArray[Any], moving: npt.NDArray[Any], mask: npt.NDArray[np.bool_], sign: int, knots: int = 24
) -> DisplayCurve:
    """The unknown display of the X-ray, undone: the monotone curve to the moving image that fits best.

    Piecewise linear through the means of both images in `knots` groups of equal size, made monotone.

    Args:
        fixed: (row, column).
        moving: (row, column).
        mask: pixels that count.
        sign: 1 for a rising curve, -1 for a falling one.
        knots: of the curve.
    """
    grey, value = fixed[mask].astype(np.float64), sign * moving[mask].astype(np.float64)
    if len(grey) < 8:  # nothing to fit: keep the grey values as they are
        return DisplayCurve(np.array([0.0, 1.0]), sign * np.array([0.0, 1.0]))
    groups = np.array_split(np.argsort(grey, kind="stable"), max(1, min(knots, len(grey) // 4)))
    position = np.array([grey[group].mean() for group in groups])
    mean = np.array([value[group].mean() for group in groups])
    position, first = np.unique(position, return_index=True)
    curve = isotonic(mean[first], np.array([float(len(groups[index])) for index in first]))
    if curve[-1] - curve[0] < 1e-6:  # unrelated images: keep the grey values as they are
        curve = (position - position[0]) / max(position[-1] - position[0], 1e-12)
    return DisplayCurve(position, sign * curve)
