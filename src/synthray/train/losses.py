"""Losses for masks and landmark heatmaps. A landmark that is absent or out of view counts in none of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from synthray.models.heatmaps import encode_heatmaps
from synthray.models.network import OUTPUT_GAIN, NetworkOutput
from synthray.train.batches import Tensors
from synthray.train.config import LandmarkLoss, MaskLoss, TrainConfig

_FOCUS = 2.0
_TINY = 1e-12


class Losses(NamedTuple):
    """Scalars: `total` is what is minimised."""

    total: Tensor
    masks: Tensor
    landmarks: Tensor


# --- masks -------------------------------------------------------------------------------------------------------


def mask_loss(logits: Tensor, masks: Tensor, kind: MaskLoss = "dice_bce") -> Tensor:
    """Loss of mask logits, mean over structures.

    `dice_bce` is soft Dice plus binary cross-entropy, `dice` soft Dice alone, `focal` the focal loss of Lin et al.
    (arXiv 1708.02002) with gamma 2.

    Args:
        logits: (n, structures, h, w).
        masks: (n, structures, h, w) bool.
        kind: which loss.
    """
    if logits.shape[1] == 0:
        return logits.new_zeros(())
    truth = masks.to(logits.dtype)
    if kind == "focal":
        return _focal(logits, truth)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth) if kind == "dice_bce" else 0.0
    return entropy + _dice(logits, truth)


def _dice(logits: Tensor, truth: Tensor) -> Tensor:
    """One minus soft Dice over the whole batch, so that an image without the structure is no special case."""
    probability = logits.sigmoid()
    overlap = (probability * truth).sum(dim=(0, 2, 3))
    size = probability.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
    return (1 - (2 * overlap + 1) / (size + 1)).mean()


def _focal(logits: Tensor, truth: Tensor) -> Tensor:
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    # exp(-entropy) is the probability given to the true class.
    return ((1 - torch.exp(-entropy)) ** _FOCUS * entropy).mean()


# --- landmarks ---------------------------------------------------------------------------------------------------


def heatmap_loss(heatmaps: Tensor, targets: Tensor, visible: Tensor) -> Tensor:
    """One minus the normalised cross-correlation with the ideal heatmap (Gao et al. 2023), mean over what is visible.

    Args:
        heatmaps: (n, landmarks, h, w).
        targets: (n, landmarks, h, w).
        visible: (n, landmarks) bool; others don't count, whatever their target holds.
    """
    return landmark_loss(heatmaps, targets, visible, "ncc")


def landmark_loss(heatmaps: Tensor, targets: Tensor, visible: Tensor, kind: LandmarkLoss) -> Tensor:
    """Loss of heatmaps, mean over what is visible.

    `ncc` is one minus the normalised cross-correlation with the ideal heatmap; `mse` the mean squared difference from
    the ideal heatmap times the networks' output gain, near the landmark plus away from it, since its few pixels would
    not count in a plain mean; `soft_argmax` (for heatmaps that are probabilities) the distance of the map's mean
    position from the landmark in half image sides plus the Jensen-Shannon divergence from the ideal heatmap (Nibali
    et al., arXiv 1801.07372).

    Args:
        heatmaps: (n, landmarks, h, w).
        targets: (n, landmarks, h, w) ideal heatmaps.
        visible: (n, landmarks) bool; others don't count, whatever their target holds.
        kind: which loss.
    """
    if not visible.any():
        return heatmaps.sum() * 0
    return _LANDMARK_LOSSES[kind](heatmaps[visible].float(), targets[visible].float()).mean()


def _ncc(predicted: Tensor, ideal: Tensor) -> Tensor:
    predicted, ideal = predicted.flatten(1), ideal.flatten(1)
    predicted = predicted - predicted.mean(dim=1, keepdim=True)
    ideal = ideal - ideal.mean(dim=1, keepdim=True)
    norm = predicted.norm(dim=1) * ideal.norm(dim=1)
    return 1 - (predicted * ideal).sum(dim=1) / norm.clamp(min=1e-6)


def _mse(predicted: Tensor, ideal: Tensor) -> Tensor:
    # Height 1 before the networks' output gain; decoding asks for the shape only.
    error = (predicted / OUTPUT_GAIN - ideal).square()
    return _weighted_mean(error, ideal) + _weighted_mean(error, 1 - ideal)


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum(dim=(1, 2)) / weights.sum(dim=(1, 2)).clamp(min=_TINY)


def _soft_argmax(predicted: Tensor, ideal: Tensor) -> Tensor:
    ideal = ideal / ideal.sum(dim=(1, 2), keepdim=True).clamp(min=_TINY)
    distance = (_mean_position(predicted) - _mean_position(ideal)).square().sum(dim=1).clamp(min=_TINY).sqrt()
    middle = (predicted + ideal) / 2
    return distance + (_divergence(predicted, middle) + _divergence(ideal, middle)) / 2


def _mean_position(maps: Tensor) -> Tensor:
    """(m, 2) mean (column, row) of (m, h, w) probabilities, in half image sides."""
    rows, columns = maps.shape[1:]
    across = torch.linspace(-1, 1, columns, device=maps.device)
    down = torch.linspace(-1, 1, rows, device=maps.device)
    return torch.stack([(maps.sum(dim=1) * across).sum(dim=1), (maps.sum(dim=2) * down).sum(dim=1)], dim=1)


def _divergence(maps: Tensor, other: Tensor) -> Tensor:
    """(m,) Kullback-Leibler divergence."""
    return (maps * (maps.clamp(min=_TINY).log() - other.clamp(min=_TINY).log())).sum(dim=(1, 2))


_LANDMARK_LOSSES: dict[LandmarkLoss, Callable[[Tensor, Tensor], Tensor]] = {
    "ncc": _ncc,
    "mse": _mse,
    "soft_argmax": _soft_argmax,
}


# --- together ----------------------------------------------------------------------------------------------------


def combined_loss(outputs: Sequence[NetworkOutput], data: Tensors, config: TrainConfig) -> Losses:
    """Mask loss plus weighted landmark loss; of several outputs each weighs half as much as the finer one before.

    Args:
        outputs: what the network predicts, the finest first.
        data: the truth.
        config: kinds and weight of the losses, width of the Gaussians.
    """
    rows, columns = data.images.shape[-2:]
    targets = encode_heatmaps(data.landmarks_px, rows, columns, config.heatmap_sigma_px)
    weights = [0.5**level for level in range(len(outputs))]
    each = [_one_output(output, data, targets, config) for output in outputs]
    shares = [weight / sum(weights) for weight in weights]
    total, masks, landmarks = (
        sum((share * part for share, part in zip(shares, parts, strict=True)), torch.zeros_like(parts[0]))
        for parts in zip(*each, strict=True)
    )
    return Losses(total, masks, landmarks)


def _one_output(output: NetworkOutput, data: Tensors, targets: Tensor, config: TrainConfig) -> Losses:
    for_masks = mask_loss(output.masks.float(), data.masks, config.mask_loss)
    for_landmarks = torch.zeros_like(for_masks)
    if output.heatmaps.shape[1]:
        for_landmarks = landmark_loss(output.heatmaps, targets, data.visible, config.landmark_loss)
    return Losses(for_masks + config.landmark_weight * for_landmarks, for_masks, for_landmarks)
