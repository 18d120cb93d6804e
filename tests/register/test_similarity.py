import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthray.register.similarity import (
    correlate,
    gradient_correlation,
    gram_tiles,
    mutual_information,
    normalised_cross_correlation,
    windows,
)


def images(seed=0, shape=(40, 56)):
    """Two smooth related images, a mask, and derivatives of the second."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[: shape[0], : shape[1]] / 10.0
    base = np.sin(row + 0.3 * column) + np.cos(0.7 * column - row**1.2)
    fixed = base + 0.1 * rng.normal(size=shape)
    moving = base * 0.5 + 0.2 * np.sin(column) + 0.1 * rng.normal(size=shape)
    mask = np.ones(shape, dtype=bool)
    mask[:6, :9] = False
    return fixed, moving, mask, rng.normal(size=(6, *shape))


@pytest.mark.parametrize("measure", [normalised_cross_correlation, gradient_correlation, mutual_information])
@pytest.mark.parametrize("masked", [False, True])
def test_derivatives_by_the_moving_image(measure, masked):
    fixed, moving, mask, directions = images()
    used = mask if masked else None
    _, slope = measure(fixed, moving, used)
    # The ends of the histogram are not differentiable: leave the extreme pixels where they are.
    held = (moving > moving.min()) & (moving < moving.max()) & mask
    for direction in directions[:3] * held:
        step = 1e-6
        ends = [measure(fixed, moving + s * step * direction, used)[0] for s in (1, -1)]
        assert (slope * direction).sum() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("measure", [normalised_cross_correlation, gradient_correlation])
def test_correlation_is_blind_to_brightness_and_contrast(measure):
    fixed, moving, mask, _ = images()
    value, _ = measure(fixed, moving, mask)
    assert measure(3 * fixed + 7, 0.2 * moving - 1, mask)[0] == pytest.approx(value, abs=1e-12)
    assert measure(-fixed, moving, mask)[0] == pytest.approx(-value, abs=1e-12)
    assert measure(fixed, fixed, mask)[0] == pytest.approx(1)


def test_mutual_information_is_blind_to_inversion_and_knows_strangers():
    fixed, moving, _, _ = images()
    related, _ = mutual_information(fixed, moving)
    assert mutual_information(-fixed, moving)[0] == pytest.approx(related, rel=0.03)
    assert mutual_information(np.exp(fixed), moving)[0] == pytest.approx(related, rel=0.3)
    stranger = np.random.default_rng(1).permutation(moving.ravel()).reshape(moving.shape)
    assert mutual_information(fixed, stranger)[0] < 0.7 * related
    assert mutual_information(fixed, moving, np.zeros(fixed.shape, dtype=bool))[0] == 0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), side=st.integers(1, 9), rows=st.integers(9, 50), columns=st.integers(9, 50))
def test_patches_are_what_their_pixels_say(seed, side, rows, columns):
    fixed, moving, _, jacobian = images(seed, (rows, columns))
    mask = np.random.default_rng(seed).random((rows, columns)) < 0.8
    patches = correlate(gram_tiles(fixed, moving, mask, jacobian), side)
    tiles = -(-rows // 8), -(-columns // 8)
    height, width = (min(side, n) for n in tiles)
    starts = [(8 * r, 8 * c) for r in range(tiles[0] - height + 1) for c in range(tiles[1] - width + 1)]
    assert len(starts) == len(patches.ncc)
    for index in (0, len(starts) // 2, len(starts) - 1):
        r, c = starts[index]
        where = np.zeros(mask.shape, dtype=bool)
        where[r : r + 8 * height, c : c + 8 * width] = True
        where &= mask
        if where.sum() > 3:
            assert patches.ncc[index] == pytest.approx(np.corrcoef(fixed[where], moving[where])[0, 1], abs=1e-4)


def test_patch_gradients_are_half_the_slope_of_the_squared_residual():
    fixed, moving, mask, jacobian = images()
    noise = (0.1, 0.05)
    patches = correlate(gram_tiles(fixed, moving, mask, jacobian), 2, -1, noise)
    for number in range(6):
        ends = [
            correlate(gram_tiles(fixed, moving + s * 1e-6 * jacobian[number], mask), 2, -1, noise).squared
            for s in (1, -1)
        ]
        np.testing.assert_allclose(2 * patches.gradient[:, number], (ends[0] - ends[1]) / 2e-6, atol=1e-6)
    # The Gauss-Newton matrix is that of the normalised residual: no negative curvature.
    assert np.linalg.eigvalsh(patches.matrix).min() > -1e-9


def test_flat_patches_have_no_say():
    fixed, moving, mask, _ = images()
    moving[:16, :16] = 2.0
    patches = correlate(gram_tiles(fixed, moving, np.ones_like(mask)), 2, 1, (0.1, 0.05))
    assert abs(patches.ncc[0]) < 1e-9


def test_windows_are_sums_over_squares():
    tiles = np.random.default_rng(0).normal(size=(5, 7, 2))
    summed = windows(tiles, 3).reshape(3, 5, 2)
    np.testing.assert_allclose(summed[2, 4], tiles[2:5, 4:7].sum(axis=(0, 1)))
    np.testing.assert_allclose(windows(tiles, 99), tiles.sum(axis=(0, 1))[None])
