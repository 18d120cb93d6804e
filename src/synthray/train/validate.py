"""Scores on held-out people during training, at the network's resolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from synthray.models.heatmaps import decode_heatmaps
from synthray.train.batches import BatchSource, to_tensors
from synthray.train.config import TrainConfig
from synthray.train.losses import combined_loss


@dataclass(frozen=True)
class Validation:
    """Scores without augmentation.

    Attributes:
        loss: mean loss.
        dice: structure -> mean Dice over the images that show it; NaN when none does.
        landmark_px: landmark -> median error in network pixels over the images that show it; NaN when none does.
    """

    loss: float
    dice: Mapping[str, float]
    landmark_px: Mapping[str, float]

    @property
    def mean_dice(self) -> float:
        """Mean over the structures that some image shows; NaN when there is none."""
        return _mean([value for value in self.dice.values() if not np.isnan(value)])


@torch.inference_mode()
def validate(network: nn.Module, source: BatchSource, config: TrainConfig, seed: int) -> Validation:
    """Score a network (set to evaluation mode and left there) on the first batches of a source."""
    network.eval()
    device = next(network.parameters()).device
    losses: list[float] = []
    dice: list[torch.Tensor] = []
    errors: list[torch.Tensor] = []
    for number in range(config.validation_batches):
        batch = to_tensors(source.batch(number, config.batch, seed), config.preprocessing, device)
        output = network(batch.images.contiguous(memory_format=torch.channels_last))
        losses.append(float(combined_loss([output], batch, config).total))
        dice.append(_dice(output.masks > 0, batch.masks))
        points, _ = decode_heatmaps(output.heatmaps, config.heatmap_sigma_px)
        distance = (points - batch.landmarks_px).norm(dim=-1)
        errors.append(torch.where(batch.visible, distance, torch.nan).cpu())
    return Validation(
        loss=_mean(losses),
        dice=dict(zip(source.structures, torch.cat(dice).nanmean(dim=0).tolist(), strict=True)),
        landmark_px=dict(zip(source.landmarks, torch.cat(errors).nanmedian(dim=0).values.tolist(), strict=True)),
    )


def _dice(predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """(n, structures) Dice, NaN where the truth is empty."""
    overlap = (predicted & truth).sum(dim=(2, 3)).float()
    size = truth.sum(dim=(2, 3)).float()
    score = 2 * overlap / (predicted.sum(dim=(2, 3)) + size).clamp(min=1)
    return torch.where(size > 0, score, torch.nan).cpu()


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
