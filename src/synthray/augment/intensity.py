"""Operations on grey values that Gao et al. 2023 list, on batches. Images are about 0 to 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from synthray.augment.operation import Operation, Params, normal_like, per_image, random_like, uniform

Floats = npt.NDArray[np.float32]

_CURVE_POINTS = 256
_KERNEL_REACH = 9


def _nothing(rng: np.random.Generator, count: int) -> Params:
    return {}


def _amount(low: float, high: float) -> Callable[[np.random.Generator, int], Params]:
    return lambda rng, count: {"amount": uniform(rng, low, high, count)}


# --- grey-value curves -------------------------------------------------------------------------------------------


def apply_curve(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Grey values (clamped to 0 to 1) looked up in a table per image, `curve` (k, 256), linearly in between."""
    curve = params["curve"]
    place = images.clamp(0, 1).flatten(1) * (curve.shape[1] - 1)
    below = place.long().clamp(max=curve.shape[1] - 2)
    low, high = curve.gather(1, below), curve.gather(1, below + 1)
    return torch.lerp(low, high, place - below).view_as(images)


def _grey_steps() -> Floats:
    return np.linspace(0, 1, _CURVE_POINTS, dtype=np.float32)


def _draw_gamma(rng: np.random.Generator, count: int) -> Params:
    return {"curve": _grey_steps() ** uniform(rng, 0.7, 1.3, (count, 1))}


def _draw_contrast(rng: np.random.Generator, count: int) -> Params:
    """One of linear, gamma, logarithm and sigmoid per image."""
    x = _grey_steps()
    gain, cutoff = uniform(rng, 3, 10, (count, 1)), uniform(rng, 0.4, 0.6, (count, 1))
    curves = np.stack(
        [
            0.5 + uniform(rng, 0.5, 2, (count, 1)) * (x - 0.5),
            x ** uniform(rng, 0.5, 2, (count, 1)),
            uniform(rng, 0.6, 1.4, (count, 1)) * np.log2(1 + x),
            1 / (1 + np.exp(gain * (cutoff - x))),
        ]
    )
    return {"curve": curves[rng.integers(4, size=count), np.arange(count)].clip(0, 1).astype(np.float32)}


# --- noise and replacement ---------------------------------------------------------------------------------------


