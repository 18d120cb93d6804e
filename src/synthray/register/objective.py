"""What the search minimises: the disagreement of patches of several sizes, none of which can shout the others down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.geometry import Camera
from synthray.register.fixed import FixedImage
from synthray.register.moving import moving_image
from synthray.register.optimise import System
from synthray.register.similarity import TILE_PX, Patches, correlate, gradient_images, gram_tiles

Floats = npt.NDArray[np.float64]
# Slope of the moving image, in -log units per pixel, that counts as nothing.
_FLAT_EDGE = 0.005


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How a level's images are compared.

    Attributes:
        sides: of the patches, in tiles of 8 pixels.
        tolerance: squared residual (0 to 4; 2 for unrelated patches) beyond which a patch is taken to show something
            that the CT doesn't hold (Geman & McClure); infinite trusts all patches alike.
        flat: deviation of the moving image, in -log units, that counts as nothing.
    """

    sides: tuple[int, ...] = (2, 4, 8)
    tolerance: float = np.inf
    flat: float = 0.02


@dataclass(frozen=True, eq=False)
class Agreement:
    """How well a pose explains the X-ray.

    Attributes:
        ncc: mean correlation of the patches, weighted by what they show.
        system: the problem for the optimiser, without matrices when the pose was only scored.
        scatter: (6, 6) sum over patches that don't overlap of the outer products of their gradients.
    """

    ncc: float
    system: System
    scatter: Floats


def agreement(
    fixed: FixedImage,
    moving: npt.NDArray[np.float32],
    jacobian: npt.NDArray[np.float32] | None = None,
    sign: int = 1,
    how: Comparison | None = None,
) -> Agreement:
    """Compare the X-ray with one projection.

    Args:
        fixed: the X-ray.
        moving: (row, column) from `moving_image`.
        jacobian: (n, row, column) its derivatives; none to score only.
        sign: -1 when the X-ray shows bone dark.
        how: patch sizes and trust.
    """
    chosen = how or Comparison()
    tiles = gram_tiles(fixed.image, moving, fixed.mask, jacobian)
    count = tiles.shape[-1] - 3
    # Rounding to whole grey values and a floor for images without noise.
    floor = max(fixed.noise, 1e-3 * float(np.std(fixed.image[fixed.mask])) if fixed.mask.any() else 0.0, 1e-12)
    total, weights, correlation = 0.0, 0.0, 0.0
    gradient, matrix, scatter = np.zeros(count), np.zeros((count, count)), np.zeros((count, count))
    for side in chosen.sides:
        patches = correlate(tiles, side, sign, (floor, chosen.flat))
        weight = trust(patches, floor) / len(patches.ncc)
        kept = 1 / (1 + patches.squared / chosen.tolerance)  # ρ(s) = s / (1 + s/τ), ρ' = 1 / (1 + s/τ)²
        total += float(weight @ (patches.squared * kept)) / 2
        weights += float(weight.sum())
        correlation += float(weight @ patches.ncc)
        gradient += (weight * kept**2) @ patches.gradient
        matrix += np.tensordot(weight * kept**2, patches.matrix, axes=1)
        each = (weight * kept**2)[:, None] * patches.gradient
        scatter += each.T @ each * min(side**2, len(each))
    norm = max(weights, 1e-12)
    return Agreement(correlation / norm, System(total / norm, gradient / norm, matrix / norm), scatter / norm**2)


def detail_correlation(fixed: FixedImage, moving: npt.NDArray[np.float32], sign: int = 1) -> float:
    """Mean correlation of the images' gradients in patches of 1/16 of the picture: whether edges lie on edges.

    Soft shadows agree between wrong poses and even between people; edges don't.
    """
    noise = fixed.noise / np.sqrt(2)  # of a central difference
    side = max(1, round(max(moving.shape) / (16 * TILE_PX)))
    total, weights = 0.0, 1e-12
    for one, other in zip(gradient_images(fixed.image), gradient_images(moving), strict=True):
        patches = correlate(gram_tiles(one, other, fixed.mask), side, sign, (max(noise, 1e-9), _FLAT_EDGE))
        weight = trust(patches, noise)
        total += float(weight @ patches.ncc)
        weights += float(weight.sum())
    return total / weights


def trust(patches: Patches, noise: float) -> Floats:
    """(patch,) weights 0 to 1: by the share of the fixed image's variance that is not noise, half-empty ones out."""
    variance = np.maximum(patches.deviation**2 - noise**2, 0)
    return np.where(patches.filled > 0.5, patches.filled, 0) * variance / (variance + (2 * noise) ** 2 + 1e-18)


def system_of(
    fixed: FixedImage, patient: Patient, pivot_mm: Floats, sign: int, how: Comparison, threads: int | None
) -> Callable[[Camera], System]:
    """The function that the optimiser calls at every pose."""

    def system_at(camera: Camera) -> System:
        seen = moving_image(patient, camera, pivot_mm, threads)
        return agreement(fixed, seen.image, seen.jacobian, sign, how).system

    return system_at
