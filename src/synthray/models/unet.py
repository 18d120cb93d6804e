"""A compact U-Net for two cores: multi-label masks and landmark heatmaps from one grey image."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

# AdamW moves each weight of the head by at most the learning rate per step, so logits would take hundreds of steps
# to grow. The factor also keeps the scale-free heatmap loss from drowning the mask loss in the shared features:
# Dice on a toy with both heads after 100 steps rose from 0.4 to 0.97.
_OUTPUT_GAIN = 8.0


class NetworkConfig(BaseModel):
    """The shape of a network; stored with the model.

    Attributes:
        kind: which architecture.
        width: channels at the first level; they double per level up to eight times this.
        levels: resolutions of the encoder, each half of the one before.
        stem_stride: 2 runs everything at half resolution (about four times faster), 1 at full resolution.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["unet"] = "unet"
    width: int = Field(default=16, ge=4, le=256)
    levels: int = Field(default=5, ge=2, le=7)
    stem_stride: Literal[1, 2] = 2

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels per level."""
        return tuple(self.width * min(2**level, 8) for level in range(self.levels))

    @property
    def multiple(self) -> int:
        """The network's input sides must be a multiple of this."""
        return int(self.stem_stride * 2 ** (self.levels - 1))


class NetworkOutput(NamedTuple):
    """What every network returns, at the size of its input.

    Attributes:
        masks: (n, structures, h, w) logits; structures may overlap, each has its own sigmoid.
        heatmaps: (n, landmarks, h, w); only the shape counts, not scale or offset.
    """

    masks: Tensor
    heatmaps: Tensor


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _level(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, outputs), _convolution(outputs, outputs))


class UNet(nn.Module):
    """Encoder and decoder with skips, two 3 x 3 convolutions a level, BatchNorm, one head for all outputs.

    The default has 1.2 million parameters. Input (n, 1, h, w), both sides a multiple of `config.multiple`.
    """

    def __init__(self, config: NetworkConfig, structures: int, landmarks: int) -> None:
        super().__init__()
        widths = config.widths
        self.structures = structures
        self.stem = _convolution(1, widths[0], stride=config.stem_stride)
        self.encoder = nn.ModuleList([_level(widths[0], widths[0]), *(_level(a, b) for a, b in pairwise(widths))])
        self.decoder = nn.ModuleList([_level(deep + skip, skip) for skip, deep in reversed(list(pairwise(widths)))])
        self.head = nn.Conv2d(widths[0], structures + landmarks, 1)

    def forward(self, images: Tensor) -> NetworkOutput:
        """Logits and heatmaps of (n, 1, h, w) normalised images."""
        features = self.stem(images)
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            features = block(functional.max_pool2d(features, 2) if level else features)
            skips.append(features)
        for block, skip in zip(self.decoder, skips[-2::-1], strict=True):
            features = block(torch.cat([_to_size_of(features, skip), skip], dim=1))
        maps = _to_size_of(_OUTPUT_GAIN * self.head(features), images)
        return NetworkOutput(maps[:, : self.structures], maps[:, self.structures :])


def _to_size_of(features: Tensor, other: Tensor) -> Tensor:
    if features.shape[-2:] == other.shape[-2:]:
        return features
    return functional.interpolate(features, size=other.shape[-2:], mode="bilinear")


def build_network(config: NetworkConfig, structures: int, landmarks: int) -> nn.Module:
    """A network with random weights (from torch's global generator) in the memory layout that is fastest here."""
    network = UNet(config, structures, landmarks)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
