"""AdaBN: normalisation statistics re-estimated on the images that a model will meet (Li et al., arXiv 1603.04779)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from synthray.errors import InputError
from synthray.models.network import Network


def batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    """Its BatchNorm layers."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.no_grad()
def with_statistics_of(network: Network, images: Tensor, batch: int = 16, share: float = 1.0) -> Network:
    """A copy of a network whose BatchNorm layers have the mean and variance of these images.

    Weights stay as they are; nothing but the images is used.

    Args:
        network: any with BatchNorm layers.
        images: (n, 1, h, w) normalised, at least two.
        batch: images per pass.
        share: weight of the new statistics against the old.

    Raises:
        InputError: the network has no BatchNorm, or there are fewer than two images.
    """
    if not batch_norms(network):
        raise InputError("this network has no BatchNorm layers, so adabn can change nothing in it")
    if len(images) < 2:
        raise InputError("statistics need at least two unlabelled images")
    adapted = copy.deepcopy(network).eval()
    layers = batch_norms(adapted)
    before = [(layer.running_mean.clone(), layer.running_var.clone()) for layer in layers]  # type: ignore[union-attr]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    device = next(adapted.parameters()).device
    # Parts of nearly equal size, since each counts the same.
    for part in torch.tensor_split(images, -(-len(images) // batch)):
        adapted(part.to(device).contiguous(memory_format=torch.channels_last))
    for layer, original, (mean, variance) in zip(layers, batch_norms(network), before, strict=True):
        layer.momentum = original.momentum
        layer.running_mean.lerp_(mean, 1 - share)  # type: ignore[union-attr]
        layer.running_var.lerp_(variance, 1 - share)  # type: ignore[union-attr]
    return adapted.eval()


@contextmanager
def kept_statistics(network: nn.Module) -> Iterator[None]:
    """Within, passes in training mode leave the running statistics as they are."""
    layers = batch_norms(network)
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
