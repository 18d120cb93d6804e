from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from synthray.errors import InputError
from synthray.imaging import Detector, Nodes, Tube, nodes, scatter_ratio, scattered, transmission
from synthray.imaging.attenuation import electrons_relative_to_water
from synthray.imaging.grid import GRID_PRESETS, Grid, grid_lines, primary_transmission, strip_transmission
from synthray.imaging.montecarlo import Body, Receptor, follow_photons
from synthray.imaging.scatter import Scatter, scatter_table
from synthray.imaging.spectrum import spectrum

WATER = np.array([0.9393, 0.0651])
BARE = Scatter(air_gap_mm=100, grid=None)


@cache
def beam(kvp: float = 80.0) -> Nodes:
    return nodes(Tube(tube_kvp=kvp), Detector())


def slab(water_cm: float, size: int = 60) -> np.ndarray:
    return np.broadcast_to((WATER * water_cm)[:, None, None], (2, size, size)).astype(np.float32)


def middle_ratio(
    water_cm: float, scatter: Scatter, field_mm: float = 300.0, kvp: float = 80.0, size: int = 60
) -> float:
    density = slab(water_cm, size)
    primary = transmission(density, beam(kvp))
    veil = scattered(primary, density, beam(kvp), scatter, field_mm / size)
    middle = np.s_[size // 2 - 1 : size // 2 + 1, size // 2 - 1 : size // 2 + 1]
    return float(veil[middle].mean() / primary[0, 0])


@pytest.mark.parametrize(
    ("kvp", "water_cm", "field_mm", "gap_mm"),
    [(80, 10, 200, 0), (80, 20, 300, 100), (120, 20, 400, 0), (60, 15, 200, 300), (100, 30, 300, 50)],
)
def test_agrees_with_the_monte_carlo(kvp: float, water_cm: float, field_mm: float, gap_mm: float) -> None:
    body = Body.slab("water", 10 * water_cm, 1000 - gap_mm - 10 * water_cm)
    receptor = Receptor.across_z(1000.0, 16, field_mm / 16, Detector())
    middle = slice(4, 12)
    reference, error = follow_photons(body, receptor, spectrum(Tube(tube_kvp=kvp)), 15_000, 9).ratio(middle, middle)
    density = slab(water_cm, 16)
    primary = transmission(density, beam(kvp))
    setup = Scatter(air_gap_mm=gap_mm, grid=None)
    veil = scattered(primary, density, beam(kvp), setup, field_mm / 16)
    assert error < 0.06 * reference
    assert veil[middle, middle].mean() / primary[0, 0] == pytest.approx(reference, rel=0.2)


@pytest.mark.parametrize(
    ("kvp", "water_cm", "gap_mm", "field_mm", "reference"),
    [
        # Monte Carlo, printed by `python benchmarks/physics/scatter.py --full` (60 000 photons, seed 11).
        (60, 5, 0, 100, 0.559),
        (60, 5, 300, 400, 0.284),
        (60, 20, 100, 200, 1.56),
        (60, 40, 0, 400, 11.2),
        (80, 5, 300, 100, 0.0440),
        (80, 20, 100, 100, 0.581),
        (80, 40, 300, 400, 4.98),
        (100, 30, 0, 400, 8.82),
        (100, 30, 300, 100, 0.309),
        (120, 5, 0, 400, 0.754),
        (120, 20, 300, 200, 0.586),
        (120, 40, 0, 100, 3.36),
        (120, 40, 300, 400, 5.74),
    ],
)
def test_within_a_fifth_of_stored_monte_carlo_ratios(
    kvp: float, water_cm: float, gap_mm: float, field_mm: float, reference: float
) -> None:
    density = slab(water_cm, 40)
    primary = transmission(density, beam(kvp))
    veil = scattered(primary, density, beam(kvp), Scatter(air_gap_mm=gap_mm, grid=None), field_mm / 40)
    assert veil[10:30, 10:30].mean() / primary[0, 0] == pytest.approx(reference, rel=0.2)


@pytest.mark.parametrize("water_cm", [3, 12, 24, 45])
@pytest.mark.parametrize("field_mm", [150, 400])
@pytest.mark.parametrize("gap_mm", [0, 200])
def test_image_and_closed_form_agree(water_cm: float, field_mm: float, gap_mm: float) -> None:
    setup = Scatter(air_gap_mm=gap_mm, grid=None)
    assert middle_ratio(water_cm, setup, field_mm) == pytest.approx(
        scatter_ratio(water_cm, field_mm, setup, beam()), rel=0.06
    )


def test_beyond_50_cm_it_grows_no_further() -> None:
    assert scatter_ratio(100, 300, BARE, beam()) == scatter_ratio(50, 300, BARE, beam())
    assert middle_ratio(80, BARE) == pytest.approx(middle_ratio(50, BARE), rel=1e-3)


def test_grows_with_field_and_thickness_and_falls_with_the_gap() -> None:
    fields = [middle_ratio(20, BARE, field) for field in (50, 100, 200, 400)]
    assert fields == sorted(fields)
    assert fields[0] < 0.3 * fields[-1]
    thicknesses = [middle_ratio(t, BARE) for t in (0.1, 1, 5, 10, 20, 30, 40, 50)]
    assert thicknesses == sorted(thicknesses)
    gaps = [middle_ratio(20, Scatter(air_gap_mm=gap, grid=None)) for gap in (0, 50, 100, 200, 400)]
    assert gaps == sorted(gaps, reverse=True)


def test_the_air_gap_acts_like_a_virtual_source_15_to_20_cm_inside() -> None:
    # Sorenson & Floch 1985: ratio ∝ (x / (x + gap))² with x of 15 to 20 cm.
    near, far = (scatter_ratio(20, 150, Scatter(air_gap_mm=g, grid=None), beam(), 1800.0) for g in (100, 400))
    root = np.sqrt(far / near)
    assert 150 < (400 * root - 100) / (1 - root) < 200


def test_no_body_no_scatter() -> None:
    open_field = np.zeros((2, 40, 50), dtype=np.float32)
    assert np.all(scattered(np.ones((40, 50), dtype=np.float32), open_field, beam(), Scatter(), 5.0) == 0)
    for off in (Scatter(strength=0), Scatter(ratio=0)):
        assert middle_ratio(20, off) == 0


def test_further_materials_scatter_by_their_electrons() -> None:
    """PMMA as a channel of its own makes the scatter of the water with as many electrons, for equal primaries."""
    share = electrons_relative_to_water("pmma")
    assert share == pytest.approx(0.9716, abs=1e-3)  # Z/A of PMMA 0.53937, of water 0.55508 (NIST)
    assert electrons_relative_to_water("titanium") == pytest.approx(22 / 47.867 / 0.55508, abs=1e-3)
    primary = np.full((40, 40), 0.05, dtype=np.float32)
    alone = np.zeros((3, 40, 40))
    alone[2] = 10
    veil = scattered(primary, alone, beam(), BARE, 5.0, materials=("pmma",))
    water = np.zeros((2, 40, 40))
    water[0] = 10 * share
    np.testing.assert_allclose(veil, scattered(primary, water, beam(), BARE, 5.0), rtol=1e-5)
    with pytest.raises(InputError, match="area density of shape"):
        scattered(primary, alone, beam(), BARE, 5.0)


def test_smooth_positive_and_finite_with_metal_and_closed_blades() -> None:
    density = slab(15, 200).copy()
    density[1, 80:120, 80:120] += 500
    primary = transmission(density, beam())
    primary[:, :30] = 0
    veil = scattered(primary, density, beam(), BARE, 1.5)
    assert np.isfinite(veil).all()
    assert veil.min() > 0
    assert np.abs(np.diff(veil, axis=0)).max() < 0.1 * veil.max()


def test_one_opaque_pixel_takes_only_its_own_share() -> None:
    density = slab(20, 256)
    primary = transmission(density, beam())
    whole = scattered(primary, density, beam(), BARE, 1.2)
    opaque = primary.copy()
    opaque[100, 100] = 0
    change = whole - scattered(opaque, density, beam(), BARE, 1.2)
    assert 0 <= change.sum() < 1.5 * whole.sum() / whole.size
    assert change.max() < 1e-3 * whole.max()


def test_the_beam_ends_at_the_edge() -> None:
    density = slab(20, 64)
    primary = transmission(density, beam())
    veil = scattered(primary, density, beam(), BARE, 5.0)
    # Half and a quarter of the scatterers, nearer to which the field's middle gets less than an endless field's.
    assert 0.5 < veil[32, 0] / veil[32, 32] < 0.68
    assert 0.25 < veil[0, 0] / veil[32, 32] < 0.45


def test_single_and_double_precision_agree() -> None:
    rng = np.random.default_rng(0)
    density = slab(20, 150) * rng.uniform(0.2, 1.5, (1, 150, 150))
    primary = transmission(density, beam()).astype(np.float64)
    double = scattered(primary, density, beam(), Scatter(), 2.0)
    single = scattered(primary.astype(np.float32), density.astype(np.float32), beam(), Scatter(), 2.0)
    assert double.dtype == np.float64
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (130, 65), (513, 100)])
def test_any_shape_and_a_batch_is_its_views(shape: tuple[int, int]) -> None:
    density = np.random.default_rng(1).uniform(0, 20, (3, 2, *shape)).astype(np.float32)
    primary = transmission(density, beam())
    veil = scattered(primary, density, beam(), BARE, 1.0)
    assert veil.shape == (3, *shape)
    assert np.all(veil > 0)
    for one, its_primary, its_density in zip(veil, primary, density, strict=True):
        np.testing.assert_allclose(one, scattered(its_primary, its_density, beam(), BARE, 1.0), rtol=1e-6)


