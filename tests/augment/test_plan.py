import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from synthray.augment import AugmentConfig, Plan, apply_plan, augment, draw_plan
from synthray.augment.geometry import draw_geometry
from synthray.errors import InputError

SWITCHES = [
    "flip",
    "elastic",
    "curve",
    "bias_field",
    "local_contrast",
    "random_convolution",
    "fourier",
    "low_resolution",
    "clahe",
    "multiscale_contrast",
    "implants",
    "lines",
    "letters",
    "collimation",
    "borders",
]
ROWS, COLUMNS = 96, 128


def batch(count=6, seed=0):
    """Smooth images, two overlapping masks, three landmarks each."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.nn.functional.interpolate(torch.rand(count, 1, 9, 9, generator=rng), (ROWS, COLUMNS), mode="bicubic")
    masks = torch.cat([images > 0.5, images > 0.6], dim=1)
    points = torch.rand(count, 3, 2, generator=rng) * torch.tensor([COLUMNS - 1.0, ROWS - 1.0])
    return images.clamp(0, 1), masks, points, torch.ones(count, 3, dtype=torch.bool)


def run(config, data, seed=0, structure_order=(0, 1), landmark_order=(0, 1, 2)):
    rng = np.random.default_rng(seed)
    return augment(*data, config, rng, structure_order=structure_order, landmark_order=landmark_order)


def everything(preset="strong", probability=0.5):
    return AugmentConfig(preset=preset, **dict.fromkeys(SWITCHES, probability))


def test_nothing_asked_nothing_changed():
    data = batch()
    for before, after in zip(data, run(AugmentConfig(preset="none"), data), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize("preset", ["regular", "strong"])
def test_presets_and_switches_give_usable_batches_and_leave_the_input_alone(preset):
    data = batch(16)
    copies = [value.clone() for value in data]
    for seed in range(8):
        result = run(everything(preset), data, seed)
        assert [value.shape for value in result] == [value.shape for value in data]
        assert result.images.dtype == torch.float32
        assert result.masks.dtype == torch.bool
        assert torch.isfinite(result.images).all()
    for value, copy in zip(data, copies, strict=True):
        assert torch.equal(value, copy)


def test_the_same_generator_gives_the_same_batch_and_another_does_not():
    data, config = batch(), everything()
    first, again, other = run(config, data, 3), run(config, data, 3), run(config, data, 4)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.nan_to_num(), b.nan_to_num())
    assert not torch.equal(first.images, other.images)


def test_a_plan_can_be_replayed_on_other_data():
    config = everything()
    plan = draw_plan(config, 6, np.random.default_rng(1))
    orders = {"structure_order": (0, 1), "landmark_order": (0, 1, 2)}
    data = batch()
    assert torch.equal(apply_plan(plan, *data, **orders).images, apply_plan(plan, *data, **orders).images)
    moved = apply_plan(plan, *batch(seed=1), **orders)
    assert torch.equal(moved.landmarks_px.isnan(), torch.zeros_like(moved.landmarks_px, dtype=torch.bool))


@pytest.mark.parametrize("name", SWITCHES)
def test_each_switch_changes_the_image_and_only_its_own_kind_of_label(name):
    data = batch(8)
    result = run(AugmentConfig(preset="none", **{name: 1.0}), data)
    changed = (result.images != data[0]).flatten(1).any(dim=1)
    assert changed.float().mean() > 0.6
    if name not in ("flip", "elastic", "collimation", "borders"):
        assert torch.equal(result.masks, data[1])
        assert torch.equal(result.visible, data[3])
    if name not in ("flip", "elastic"):
        assert torch.equal(result.landmarks_px, data[2])


def read_at(maps, points):
    """Bilinear values of (n, rows, columns) maps at (n, 2) points inside them."""
    low = points.floor().long()
    part = points - low
    n = torch.arange(len(maps))
    top = torch.lerp(maps[n, low[:, 1], low[:, 0]], maps[n, low[:, 1], low[:, 0] + 1], part[:, 0])
    below = torch.lerp(maps[n, low[:, 1] + 1, low[:, 0]], maps[n, low[:, 1] + 1, low[:, 0] + 1], part[:, 0])
    return torch.lerp(top, below, part[:, 1])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), elastic=st.booleans(), flip=st.booleans(), wide=st.booleans())
def test_landmarks_land_on_their_pixels_within_half_a_pixel(seed, elastic, flip, wide):
    """Pixels that hold their own coordinates tell, at the moved landmark, where it came from."""
    generator = torch.Generator().manual_seed(seed)
    points = 20 + torch.rand(8, 2, generator=generator) * torch.tensor([COLUMNS - 40.0, ROWS - 40.0])
    coordinates = torch.meshgrid(torch.arange(float(COLUMNS)), torch.arange(float(ROWS)), indexing="xy")
    config = AugmentConfig(
        preset="strong",
        affine=1,
        rotation_deg=40 if wide else 5,
        scale=(0.7, 1.4) if wide else (0.9, 1.1),
        stretch=1.5 if wide else 1,
        elastic=float(elastic),
        flip=0.5 * flip,
    )
    plan = draw_plan(config, 8, np.random.default_rng(seed))
    plan = Plan(plan.count, plan.geometry, ())
    visible = torch.ones(8, 1, dtype=torch.bool)
    for axis, ramp in enumerate(coordinates):
        images = ramp.expand(8, 1, ROWS, COLUMNS)
        orders = {"structure_order": (0,), "landmark_order": (0,)}
        result = apply_plan(plan, images, images > 50, points[:, None], visible, **orders)
        moved = result.landmarks_px[:, 0]
        within = ((moved > 0) & (moved < torch.tensor([COLUMNS - 1.0, ROWS - 1.0]))).all(dim=1)
        came_from = read_at(
            result.images[:, 0], moved.clamp(min=0).minimum(torch.tensor([COLUMNS - 1.01, ROWS - 1.01]))
        )
        assert (came_from - points[:, axis])[within].abs().max() < 0.1
        assert torch.equal(result.visible[within], visible[within])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_masks_move_with_the_image(seed):
    images, _, points, visible = batch(4, seed)
    config = AugmentConfig(preset="regular", affine=1, rotation_deg=20, elastic=0.5)
    plan = draw_plan(config, 4, np.random.default_rng(seed))
    plan = Plan(plan.count, plan.geometry, ())
    result = apply_plan(plan, images, images > 0.5, points, visible)
    clear = (result.images - 0.5).abs() > 0.1
    assert torch.equal(result.masks[clear], (result.images > 0.5)[clear])


def test_flip_mirrors_and_swaps_names():
    images, masks, points, visible = batch(4)
    visible[:, 0] = False
    result = run(AugmentConfig(preset="none", flip=1), (images, masks, points, visible), 0, (1, 0), (2, 1, 0))
    assert torch.allclose(result.images, images.flip(-1), atol=1e-4)
    assert (result.masks != masks.flip(-1)[:, [1, 0]]).float().mean() < 1e-3
    mirrored = points.clone()
    mirrored[..., 0] = COLUMNS - 1 - points[..., 0]
    assert torch.allclose(result.landmarks_px, mirrored[:, [2, 1, 0]], atol=1e-3)
    assert torch.equal(result.visible, visible[:, [2, 1, 0]])


def test_flip_without_an_order_is_refused():
    with pytest.raises(InputError, match="structure_order"):
        augment(*batch(), AugmentConfig(preset="none", flip=1), np.random.default_rng(0))


def test_landmarks_outside_or_absent_are_not_visible():
    images, masks, points, visible = batch(3)
    points[0, 0] = torch.tensor([COLUMNS + 3.0, 5.0])
    points[1, 1] = float("nan")
    visible[2, 2] = False
    result = run(AugmentConfig(preset="none"), (images, masks, points, visible))
    expected = torch.ones(3, 3, dtype=torch.bool)
    expected[0, 0] = expected[1, 1] = expected[2, 2] = False
    assert torch.equal(result.visible, expected)


@pytest.mark.parametrize("name", ["collimation", "borders"])
def test_what_a_border_hides_has_no_label(name):
    count = 32
    images = torch.full((count, 1, ROWS, COLUMNS), 0.43)
    masks = torch.ones(count, 1, ROWS, COLUMNS, dtype=torch.bool)
    points = torch.rand(count, 40, 2) * torch.tensor([COLUMNS - 1.0, ROWS - 1.0])
    visible = torch.ones(count, 40, dtype=torch.bool)
    result = augment(
        images, masks, points, visible, AugmentConfig(preset="none", **{name: 1}), np.random.default_rng(2)
    )
    covered = ~result.masks[:, 0]
    assert 0.01 < covered.float().mean() < 0.5
    assert (result.images[:, 0][~covered & (result.images[:, 0] == images[:, 0])]).numel() > 0
    nearest = points.round().long()
    hidden = torch.stack([covered[i, nearest[i, :, 1], nearest[i, :, 0]] for i in range(count)])
    assert torch.equal(result.visible, ~hidden)


def test_probabilities_are_kept():
    config = AugmentConfig(preset="regular", lines=0.2)
    counts = dict.fromkeys(("invert", "gamma", "noise", "boxes", "lines"), 0)
    for seed in range(40):
        for step in draw_plan(config, 50, np.random.default_rng(seed)).steps:
            counts[step.name] += len(step.index)
    share = {name: number / 2000 for name, number in counts.items()}
    for name, expected in {"invert": 0.5, "gamma": 0.5, "noise": 0.5, "boxes": 0.25, "lines": 0.2}.items():
        assert abs(share[name] - expected) < 0.05


def test_strong_carries_out_at_most_two_of_its_six_groups():
    groups = "gaussian_blur average_blur dropout coarse_dropout sharpen emboss average_pool max_pool min_pool "
    groups += "median_pool multiply multiply_elementwise jitter"
    done = np.zeros(400, dtype=int)
    for step in draw_plan(AugmentConfig(), 400, np.random.default_rng(0)).steps:
        if step.name in groups.split():
            done[step.index] += 1
    assert done.max() == 2
    # One or two groups, each with probability one half.
    assert abs(done.mean() - 0.75) < 0.12


@pytest.mark.parametrize("bad", [{"preset": "wild"}, {"flip": 1.5}, {"rotation": 3}, {"scale": [1.2, 0.8]}])
def test_unknown_or_impossible_settings_are_refused(bad):
    with pytest.raises(ValidationError):
        AugmentConfig(**bad)


def test_stretch_changes_the_ratio_of_height_to_width_and_keeps_the_area():
    plain = AugmentConfig(preset="regular", affine=1, rotation_deg=0, shear_deg=0, scale=(1, 1))
    stretched = draw_geometry(plain.model_copy(update={"stretch": 1.5}), 200, np.random.default_rng(0)).linear
    ratio = stretched[:, 1, 1] / stretched[:, 0, 0]
    np.testing.assert_allclose(np.linalg.det(stretched), 1, rtol=1e-5)
    assert 1 / 1.5 <= ratio.min() < 0.72
    assert 1.4 < ratio.max() <= 1.5
    np.testing.assert_allclose(draw_geometry(plain, 5, np.random.default_rng(0)).linear, np.tile(np.eye(2), (5, 1, 1)))
