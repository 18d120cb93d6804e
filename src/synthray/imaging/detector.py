"""X-ray detectors: how many of the photons are caught, and what each is worth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.attenuation import MATERIALS, energy_absorption_cm2_g, mass_attenuation_cm2_g
from synthray.imaging.checks import check_between

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A detector.

    Attributes:
        material: "csi", "gd2o2s", "selenium" or "cdte".
        thickness_mm: of the converting layer; `inf` catches every photon.
        packing: fraction of the layer's volume that is the material.
        mode: "energy" adds up deposited energy, "counting" counts photons.
        threshold_kev: lowest and highest photon energy that a counting detector counts.
        fill_factor: fraction of a pixel's area that sees light.
        swank_factor: 1 means every caught photon of one energy gives the same signal; K-escape and optical spread
            lower it to about 0.8 in CsI and Gd2O2S. It divides the quantum variance. Ignored when counting.
        pixel_mm: native pixel pitch, to which `electronic_noise_photons` refers.
        blur_sigma_mm: Gaussian that stands for the light's spread in the layer (MTF exp(-2 π² σ² f²)).
        glare: part of the signal that spreads widely: fluorescence and light in a panel (a few per cent), veiling
            glare in an image intensifier (about 0.1).
        glare_sigma_mm: standard deviation of that spread.
        lag: part of a frame's signal that shows in the next one; matters in sequences only.
        round_field: True for an image intensifier, which sees the circle that fits its image.
        electronic_noise_photons: standard deviation of read-out noise in one native pixel, in units of the mean
            signal of one incident photon of the open beam.
    """

    material: Literal["csi", "gd2o2s", "selenium", "cdte"] = "csi"
    thickness_mm: float = 0.6
    packing: float = 0.8
    mode: Literal["energy", "counting"] = "energy"
    threshold_kev: tuple[float, float] = (0.0, np.inf)
    fill_factor: float = 1.0
    swank_factor: float = 0.8
    pixel_mm: float = 0.194
    blur_sigma_mm: float = 0.16
    glare: float = 0.0
    glare_sigma_mm: float = 10.0
    lag: float = 0.0
    round_field: bool = False
    electronic_noise_photons: float = 3.0

    def __post_init__(self) -> None:
        if self.material not in ("csi", "gd2o2s", "selenium", "cdte"):
            raise InputError(f"detector material must be csi, gd2o2s, selenium or cdte, got '{self.material}'")
        if self.mode not in ("energy", "counting"):
            raise InputError(f"detector mode must be energy or counting, got '{self.mode}'")
        check_between("thickness_mm", self.thickness_mm, 0.01, np.inf)
        check_between("packing", self.packing, 0.05, 1)
        check_between("fill_factor", self.fill_factor, 0.05, 1)
        check_between("swank_factor", self.swank_factor, 0.2, 1)
        check_between("pixel_mm", self.pixel_mm, 0.01, 10)
        check_between("blur_sigma_mm", self.blur_sigma_mm, 0, 5)
        check_between("glare", self.glare, 0, 0.9)
        check_between("glare_sigma_mm", self.glare_sigma_mm, 0.1, 1000)
        check_between("lag", self.lag, 0, 0.9)
        if not 0 <= self.threshold_kev[0] < self.threshold_kev[1]:
            raise InputError(f"threshold_kev must rise from 0 or more, got {self.threshold_kev}")
        if self.mode == "energy" and self.threshold_kev != (0.0, np.inf):
            raise InputError("threshold_kev needs mode 'counting'")
        check_between("electronic_noise_photons", self.electronic_noise_photons, 0, 1e4)

    @staticmethod
    def preset(name: str) -> Detector:
        """A named detector; `DETECTORS` lists them.

        Raises:
            InputError: unknown name.
        """
        if name not in DETECTORS:
            raise InputError(f"no detector preset '{name}'; known are {', '.join(DETECTORS)}")
        return DETECTORS[name]


DETECTORS = MappingProxyType(
    {
        "csi-c-arm": Detector(),
        "csi-chest": Detector(thickness_mm=0.5, pixel_mm=0.143, blur_sigma_mm=0.14),
        "gd2o2s-bedside": Detector(
            material="gd2o2s", thickness_mm=0.21, packing=0.6, pixel_mm=0.16, blur_sigma_mm=0.2, swank_factor=0.7
        ),
        "csi-angiography": Detector(thickness_mm=0.55, pixel_mm=0.154, blur_sigma_mm=0.15, lag=0.03),
        "selenium": Detector(
            material="selenium", thickness_mm=1.0, packing=1.0, pixel_mm=0.139, blur_sigma_mm=0.03, swank_factor=0.95
        ),
        "image-intensifier": Detector(
            thickness_mm=0.4,
            pixel_mm=0.3,
            blur_sigma_mm=0.2,
            glare=0.1,
            glare_sigma_mm=25.0,
            lag=0.02,
            round_field=True,
            electronic_noise_photons=1.0,
        ),
        "counting-cdte": Detector(
            material="cdte",
            thickness_mm=1.0,
            packing=1.0,
            mode="counting",
            threshold_kev=(15.0, np.inf),
            swank_factor=1.0,
            pixel_mm=0.1,
            blur_sigma_mm=0.03,
            electronic_noise_photons=0.0,
        ),
        "ideal-counting": Detector(
            thickness_mm=np.inf, mode="counting", swank_factor=1.0, blur_sigma_mm=0.0, electronic_noise_photons=0.0
        ),
    }
)