def test_the_arguments_stay_as_they_are() -> None:
    density = slab(20).copy()
    density[0, :10] = -5e-4  # what rounding may leave
    primary = transmission(density, beam())
    kept = density.copy(), primary.copy()
    scattered(primary, density, beam(), Scatter(), 5.0)
    np.testing.assert_array_equal(density, kept[0])
    np.testing.assert_array_equal(primary, kept[1])


def test_pixel_size_does_not_matter() -> None:
    coarse, fine = middle_ratio(20, BARE, size=60), middle_ratio(20, BARE, size=512)
    assert fine == pytest.approx(coarse, rel=0.02)


def test_ratio_and_width_can_be_set() -> None:
    setup = Scatter(ratio=1.5, sigma_mm=50)
    assert middle_ratio(20, setup, 505) == pytest.approx(1.5, rel=0.02)
    assert middle_ratio(20, Scatter(ratio=1.5, sigma_mm=50, strength=2), 505) == pytest.approx(3, rel=0.02)
    assert middle_ratio(10, setup, 505) < 0.7 * 1.5
    assert scatter_ratio(20, 5000, Scatter(ratio=0.7), beam()) == pytest.approx(0.7, rel=0.01)


@pytest.mark.parametrize("name", GRID_PRESETS)
def test_grids_take_scatter_and_spare_the_primary(name: str) -> None:
    grid = Grid.preset(name)
    passing = float(primary_transmission(grid, 60.0))
    assert 0.6 < passing < 0.9
    share = middle_ratio(20, Scatter(grid=grid)) / middle_ratio(20, BARE)
    assert 0.05 < share < 0.4


