"""Changes of look beyond the paper: grey-value curves, slow fields, local contrast, random filters, resolution."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from synthray.augment.intensity import apply_curve
from synthray.augment.operation import Operation, Params, per_image, uniform

_CHANNELS = 2
_LAYERS = 3


def _draw_curve(rng: np.random.Generator, count: int) -> Params:
    """A rising curve from 0 to 1 per image: gamma, logarithm, sigmoid or six random knots."""
    x = np.linspace(0, 1, 256, dtype=np.float32)
    bend = np.exp(uniform(rng, 0, 3.5, (count, 1)))
    gain, cutoff = uniform(rng, 3, 12, (count, 1)), uniform(rng, 0.25, 0.75, (count, 1))
    sigmoid = 1 / (1 + np.exp(gain * (cutoff - x)))
    curves = np.stack(
        [
            x ** np.exp(uniform(rng, -1, 1, (count, 1))),
            np.log1p(bend * x) / np.log1p(bend),
            1 - np.log1p(bend * (1 - x)) / np.log1p(bend),
            (sigmoid - sigmoid[:, :1]) / (sigmoid[:, -1:] - sigmoid[:, :1]),
            _knots(rng, count, x),
        ]
    )
    return {"curve": curves[rng.integers(len(curves), size=count), np.arange(count)].astype(np.float32)}


def _knots(rng: np.random.Generator, count: int, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    rise = rng.exponential(size=(count, 6)) + 0.05
    heights = np.concatenate([np.zeros((count, 1)), rise.cumsum(axis=1)], axis=1) / rise.sum(axis=1, keepdims=True)
    return np.stack([np.interp(x, np.linspace(0, 1, 7), height) for height in heights])


def _draw_field(rng: np.random.Generator, count: int) -> Params:
    """A slow random field, and a vignette around a random centre."""
    return {
        "field": rng.normal(0, 1, size=(count, 1, 4, 4)).astype(np.float32),
        "strength": uniform(rng, 0.03, 0.2, count),
        "center": uniform(rng, -0.4, 0.4, (count, 2)),
        "vignette": uniform(rng, -0.3, 0.3, count) * (rng.random(count) < 0.5),
    }


def _bias_field(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    rows, columns = images.shape[-2:]
    field = functional.interpolate(params["field"], size=(rows, columns), mode="bicubic", align_corners=True)
    down = torch.linspace(-1, 1, rows, device=images.device).view(1, 1, -1, 1) - per_image(params["center"][:, 1])
    across = torch.linspace(-1, 1, columns, device=images.device).view(1, 1, 1, -1) - per_image(params["center"][:, 0])
    radius = down.square() + across.square()
    change = field * per_image(params["strength"]) + radius * per_image(params["vignette"])
    # Half as a factor (gain, heel effect), half as an addition (scatter), so that dark parts change too.
    return images * torch.exp(change / 2) + change / 2


def _draw_local(rng: np.random.Generator, count: int) -> Params:
    return {
        "scale": rng.integers(2, 5, size=count),
        "flatten": uniform(rng, 0, 0.8, count),
        "sharpen": uniform(rng, 0, 2, count),
        "equalise": uniform(rng, 0, 0.7, count) * (rng.random(count) < 0.5),
    }


def _smooth(images: Tensor, cell: int) -> Tensor:
    """A wide low-pass: means of cells, smoothly interpolated."""
    rows, columns = images.shape[-2:]
    coarse = functional.interpolate(
        images, size=(max(2, rows // cell), max(2, columns // cell)), mode="bilinear", antialias=True
    )
    return functional.interpolate(coarse, size=(rows, columns), mode="bilinear")


def _local_contrast(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Large-scale brightness drawn to its mean, detail raised, local contrast evened out."""
    result = images.clone()
    # Cells of an eighth, a sixteenth or a 32nd of the side.
    for scale in params["scale"].unique().tolist():
        index = torch.nonzero(params["scale"] == scale)[:, 0]
        part = images[index]
        mean = _smooth(part, max(2, min(part.shape[-2:]) >> (scale + 1)))
        detail = part - mean
        spread = _smooth(detail.square(), max(2, min(part.shape[-2:]) >> scale)).clamp(min=1e-6).sqrt()
        typical = spread.mean(dim=(1, 2, 3), keepdim=True)
        evened = detail * (typical * 1.2 / (spread + 0.2 * typical)) ** per_image(params["equalise"][index])
        level = part.mean(dim=(1, 2, 3), keepdim=True)
        base = torch.lerp(mean, level.expand_as(mean), per_image(params["flatten"][index]))
        result[index] = base + evened * (1 + per_image(params["sharpen"][index]))
    return result


