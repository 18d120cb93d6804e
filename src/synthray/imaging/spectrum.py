"""X-ray tube spectra: photons per cm² per mAs at 1 m, from a shipped table and our own filter attenuation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.attenuation import MATERIALS, energy_absorption_cm2_g, mass_attenuation_cm2_g
from synthray.imaging.checks import check_between

Array = npt.NDArray[np.float64]

TUBE_KVP = (40.0, 150.0)
# Take-off angles that are tabulated; 12 degrees is the tube whose spectrum is kept in full.
TAKE_OFF_DEG = (2.0, 32.0)
_REFERENCE_ANGLE_DEG = 12.0
# Phases of the voltage over which a rippled spectrum is averaged.
_PHASES = 12
# keV/g -> µGy: 1.602e-16 J/keV x 1e3 g/kg x 1e6 µGy/Gy.
_UGY_PER_KEV_G = 1.602176634e-7


@dataclass(frozen=True, kw_only=True)
class Tube:
    """An X-ray tube's setting.

    Attributes:
        tube_kvp: peak voltage, 40 to 150 kVp.
        aluminium_mm: total filtration in mm of aluminium, inherent included, 0.5 to 20.
        copper_mm: added copper in mm, 0 to 2.
        filters: further filters, (material, mm) each: a name in `MATERIALS`, 0 to 50 mm.
        anode_angle_deg: angle between the tungsten anode's surface and the central ray, 6 to 22 degrees.
        ripple: fall of the voltage below its peak, as a fraction: 0 to 0.05 for a high-frequency generator, 0.13 for
            six pulses, 1 for one or two.
    """

    tube_kvp: float = 80.0
    aluminium_mm: float = 2.5
    copper_mm: float = 0.0
    filters: tuple[tuple[str, float], ...] = ()
    anode_angle_deg: float = _REFERENCE_ANGLE_DEG
    ripple: float = 0.0

    def __post_init__(self) -> None:
        check_between("tube_kvp", self.tube_kvp, *TUBE_KVP)
        check_between("aluminium_mm", self.aluminium_mm, 0.5, 20)
        check_between("copper_mm", self.copper_mm, 0, 2)
        check_between("anode_angle_deg", self.anode_angle_deg, 6, 22)
        check_between("ripple", self.ripple, 0, 1)
        for material, thickness_mm in self.filters:
            if material not in MATERIALS:
                raise InputError(f"filters: no material '{material}'; known are {', '.join(sorted(MATERIALS))}")
            check_between(f"filters: {material} in mm", thickness_mm, 0, 50)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Photons by energy at 1 m from the focal spot, in vacuum.

    Attributes:
        energy_kev: (E,) bin centres, 1 keV apart.
        fluence_per_cm2_mas: (E,) photons per cm² per mAs in each bin, never negative, zero above the tube voltage.
    """

    energy_kev: Array
    fluence_per_cm2_mas: Array


def spectrum(tube: Tube, off_axis_deg: float = 0.0) -> Spectrum:
    """Filtered spectrum of a tube setting, on the central ray or beside it.

    Source: SpekPy 2.5 (its default model) for what the anode emits (`scripts/build_spectrum_table.py`), interpolated
    linearly in tube voltage and take-off angle; xraylib attenuation for the filters. Off axis (the heel effect) the
    ray leaves the anode at another angle and crosses the flat filters aslant.

    Args:
        tube: the setting.
        off_axis_deg: angle from the central ray in the plane of anode and cathode, positive towards the cathode.
            Rays that would leave at less than 2 degrees get the spectrum at 2.

    Raises:
        InputError: `off_axis_deg` is beyond 45 degrees to either side.
    """
    check_between("off_axis_deg", off_axis_deg, -45, 45)
    energy = _table().energy_kev
    take_off = float(np.clip(tube.anode_angle_deg + off_axis_deg, *TAKE_OFF_DEG))
    emitted = np.mean([_emitted(kvp, take_off) for kvp in _voltages(tube)], axis=0)
    slant = 1 / np.cos(np.deg2rad(off_axis_deg))
    filters = (("aluminium", tube.aluminium_mm), ("copper", tube.copper_mm), *tube.filters)
    depth = sum(thickness_mm / 10 * slant * _attenuation_cm(material) for material, thickness_mm in filters)
    return Spectrum(energy, emitted * np.exp(-depth))


def _voltages(tube: Tube) -> Array:
    """Voltages over half a period of the ripple; below 40 kVp next to nothing leaves the tube."""
    if tube.ripple == 0:
        return np.array([tube.tube_kvp])
    phase = (np.arange(_PHASES) + 0.5) / _PHASES * np.pi
    return tube.tube_kvp * (1 - tube.ripple * (1 - np.sin(phase)))


def _emitted(tube_kvp: float, take_off_deg: float) -> Array:
    """Photons that leave the anode, (E,) per cm² and mAs at 1 m."""
    table = _table()
    if tube_kvp < TUBE_KVP[0]:
        return np.zeros_like(table.energy_kev)
    fluence = _between(table.tube_kvp, table.fluence, tube_kvp)
    fluence = np.where(table.energy_kev < tube_kvp, fluence, 0.0)
    if take_off_deg == _REFERENCE_ANGLE_DEG:
        return fluence
    return fluence * _between(table.ratio_angle_deg, _between(table.ratio_kvp, table.ratio, tube_kvp), take_off_deg)


def _between(knots: Array, values: Array, at: float) -> Array:
    """Linear interpolation along the first axis of (N, ...) values."""
    lower = min(int(np.searchsorted(knots, at, side="right")) - 1, len(knots) - 2)
    part = (at - knots[lower]) / (knots[lower + 1] - knots[lower])
    return (1 - part) * values[lower] + part * values[lower + 1]


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


class _Table(NamedTuple):
    """What the anode emits; see `scripts/build_spectrum_table.py`."""

    tube_kvp: Array
    energy_kev: Array
    fluence: Array
    ratio_kvp: Array
    ratio_angle_deg: Array
    ratio: Array


@lru_cache(maxsize=1)
def _table() -> _Table:
    source = files("synthray.imaging") / "spectrum_table.npz"
    names = ("tube_kvp", "energy_kev", "fluence_per_cm2_mas", "ratio_kvp", "ratio_angle_deg", "ratio")
    with source.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        table = _Table(*(stored[name].astype(np.float64) for name in names))
    for array in table:
        array.flags.writeable = False
    return table


@lru_cache(maxsize=32)
def _attenuation_cm(material: str) -> Array:
    """(E,) linear attenuation of a filter at the table's energies."""
    return mass_attenuation_cm2_g(material, _table().energy_kev) * MATERIALS[material].density_g_cm3
