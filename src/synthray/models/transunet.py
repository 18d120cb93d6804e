"""TransUNet, R50-ViT-B/16 hybrid encoder and cascaded decoder (Chen et al., arXiv 2102.04306), written from its facts.

The one difference from the public PyTorch code: its 3 x 3 max-pool drops the last row and column and pads the skip
with zeros; here the pool is padded, as in the JAX original that the public weights were trained with.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthray.models.network import Network, NetworkConfig, TransUNetConfig, convolution, resize_to

_SKIP_HEAD = 512
_WIDTH_OF_B16 = 64


class StandardisedConv2d(nn.Conv2d):
    """Convolution without bias whose filters have mean 0 and variance 1 (Qiao et al., arXiv 1903.10520)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Convolve."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        weight = (self.weight - mean) / torch.sqrt(variance + 1e-5)
        return functional.conv2d(features, weight, stride=self.stride, padding=self.padding)


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, channels), channels, eps=1e-6)


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 convolutions with GroupNorm beside a shortcut."""

    def __init__(self, inputs: int, middle: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * middle
        self.conv1, self.gn1 = StandardisedConv2d(inputs, middle, 1), _group_norm(middle)
        self.conv2, self.gn2 = StandardisedConv2d(middle, middle, 3, stride), _group_norm(middle)
        self.conv3, self.gn3 = StandardisedConv2d(middle, outputs, 1), _group_norm(outputs)
        self.projected = stride != 1 or inputs != outputs
        if self.projected:
            self.conv_proj = StandardisedConv2d(inputs, outputs, 1, stride)
            self.gn_proj = nn.GroupNorm(outputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, 4 middle, h / stride, w / stride)."""
        shortcut = self.gn_proj(self.conv_proj(features)) if self.projected else features
        features = functional.relu(self.gn1(self.conv1(features)))
        features = functional.relu(self.gn2(self.conv2(features)))
        return functional.relu(shortcut + self.gn3(self.conv3(features)))


class ResNetV2(nn.Module):
    """The convolutional half of the encoder: images of three channels to features of a sixteenth of their size."""

    def __init__(self, config: TransUNetConfig) -> None:
        super().__init__()
        width = config.width
        self.root, self.gn_root = StandardisedConv2d(3, width, 7, 2), _group_norm(width)
        stages = []
        inputs = width
        for stage, units in enumerate(config.units):
            middle = width * 2**stage
            strides = [1 if stage == 0 else 2, *[1] * (units - 1)]
            blocks = [Bottleneck(inputs if i == 0 else 4 * middle, middle, stride) for i, stride in enumerate(strides)]
            stages.append(nn.Sequential(*blocks))
            inputs = 4 * middle
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features at 1/16, and skips at 1/8, 1/4 and 1/2."""
        features = functional.relu(self.gn_root(self.root(images)))
        skips = [features]
        # Not negative after the ReLU, so that zeros never win.
        features = functional.max_pool2d(functional.pad(features, (0, 1, 0, 1)), 3, stride=2)
        for stage in self.stages:
            features = stage(features)
            skips.append(features)
        return skips[-1], skips[-2::-1]


class Attention(nn.Module):
    """Multi-head self-attention over tokens."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.value, self.out = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, tokens, hidden) -> the same."""
        parts = (
            layer(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        return self.out(functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """Attention and a two-layer perceptron, each after a LayerNorm and beside a shortcut."""

    def __init__(self, config: TransUNetConfig) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(config.hidden, eps=1e-6)
        self.attention = Attention(config.hidden, config.heads)
        self.norm_mlp = nn.LayerNorm(config.hidden, eps=1e-6)
        self.fc1, self.fc2 = nn.Linear(config.hidden, config.mlp), nn.Linear(config.mlp, config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        for layer in (self.fc1, self.fc2):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, tokens, hidden) -> the same."""
        tokens = tokens + self.attention(self.norm_attention(tokens))
        inner = self.dropout(functional.gelu(self.fc1(self.norm_mlp(tokens))))
        return tokens + self.dropout(self.fc2(inner))


class _Head(nn.Module):
    """3 x 3 convolution for the masks, 1 x 1 for the heatmaps."""

    def __init__(self, inputs: int, structures: int, landmarks: int) -> None:
        super().__init__()
        self.masks = nn.Conv2d(inputs, structures, 3, padding=1) if structures else None
        self.heatmaps = nn.Conv2d(inputs, landmarks, 1) if landmarks else None

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([head(features) for head in (self.masks, self.heatmaps) if head is not None], dim=1)


class TransUNet(Network):
    """ResNet, transformer on its coarsest features, cascaded decoder; 105.6 million parameters by default.

    Input (n, 1, h, w), both sides a multiple of 16; the grey channel is given three times, as the public weights need.
    """

    def __init__(self, config: NetworkConfig, structures: int, landmarks: int) -> None:
        super().__init__(config, structures)
        sizes = config.transunet
        self.resnet = ResNetV2(sizes)
        self.embedding = nn.Conv2d(16 * sizes.width, sizes.hidden, 1)
        self.position = nn.Parameter(torch.zeros(1, sizes.hidden, sizes.grid, sizes.grid))
        self.dropout = nn.Dropout(sizes.dropout)
        self.blocks = nn.Sequential(*(TransformerBlock(sizes) for _ in range(sizes.layers)))
        self.norm = nn.LayerNorm(sizes.hidden, eps=1e-6)
        bridge = max(1, _SKIP_HEAD * sizes.width // _WIDTH_OF_B16)
        self.bridge = convolution(sizes.hidden, bridge)
        inputs = (bridge, *sizes.decoder[:3])
        skips = (8 * sizes.width, 4 * sizes.width, sizes.width, 0)
        self.decoder = nn.ModuleList(
            [
                nn.Sequential(convolution(a + skip, b), convolution(b, b))
                for a, skip, b in zip(inputs, skips, sizes.decoder, strict=True)
            ]
        )
        self.head = _Head(sizes.decoder[3], structures, landmarks)

    def features(self, images: Tensor) -> Tensor:
        """(n, decoder[3], h, w)."""
        coarse, skips = self.resnet(images.expand(-1, 3, -1, -1))
        embedded = self.embedding(coarse)
        embedded = embedded + resize_to(self.position, embedded.shape[-2:])
        tokens = self.norm(self.blocks(self.dropout(embedded.flatten(2).transpose(1, 2))))
        features = self.bridge(tokens.transpose(1, 2).unflatten(2, embedded.shape[-2:]))
        for block, skip in zip(self.decoder, (*skips, None), strict=True):
            features = functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=True)
            features = block(features if skip is None else torch.cat([features, skip], dim=1))
        return features
