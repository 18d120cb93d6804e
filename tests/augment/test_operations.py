"""The operations against what they are defined to do."""

import numpy as np
import pytest
import torch

from synthray.augment.appearance import APPEARANCE
from synthray.augment.artefacts import OVERLAYS
from synthray.augment.display import DISPLAY
from synthray.augment.intensity import PIXELS, gaussian_kernels, separable_filter

OPERATIONS = {**PIXELS, **APPEARANCE, **DISPLAY, **OVERLAYS}


def images(count=5, rows=48, columns=64):
    return torch.rand(count, 1, rows, columns, generator=torch.Generator().manual_seed(0))


def run(name, x, seed=0):
    operation = OPERATIONS[name]
    params = {
        key: torch.from_numpy(value) for key, value in operation.draw(np.random.default_rng(seed), len(x)).items()
    }
    return operation.apply(x, params, torch.Generator().manual_seed(seed)), params


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_image_is_treated_as_if_alone(name):
    """Batched work must not mix images: changing one leaves the others as they were."""
    x = images()
    other = x.clone()
    other[2] = torch.rand(1, 48, 64, generator=torch.Generator().manual_seed(9))
    first, second = run(name, x)[0], run(name, other)[0]
    kept = [0, 1, 3, 4]
    assert torch.allclose(first[kept], second[kept], atol=1e-5)
    assert torch.isfinite(first).all()
    assert first.shape == x.shape


def test_blur_keeps_the_mean_and_has_the_drawn_width():
    sigma = np.array([0.0, 1.0, 2.5], dtype=np.float32)
    point = torch.zeros(3, 1, 41, 41)
    point[:, :, 20, 20] = 1
    blurred = separable_filter(point, torch.from_numpy(gaussian_kernels(sigma)))
    offset = torch.arange(41) - 20
    variance = (blurred.sum(dim=(1, 2)) * offset**2).sum(dim=1)
    assert torch.allclose(blurred.sum(dim=(1, 2, 3)), torch.ones(3), atol=1e-5)
    assert torch.allclose(variance.sqrt(), torch.from_numpy(sigma), atol=0.03)


def test_noise_and_dropout_have_the_stated_strength():
    flat = torch.full((4, 1, 200, 200), 0.5)
    flat[:, :, 0, 0], flat[:, :, 0, 1] = 0, 1
    noisy, params = run("noise", flat)
    assert torch.allclose((noisy - flat).flatten(1).std(dim=1), params["amount"], rtol=0.05)
    dropped, params = run("dropout", flat)
    assert torch.allclose((dropped == 0).float().mean(dim=(1, 2, 3)), params["amount"], atol=0.01)
    salted, _ = run("salt_pepper", flat)
    assert abs((salted == 1).float().mean() - 0.05) < 0.005
    assert abs((salted == 0).float().mean() - 0.05) < 0.005


def test_invert_and_multiply():
    x = images()
    inverted, _ = run("invert", x)
    assert torch.allclose(inverted, x.amax(dim=(1, 2, 3), keepdim=True) - x)
    multiplied, params = run("multiply", x)
    assert torch.allclose(multiplied, x * params["amount"].view(-1, 1, 1, 1))


