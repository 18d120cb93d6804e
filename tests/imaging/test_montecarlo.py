"""The Monte Carlo against closed forms, xraylib's differential cross sections and AAPM TG-195."""

import numpy as np
import pytest
import xraylib
from numba import njit

from synthray.errors import InputError
from synthray.imaging import Detector, Tube, mass_attenuation_cm2_g, response, spectrum
from synthray.imaging.attenuation import Material
from synthray.imaging.grid import Grid, primary_transmission
from synthray.imaging.montecarlo import Body, Receptor, cross_sections, follow_photons
from synthray.imaging.montecarlo.sampling import coherent_angle, incoherent_angle

WATER = 0.2059  # cm²/g at 60 keV


@njit
def angles(energy: float, coherent: bool, table: np.ndarray, count: int) -> np.ndarray:
    state = np.array([12345], dtype=np.uint64)
    out = np.empty((count, 2))
    for i in range(count):
        if coherent:
            out[i] = coherent_angle(energy, table, state), energy
        else:
            out[i] = incoherent_angle(energy, table, state)
    return out


def slab(centimetres: float = 20.0, gap_mm: float = 0.0) -> Body:
    return Body.slab("water", 10 * centimetres, 1000 - gap_mm - 10 * centimetres)


@pytest.mark.parametrize("energy", [25.0, 60.0, 120.0])
@pytest.mark.parametrize("kind", ["coherent", "incoherent"])
def test_angles_follow_the_differential_cross_section(kind: str, energy: float) -> None:
    tables = cross_sections(["water"])
    table = tables.coherent[0] if kind == "coherent" else tables.incoherent[0]
    drawn = angles(energy, kind == "coherent", table, 200_000)
    edges = np.linspace(0, np.pi, 19)
    counts = np.histogram(np.arccos(drawn[:, 0]), edges)[0]
    per_angle = xraylib.DCS_Rayl_CP if kind == "coherent" else xraylib.DCS_Compt_CP
    fine = np.linspace(0, np.pi, 18 * 40 + 1)
    middle = (fine[1:] + fine[:-1]) / 2
    density = np.array([per_angle("H2O", energy, float(angle)) * np.sin(angle) for angle in middle])
    expected = density.reshape(18, 40).sum(axis=1) / density.sum() * len(drawn)
    # Five standard deviations, and half a percent for the tables' interpolation.
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected + 1) + 0.005 * expected)
    if kind == "incoherent":
        kept = 1 / (1 + energy / 510.99895 * (1 - drawn[:, 0]))
        np.testing.assert_allclose(drawn[:, 1], energy * kept, rtol=1e-9)


@pytest.mark.parametrize("centimetres", [5, 20])
def test_primary_is_beer_lambert(centimetres: float) -> None:
    result = follow_photons(slab(centimetres), Receptor.across_z(1000.0, 1, 1.0), 60.0, 100, 1)
    expected = np.exp(-float(mass_attenuation_cm2_g("water", 60)) * centimetres)
    assert result.primary[0, 0] / result.open[0, 0] == pytest.approx(expected, rel=1e-4)


def test_primary_of_a_spectrum_in_a_detector_is_the_sum_over_its_energies() -> None:
    beam, detector = spectrum(Tube()), Detector()
    result = follow_photons(slab(), Receptor.across_z(1000.0, 1, 1.0, detector), beam, 100, 1)
    worth = beam.fluence_per_cm2_mas * response(detector, beam.energy_kev)[0]
    left = np.exp(-mass_attenuation_cm2_g("water", beam.energy_kev) * 20)
    assert result.primary[0, 0] / result.open[0, 0] == pytest.approx((worth * left).sum() / worth.sum(), rel=2e-3)


@pytest.mark.parametrize(("energy", "counts"), [(40.0, 0.0), (60.0, 1.0), (90.0, 0.0)])
def test_a_counter_counts_within_its_thresholds(energy: float, counts: float) -> None:
    counter = Detector(material="cdte", thickness_mm=np.inf, mode="counting", threshold_kev=(50.0, 80.0))
    receptor = Receptor.across_z(1000.0, 1, 1.0, counter)
    result = follow_photons(slab(), receptor, energy, 100, 1)
    assert result.open[0, 0] == pytest.approx(counts * 1e-6, rel=1e-3)


