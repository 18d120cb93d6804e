import numpy as np
import pytest

from synthray.errors import InputError
from synthray.imaging import focal_spot_sigma_mm, gaussian


def point(size: int = 101) -> np.ndarray:
    image = np.zeros((size, size), dtype=np.float32)
    image[size // 2, size // 2] = 1
    return image


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0, 2.7, 5.9, 6.1, 10.0])
def test_the_blur_has_the_variance_asked_for(sigma: float) -> None:
    spread = gaussian(point(), sigma, edge="zero").astype(np.float64)
    offset = np.arange(101) - 50
    assert spread.sum() == pytest.approx(1, abs=2e-3)
    assert spread.min() >= 0
    for axis in (0, 1):
        profile = spread.sum(axis=axis) / spread.sum()
        # Block means know a point's place to half a block only, a sixth of sigma.
        centre = profile @ offset
        assert abs(centre) < (1e-4 if sigma < 6 else sigma / 6)
        assert profile @ (offset - centre) ** 2 == pytest.approx(sigma**2, rel=0.02)


@pytest.mark.parametrize(("sigma", "highest"), [(0.4, 0.25), (0.6, 0.25), (1.0, 0.4), (2.5, 0.4)])
def test_modulation_transfer_is_gaussian(sigma: float, highest: float) -> None:
    transfer = np.abs(np.fft.rfft(gaussian(point(128), sigma, edge="zero").sum(axis=0)))
    frequency = np.fft.rfftfreq(128)
    expected = np.exp(-2 * (np.pi * sigma * frequency) ** 2)
    used = frequency <= highest
    np.testing.assert_allclose(transfer[used], expected[used], atol=0.03)


@pytest.mark.parametrize("sigma", [0.05, 0.7, 3.0, 20.0, 300.0])
def test_a_flat_image_stays_flat_with_mirrored_edges(sigma: float) -> None:
    np.testing.assert_allclose(gaussian(np.full((2, 37, 53), 0.7), sigma), 0.7, rtol=1e-5)


def test_wide_blur_on_block_means_equals_the_direct_one() -> None:
    image = np.random.default_rng(0).uniform(0, 1, (97, 120))
    image[30:60, 40:90] += 3
    sigma = 12.0
    offset = np.arange(-60, 61)
    kernel = np.exp(-(offset**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    direct = np.pad(image, 60, mode="symmetric")
    for axis in (0, 1):
        direct = np.apply_along_axis(np.convolve, axis, direct, kernel, mode="valid")
    np.testing.assert_allclose(gaussian(image, sigma), direct, atol=0.01 * np.ptp(image))


def test_focal_spot() -> None:
    assert focal_spot_sigma_mm(1.0, 0.6) == 0
    assert focal_spot_sigma_mm(2.0, 1.2) == pytest.approx(1.2 / np.sqrt(12))
    with pytest.raises(InputError, match="1 to 20"):
        focal_spot_sigma_mm(0.5, 0.6)


def test_negative_sigma_is_refused() -> None:
    with pytest.raises(InputError):
        gaussian(point(), -1)
