"""What vendors' display pipelines do to contrast, beyond the grey-value curves and `local_contrast`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synthray.augment.operation import Operation, Params, per_image, uniform

_TILES = 6
_BINS = 64
_SCALES = 5


def _draw_clahe(rng: np.random.Generator, count: int) -> Params:
    return {"clip": uniform(rng, 1.5, 6, count), "blend": uniform(rng, 0.3, 1, count)}


def _clahe(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) in 6 x 6 tiles, blended in; 0 to 1 only."""
    rows, columns = images.shape[-2:]
    grey = images.clamp(0, 1)
    share = _tile_histograms(grey)
    limit = params["clip"].view(-1, 1, 1, 1) / _BINS
    excess = (share - limit).clamp(min=0).sum(dim=1, keepdim=True)
    rising = functional.pad((share.minimum(limit) + excess / _BINS).cumsum(dim=1), (0, 0, 0, 0, 1, 0))
    # One look-up in value, row and column: knots at the edges of bins and the centres of tiles.
    down, across = ((torch.arange(side, device=images.device) + 0.5) / side for side in (rows, columns))
    tile_row, tile_column = ((place * _TILES - 0.5) / (_TILES - 1) * 2 - 1 for place in (down, across))
    shape = (len(images), rows, columns)
    place = torch.stack([tile_column.expand(shape), tile_row[:, None].expand(shape), grey[:, 0] * 2 - 1], dim=-1)
    looked_up = functional.grid_sample(rising[:, None], place[:, None], padding_mode="border", align_corners=True)
    return torch.lerp(images, looked_up[:, 0], per_image(params["blend"]))


def _tile_histograms(grey: Tensor) -> Tensor:
    """(k, bins, tiles, tiles) share of each tile's pixels in each bin."""
    count, _, rows, columns = grey.shape
    device = grey.device
    tile_row, tile_column = (torch.arange(side, device=device) * _TILES // side for side in (rows, columns))
    image = torch.arange(count, device=device).view(-1, 1, 1)
    place = (grey[:, 0] * _BINS).long().clamp(max=_BINS - 1)
    flat = ((image * _BINS + place) * _TILES + tile_row[:, None]) * _TILES + tile_column
    counts = torch.bincount(flat.flatten(), minlength=count * _BINS * _TILES**2).view(count, _BINS, _TILES, _TILES)
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=1)


def _draw_multiscale(rng: np.random.Generator, count: int) -> Params:
    return {
        "gain": np.exp(uniform(rng, -0.5, 0.7, (count, _SCALES))),
        "power": uniform(rng, 0.6, 1.1, count),
        "flatten": uniform(rng, 0.3, 1.1, count),
    }


def _multiscale(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Detail of five octaves raised or lowered, weak detail more than strong (Vuylsteke & Schoeters 1994)."""
    result = torch.zeros_like(images)
    coarse = images
    for scale in range(_SCALES):
        sides = [max(2, side // 2 ** (scale + 1)) for side in images.shape[-2:]]
        small = functional.interpolate(images, size=sides, mode="bilinear", antialias=True)
        smooth = functional.interpolate(small, size=images.shape[-2:], mode="bilinear")
        detail = coarse - smooth
        typical = 3 * detail.abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)
        # Steeper than the line below the typical size and flatter above it.
        bent = detail.sign() * typical * (detail.abs() / typical + 1e-6) ** per_image(params["power"])
        result = result + bent * per_image(params["gain"][:, scale])
        coarse = smooth
    level = coarse.mean(dim=(1, 2, 3), keepdim=True)
    return result + torch.lerp(level.expand_as(coarse), coarse, per_image(params["flatten"]))


DISPLAY: dict[str, Operation] = {
    "clahe": Operation(_draw_clahe, _clahe),
    "multiscale_contrast": Operation(_draw_multiscale, _multiscale),
}
