"""Losses for masks and landmark heatmaps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Losses(NamedTuple):
    """Scalars: `total` is what is minimised."""

    total: Tensor
    masks: Tensor
    landmarks: Tensor


def mask_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Soft Dice plus binary cross-entropy, mean over structures.

    Dice is taken over the whole batch per structure, so that an image without the structure is no special case.

    Args:
        logits: (n, structures, h, w).
        masks: (n, structures, h, w) bool.
    """
    if logits.shape[1] == 0:
        return logits.new_zeros(())
    truth = masks.to(logits.dtype)
    probability = logits.sigmoid()
    overlap = (probability * truth).sum(dim=(0, 2, 3))
    size = probability.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
    dice = (2 * overlap + 1) / (size + 1)
    return functional.binary_cross_entropy_with_logits(logits, truth) + (1 - dice).mean()


def heatmap_loss(heatmaps: Tensor, targets: Tensor, visible: Tensor) -> Tensor:
    """One minus the normalised cross-correlation with the ideal heatmap (Gao et al. 2023), mean over what is visible.

    Args:
        heatmaps: (n, landmarks, h, w).
        targets: (n, landmarks, h, w).
        visible: (n, landmarks) bool; others don't count, whatever their target holds.
    """
    if not visible.any():
        return heatmaps.sum() * 0
    predicted, ideal = (maps[visible].float().flatten(1) for maps in (heatmaps, targets))
    predicted = predicted - predicted.mean(dim=1, keepdim=True)
    ideal = ideal - ideal.mean(dim=1, keepdim=True)
    norm = predicted.norm(dim=1) * ideal.norm(dim=1)
    return 1 - ((predicted * ideal).sum(dim=1) / norm.clamp(min=1e-6)).mean()


def combined_loss(
    logits: Tensor, heatmaps: Tensor, masks: Tensor, targets: Tensor, visible: Tensor, landmark_weight: float
) -> Losses:
    """Mask loss plus weighted heatmap loss."""
    for_masks = mask_loss(logits.float(), masks)
    for_landmarks = heatmap_loss(heatmaps, targets, visible) if heatmaps.shape[1] else torch.zeros_like(for_masks)
    return Losses(for_masks + landmark_weight * for_landmarks, for_masks, for_landmarks)
