"""Anode angle, heel effect, ripple and further filters."""

import numpy as np
import pytest

from synthray.errors import InputError
from synthray.imaging import Tube, air_kerma_ugy_mas, half_value_layer_mm, mean_energy_kev, spectrum


def off_axis(millimetres: float) -> float:
    return float(np.rad2deg(np.arctan2(millimetres, 1000)))


def test_heel_effect_at_80_kvp() -> None:
    """SpekPy 2.5.4, 12 degrees, 2.5 mm Al, 15 cm beside the axis at 100 cm (PHYSICS.md)."""
    centre, anode, cathode = (spectrum(Tube(), off_axis(x)) for x in (0, -150, 150))
    # The fluence there falls with the inverse square too.
    square = 1 / (1 + 0.15**2)
    kerma = [air_kerma_ugy_mas(beam) for beam in (centre, anode, cathode)]
    assert kerma[1] * square / kerma[0] == pytest.approx(0.658, rel=0.01)
    assert kerma[2] * square / kerma[0] == pytest.approx(1.050, rel=0.01)
    assert mean_energy_kev(anode) - mean_energy_kev(centre) == pytest.approx(2.7, abs=0.1)
    assert mean_energy_kev(cathode) - mean_energy_kev(centre) == pytest.approx(-0.7, abs=0.1)
    assert half_value_layer_mm(anode) == pytest.approx(3.43, rel=0.01)
    assert half_value_layer_mm(cathode) == pytest.approx(2.54, rel=0.01)


def test_towards_the_cathode_the_beam_is_stronger_and_softer() -> None:
    beams = [spectrum(Tube(tube_kvp=100), angle) for angle in (-9, -6, -3, 0, 3, 6)]
    kerma, energy = [air_kerma_ugy_mas(b) for b in beams], [mean_energy_kev(b) for b in beams]
    assert kerma == sorted(kerma)
    assert energy == sorted(energy, reverse=True)


@pytest.mark.parametrize("kvp", [45, 72, 110, 150])
@pytest.mark.parametrize("angle", [6, 9, 15, 22])
def test_other_anode_angles_agree_with_spekpy(kvp: float, angle: float) -> None:
    spekpy = pytest.importorskip("spekpy", reason="the oracle needs the extra 'spectrum'")
    oracle = spekpy.Spek(kvp=kvp, th=angle, dk=1.0)
    oracle.multi_filter([("Al", 3.0), ("Cu", 0.1)])
    beam = spectrum(Tube(tube_kvp=kvp, aluminium_mm=3.0, copper_mm=0.1, anode_angle_deg=angle))
    assert beam.fluence_per_cm2_mas.sum() == pytest.approx(oracle.get_flu(), rel=0.01)
    assert mean_energy_kev(beam) == pytest.approx(oracle.get_emean(), rel=0.01)
    assert half_value_layer_mm(beam) == pytest.approx(oracle.get_hvl1(), rel=0.01)
    assert half_value_layer_mm(beam, order=2) == pytest.approx(oracle.get_hvl2(), rel=0.01)


def test_ripple_weakens_and_softens() -> None:
    steady, six_pulse, one_pulse = (spectrum(Tube(ripple=r)) for r in (0, 0.13, 1))
    kerma = [air_kerma_ugy_mas(b) for b in (steady, six_pulse, one_pulse)]
    assert kerma == sorted(kerma, reverse=True)
    assert mean_energy_kev(steady) > mean_energy_kev(six_pulse) > mean_energy_kev(one_pulse)
    assert one_pulse.fluence_per_cm2_mas[one_pulse.energy_kev >= 80].sum() == 0


def test_a_filter_by_name_is_that_filter() -> None:
    named = spectrum(Tube(filters=(("copper", 0.3),)))
    np.testing.assert_allclose(named.fluence_per_cm2_mas, spectrum(Tube(copper_mm=0.3)).fluence_per_cm2_mas)
    assert mean_energy_kev(spectrum(Tube(filters=(("titanium", 1.0),)))) > mean_energy_kev(spectrum(Tube()))
    with pytest.raises(InputError, match="no material 'unobtainium'"):
        Tube(filters=(("unobtainium", 1.0),))
    with pytest.raises(InputError, match="copper in mm must lie within 0 to 50"):
        Tube(filters=(("copper", -1.0),))
    with pytest.raises(InputError, match="-45 to 45"):
        spectrum(Tube(), 80)