def _draw_convolution(rng: np.random.Generator, count: int) -> Params:
    """Random 1 x 1 or 3 x 3 kernels of a narrow network, and how much of its output is blended in."""
    kernels = rng.normal(0, 1, size=(count, _LAYERS, _CHANNELS, _CHANNELS, 3, 3)).astype(np.float32)
    narrow = rng.random((count, _LAYERS)) < 0.5
    point = np.zeros((3, 3), dtype=np.float32)
    point[1, 1] = 1
    kernels = np.where(narrow[:, :, None, None, None, None], kernels * point, kernels)
    shift = rng.normal(0, 0.5, size=(count, _LAYERS, _CHANNELS)).astype(np.float32)
    return {"kernels": kernels, "shift": shift, "blend": uniform(rng, 0.1, 0.9, count)}


def _random_convolution(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Blend of each image and its random filtering, which has the image's mean and spread (Ouyang et al. 2021)."""
    count, _, rows, columns = images.shape
    mean, spread = images.mean(dim=(2, 3), keepdim=True), images.std(dim=(2, 3), keepdim=True)
    features = ((images - mean) / spread.clamp(min=1e-6)).expand(count, _CHANNELS, rows, columns)
    features = features.reshape(1, count * _CHANNELS, rows, columns)
    for layer in range(_LAYERS):
        kernel = params["kernels"][:, layer].reshape(count * _CHANNELS, _CHANNELS, 3, 3)
        features = functional.conv2d(features, kernel, params["shift"][:, layer].flatten(), padding=1, groups=count)
        features = functional.leaky_relu(features, 0.2) if layer < _LAYERS - 1 else features
    filtered = features.view(count, _CHANNELS, rows, columns).mean(dim=1, keepdim=True)
    center, width = filtered.mean(dim=(2, 3), keepdim=True), filtered.std(dim=(2, 3), keepdim=True)
    matched = (filtered - center) / width.clamp(min=1e-6) * spread + mean
    return torch.lerp(images, matched, per_image(params["blend"]))


def _draw_fourier(rng: np.random.Generator, count: int) -> Params:
    return {
        "field": rng.normal(0, 1, size=(count, 1, 9, 5)).astype(np.float32),
        "strength": uniform(rng, 0.1, 0.6, count),
    }


def _fourier(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Amplitudes of all frequencies but the mean changed by a smooth random factor, phases kept."""
    spectrum = torch.fft.rfft2(images)
    rows, columns = spectrum.shape[-2:]
    field = functional.interpolate(params["field"], size=(rows, columns), mode="bilinear", align_corners=True)
    gain = torch.exp(field * per_image(params["strength"]))
    gain[..., 0, 0] = 1
    return torch.fft.irfft2(spectrum * gain, s=images.shape[-2:])


def _draw_resolution(rng: np.random.Generator, count: int) -> Params:
    return {"side": rng.integers(2, 5, size=count)}


def _low_resolution(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    result = images.clone()
    for side in params["side"].unique().tolist():
        index = torch.nonzero(params["side"] == side)[:, 0]
        result[index] = _smooth(images[index], side)
    return result


APPEARANCE: dict[str, Operation] = {
    "curve": Operation(_draw_curve, apply_curve),
    "bias_field": Operation(_draw_field, _bias_field),
    "local_contrast": Operation(_draw_local, _local_contrast),
    "random_convolution": Operation(_draw_convolution, _random_convolution),
    "fourier": Operation(_draw_fourier, _fourier),
    "low_resolution": Operation(_draw_resolution, _low_resolution),
}