def test_the_open_field_falls_as_the_inverse_square_times_the_cosine() -> None:
    result = follow_photons(slab(), Receptor.across_z(1000.0, 101, 10.0), 60.0, 100, 1)
    cosine = 1000 / np.hypot(1000, 500)
    assert result.open[50, 0] / result.open[50, 50] == pytest.approx(cosine**3, rel=1e-3)


@pytest.mark.parametrize("energy", [30.0, 60.0, 100.0])
def test_no_energy_is_lost(energy: float) -> None:
    result = follow_photons(slab(10), Receptor.across_z(1000.0, 4, 50.0), energy, 20_000, 1)
    kept = result.deposited_kev.sum() + result.leaving_kev
    assert kept / result.emitted_kev == pytest.approx(1, abs=0.006)


def test_thin_sheet_scatters_once_as_the_cross_section_says() -> None:
    # A pencil through 0.1 mm of water, and a detector of 100 mm half a metre behind: angles up to 8 degrees.
    field = (99.9, 100.1, 99.9, 100.1)
    receptor = Receptor.across_z(1000.0, 200, 0.5)
    result = follow_photons(Body.slab("water", 0.1, 500.0), receptor, 60.0, 100_000, 1, field_px=field)
    place = (np.arange(200) - 99.5) * 0.5
    angle = np.arctan(np.hypot(place[:, None], place) / 499.95)
    solid = 0.25 * np.cos(angle) ** 3 / 499.95**2
    known = np.linspace(3e-3, 0.15, 148)
    for kind, per_angle in ((0, xraylib.DCS_Rayl_CP), (1, xraylib.DCS_Compt_CP)):
        table = np.array([per_angle("H2O", 60.0, float(a)) for a in known])
        expected = (np.interp(angle, known, table) * solid).sum() * 0.01 * result.emitted * 60.0
        assert result.scatter[kind].sum() == pytest.approx(expected, rel=0.06)
    assert result.scatter[2].sum() < 0.01 * result.scatter.sum()


def test_ratios_of_earlier_runs_at_60_kev() -> None:
    # PHYSICS.md: 3.54 behind 20 cm, 30 cm field, in contact.
    result = follow_photons(slab(), Receptor.across_z(1000.0, 30, 10.0), 60.0, 30_000, 3)
    ratio, error = result.ratio(slice(10, 20), slice(10, 20))
    assert error < 0.15
    assert ratio == pytest.approx(3.6, rel=0.08)


@pytest.mark.parametrize(("degrees", "expected_ev"), [(0, 33171.4), (15, 30883.8)])
def test_tg195_case_2_total(degrees: float, expected_ev: float) -> None:
    # AAPM TG-195, case 2, 56.4 keV: energy per photon in the block (source: benchmarks/physics/scatter.py).
    shares = {"H": 0.105, "C": 0.256, "N": 0.027, "O": 0.602, "Na": 1e-3, "P": 2e-3, "S": 3e-3, "Cl": 2e-3, "K": 2e-3}
    tissue = Material(shares, 1.03)
    side, depth = np.array([-500, -195, 195, 500.0]), np.array([0, 1550, 1750, 1800.0])
    block = np.zeros((3, 3, 3), dtype=bool)
    block[1, 1, 1] = True
    body = Body(
        (side, side, depth), np.stack([np.where(block, 0, 0.001205), np.where(block, 1.03, 0)]), ("air", tissue)
    )
    source = (0.0, -1800 * np.tan(np.radians(degrees)), 0.0)
    result = follow_photons(body, Receptor.across_z(1800.0, 39, 10.0), 56.4, 30_000, 5, source)
    assert 1000 * result.deposited_kev[1, 1, 1] / result.emitted == pytest.approx(expected_ev, rel=0.01)


