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
    """A flat-panel detector.

    Attributes:
        material: "csi", "gd2o2s" or "selenium".
        thickness_mm: of the converting layer; `inf` catches every photon.
        packing: fraction of the layer's volume that is the material.
        mode: "energy" adds up deposited energy, "counting" counts photons.
        fill_factor: fraction of a pixel's area that sees light.
        swank_factor: 1 means every caught photon of one energy gives the same signal; K-escape and optical spread
            lower it to about 0.8 in CsI and Gd2O2S. It divides the quantum variance. Ignored when counting.
        pixel_mm: native pixel pitch, to which `electronic_noise_photons` refers.
        blur_sigma_mm: Gaussian that stands for the light's spread in the layer (MTF exp(-2 π² σ² f²)).
        electronic_noise_photons: standard deviation of read-out noise in one native pixel, in units of the mean
            signal of one incident photon of the open beam.
    """

    material: Literal["csi", "gd2o2s", "selenium"] = "csi"
    thickness_mm: float = 0.6
    packing: float = 0.8
    mode: Literal["energy", "counting"] = "energy"
    fill_factor: float = 1.0
    swank_factor: float = 0.8
    pixel_mm: float = 0.194
    blur_sigma_mm: float = 0.16
    electronic_noise_photons: float = 3.0

    def __post_init__(self) -> None:
        if self.material not in ("csi", "gd2o2s", "selenium"):
            raise InputError(f"detector material must be csi, gd2o2s or selenium, got '{self.material}'")
        if self.mode not in ("energy", "counting"):
            raise InputError(f"detector mode must be energy or counting, got '{self.mode}'")
        check_between("thickness_mm", self.thickness_mm, 0.01, np.inf)
        check_between("packing", self.packing, 0.05, 1)
        check_between("fill_factor", self.fill_factor, 0.05, 1)
        check_between("swank_factor", self.swank_factor, 0.2, 1)
        check_between("pixel_mm", self.pixel_mm, 0.01, 10)
        check_between("blur_sigma_mm", self.blur_sigma_mm, 0, 5)
        check_between("electronic_noise_photons", self.electronic_noise_photons, 0, 1e4)

    @staticmethod
    def preset(name: str) -> Detector:
        """A named detector: "csi-c-arm", "csi-chest", "gd2o2s-bedside" or "ideal-counting".

        Raises:
            InputError: unknown name.
        """
        if name not in _PRESETS:
            raise InputError(f"no detector preset '{name}'; known are {', '.join(_PRESETS)}")
        return _PRESETS[name]


_PRESETS = MappingProxyType(
    {
        "csi-c-arm": Detector(),
        "csi-chest": Detector(thickness_mm=0.5, pixel_mm=0.143, blur_sigma_mm=0.14),
        "gd2o2s-bedside": Detector(
            material="gd2o2s", thickness_mm=0.21, packing=0.6, pixel_mm=0.16, blur_sigma_mm=0.2, swank_factor=0.7
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
        return caught, caught
    deposit = energy * (absorbed / total).reshape(energy.shape)
    return caught * deposit, caught * deposit**2 / detector.swank_factor


@lru_cache(maxsize=16)
def _coefficients(material: str, energy_kev: tuple[float, ...]) -> tuple[Array, Array]:
    return mass_attenuation_cm2_g(material, energy_kev), energy_absorption_cm2_g(material, energy_kev)
