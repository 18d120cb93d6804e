"""Noise: photons per pixel, quantum noise of the right variance and correlation, read-out noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.blur import gaussian
from synthray.imaging.checks import check_between
from synthray.imaging.nodes import Nodes

Image = npt.NDArray[np.float32]

# Below this many quanta a pixel's noise is drawn from the Poisson distribution, above it from the normal one.
POISSON_BELOW = 20.0


def photons_per_pixel(nodes: Nodes, mas: float, source_to_detector_mm: float, pixel_mm: float) -> float:
    """Open-field photons that meet one pixel at the foot of the central ray.

    Args:
        nodes: beam; its fluence is per cm² and mAs at 1 m, without the air's attenuation.
        mas: tube output in mAs, 1e-4 to 2000.
        source_to_detector_mm: 100 to 10000.
        pixel_mm: pitch of the image's pixels at the detector.
    """
    check_between("mas", mas, 1e-4, 2000)
    check_between("source_to_detector_mm", source_to_detector_mm, 100, 10000)
    check_between("pixel_mm", pixel_mm, 0.01, 100)
    return nodes.fluence_per_cm2_mas * mas * (1000 / source_to_detector_mm) ** 2 * (pixel_mm / 10) ** 2


def falloff(distance_mm: npt.ArrayLike, cosine: npt.ArrayLike, reference_mm: float) -> Image:
    """Photons per pixel relative to the foot of the central ray: inverse square times obliquity.

    For a flat detector this is cos³ of the angle from the central ray.

    Args:
        distance_mm: (...) from the focal spot to each pixel.
        cosine: (...) of the angle between the ray and the detector's normal, 0 to 1.
        reference_mm: source-detector distance along the central ray.

    Raises:
        InputError: a distance is not positive or a cosine is outside 0 to 1.
    """
    distance, slant = np.asarray(distance_mm, dtype=np.float64), np.asarray(cosine, dtype=np.float64)
    if not (np.all(distance > 0) and np.all(slant >= 0) and np.all(slant <= 1 + 1e-6)):
        raise InputError("falloff needs distances above 0 mm and cosines within 0 to 1")
    return ((reference_mm / distance) ** 2 * slant).astype(np.float32)


def quantum_noise(signal: Image, variance: Image, photons: npt.ArrayLike, rng: np.random.Generator) -> Image:
    """Draw each pixel's signal, uncorrelated, with the given mean and variance.

    A pixel is taken as n quanta of equal gain, n = mean² / variance: exactly Poisson when photons are counted, right
    in mean and variance when their energies are added up. One normal deviate a pixel is used in every case (few
    quanta: through the Poisson quantile), so no pixel's draw depends on another's value.

    Args:
        signal: (row, column) mean, as a fraction of the open field's.
        variance: (row, column) variance times `photons`.
        photons: open-field photons per pixel, a number or (row, column).
        rng: source of randomness.

    Returns:
        (row, column) float32, never negative or NaN.
    """
    deviate = rng.standard_normal(signal.shape, dtype=np.float32)
    per_photon = np.asarray(photons, dtype=np.float32)
    lit = (signal > 1e-20) & (variance > 1e-20) & (per_photon > 1e-12)
    gain = np.divide(variance, signal * per_photon, out=np.zeros_like(signal), where=lit)
    quanta = np.divide(signal, gain, out=np.zeros_like(signal), where=gain > 0)
    # max(0, n + √n z), in place.
    noisy = np.sqrt(quanta)
    noisy *= deviate
    noisy += quanta
    np.maximum(noisy, np.float32(0), out=noisy)
    few = np.flatnonzero(quanta.ravel() < POISSON_BELOW)
    if len(few):
        noisy.ravel()[few] = _poisson_quantile(quanta.ravel()[few], deviate.ravel()[few])
    noisy *= gain
    return noisy


def add_noise(
    signal: Image,
    variance: Image,
    photons: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    blur_sigma_px: float = 0.0,
    electronic_noise: float = 0.0,
) -> Image:
    """Quantum noise, the detector's blur of it and of the signal, and read-out noise, which is not blurred.

    Args:
        signal: (row, column) mean, as a fraction of the open field's.
        variance: (row, column) quantum variance times `photons`, from `transmission_and_variance`.
        photons: open-field photons per pixel, a number or (row, column).
        rng: source of randomness.
        blur_sigma_px: standard deviation of the detector's blur.
        electronic_noise: standard deviation of the read-out noise, as a fraction of the open field's signal.

    Returns:
        (row, column) float32; slightly negative values occur where the read-out noise outweighs the signal.
    """
    noisy = gaussian(quantum_noise(signal, variance, photons, rng), blur_sigma_px)
    if electronic_noise > 0:
        readout = rng.standard_normal(noisy.shape, dtype=np.float32)
        noisy += np.multiply(readout, np.float32(electronic_noise), out=readout)
    return noisy


def _poisson_quantile(mean: Image, deviate: Image) -> npt.NDArray[np.float64]:
    """Poisson counts at the probability of a standard normal deviate; for means below `POISSON_BELOW`."""
    probability = _normal_cdf(deviate.astype(np.float64))
    mass = np.exp(-mean.astype(np.float64))
    cumulative = mass.copy()
    count = np.zeros_like(mass)
    step = 0
    # The cap lies beyond the 1e-16 quantile of the largest mean.
    while step < 80 and np.any(above := probability > cumulative):
        step += 1
        count += above
        mass *= mean / step
        cumulative += mass
    return count


def _normal_cdf(deviate: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Abramowitz & Stegun 7.1.26 through erf, absolute error below 1e-7."""
    x = np.abs(deviate) / np.sqrt(2)
    t = 1 / (1 + 0.3275911 * x)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    upper = 0.5 * series * np.exp(-x * x)
    return np.where(deviate < 0, upper, 1 - upper)