def _invert(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    return images.amax(dim=(1, 2, 3), keepdim=True) - images


def _noise(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    span = images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True)
    return images + normal_like(images, generator) * per_image(params["amount"]) * span


def _dropout(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    return images * (random_like(images, generator) >= per_image(params["amount"]))


def _coarse_noise(images: Tensor, share: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform numbers that are constant over blocks, as if drawn at `share` of the resolution."""
    rows, columns = images.shape[-2:]
    smallest = max(2, round(float(share.mean()) * min(rows, columns)))
    coarse = torch.rand((len(images), 1, smallest, smallest), generator=generator, device=images.device)
    return functional.interpolate(coarse, size=(rows, columns), mode="nearest")


def _coarse_dropout(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    return images * (_coarse_noise(images, params["share"], generator) >= per_image(params["amount"]))


def _salted(images: Tensor, noise: Tensor, amount: Tensor) -> Tensor:
    # One draw decides both whether (below `amount`) and which (its lower or upper half).
    replaced = torch.where(noise < amount, (noise < amount / 2).to(images.dtype), images)
    return torch.where(noise < amount, replaced, images)


def _salt_pepper(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    return _salted(images, random_like(images, generator), per_image(params["amount"]))


def _coarse_salt_pepper(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    return _salted(images, _coarse_noise(images, params["share"], generator), per_image(params["amount"]))


def _draw_coarse(
    amount: tuple[float, float], share: tuple[float, float]
) -> Callable[[np.random.Generator, int], Params]:
    return lambda rng, count: {"amount": uniform(rng, *amount, count), "share": uniform(rng, *share, count)}


def _multiply(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    return images * per_image(params["amount"])


def _multiply_elementwise(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    return images * (0.5 + random_like(images, generator))


def _draw_boxes(rng: np.random.Generator, count: int) -> Params:
    """One to five boxes per image: sides ~ N(0.15, 0.15) of the image side, noisy or erased."""
    boxes = (count, 5, 2)
    sides = np.clip(np.abs(rng.normal(0.15, 0.15, size=boxes)), 0.01, 1).astype(np.float32)
    corner = uniform(rng, 0, 1, boxes) * (1 - sides)
    number = rng.integers(1, 6, size=(count, 1))
    return {
        "corner": corner,
        "sides": np.where(np.arange(5)[None, :, None] < number[..., None], sides, 0),
        "erased": rng.random((count, 5)) < 0.5,
        "value": uniform(rng, 0, 1, (count, 5)),
    }


def _boxes(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    rows, columns = images.shape[-2:]
    down = (torch.arange(rows, device=images.device) + 0.5).view(1, 1, -1, 1) / rows
    across = (torch.arange(columns, device=images.device) + 0.5).view(1, 1, 1, -1) / columns
    for box in range(params["corner"].shape[1]):
        corner, sides = params["corner"][:, box], params["sides"][:, box]
        left, top = per_image(corner[:, 0]), per_image(corner[:, 1])
        inside = (across >= left) & (across < left + per_image(sides[:, 0]))
        inside = inside & (down >= top) & (down < top + per_image(sides[:, 1]))
        highest = images.masked_fill(~inside, -torch.inf).amax(dim=(1, 2, 3), keepdim=True)
        lowest = images.masked_fill(~inside, torch.inf).amin(dim=(1, 2, 3), keepdim=True)
        noisy = images + normal_like(images, generator) * 0.2 * (highest - lowest)
        filled = torch.where(per_image(params["erased"][:, box]), per_image(params["value"][:, box]), noisy)
        images = torch.where(inside, filled, images)
    return images


# --- filters -----------------------------------------------------------------------------------------------------


def separable_filter(images: Tensor, kernels: Tensor) -> Tensor:
    """Each image filtered along rows and columns with its own odd kernel, (k, taps); the border is mirrored."""
    count, taps = kernels.shape
    reach = taps // 2
    stacked = functional.pad(images, (reach, reach, reach, reach), mode="reflect").transpose(0, 1)
    stacked = functional.conv2d(stacked, kernels.view(count, 1, 1, taps), groups=count)
    return functional.conv2d(stacked, kernels.view(count, 1, taps, 1), groups=count).transpose(0, 1)


def _blur(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    return separable_filter(images, params["kernel"])


def gaussian_kernels(sigma_px: Floats, reach: int = _KERNEL_REACH) -> Floats:
    """(k, 2 reach + 1) sampled Gaussians of sum 1; sigma 0 is the identity."""
    offset = np.arange(-reach, reach + 1)
    kernel = np.exp(-(offset**2) / (2 * np.maximum(sigma_px[:, None], 1e-3) ** 2))
    return (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)


def _draw_gaussian(rng: np.random.Generator, count: int) -> Params:
    return {"kernel": gaussian_kernels(uniform(rng, 0, 3, count))}


def _draw_average(rng: np.random.Generator, count: int) -> Params:
    """Boxes of 4 to 6 pixels; even ones have half a tap at each end, so that nothing shifts."""
    width = rng.integers(4, 7, size=(count, 1))
    offset = np.abs(np.arange(-3, 4))[None]
    kernel = np.clip((width + 1) / 2 - offset, 0, 1)
    return {"kernel": (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)}


_IDENTITY = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])


def _draw_sharpen(rng: np.random.Generator, count: int) -> Params:
    """Blend of the image and its sharpened copy: 8-neighbour Laplacian with a centre of 8 + lightness."""
    alpha, lightness = rng.uniform(0.5, 1, (count, 1, 1)), rng.uniform(1, 1.5, (count, 1, 1))
    sharp = (8 + lightness) * _IDENTITY - (1 - _IDENTITY)
    return {"kernel": ((1 - alpha) * _IDENTITY + alpha * sharp).astype(np.float32)}


def _draw_emboss(rng: np.random.Generator, count: int) -> Params:
    """Blend of the image and its relief, lit from one corner."""
    alpha, strength = rng.uniform(0.5, 1, (count, 1, 1)), rng.uniform(1, 2, (count, 1, 1))
    relief = np.array([[-1, 0, 0], [0, 1, 0], [0, 0, 1]]) + (strength - 1) * np.array(
        [[-1, -1, 0], [-1, 0, 1], [0, 1, 1]]
    )
    return {"kernel": ((1 - alpha) * _IDENTITY + alpha * relief).astype(np.float32)}


def _filter_3x3(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    stacked = functional.pad(images, (1, 1, 1, 1), mode="reflect").transpose(0, 1)
    return functional.conv2d(stacked, params["kernel"][:, None], groups=len(images)).transpose(0, 1)


# --- pooling and jitter ------------------------------------------------------------------------------------------


def _draw_pool(rng: np.random.Generator, count: int) -> Params:
    return {"side": rng.integers(2, 5, size=count)}


def _pool(reduce: Callable[[Tensor], Tensor]) -> Callable[[Tensor, dict[str, Tensor], torch.Generator], Tensor]:
    """Blocks of `side` x `side` pixels replaced by one value each."""

    def apply(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        pooled = images.clone()
        rows, columns = images.shape[-2:]
        for side in params["side"].unique().tolist():
            index = torch.nonzero(params["side"] == side)[:, 0]
            below, beside = -rows % side, -columns % side
            padded = functional.pad(images[index], (0, beside, 0, below), mode="replicate")
            tiles = padded.unfold(2, side, side).unfold(3, side, side).flatten(-2)
            coarse = reduce(tiles).repeat_interleave(side, dim=2).repeat_interleave(side, dim=3)
            pooled[index] = coarse[..., :rows, :columns]
        return pooled

    return apply


def _jitter(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Each pixel read up to `amount` pixels away, independently: too fine to move anatomy, so labels stay."""
    rows, columns = images.shape[-2:]
    sides = torch.tensor([columns, rows], dtype=torch.float32, device=images.device)
    identity = torch.eye(2, 3, device=images.device).expand(len(images), 2, 3)
    grid = functional.affine_grid(identity, list(images.shape), align_corners=False)
    wobble = torch.rand(grid.shape, generator=generator, device=images.device) * 2 - 1
    moved = grid + wobble * per_image(params["amount"]) * 2 / sides
    return functional.grid_sample(images, moved, padding_mode="reflection", align_corners=False)


PIXELS: dict[str, Operation] = {
    "invert": Operation(_nothing, _invert),
    "gamma": Operation(_draw_gamma, apply_curve),
    "noise": Operation(_amount(0.005, 0.01), _noise),
    "boxes": Operation(_draw_boxes, _boxes),
    "contrast": Operation(_draw_contrast, apply_curve),
    "gaussian_blur": Operation(_draw_gaussian, _blur),
    "average_blur": Operation(_draw_average, _blur),
    "dropout": Operation(_amount(0.1, 0.15), _dropout),
    "coarse_dropout": Operation(_draw_coarse((0.1, 0.15), (0.1, 0.15)), _coarse_dropout),
    "sharpen": Operation(_draw_sharpen, _filter_3x3),
    "emboss": Operation(_draw_emboss, _filter_3x3),
    "average_pool": Operation(_draw_pool, _pool(lambda tiles: tiles.mean(dim=-1))),
    "max_pool": Operation(_draw_pool, _pool(lambda tiles: tiles.amax(dim=-1))),
    "min_pool": Operation(_draw_pool, _pool(lambda tiles: tiles.amin(dim=-1))),
    "median_pool": Operation(_draw_pool, _pool(lambda tiles: tiles.median(dim=-1).values)),
    "multiply": Operation(_amount(0.5, 1.5), _multiply),
    "multiply_elementwise": Operation(_nothing, _multiply_elementwise),
    "jitter": Operation(_amount(0.5, 3.5), _jitter),
    "salt_pepper": Operation(_amount(0.1, 0.1), _salt_pepper),
    "coarse_salt_pepper": Operation(_draw_coarse((0.05, 0.05), (0.01, 0.1)), _coarse_salt_pepper),
}
