import numpy as np
import pytest

from synthray.errors import InputError
from synthray.imaging import (
    BASIS,
    MATERIALS,
    basis_attenuation_cm2_g,
    energy_absorption_cm2_g,
    mass_attenuation_cm2_g,
)


@pytest.mark.parametrize(
    ("material", "expected"), [("water", 0.2059), ("cortical_bone", 0.3148), ("soft_tissue", 0.2048)]
)
def test_agrees_with_nist_at_60_kev(material: str, expected: float) -> None:
    assert mass_attenuation_cm2_g(material, 60.0) == pytest.approx(expected, rel=5e-4)


def test_energy_absorption_of_water_agrees_with_nist() -> None:
    nist = [4.944, 1.374, 0.5503, 0.1557, 0.06947, 0.04223, 0.03190, 0.02597, 0.02546, 0.02764]
    energy = [10, 15, 20, 30, 40, 50, 60, 80, 100, 150]
    np.testing.assert_allclose(energy_absorption_cm2_g("water", energy), nist, rtol=1e-3)


def test_energy_absorption_of_air_agrees_with_nist() -> None:
    nist = [4.742, 1.334, 0.5389, 0.1537, 0.06833, 0.04098, 0.03041, 0.02407, 0.02325, 0.02496]
    energy = [10, 15, 20, 30, 40, 50, 60, 80, 100, 150]
    np.testing.assert_allclose(energy_absorption_cm2_g("air", energy), nist, rtol=6e-3)


def test_iodine_has_its_k_edge() -> None:
    below, above = mass_attenuation_cm2_g("iodine", [33.0, 33.3])
    assert above > 4 * below


@pytest.mark.parametrize("material", sorted(MATERIALS))
def test_fractions_sum_to_one_and_absorption_is_a_part_of_attenuation(material: str) -> None:
    assert sum(MATERIALS[material].fractions.values()) == pytest.approx(1, abs=1e-12)
    energy = np.array([10.0, 40.0, 150.0])
    absorbed = energy_absorption_cm2_g(material, energy)
    assert np.all(absorbed > 0)
    assert np.all(absorbed < mass_attenuation_cm2_g(material, energy))


# Fit over 20-120 keV and the error of the transmission of 20 g/cm2 behind a typical beam.
@pytest.mark.parametrize(
    ("tissue", "adipose", "bone"),
    [
        ("water", 0.9363, 0.0668),
        ("soft_tissue", 0.9218, 0.0727),
        ("muscle", 0.9225, 0.0720),
        ("lung", 0.9207, 0.0749),
        ("blood", 0.9168, 0.0785),
        ("cartilage", 0.8822, 0.1087),
        ("spongiosa", 0.6507, 0.3484),
    ],
)
def test_two_bases_carry_every_tissue(tissue: str, adipose: float, bone: float) -> None:
    energy = np.arange(20.0, 121.0)
    exact = mass_attenuation_cm2_g(tissue, energy)
    mixed = basis_attenuation_cm2_g(energy) @ [adipose, bone]
    # Weights of a 120 kVp beam after 20 g/cm2: only there does an error reach the image.
    weight = np.exp(-20 * exact) * energy * np.maximum(120 - energy, 0)
    error = np.sum(weight * np.exp(20 * (exact - mixed))) / np.sum(weight) - 1
    assert abs(error) < 0.005


def test_interpolated_basis_equals_xraylib() -> None:
    energy = np.linspace(5.5, 150, 777)
    exact = np.stack([mass_attenuation_cm2_g(name, energy) for name in BASIS], axis=-1)
    np.testing.assert_allclose(basis_attenuation_cm2_g(energy), exact, rtol=1e-4)


@pytest.mark.parametrize(("material", "energy"), [("unobtainium", 60.0), ("water", -1.0), ("water", np.nan)])
def test_nonsense_is_refused(material: str, energy: float) -> None:
    with pytest.raises(InputError):
        mass_attenuation_cm2_g(material, energy)
