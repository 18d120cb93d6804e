from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthray.errors import InputError
from synthray.imaging import DETECTORS, Detector, Tube, basis_attenuation_cm2_g, nodes, response, spectrum, transmission

# Water (as adipose + bone) 0-40 cm x cortical bone 0-8 cm, at thicknesses that the fit itself doesn't use.
THICKNESS = np.array(
    [(0.9393 * w, 0.0651 * w + 1.92 * b) for w in np.linspace(0, 40, 47) for b in np.linspace(0, 8, 33)]
)


def errors(tube: Tube, detector: Detector, count: int = 5) -> tuple[float, float]:
    """Largest relative error of the signal and of its variance against the sum over all energies."""
    beam = spectrum(tube)
    photons = beam.fluence_per_cm2_mas
    first, second = response(detector, beam.energy_kev)
    full = np.exp(-THICKNESS @ basis_attenuation_cm2_g(beam.energy_kev).T)
    few = nodes(tube, detector, count)
    short = np.exp(-THICKNESS @ few.basis_attenuation_cm2_g.T)
    signal = full @ (photons * first) / np.sum(photons * first)
    variance = full @ (photons * second) * photons.sum() / np.sum(photons * first) ** 2
    return (
        float(np.abs(short @ few.weight / signal - 1).max()),
        float(np.abs(short @ few.variance_weight / variance - 1).max()),
    )


@pytest.mark.parametrize("kvp", [60, 65, 72.5, 80, 100, 120, 150])
@pytest.mark.parametrize(("aluminium", "copper"), [(2, 0), (2.5, 0), (3, 0.1), (5, 0), (5, 0.3)])
def test_five_nodes_stand_for_the_spectrum(kvp: float, aluminium: float, copper: float) -> None:
    signal, variance = errors(Tube(tube_kvp=kvp, aluminium_mm=aluminium, copper_mm=copper), Detector())
    assert signal < 1e-3
    assert variance < 1e-2


@pytest.mark.parametrize("preset", sorted(DETECTORS))
def test_five_nodes_with_other_detectors(preset: str) -> None:
    for kvp in (60, 90, 140):
        signal, variance = errors(Tube(tube_kvp=kvp), Detector.preset(preset))
        assert signal < 1e-3
        assert variance < 1e-2


def test_more_nodes_are_better() -> None:
    by_count = [errors(Tube(tube_kvp=120), Detector(), count)[0] for count in (1, 2, 3, 4, 5)]
    assert by_count == sorted(by_count, reverse=True)
    assert by_count[-1] < 3e-4


@settings(max_examples=40, deadline=None)
@given(st.floats(40, 150), st.floats(0.5, 20), st.floats(0, 2), st.integers(1, 8))
def test_weights_are_positive_energies_below_the_voltage(kvp: float, al: float, cu: float, count: int) -> None:
    result = nodes(Tube(tube_kvp=kvp, aluminium_mm=al, copper_mm=cu), Detector(), count)
    assert np.all(result.weight > 0)
    assert result.weight.sum() == pytest.approx(1, abs=1e-12)
    assert np.all(result.variance_weight >= 0)
    assert np.all(result.energy_kev > 5)
    assert np.all(result.energy_kev < 150)
    assert np.all(np.diff(result.energy_kev) > 0)


def test_detective_quantum_efficiency() -> None:
    perfect_light = replace(Detector(), swank_factor=1.0)
    for kvp, expected in ((80, 0.831), (120, 0.727)):
        beam = nodes(Tube(tube_kvp=kvp), perfect_light)
        assert 1 / beam.variance_weight.sum() == pytest.approx(expected, rel=0.01)


def test_energy_integrating_variance_over_mean() -> None:
    everything = Detector(thickness_mm=float("inf"), swank_factor=1.0)
    beam = spectrum(Tube(tube_kvp=80))
    first, second = response(everything, beam.energy_kev)
    photons = beam.fluence_per_cm2_mas
    # The layer catches all photons but a Compton event may carry energy away, so ε is just under E.
    assert np.all(first <= beam.energy_kev)
    ratio = np.sum(photons * first) ** 2 / (photons.sum() * np.sum(photons * second))
    assert ratio == pytest.approx(0.909, abs=0.01)


def test_counting_detector_has_the_photons_own_statistics() -> None:
    beam = nodes(Tube(), Detector.preset("ideal-counting"))
    assert beam.variance_weight.sum() == pytest.approx(1, rel=1e-9)
    assert beam.signal_per_photon == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize(
    "setting",
    [
        {"thickness_mm": -1},
        {"packing": 0},
        {"material": "lead"},
        {"mode": "magic"},
        {"swank_factor": 2},
        {"pixel_mm": 0},
    ],
)
def test_absurd_detectors_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Detector(**setting)  # type: ignore[arg-type]


def test_unknown_preset_and_count_are_refused() -> None:
    with pytest.raises(InputError, match="csi-c-arm"):
        Detector.preset("film")
    with pytest.raises(InputError, match="1 to 8"):
        nodes(Tube(), Detector(), 0)


@pytest.mark.parametrize(
    ("material", "amounts_g_cm2", "count"),
    [("titanium", (0.4, 1.0, 2.2), 6), ("steel_316l", (0.8, 2.0, 4.0), 7), ("iodine", (0.01, 0.05, 0.2), 7)],
)
@pytest.mark.parametrize("kvp", [70, 100, 120])
def test_metal_and_contrast_agent(kvp: float, material: str, amounts_g_cm2: tuple[float, ...], count: int) -> None:
    beam = spectrum(Tube(tube_kvp=kvp))
    signal = beam.fluence_per_cm2_mas * response(Detector(), beam.energy_kev)[0]
    few = nodes(Tube(tube_kvp=kvp), Detector(), count, (material,))
    for amount in (0.0, *amounts_g_cm2):
        thickness = np.column_stack([THICKNESS, np.full(len(THICKNESS), amount)])
        full = np.exp(-thickness @ basis_attenuation_cm2_g(beam.energy_kev, (material,)).T) @ signal / signal.sum()
        short = np.exp(-thickness @ few.basis_attenuation_cm2_g.T) @ few.weight
        assert np.abs(short / full - 1).max() < 3e-3


def test_a_further_material_has_its_channel() -> None:
    beam = nodes(Tube(), Detector(), 6, ("titanium",))
    density = np.zeros((3, 4, 5), dtype=np.float32)
    assert transmission(density, beam) == pytest.approx(np.ones((4, 5)))
    density[2, 1, 1] = 0.5
    dark = transmission(density, beam)
    assert dark[1, 1] < 0.7
    assert (dark.ravel() < 1 - 1e-6).sum() == 1
    with pytest.raises(InputError, match=r"shape \(..., 3, row, column\)"):
        transmission(density[:2], beam)
    with pytest.raises(InputError, match="no material 'kryptonite'"):
        nodes(Tube(), Detector(), 6, ("kryptonite",))