@pytest.mark.parametrize(
    ("name", "reduce"),
    [
        ("max_pool", lambda blocks: blocks.max(axis=1)),
        ("min_pool", lambda blocks: blocks.min(axis=1)),
        ("average_pool", lambda blocks: blocks.mean(axis=1)),
        ("median_pool", lambda blocks: np.sort(blocks, axis=1)[:, (blocks.shape[1] - 1) // 2]),
    ],
)
def test_pooling_replaces_blocks(name, reduce):
    x = images(1, 24, 36)
    pooled, params = run(name, x)
    side = int(params["side"][0])
    blocks = x[0, 0].numpy().reshape(24 // side, side, 36 // side, side).transpose(0, 2, 1, 3).reshape(-1, side * side)
    values = reduce(blocks)
    expected = np.kron(values.reshape(24 // side, 36 // side), np.ones((side, side)))
    assert np.allclose(pooled[0, 0].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["gamma", "contrast", "curve"])
def test_curves_are_monotone(name):
    ramp = torch.linspace(0, 1, 512).view(1, 1, 1, 512).expand(40, 1, 4, 512)
    curved, _ = run(name, ramp)
    assert (curved.diff(dim=-1) >= -1e-6).all()
    if name == "curve":
        assert curved[..., 0].abs().max() < 1e-5
        assert (curved[..., -1] - 1).abs().max() < 1e-5


def test_fourier_keeps_mean_and_phase():
    x = images()
    changed, _ = run("fourier", x)
    assert torch.allclose(changed.mean(dim=(1, 2, 3)), x.mean(dim=(1, 2, 3)), atol=1e-5)
    before, after = torch.fft.rfft2(x), torch.fft.rfft2(changed)
    inner = (slice(None), slice(None), slice(1, 20), slice(1, 20))
    turn = torch.angle(after[inner] / before[inner])
    assert turn.abs().max() < 1e-2


def test_random_convolution_keeps_mean_and_spread():
    x = images()
    changed, params = run("random_convolution", x)
    assert torch.allclose(changed.mean(dim=(1, 2, 3)), x.mean(dim=(1, 2, 3)), atol=1e-4)
    assert not torch.allclose(changed, x, atol=0.05)
    assert params["blend"].min() > 0


def test_letters_draw_legible_glyphs():
    blank = torch.zeros(40, 1, 128, 128)
    written, _ = run("letters", blank)
    share = (written != 0).float().mean(dim=(1, 2, 3))
    assert 0.001 < share.mean() < 0.15


def test_clahe_of_one_tile_without_a_limit_is_histogram_equalisation():
    """Against its definition: all tiles of a tiled image have one histogram, so the curve is the distribution."""
    tile = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1)) ** 1.5
    x = tile.repeat(1, 1, 6, 6)
    params = {"clip": torch.tensor([1e6]), "blend": torch.tensor([1.0])}
    equalised = DISPLAY["clahe"].apply(x, params, torch.Generator())
    rank = (tile.flatten()[:, None] >= tile.flatten()).float().mean(dim=1).view(1, 1, 16, 16).repeat(1, 1, 6, 6)
    assert (equalised - rank).abs().max() < 0.05
    flat = torch.full((1, 1, 48, 48), 0.3)
    limited = DISPLAY["clahe"].apply(flat, {"clip": torch.tensor([1.0]), "blend": torch.tensor([1.0])}, None)
    # A limit of 1 allows no bin more than its even share, and its share of the excess: next to nothing changes.
    assert torch.allclose(limited, flat, atol=1 / 64)


def test_clahe_raises_local_contrast_smoothly():
    across = torch.linspace(0, 1, 96).expand(1, 1, 96, 96)
    x = across + 0.02 * torch.sin(torch.arange(96.0) * 0.9)[:, None]
    out = DISPLAY["clahe"].apply(x * 0.9, {"clip": torch.tensor([4.0]), "blend": torch.tensor([1.0])}, None)
    assert (out[..., :, 40] - out[..., :, 40].mean()).std() > 2 * (0.9 * x[..., :, 40]).std()
    # No seams between tiles.
    assert out.diff(dim=-1).abs().max() < 0.2


def test_multiscale_contrast_of_neutral_settings_changes_nothing():
    x = images()
    neutral = {"gain": torch.ones(5, 5), "power": torch.ones(5), "flatten": torch.ones(5)}
    assert torch.allclose(DISPLAY["multiscale_contrast"].apply(x, neutral, None), x, atol=1e-4)
    fine = {**neutral, "gain": torch.tensor([2.0, 1, 1, 1, 1]).repeat(5, 1)}
    sharper = DISPLAY["multiscale_contrast"].apply(x, fine, None)
    assert (sharper.diff(dim=-1).abs().mean() / x.diff(dim=-1).abs().mean()) > 1.5


def test_implants_are_bright_and_small():
    x = torch.full((64, 1, 96, 96), 0.4)
    out, _ = run("implants", x)
    changed = (out - x).abs() > 0.05
    assert (changed.flatten(1).any(dim=1)).float().mean() > 0.8
    assert 0.005 < changed.float().mean() < 0.2
    assert (out >= x - 1e-6).all()