def response(detector: Detector, energy_kev: npt.ArrayLike) -> tuple[Array, Array]:
    """First and second moment of the signal that one incident photon gives, by its energy.

    A photon is caught with probability η = fill x (1 - exp(-μ x)) and deposits E μ_en / μ on average, so the moments
    are η ε and η ε² / swank: catching is a random thinning, hence η and not η² in the second. Coherent scatter and
    re-absorbed fluorescence are not followed one by one.

    Args:
        detector: the detector.
        energy_kev: (...) photon energies.

    Returns:
        (...) signal per photon in keV (or counts) and (...) its square, in keV² (or counts).
    """
    energy = np.asarray(energy_kev, dtype=np.float64)
    total, absorbed = _coefficients(detector.material, tuple(np.atleast_1d(energy).ravel().tolist()))
    grams_cm2 = MATERIALS[detector.material].density_g_cm3 * detector.packing * detector.thickness_mm / 10
    caught = detector.fill_factor * -np.expm1(-total.reshape(energy.shape) * grams_cm2)
    if detector.mode == "counting":
        low, high = detector.threshold_kev
        counted = np.where((energy >= low) & (energy < high), caught, 0.0)
        return counted, counted
    deposit = energy * (absorbed / total).reshape(energy.shape)
    return caught * deposit, caught * deposit**2 / detector.swank_factor


def mtf(detector: Detector, frequency_per_mm: npt.ArrayLike) -> Array:
    """Modulation transfer of the detector, its pixel aperture included, along a row or a column.

    ((1 - glare) exp(-2 π² σ² f²) + glare exp(-2 π² σ_glare² f²)) · sinc(p f).

    Args:
        detector: the detector.
        frequency_per_mm: (...) spatial frequency in line pairs per mm, at the detector.
    """
    f = np.asarray(frequency_per_mm, dtype=np.float64)
    sharp = np.exp(-2 * (np.pi * detector.blur_sigma_mm * f) ** 2)
    wide = np.exp(-2 * (np.pi * detector.glare_sigma_mm * f) ** 2)
    return ((1 - detector.glare) * sharp + detector.glare * wide) * np.sinc(detector.pixel_mm * f)


def normalised_noise_power_mm2(
    detector: Detector, frequency_per_mm: npt.ArrayLike, variance_weight: float, photons_per_mm2: float
) -> Array:
    """Noise power spectrum of a flat field over its squared mean, in mm², along a row or a column.

    Quanta are white and blurred by the detector without its aperture (sampling folds the aperture's loss back);
    read-out noise is white: (V · blur² + e² / N) / q, with N = q p² photons per pixel.

    Args:
        detector: the detector.
        frequency_per_mm: (...) spatial frequency up to 1 / (2 pixel_mm).
        variance_weight: V, `Nodes.variance_weight` summed: 1 / DQE(0).
        photons_per_mm2: q, photons that meet the detector.
    """
    f = np.asarray(frequency_per_mm, dtype=np.float64)
    blur = mtf(detector, f) / np.sinc(detector.pixel_mm * f)
    per_pixel = photons_per_mm2 * detector.pixel_mm**2
    return (variance_weight * blur**2 + detector.electronic_noise_photons**2 / per_pixel) / photons_per_mm2


def dqe(detector: Detector, frequency_per_mm: npt.ArrayLike, variance_weight: float, photons_per_mm2: float) -> Array:
    """Detective quantum efficiency: MTF² / (q · normalised noise power); arguments as there."""
    power = normalised_noise_power_mm2(detector, frequency_per_mm, variance_weight, photons_per_mm2)
    return mtf(detector, frequency_per_mm) ** 2 / (photons_per_mm2 * power)


@lru_cache(maxsize=16)
def _coefficients(material: str, energy_kev: tuple[float, ...]) -> tuple[Array, Array]:
    return mass_attenuation_cm2_g(material, energy_kev), energy_absorption_cm2_g(material, energy_kev)
