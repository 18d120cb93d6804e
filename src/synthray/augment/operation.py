"""The shape of an operation on pixels: choices drawn with NumPy, applied with torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Params = dict[str, npt.NDArray[Any]]


class Operation(NamedTuple):
    """An operation on the grey values of some images.

    Attributes:
        draw: (generator, k) -> its choices for k images, float32 or int64 arrays with a first axis of k.
        apply: ((k, 1, h, w) images, choices, generator for pixel noise) -> images.
    """

    draw: Callable[[np.random.Generator, int], Params]
    apply: Callable[[Tensor, dict[str, Tensor], torch.Generator], Tensor]


class Frame(NamedTuple):
    """An operation that covers part of the image; `apply` also returns (k, 1, h, w) bool, true where uncovered."""

    draw: Callable[[np.random.Generator, int], Params]
    apply: Callable[[Tensor, dict[str, Tensor], torch.Generator], tuple[Tensor, Tensor]]


def uniform(rng: np.random.Generator, low: float, high: float, shape: int | tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Uniform float32 numbers."""
    return rng.uniform(low, high, size=shape).astype(np.float32)


def per_image(values: Tensor) -> Tensor:
    """(k,) as (k, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


def random_like(images: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform numbers in 0 to 1 of the images' shape."""
    return torch.rand(images.shape, generator=generator, device=images.device)


def normal_like(images: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of the images' shape."""
    return torch.randn(images.shape, generator=generator, device=images.device)
