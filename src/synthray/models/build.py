"""From settings to a network."""

from __future__ import annotations

import torch

from synthray.models.network import Network, NetworkConfig
from synthray.models.resunet import ResUNet
from synthray.models.transunet import TransUNet
from synthray.models.unet import UNet

_KINDS: dict[str, type[UNet | ResUNet | TransUNet]] = {"unet": UNet, "resunet": ResUNet, "transunet": TransUNet}


def build_network(config: NetworkConfig, structures: int, landmarks: int) -> Network:
    """A network with random weights (from torch's global generator) in the memory layout that is fastest here."""
    network = _KINDS[config.kind](config, structures, landmarks)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
