"""X-ray tube spectra: photons per cm² per mAs at 1 m, from a shipped table and our own filter attenuation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.attenuation import MATERIALS, energy_absorption_cm2_g, mass_attenuation_cm2_g
from synthray.imaging.checks import check_between

Array = npt.NDArray[np.float64]

_TABLE_ANODE_ANGLE_DEG = 12.0
# keV/g -> µGy: 1.602e-16 J/keV x 1e3 g/kg x 1e6 µGy/Gy.
_UGY_PER_KEV_G = 1.602176634e-7


@dataclass(frozen=True, kw_only=True)
class Tube:
    """An X-ray tube's setting.

    Attributes:
        tube_kvp: peak voltage, 40 to 150 kVp.
        aluminium_mm: total filtration in mm of aluminium, inherent included, 0.5 to 20.
        copper_mm: added copper in mm, 0 to 2.
        anode_angle_deg: tungsten anode; only 12 degrees is tabulated.
    """

    tube_kvp: float = 80.0
    aluminium_mm: float = 2.5
    copper_mm: float = 0.0
    anode_angle_deg: float = _TABLE_ANODE_ANGLE_DEG

    def __post_init__(self) -> None:
        check_between("tube_kvp", self.tube_kvp, 40, 150)
        check_between("aluminium_mm", self.aluminium_mm, 0.5, 20)
        check_between("copper_mm", self.copper_mm, 0, 2)
        if self.anode_angle_deg != _TABLE_ANODE_ANGLE_DEG:
            raise InputError(f"anode_angle_deg must be {_TABLE_ANODE_ANGLE_DEG:g}, got {self.anode_angle_deg}")


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Photons by energy on the central ray at 1 m from the focal spot, in vacuum.

    Attributes:
        energy_kev: (E,) bin centres, 1 keV apart.
        fluence_per_cm2_mas: (E,) photons per cm² per mAs in each bin, never negative, zero above the tube voltage.
    """

    energy_kev: Array
    fluence_per_cm2_mas: Array


def spectrum(tube: Tube) -> Spectrum:
    """Filtered spectrum of a tube setting.

    Source: SpekPy 2.5 (its default model) for what the anode emits (`scripts/build_spectrum_table.py`), interpolated
    linearly in tube voltage; xraylib attenuation for the filters.
    """
    kvp, energy, emitted = _table()
    lower = min(int(np.searchsorted(kvp, tube.tube_kvp, side="right")) - 1, len(kvp) - 2)
    part = (tube.tube_kvp - kvp[lower]) / (kvp[lower + 1] - kvp[lower])
    fluence = (1 - part) * emitted[lower] + part * emitted[lower + 1]
    fluence = np.where(energy < tube.tube_kvp, fluence, 0.0)
    thickness_cm = np.array([tube.aluminium_mm, tube.copper_mm]) / 10
    return Spectrum(energy, fluence * np.exp(-thickness_cm @ _filter_attenuation_cm()))


def mean_energy_kev(beam: Spectrum) -> float:
    """Mean photon energy in keV."""
    return float(np.average(beam.energy_kev, weights=beam.fluence_per_cm2_mas))


def air_kerma_ugy_mas(beam: Spectrum) -> float:
    """Air kerma at 1 m in µGy per mAs."""
    absorbed = beam.energy_kev * energy_absorption_cm2_g("air", beam.energy_kev)
    return float(_UGY_PER_KEV_G * np.sum(beam.fluence_per_cm2_mas * absorbed))


def half_value_layer_mm(beam: Spectrum, order: Literal[1, 2] = 1, material: str = "aluminium") -> float:
    """Thickness that halves the air kerma (`order` 1), or that halves it once more (2), in mm."""
    per_mm = mass_attenuation_cm2_g(material, beam.energy_kev) * MATERIALS[material].density_g_cm3 / 10
    kerma = beam.fluence_per_cm2_mas * beam.energy_kev * energy_absorption_cm2_g("air", beam.energy_kev)
    first = _thickness_for(kerma, per_mm, 0.5)
    return first if order == 1 else _thickness_for(kerma, per_mm, 0.25) - first


def _thickness_for(signal: Array, per_mm: Array, fraction: float) -> float:
    low, high = 0.0, 1.0
    target = fraction * signal.sum()
    while np.sum(signal * np.exp(-per_mm * high)) > target:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.sum(signal * np.exp(-per_mm * middle)) > target else (low, middle)
    return high


@lru_cache(maxsize=1)
def _table() -> tuple[Array, Array, Array]:
    source = files("synthray.imaging") / "spectrum_table.npz"
    with source.open("rb") as stream, np.load(stream, allow_pickle=False) as table:
        kvp, energy, fluence = (
            table[key].astype(np.float64) for key in ("tube_kvp", "energy_kev", "fluence_per_cm2_mas")
        )
    energy.flags.writeable = False
    return kvp, energy, fluence


@lru_cache(maxsize=1)
def _filter_attenuation_cm() -> Array:
    energy = _table()[1]
    return np.array([mass_attenuation_cm2_g(m, energy) * MATERIALS[m].density_g_cm3 for m in ("aluminium", "copper")])
