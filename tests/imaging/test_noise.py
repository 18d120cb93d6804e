import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthray.errors import InputError
from synthray.imaging import Detector, Tube, add_noise, falloff, nodes, photons_per_pixel, quantum_noise

COUNTING = nodes(Tube(), Detector.preset("ideal-counting"))
SHAPE = (400, 500)


def philox(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def flat(value: float) -> np.ndarray:
    return np.full(SHAPE, value, dtype=np.float32)


@pytest.mark.parametrize("count", [0.2, 1.5, 7.0, 19.5, 20.5, 300.0, 1e5])
def test_counted_photons_have_a_variance_equal_to_their_mean(count: float) -> None:
    counts = quantum_noise(flat(0.1), flat(0.1), count / 0.1, philox(1)).astype(np.float64) * count / 0.1
    pixels = counts.size
    assert counts.mean() == pytest.approx(count, abs=5 * np.sqrt(count / pixels))
    # Standard error of a Poisson variance: sqrt((count + 2 count^2) / pixels).
    assert counts.var() == pytest.approx(count, abs=5 * np.sqrt((count + 2 * count**2) / pixels))


def test_few_quanta_are_whole_and_poisson() -> None:
    counts = quantum_noise(flat(0.5), flat(0.5), 4.0, philox(2)) / 0.25
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-5)
    share = np.bincount(np.rint(counts).astype(int).ravel(), minlength=8) / counts.size
    expected = np.exp(-2) * np.array([1, 2, 2, 4 / 3, 2 / 3, 4 / 15, 4 / 45])
    np.testing.assert_allclose(share[:7], expected, atol=5 * np.sqrt(0.25 / counts.size))


@pytest.mark.parametrize("photons", [10.0, 5e4])
def test_energy_integrating_noise_has_the_variance_asked_for(photons: float) -> None:
    beam = nodes(Tube(tube_kvp=80), Detector())
    excess = float(beam.variance_weight.sum())
    drawn = quantum_noise(flat(1), flat(excess), photons, philox(3)).astype(np.float64)
    assert drawn.mean() == pytest.approx(1, abs=5 * np.sqrt(excess / photons / drawn.size))
    assert drawn.var() == pytest.approx(excess / photons, rel=0.03)


def test_twice_the_dose_gives_noise_smaller_by_root_two() -> None:
    once, twice = (quantum_noise(flat(0.3), flat(0.3), photons, philox(4)).std() for photons in (1e4, 2e4))
    assert once / twice == pytest.approx(np.sqrt(2), rel=0.01)


def test_same_seed_same_bytes_other_seed_other_bytes() -> None:
    first, again, other = (quantum_noise(flat(0.3), flat(0.3), 50.0, philox(s)) for s in (5, 5, 6))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_one_opaque_pixel_changes_no_other() -> None:
    signal = np.random.default_rng(0).uniform(0.001, 1, SHAPE).astype(np.float32)
    pierced = signal.copy()
    pierced[200, 250] = 0
    before, after = (quantum_noise(s, s, 100.0, philox(7)) for s in (signal, pierced))
    assert after[200, 250] == 0
    before[200, 250] = 0
    assert np.array_equal(before, after)


@given(st.floats(0, 1, width=32), st.floats(0, 1e9), st.integers(0, 100))
def test_never_negative_or_nan(signal: float, photons: float, seed: int) -> None:
    image = np.full((5, 6), signal, dtype=np.float32)
    drawn = quantum_noise(image, image * np.float32(1.3), photons, philox(seed))
    assert np.isfinite(drawn).all()
    assert drawn.min() >= 0


def test_the_detector_blurs_quantum_noise_and_not_readout_noise() -> None:
    def neighbours(image: np.ndarray) -> float:
        centred = image - image.mean()
        return float((centred[:, 1:] * centred[:, :-1]).mean() / centred.var())

    quantum = add_noise(flat(0.5), flat(0.5), 1e4, philox(8), blur_sigma_px=1.0)
    # Autocorrelation of a Gaussian kernel of sigma 1 at a shift of 1: exp(-1/4).
    assert neighbours(quantum) == pytest.approx(np.exp(-0.25), abs=0.02)
    assert quantum.var() == pytest.approx(0.5e-4 / (4 * np.pi), rel=0.05)
    readout = add_noise(flat(0), flat(0), 1e4, philox(9), blur_sigma_px=1.0, electronic_noise=0.02)
    assert abs(neighbours(readout)) < 0.02
    assert readout.std() == pytest.approx(0.02, rel=0.01)


def test_photons_follow_dose_area_and_the_inverse_square() -> None:
    reference = photons_per_pixel(COUNTING, 1.0, 1000, 10.0)
    assert reference == pytest.approx(1.524e8, rel=0.005)
    assert photons_per_pixel(COUNTING, 2.0, 1000, 10.0) == pytest.approx(2 * reference)
    assert photons_per_pixel(COUNTING, 1.0, 2000, 10.0) == pytest.approx(reference / 4)
    assert photons_per_pixel(COUNTING, 1.0, 1000, 5.0) == pytest.approx(reference / 4)


@pytest.mark.parametrize(("degrees", "expected"), [(0, 1), (5, 0.9886), (10, 0.9551), (14, 0.9135)])
def test_flat_field_of_a_point_source(degrees: float, expected: float) -> None:
    cosine = np.cos(np.radians(degrees))
    assert falloff(1000 / cosine, cosine, 1000) == pytest.approx(expected, abs=1e-4)


def test_nonsense_is_refused() -> None:
    with pytest.raises(InputError, match="mas"):
        photons_per_pixel(COUNTING, -1.0, 1000, 1.0)
    with pytest.raises(InputError):
        falloff(0, 1, 1000)
    with pytest.raises(InputError):
        falloff(1000, 1.5, 1000)
