"""A compact U-Net for two cores: multi-label masks and landmark heatmaps from one grey image."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthray.models.network import Network, NetworkConfig, convolution, resize_to


def _level(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(convolution(inputs, outputs), convolution(outputs, outputs))


class UNet(Network):
    """Encoder and decoder with skips, two 3 x 3 convolutions a level, BatchNorm, one head for all outputs.

    The default has 1.2 million parameters. Input (n, 1, h, w), both sides a multiple of `config.multiple`.
    """

    def __init__(self, config: NetworkConfig, structures: int, landmarks: int) -> None:
        super().__init__(config, structures)
        widths = config.widths
        self.stem = convolution(1, widths[0], stride=config.stem_stride)
        self.encoder = nn.ModuleList([_level(widths[0], widths[0]), *(_level(a, b) for a, b in pairwise(widths))])
        self.decoder = nn.ModuleList([_level(deep + skip, skip) for skip, deep in reversed(list(pairwise(widths)))])
        self.head = nn.Conv2d(widths[0], structures + landmarks, 1)

    def features(self, images: Tensor) -> Tensor:
        """(n, width, h / stem_stride, w / stem_stride)."""
        features = self.stem(images)
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            features = block(functional.max_pool2d(features, 2) if level else features)
            skips.append(features)
        for block, skip in zip(self.decoder, skips[-2::-1], strict=True):
            features = block(torch.cat([resize_to(features, skip.shape[-2:]), skip], dim=1))
        return features
