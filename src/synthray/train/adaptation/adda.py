"""ADDA: a network's features on unlabelled images made like those of the source network on simulated ones."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthray.models import Model, Network, Preprocessing
from synthray.train.adaptation.config import AddaConfig
from synthray.train.adaptation.session import Losses
from synthray.train.batches import BatchSource, to_tensors
from synthray.train.unlabelled import Unlabelled

_WIDTHS = (16, 8, 4, 1)


def feature_discriminator(channels: int) -> nn.Sequential:
    """Four 3 x 3 convolutions, a score per pixel of the features, higher for simulated."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip((channels, *_WIDTHS[:-1]), _WIDTHS, strict=True):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


def relativistic_loss(simulated: Tensor, real: Tensor) -> Tensor:
    """Of scores: simulated ones should lie above the mean real one, and the reverse (arXiv 1807.00734, RaSGAN)."""
    above, below = simulated - real.mean(), real - simulated.mean()
    return functional.softplus(-above).mean() + functional.softplus(below).mean()


@dataclass(eq=False)
class Adda:
    """Source and target network and the discriminator between their features; `step` is one step.

    Attributes:
        config: settings.
        preprocessing: of the model.
        source_network: as it was trained, fixed.
        network: starts as a copy and is adapted, all but its head.
        discriminator: on the decoder's last features.
        optimiser, discriminator_optimiser: of the two.
        images: unlabelled.
        source: simulated images; their labels are not used.
        seed: of the batches.
    """

    config: AddaConfig
    preprocessing: Preprocessing
    source_network: Network
    network: Network
    discriminator: nn.Sequential
    optimiser: torch.optim.Optimizer
    discriminator_optimiser: torch.optim.Optimizer
    images: Unlabelled
    source: BatchSource
    seed: int

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is saved beside the optimisers."""
        return {"network": self.network, "discriminator": self.discriminator}

    @property
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Saved with their moments."""
        return {"optimiser": self.optimiser, "discriminator_optimiser": self.discriminator_optimiser}

    @property
    def adapted(self) -> Network:
        """The model to be."""
        return self.network

    def step(self, number: int) -> Losses:
        """One step of the discriminator or of the network."""
        config = self.config
        device = next(self.network.parameters()).device
        self.network.train()
        batch = self.source.batch(number, config.batch, self.seed)
        simulated = to_tensors(batch, self.preprocessing, device).images
        real = self.images.batch(number, config.batch, self.seed).to(device)
        with torch.no_grad():
            source_features = self.source_network.features(simulated)
        if number % (config.discriminator_steps + config.network_steps) < config.discriminator_steps:
            with torch.no_grad():
                features = self.network.features(real)
            loss = relativistic_loss(self.discriminator(source_features), self.discriminator(features))
            _descend(self.discriminator_optimiser, loss)
            return {"discriminator": float(loss.detach())}
        features = self.network.features(real)
        # The same loss with the names swapped.
        loss = relativistic_loss(self.discriminator(features), self.discriminator(source_features))
        _descend(self.optimiser, loss)
        return {"network": float(loss.detach())}


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def start_adda(model: Model, images: Unlabelled, source: BatchSource, config: AddaConfig, seed: int) -> Adda:
    """Networks and optimisers before the first step."""
    network = copy.deepcopy(model.network)
    with torch.inference_mode():
        channels = network.eval().features(images.images[:1].to(model.device)).shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        discriminator = feature_discriminator(channels).to(model.device)
    head = {id(p) for p in network.head.parameters()}
    adapted = [p for p in network.parameters() if id(p) not in head]
    return Adda(
        config=config,
        preprocessing=model.spec.preprocessing,
        source_network=model.network,
        network=network,
        discriminator=discriminator,
        optimiser=torch.optim.Adam(adapted, lr=config.lr),
        discriminator_optimiser=torch.optim.Adam(discriminator.parameters(), lr=config.discriminator_lr),
        images=images,
        source=source,
        seed=seed,
    )