def test_cells_of_the_same_matter_change_nothing_but_rounding() -> None:
    edges = np.linspace(-1000, 1000, 4)
    split = Body((edges, edges, np.array([800, 850, 930, 1000.0])), np.ones((1, 3, 3, 3)), ("water",))
    receptor = Receptor.across_z(1000.0, 8, 40.0)
    one, many = (follow_photons(body, receptor, 60.0, 5_000, 2) for body in (slab(), split))
    np.testing.assert_allclose(many.scatter, one.scatter, rtol=1e-6)
    np.testing.assert_allclose(many.deposited_kev.sum(), one.deposited_kev.sum(), rtol=1e-9)


def test_half_and_half_is_the_sum_of_both_materials() -> None:
    side, front = np.array([-1000, 1000.0]), np.array([800, 1000.0])
    mixed = Body((side, side, front), np.full((2, 1, 1, 1), 0.5), ("water", "water"))
    receptor = Receptor.across_z(1000.0, 1, 10.0)
    one, two = (follow_photons(body, receptor, 60.0, 100, 1).primary[0, 0] for body in (slab(), mixed))
    assert two == pytest.approx(one, rel=1e-9)


def test_same_seed_same_bits() -> None:
    runs = [follow_photons(slab(), Receptor.across_z(1000.0, 4, 50.0), 60.0, 1_000, s).parts for s in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_a_turned_rig_sees_the_same() -> None:
    # The beam along +x instead of +z, through the same slab.
    side = np.array([-1000, 1000.0])
    body = Body((np.array([800, 1000.0]), side, side), np.ones((1, 1, 1, 1)), ("water",))
    half = 150.0
    turned = Receptor(np.array([1000, -half, -half]), np.array([0, 30.0, 0]), np.array([0, 0, 30.0]), 10, 10)
    one = follow_photons(body, turned, 60.0, 20_000, 4)
    two = follow_photons(slab(), Receptor.across_z(1000.0, 10, 30.0), 60.0, 20_000, 4)
    np.testing.assert_allclose(one.primary, two.primary, rtol=1e-9)
    assert one.scatter.sum() == pytest.approx(two.scatter.sum(), rel=0.05)


def test_a_grid_dims_the_primary_as_stated_and_scatter_more() -> None:
    grid = Grid.preset("8:1")
    with_grid = follow_photons(slab(), Receptor.across_z(1000.0, 10, 30.0, grid=grid), 60.0, 10_000, 1)
    without = follow_photons(slab(), Receptor.across_z(1000.0, 10, 30.0), 60.0, 10_000, 1)
    passing = float(primary_transmission(grid, 60.0))
    assert with_grid.primary[5, 5] / without.primary[5, 5] == pytest.approx(passing, rel=1e-3)
    assert with_grid.scatter.sum() < 0.3 * without.scatter.sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beam": 1000.0}, "5 to 160"),
        ({"beam": float("nan")}, "5 to 160"),
        ({"photons": 0}, "photons"),
        ({"seed": -1}, "seed"),
        ({"source_mm": (0, 0, 2000)}, "away from the source"),
        ({"field_px": (2, 2, 0, 4)}, "field is empty"),
    ],
)
def test_nonsense_is_refused(change: dict, message: str) -> None:
    given = {"beam": 60.0, "photons": 100, "seed": 1, **change}
    with pytest.raises(InputError, match=message):
        follow_photons(slab(), Receptor.across_z(1000.0, 4, 10.0), **given)


def test_bad_bodies_are_refused() -> None:
    edges = np.array([0, 1.0])
    with pytest.raises(InputError, match="ascend"):
        Body((edges[::-1], edges, edges), np.ones((1, 1, 1, 1)), ("water",))
    with pytest.raises(InputError, match="not negative"):
        Body((edges, edges, edges), -np.ones((1, 1, 1, 1)), ("water",))
    with pytest.raises(InputError, match="shape"):
        Body((edges, edges, edges), np.ones((1, 1, 1)), ("water",))
    with pytest.raises(InputError, match="no material"):
        Body.slab("unobtainium", 10, 10)
    with pytest.raises(InputError, match="no material"):
        cross_sections(["unobtainium"])
