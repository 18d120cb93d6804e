"""Detectors: MTF by the slanted edge and noise power from simulated images, against the closed forms."""

import numpy as np
import pytest

from synthray.errors import InputError
from synthray.imaging import Detector, Tube, add_noise, gaussian, nodes
from synthray.imaging.collimator import with_veil
from synthray.imaging.detector import DETECTORS, dqe, mtf, normalised_noise_power_mm2

FINE = 8


def slanted_edge(pixels: int, slope: float) -> np.ndarray:
    """An edge that drifts `slope` columns per row, integrated over every pixel's aperture."""
    fine = pixels * FINE
    column, row = np.meshgrid(np.arange(fine), np.arange(fine))
    edge = (column - fine / 2 > slope * (row - fine / 2)).astype(np.float32)
    return edge.reshape(pixels, FINE, pixels, FINE).mean(axis=(1, 3))


def measured_mtf(image: np.ndarray, slope: float, pixel_mm: float, frequency_per_mm: np.ndarray) -> np.ndarray:
    """MTF by the slanted edge (IEC 62220): rows shifted into one oversampled edge, differentiated, transformed."""
    size = len(image)
    row, column = np.indices(image.shape)
    across = (column - (size - 1) / 2 - slope * (row - (size - 1) / 2)).ravel()
    bins = np.round(across * FINE).astype(int)
    middle = np.abs(bins) <= 20 * FINE
    values, counts = (np.bincount(bins[middle] + 20 * FINE, w) for w in (image.ravel()[middle], None))
    spread = np.diff(values / counts)
    position = (np.arange(len(spread)) - len(spread) / 2) * pixel_mm / FINE
    transfer = np.abs(np.exp(-2j * np.pi * frequency_per_mm[:, None] * position) @ spread)
    # Differences of bins of width w lower the spectrum by sinc(w f).
    return transfer / np.abs(spread.sum()) / np.sinc(frequency_per_mm * pixel_mm / FINE)


@pytest.mark.parametrize("name", ["csi-c-arm", "csi-chest", "gd2o2s-bedside", "selenium"])
def test_slanted_edge_returns_the_mtf(name: str) -> None:
    detector, slope = DETECTORS[name], 0.06
    edge = slanted_edge(160, slope) + 0.2
    image = gaussian(edge, detector.blur_sigma_mm / detector.pixel_mm)
    frequency = np.linspace(0.1, 0.45 / detector.pixel_mm, 8)
    expected = mtf(detector, frequency)
    measured = measured_mtf(image, slope, detector.pixel_mm, frequency)
    # A blur of a fifth of a pixel (selenium) is made of three taps, which fall a little too slowly.
    tolerance = 0.03 if detector.blur_sigma_mm > 0.5 * detector.pixel_mm else 0.06
    assert np.abs(measured - expected).max() < tolerance


@pytest.mark.parametrize("name", ["csi-c-arm", "gd2o2s-bedside"])
def test_noise_power_of_flat_fields(name: str) -> None:
    detector = DETECTORS[name]
    beam = nodes(Tube(), detector)
    weight, photons = float(beam.variance_weight.sum()), 800.0
    size, fields, rng = 128, 80, np.random.default_rng(1)
    flat, power = np.ones((size, size), dtype=np.float32), np.zeros(size)
    # Without a window the strong low frequencies would leak into the weak high ones.
    window = np.outer(np.hanning(size), np.hanning(size))
    for _ in range(fields):
        noisy = add_noise(
            flat,
            np.float32(weight) * flat,
            photons,
            rng,
            blur_sigma_px=detector.blur_sigma_mm / detector.pixel_mm,
            electronic_noise=detector.electronic_noise_photons / photons,
        )
        # Along a row: the rows are near-independent realisations of the two-dimensional spectrum's axis.
        spectrum = np.abs(np.fft.fft2(window * (noisy - 1))) ** 2 * detector.pixel_mm**2 / (window**2).sum()
        power += spectrum[[0, 1, 2, -1, -2]].mean(axis=0) / fields
    frequency = np.fft.fftfreq(size, detector.pixel_mm)
    low = (frequency > 0.02 / detector.pixel_mm) & (frequency < 0.3 / detector.pixel_mm)
    expected = normalised_noise_power_mm2(detector, frequency[low], weight, photons / detector.pixel_mm**2)
    ratio = power[low] / expected
    assert ratio.mean() == pytest.approx(1, abs=0.03)
    assert np.abs(np.polyfit(frequency[low] * detector.pixel_mm, ratio, 1)[0]) < 0.3


def test_dqe_at_zero_is_what_the_nodes_say() -> None:
    detector = Detector()
    weight = float(nodes(Tube(tube_kvp=80), detector).variance_weight.sum())
    values = dqe(detector, [0, 1, 2], weight, 3e4)
    # 0.60 to 0.72: absorption x energy spread x K-escape and light (PHYSICS.md 6 without them: 0.831).
    assert values[0] == pytest.approx(1 / weight, rel=0.02)
    assert 0.6 < values[0] < 0.72
    assert values[0] > values[1] > values[2] > 0


def test_thresholds_count_what_lies_between() -> None:
    counting = DETECTORS["counting-cdte"]
    low, high = (Detector(**{**vars(counting), "threshold_kev": t}) for t in ((15.0, 50.0), (50.0, np.inf)))
    both = [nodes(Tube(tube_kvp=100), d) for d in (low, high)]
    whole = nodes(Tube(tube_kvp=100), counting)
    assert sum(n.signal_per_photon for n in both) == pytest.approx(whole.signal_per_photon, rel=1e-6)
    assert both[0].energy_kev.max() < both[1].energy_kev.max()


def test_glare_lowers_contrast_by_its_part() -> None:
    disc = np.ones((200, 200), dtype=np.float32)
    disc[80:120, 80:120] = 0
    veiled = with_veil(disc, 0.1, 60)
    assert veiled[100, 100] == pytest.approx(0.1, abs=0.02)


def test_absurd_detectors_are_refused() -> None:
    for bad in (
        {"material": "film"},
        {"glare": 1.0},
        {"lag": -0.1},
        {"threshold_kev": (20.0, 100.0)},
        {"mode": "counting", "threshold_kev": (50.0, 20.0)},
    ):
        with pytest.raises(InputError):
            Detector(**bad)
