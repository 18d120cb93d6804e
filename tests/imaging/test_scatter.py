import numpy as np
import pytest

from synthray.errors import InputError
from synthray.imaging import Scatter, scatter_ratio, scattered


def slab(absorbance: float, size: int = 101) -> np.ndarray:
    return np.full((size, size), np.exp(-absorbance), dtype=np.float32)


def centre_ratio(absorbance: float, scatter: Scatter, size: int = 101) -> float:
    primary = slab(absorbance, size)
    return float(scattered(primary, scatter, pixel_mm=5.0)[size // 2, size // 2] / primary[0, 0])


def test_a_wide_field_behind_20_cm_of_water_has_the_stated_ratio() -> None:
    assert centre_ratio(4.3, Scatter(ratio=1.5, sigma_mm=50)) == pytest.approx(1.5, rel=0.01)


# Our Monte Carlo of water slabs at 60 keV, 30 cm field, in contact: 1.46, 3.54, 6.09 for 10, 20, 30 cm.
@pytest.mark.parametrize(("centimetres", "expected"), [(10, 1.46), (20, 3.54), (30, 6.09)])
def test_growth_with_thickness_follows_the_monte_carlo(centimetres: float, expected: float) -> None:
    ratio = centre_ratio(0.2145 * centimetres, Scatter(ratio=scatter_ratio(0), sigma_mm=60), size=61)
    assert ratio == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("gap_mm", [0, 100, 400, 1000])
def test_air_gap_and_grid_lower_it(gap_mm: float) -> None:
    assert scatter_ratio(gap_mm + 50) < scatter_ratio(gap_mm)
    assert scatter_ratio(gap_mm, 0.2) == pytest.approx(0.2 * scatter_ratio(gap_mm))


def test_a_smaller_field_has_less() -> None:
    ratios = [centre_ratio(4.3, Scatter(), size) for size in (15, 31, 61, 121)]
    assert ratios == sorted(ratios)
    assert ratios[0] < 0.5 * ratios[-1]


def test_no_object_no_scatter() -> None:
    assert np.all(scattered(np.ones((40, 50), dtype=np.float32), Scatter(), 5.0) == 0)
    assert np.all(scattered(slab(4), Scatter(ratio=0), 5.0) == 0)


def test_smooth_positive_and_finite_around_opaque_metal() -> None:
    primary = slab(3.0)
    primary[40:60, 40:60] = 0
    veil = scattered(primary, Scatter(), 5.0)
    assert np.isfinite(veil).all()
    assert veil[50, 50] > 0
    assert np.abs(np.diff(veil, axis=0)).max() < 0.1 * veil.max()


def test_nonsense_is_refused() -> None:
    with pytest.raises(InputError, match="0 to 20"):
        Scatter(ratio=-1)
    with pytest.raises(InputError):
        Scatter(sigma_mm=0)
    with pytest.raises(InputError):
        scatter_ratio(-5)
