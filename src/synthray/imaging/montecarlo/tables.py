"""Cross sections of materials on one energy grid, and the tables from which scattering angles are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.attenuation import MATERIALS, Material

Array = npt.NDArray[np.float64]

LOWEST_KEV, STEP_KEV, HIGHEST_KEV = 5.0, 0.25, 160.0
ENERGY_KEV = np.arange(LOWEST_KEV, HIGHEST_KEV + STEP_KEV / 2, STEP_KEV)
HC_KEV_ANGSTROM = 12.39841984
# sin(θ/2) / wavelength of a photon turned back at the highest energy, in 1/Å.
HIGHEST_MOMENTUM = HIGHEST_KEV / HC_KEV_ANGSTROM
_MOMENTA = 4096


@dataclass(frozen=True, eq=False)
class CrossSections:
    """What the transport needs to know of M materials.

    Attributes:
        mass_attenuation_cm2_g: (3, M, E) photoelectric, incoherent and coherent, on `ENERGY_KEV`.
        incoherent: (M, X) incoherent scattering function per electron, 0 to 1, on momenta 0 to `HIGHEST_MOMENTUM`.
        coherent: (M, X) integral of the squared form factor over the squared momentum, up to each of these momenta.
    """

    mass_attenuation_cm2_g: Array
    incoherent: Array
    coherent: Array


def cross_sections(materials: Sequence[str | Material]) -> CrossSections:
    """Tables of materials by name or composition, atoms taken as independent (no molecular interference).

    Source: EPDL97 cross sections and the form factors and scattering functions of Hubbell et al. 1975, by xraylib.

    Raises:
        InputError: unknown name.
    """
    each = [_one(_named(material)) for material in materials]
    mass, incoherent, coherent = zip(*each, strict=True)
    return CrossSections(np.ascontiguousarray(np.stack(mass, axis=1)), np.stack(incoherent), np.stack(coherent))


def momenta() -> Array:
    """(X,) momentum transfers of the tables, in 1/Å."""
    return np.linspace(0, HIGHEST_MOMENTUM, _MOMENTA)


def _named(material: str | Material) -> Material:
    if isinstance(material, Material):
        return material
    if material not in MATERIALS:
        raise InputError(f"no material '{material}'; known are {', '.join(sorted(MATERIALS))}")
    return MATERIALS[material]


def _one(material: Material) -> tuple[Array, Array, Array]:
    import xraylib
    import xraylib_np

    numbers = np.array([xraylib.SymbolToAtomicNumber(element) for element in material.fractions])
    fractions = np.array(list(material.fractions.values()))
    moles = fractions / np.array([xraylib.AtomicWeight(int(number)) for number in numbers])
    kinds = (xraylib_np.CS_Photo, xraylib_np.CS_Compt, xraylib_np.CS_Rayl)
    mass = np.stack([fractions @ kind(numbers, ENERGY_KEV) for kind in kinds])
    momentum = momenta()
    # xraylib has no value at 0: no electron scatters incoherently, all scatter in phase.
    electrons = moles @ np.where(momentum > 0, xraylib_np.SF_Compt(numbers, np.maximum(momentum, 1e-6)), 0.0)
    squared = moles @ xraylib_np.FF_Rayl(numbers, np.maximum(momentum, 1e-6)) ** 2
    area = (squared[1:] + squared[:-1]) / 2 * np.diff(momentum**2)
    return mass, np.minimum(electrons / (moles @ numbers), 1.0), np.concatenate([[0.0], np.cumsum(area)])
