"""A residual U-Net after nnU-Net's residual encoder (Isensee et al., arXiv 2404.09556), with deep supervision."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthray.models.network import OUTPUT_GAIN, Network, NetworkConfig, NetworkOutput, convolution, resize_to

# The coarsest decoder levels see too little to be worth a loss.
_SUPERVISED_LEVELS = 3


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al., arXiv 1512.03385, variant D: pooled, then 1 x 1)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs, stride)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))
        shortcut: list[nn.Module] = [nn.AvgPool2d(stride)] if stride > 1 else []
        if inputs != outputs:
            shortcut += [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, features: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h / stride, w / stride)."""
        return functional.relu(self.second(self.first(features)) + self.shortcut(features))


def _level(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        ResidualBlock(inputs, outputs, stride), *(ResidualBlock(outputs, outputs) for _ in range(blocks - 1))
    )


class ResUNet(Network):
    """Residual encoder (strided, `config.blocks` a level), a decoder of one convolution a level, BatchNorm.

    With `config.deep_supervision` the two decoder levels below the last have heads of their own in training.
    Input (n, 1, h, w), both sides a multiple of `config.multiple`.
    """

    def __init__(self, config: NetworkConfig, structures: int, landmarks: int) -> None:
        super().__init__(config, structures)
        widths = config.widths
        self.stem = convolution(1, widths[0], stride=config.stem_stride)
        deeper = [_level(a, b, config.blocks, stride=2) for a, b in pairwise(widths)]
        self.encoder = nn.ModuleList([_level(widths[0], widths[0], config.blocks, stride=1), *deeper])
        steps = list(reversed(list(pairwise(widths))))
        self.decoder = nn.ModuleList([convolution(deep + skip, skip) for skip, deep in steps])
        self.head = nn.Conv2d(widths[0], structures + landmarks, 1)
        coarser = widths[1 : min(_SUPERVISED_LEVELS, len(steps))] if config.deep_supervision else ()
        self.coarse_heads = nn.ModuleList([nn.Conv2d(width, structures + landmarks, 1) for width in coarser])

    def _decoded(self, images: Tensor) -> list[Tensor]:
        """Features of all decoder levels, the finest first."""
        features = self.stem(images)
        skips: list[Tensor] = []
        for block in self.encoder:
            features = block(features)
            skips.append(features)
        levels: list[Tensor] = []
        for block, skip in zip(self.decoder, skips[-2::-1], strict=True):
            features = block(torch.cat([resize_to(features, skip.shape[-2:]), skip], dim=1))
            levels.append(features)
        return levels[::-1]

    def features(self, images: Tensor) -> Tensor:
        """(n, width, h / stem_stride, w / stem_stride)."""
        return self._decoded(images)[0]

    def supervised(self, images: Tensor) -> tuple[NetworkOutput, ...]:
        """Outputs of the finest decoder levels, all at the images' size."""
        size = images.shape[-2:]
        finest, *coarser = self._decoded(images)
        pairs = zip(self.coarse_heads, coarser, strict=False)
        coarse = (self.split(resize_to(OUTPUT_GAIN * head(level), size)) for head, level in pairs)
        return (self.output(finest, size), *coarse)
