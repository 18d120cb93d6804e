import numpy as np
import pytest
import torch

from synthray.models import encode_heatmaps
from synthray.train import heatmap_loss, mask_loss


def test_mask_loss_is_least_for_the_truth():
    truth = torch.rand(3, 2, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.7
    sure = torch.where(truth, 20.0, -20.0)
    assert mask_loss(sure, truth) < 1e-3
    assert mask_loss(-sure, truth) > 10
    assert mask_loss(torch.zeros_like(sure), truth) > mask_loss(sure / 10, truth)


def test_mask_loss_of_no_structures_and_of_empty_masks_is_finite():
    assert mask_loss(torch.zeros(2, 0, 8, 8), torch.zeros(2, 0, 8, 8, dtype=torch.bool)) == 0
    empty = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    assert mask_loss(torch.full((2, 1, 8, 8), -20.0), empty) < 1e-3


def test_mask_loss_matches_its_formula():
    logits = torch.tensor([[[[0.3, -1.0], [2.0, 0.0]]]])
    truth = torch.tensor([[[[True, False], [True, False]]]])
    p, t = 1 / (1 + np.exp(-logits.numpy())), truth.numpy()
    dice = (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
    expected = -np.log(np.where(t, p, 1 - p)).mean() + 1 - dice
    assert mask_loss(logits, truth).item() == pytest.approx(expected, rel=1e-5)


def test_heatmap_loss_ignores_scale_offset_and_what_is_not_visible():
    targets = encode_heatmaps(torch.tensor([[[10.0, 12.0], [5.0, 6.0]]]), 24, 24, 2.0)
    visible = torch.tensor([[True, True]])
    assert heatmap_loss(targets * 37 - 4, targets, visible) < 1e-5
    assert heatmap_loss(-targets, targets, visible).item() == pytest.approx(2, abs=1e-4)
    spoiled = targets.clone()
    spoiled[0, 1] = torch.rand(24, 24)
    spoiled[0, 1, 0, 0] = float("nan")
    assert heatmap_loss(spoiled, targets, torch.tensor([[True, False]])) < 1e-5


def test_heatmap_loss_with_nothing_visible_has_no_gradient():
    maps = torch.rand(1, 2, 8, 8, requires_grad=True)
    loss = heatmap_loss(maps, torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert (maps.grad == 0).all()
