import numpy as np
import pytest
import torch

from synthray.models import NetworkOutput, encode_heatmaps
from synthray.models.network import OUTPUT_GAIN
from synthray.train import TrainConfig, heatmap_loss, landmark_loss, mask_loss
from synthray.train.batches import Tensors
from synthray.train.losses import combined_loss

MASK_LOSSES = ("dice_bce", "dice", "focal")
LANDMARK_LOSSES = ("ncc", "mse", "soft_argmax")


@pytest.mark.parametrize(("kind", "worst"), [("dice_bce", 10), ("dice", 0.99), ("focal", 10)])
def test_mask_loss_is_least_for_the_truth(kind, worst):
    truth = torch.rand(3, 2, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.7
    sure = torch.where(truth, 20.0, -20.0)
    assert mask_loss(sure, truth, kind) < 1e-3
    assert mask_loss(-sure, truth, kind) > worst
    assert mask_loss(torch.zeros_like(sure), truth, kind) > mask_loss(sure / 10, truth, kind)


@pytest.mark.parametrize("kind", MASK_LOSSES)
def test_mask_loss_of_no_structures_and_of_empty_masks_is_finite(kind):
    assert mask_loss(torch.zeros(2, 0, 8, 8), torch.zeros(2, 0, 8, 8, dtype=torch.bool), kind) == 0
    empty = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    logits = torch.full((2, 1, 8, 8), -20.0, requires_grad=True)
    loss = mask_loss(logits, empty, kind)
    loss.backward()
    assert loss < 1e-3
    assert torch.isfinite(logits.grad).all()


def test_focal_loss_matches_its_formula():
    logits = torch.tensor([[[[0.3, -1.0], [2.0, 0.0]]]])
    truth = torch.tensor([[[[True, False], [True, False]]]])
    p = 1 / (1 + np.exp(-logits.numpy()))
    right = np.where(truth.numpy(), p, 1 - p)
    assert mask_loss(logits, truth, "focal").item() == pytest.approx(
        (-((1 - right) ** 2) * np.log(right)).mean(), rel=1e-5
    )


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


def ideal(column, row, kind="ncc", size=24):
    """What a network should put out: any scale for ncc, the output gain for mse, a sum of 1 for soft_argmax."""
    maps = encode_heatmaps(torch.tensor([[[column, row]]]), size, size, 2.0)
    return {"ncc": maps, "mse": maps * OUTPUT_GAIN, "soft_argmax": maps / maps.sum()}[kind]


@pytest.mark.parametrize("kind", LANDMARK_LOSSES)
def test_landmark_loss_falls_on_the_way_to_the_truth(kind):
    targets = ideal(12.3, 11.0)
    seen = torch.ones(1, 1, dtype=torch.bool)
    away = [landmark_loss(ideal(12.3 + d, 11.0, kind), targets, seen, kind).item() for d in (8.0, 4.0, 1.0, 0.0)]
    assert away == sorted(away, reverse=True)
    assert away[-1] == pytest.approx(0, abs=1e-4)
    assert away[0] < 3


@pytest.mark.parametrize("kind", LANDMARK_LOSSES)
def test_absent_landmarks_count_in_no_loss(kind):
    targets = torch.cat([ideal(10.0, 12.0), ideal(5.0, 5.0)], dim=1)
    maps = torch.cat([ideal(11.0, 12.0, kind), torch.rand(1, 1, 24, 24)], dim=1).requires_grad_()
    both = landmark_loss(maps, targets, torch.tensor([[True, False]]), kind)
    both.backward()
    assert both == landmark_loss(maps[:, :1], targets[:, :1], torch.tensor([[True]]), kind)
    assert (maps.grad[0, 1] == 0).all()
    assert torch.isfinite(maps.grad).all()
    assert landmark_loss(maps, targets, torch.zeros(1, 2, dtype=torch.bool), kind) == 0


def test_soft_argmax_measures_distance_in_half_image_sides():
    far = landmark_loss(
        ideal(4.0, 12.0, "soft_argmax", 41), ideal(34.0, 12.0, size=41), torch.tensor([[True]]), "soft_argmax"
    )
    # Gaussians that don't meet have a divergence of ln 2.
    assert far.item() == pytest.approx(30 / 20 + np.log(2), abs=0.01)


def test_several_outputs_weigh_less_the_coarser_they_are():
    truth = Tensors(
        torch.zeros(1, 1, 24, 24), torch.rand(1, 2, 24, 24) > 0.5, torch.tensor([[[4.0, 5.0]]]), torch.tensor([[True]])
    )
    config = TrainConfig(landmark_weight=0.3)
    outputs = [NetworkOutput(torch.randn(1, 2, 24, 24), torch.randn(1, 1, 24, 24)) for _ in range(3)]
    alone = [combined_loss([output], truth, config) for output in outputs]
    together = combined_loss(outputs, truth, config)
    assert alone[0].total.item() == pytest.approx((alone[0].masks + 0.3 * alone[0].landmarks).item())
    for part in range(3):
        a, b, c = (float(losses[part]) for losses in alone)
        assert float(together[part]) == pytest.approx((4 * a + 2 * b + c) / 7, rel=1e-5)