def test_a_higher_grid_takes_more() -> None:
    shares = [middle_ratio(20, Scatter(grid=Grid(ratio=ratio))) for ratio in (4, 6, 8, 12, 16)]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize(
    ("name", "water_cm", "field_mm", "gap_mm", "kvp", "reference"),
    [
        # Monte Carlo, printed by `python benchmarks/physics/scatter.py --full` (60 000 photons, seed 11).
        ("8:1", 10, 400, 50, 120, 0.318),
        ("12:1", 20, 300, 0, 80, 0.348),
        ("12:1", 40, 400, 100, 120, 1.734),
        ("15:1", 20, 300, 200, 80, 0.378),
    ],
)
def test_within_a_quarter_of_stored_monte_carlo_ratios_behind_grids(
    name: str, water_cm: float, field_mm: float, gap_mm: float, kvp: float, reference: float
) -> None:
    setup = Scatter(air_gap_mm=gap_mm, grid=Grid.preset(name))
    assert middle_ratio(water_cm, setup, field_mm, kvp) == pytest.approx(reference, rel=0.25)


def test_grid_agrees_with_the_monte_carlo() -> None:
    grid = Grid.preset("8:1")
    body, middle = Body.slab("water", 200, 750), slice(4, 12)
    receptor = Receptor.across_z(1000.0, 16, 300 / 16, Detector(), grid)
    reference, _ = follow_photons(body, receptor, spectrum(Tube()), 20_000, 9).ratio(middle, middle)
    ours = scatter_ratio(20, 300, Scatter(air_gap_mm=50, grid=grid), beam())
    assert ours == pytest.approx(reference, rel=0.25)


