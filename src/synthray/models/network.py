"""What all networks share: their settings, their output, and how it is made from features."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

# AdamW moves each weight of the head by at most the learning rate per step, so logits would take hundreds of steps
# to grow. The factor also keeps the scale-free heatmap loss from drowning the mask loss in the shared features:
# Dice on a toy with both heads after 100 steps rose from 0.4 to 0.97.
OUTPUT_GAIN = 8.0


class TransUNetConfig(BaseModel):
    """Sizes of a TransUNet; the defaults are R50-ViT-B/16 (Chen et al., arXiv 2102.04306) for 384 px images.

    Attributes:
        width: channels of the ResNet's root; its stages have 4, 8 and 16 times as many.
        units: bottleneck units of the three stages.
        hidden: width of the transformer.
        mlp: width of its hidden layers.
        heads: attention heads.
        layers: transformer blocks.
        decoder: channels of the four decoder stages.
        grid: side of the grid of position embeddings, one per 16 px; resampled for inputs of another size.
        dropout: of the transformer, in training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(default=64, ge=4, le=256)
    units: tuple[int, int, int] = (3, 4, 9)
    hidden: int = Field(default=768, ge=8, le=4096)
    mlp: int = Field(default=3072, ge=8, le=16384)
    heads: int = Field(default=12, ge=1, le=64)
    layers: int = Field(default=12, ge=1, le=64)
    decoder: tuple[int, int, int, int] = (256, 128, 64, 16)
    grid: int = Field(default=24, ge=2, le=128)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if min(self.units) < 1 or min(self.decoder) < 1:
            raise ValueError("units and decoder need at least 1 everywhere")
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        return self


class NetworkConfig(BaseModel):
    """The shape of a network; stored with the model.

    Attributes:
        kind: `unet` (compact), `resunet` (residual blocks, deeper) or `transunet` (its sizes are in `transunet`).
        width: channels at the first level; they double per level up to eight times this.
        levels: resolutions of the encoder, each half of the one before.
        stem_stride: 2 runs everything at half resolution (about four times faster), 1 at full resolution.
        blocks: residual blocks per encoder level, `resunet` only.
        deep_supervision: coarser decoder levels are trained to predict as well, `resunet` only.
        heatmap: `linear`, or `softmax` for heatmaps that are probabilities over the pixels.
        transunet: sizes of `transunet`, which fields about width and depth don't concern.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["unet", "resunet", "transunet"] = "unet"
    width: int = Field(default=16, ge=4, le=256)
    levels: int = Field(default=5, ge=2, le=7)
    stem_stride: Literal[1, 2] = 2
    blocks: int = Field(default=2, ge=1, le=12)
    deep_supervision: bool = False
    heatmap: Literal["linear", "softmax"] = "linear"
    transunet: TransUNetConfig = TransUNetConfig()

    @model_validator(mode="after")
    def _concerned(self) -> Self:
        """Refuse a setting that the kind of network does not have, rather than ignore it."""
        foreign: dict[str, tuple[str, ...]] = {
            "unet": ("blocks", "deep_supervision", "transunet"),
            "resunet": ("transunet",),
            "transunet": ("width", "levels", "stem_stride", "blocks", "deep_supervision"),
        }
        for name in foreign[self.kind]:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"'{name}' does not concern a {self.kind}; leave it out")
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels per level."""
        return tuple(self.width * min(2**level, 8) for level in range(self.levels))

    @property
    def multiple(self) -> int:
        """The network's input sides must be a multiple of this."""
        return 16 if self.kind == "transunet" else int(self.stem_stride * 2 ** (self.levels - 1))


class NetworkOutput(NamedTuple):
    """What every network returns, at the size of its input.

    Attributes:
        masks: (n, structures, h, w) logits; structures may overlap, each has its own sigmoid.
        heatmaps: (n, landmarks, h, w); only the shape counts, not scale or offset.
    """

    masks: Tensor
    heatmaps: Tensor


class Network(nn.Module):
    """From (n, 1, h, w) normalised images to features and from there to masks and heatmaps.

    Subclasses give `features` and a `head` from features to structures + landmarks.
    """

    head: nn.Module

    def __init__(self, config: NetworkConfig, structures: int) -> None:
        super().__init__()
        self.structures = structures
        self.softmax = config.heatmap == "softmax"

    def features(self, images: Tensor) -> Tensor:
        """The decoder's last features, (n, channels, h', w'), at the images' size or half of it."""
        raise NotImplementedError

    def output(self, features: Tensor, size: torch.Size) -> NetworkOutput:
        """Logits and heatmaps of features, at a size."""
        return self.split(resize_to(OUTPUT_GAIN * self.head(features), size))

    def split(self, maps: Tensor) -> NetworkOutput:
        """The head's channels as masks and heatmaps."""
        masks, heatmaps = maps[:, : self.structures], maps[:, self.structures :]
        if self.softmax:
            heatmaps = heatmaps.float().flatten(2).softmax(dim=2).view(heatmaps.shape)
        return NetworkOutput(masks, heatmaps)

    def forward(self, images: Tensor) -> NetworkOutput:
        """Logits and heatmaps."""
        return self.output(self.features(images), images.shape[-2:])

    def supervised(self, images: Tensor) -> tuple[NetworkOutput, ...]:
        """All outputs that are trained, the finest (that of `forward`) first."""
        return (self(images),)


def resize_to(features: Tensor, size: torch.Size) -> Tensor:
    """(n, channels, h, w) bilinearly at another size."""
    if features.shape[-2:] == size:
        return features
    return functional.interpolate(features, size=size, mode="bilinear")


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution, BatchNorm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