@pytest.mark.parametrize("across", [0.0, 0.004, 0.05, 0.08, 0.13, 0.4, 1.7])
def test_transmission_of_strips_is_the_mean_over_entrance_points(across: float) -> None:
    period, strip, height = 0.25, 0.05, 1.6
    lead, between = 4.0, 0.06
    path = np.hypot(1, across)
    entrance = (np.arange(4000) + 0.5) / 4000 * period
    along = np.linspace(0, 1, 2001)[:-1] + 1 / 4000
    in_lead = np.mean((entrance[:, None] + across * height * along) % period < strip, axis=1)
    expected = np.mean(np.exp(-height * path * (in_lead * lead + (1 - in_lead) * between)))
    assert strip_transmission(across, path, (period, strip, height), lead, between) == pytest.approx(expected, rel=5e-3)


def test_grid_lines_have_mean_one_and_their_period() -> None:
    grid = Grid(lines_per_cm=40)
    fine = grid_lines(grid, 1000, 0.025)
    assert fine.mean() == pytest.approx(1, rel=1e-3)
    assert np.argmax(np.abs(np.fft.rfft(fine - fine.mean()))) == 100
    assert np.ptp(grid_lines(grid, 100, 0.25)) < 1e-3


def test_the_table_is_physical() -> None:
    table = scatter_table()
    assert table.slope.min() > 0
    assert table.distance_mm.min() > 0
    assert table.amplitude.min() >= 0
    total = table.amplitude.sum(axis=-1)
    assert np.all(np.diff(total, axis=1) > 0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Scatter(ratio=-1), "0 to 20"),
        (lambda: Scatter(sigma_mm=0), "1 to 1000"),
        (lambda: Scatter(air_gap_mm=-5), "0 to 3000"),
        (lambda: Scatter(strength=float("nan")), "0 to 10"),
        (lambda: Grid(ratio=0), "1 to 30"),
        (lambda: Grid(lines_per_cm=100, lead_um=90), "under a fifth"),
        (lambda: Grid(interspace="gold"), "aluminium or fibre"),  # type: ignore[arg-type]
        (lambda: Grid.preset("9:1"), "6:1"),
        (lambda: scatter_ratio(-1, 100, BARE, beam()), "0 to 100"),
        (lambda: scatter_ratio(20, 0, BARE, beam()), "1 to 5000"),
        (lambda: scatter_ratio(20, 100, Scatter(air_gap_mm=900), beam()), "0.8 of the 1000 mm"),
        (lambda: scattered(np.ones((4, 4)), np.ones((2, 4, 5)), beam(), BARE, 1.0), "shape"),
        (lambda: scattered(np.ones((4, 4)), np.ones((2, 4, 4)), beam(), BARE, 0.0), "0.01 to 100"),
        (lambda: scattered(np.ones((0, 4)), np.ones((2, 0, 4)), beam(), BARE, 1.0), "no pixels"),
        (lambda: scatter_ratio(20, 100, BARE, beam(), float("nan")), "10 to 1e\\+06"),
    ],
)
def test_nonsense_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()
