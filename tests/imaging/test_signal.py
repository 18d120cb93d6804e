import numpy as np
import pytest

from synthray.errors import InputError
from synthray.imaging import (
    Detector,
    Tube,
    heuristic,
    log_signal,
    mass_attenuation_cm2_g,
    monochromatic,
    naive,
    nodes,
    transmission,
    transmission_and_variance,
)

BEAM = nodes(Tube(tube_kvp=120), Detector())


def slab(adipose: float, bone: float) -> np.ndarray:
    return np.broadcast_to(np.array([adipose, bone], dtype=np.float32)[:, None, None], (2, 3, 4))


def water(centimetres: float) -> np.ndarray:
    return slab(0.936 * centimetres, 0.0675 * centimetres)


@pytest.mark.parametrize(("centimetres", "expected"), [(10, 0.12758), (20, 0.01628)])
def test_water_at_one_energy_is_beer_lambert(centimetres: float, expected: float) -> None:
    result = naive(slab(centimetres, 0), 60.0)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=5e-4)
    np.testing.assert_allclose(result, np.exp(-centimetres * mass_attenuation_cm2_g("water", 60.0)), rtol=1e-4)


def test_half_value_layer_of_water() -> None:
    np.testing.assert_allclose(naive(slab(3.366, 0), 60.0), 0.5, rtol=2e-4)


def test_two_basis_slab_at_one_energy_is_beer_lambert() -> None:
    exact = np.exp(-7 * mass_attenuation_cm2_g("adipose", 60.0) - 3 * mass_attenuation_cm2_g("cortical_bone", 60.0))
    np.testing.assert_allclose(monochromatic(slab(7, 3), 60.0), exact, rtol=1e-4)


def test_heuristic_weighs_bone_and_soft_tissue_apart() -> None:
    np.testing.assert_allclose(heuristic(slab(2, 3), (0.2, 0.5)), np.exp(-1.9), rtol=1e-6)


# -ln T / t of water in 1/cm: the beam hardens.
@pytest.mark.parametrize(
    ("kvp", "expected"),
    [(120, [0.2412, 0.2380, 0.2292, 0.2225, 0.2144, 0.2092]), (80, [0.2783, 0.2729, 0.2588, 0.2487, 0.2373, 0.2304])],
)
def test_beam_hardening_of_water(kvp: float, expected: list[float]) -> None:
    beam = nodes(Tube(tube_kvp=kvp), Detector())
    centimetres = np.array([0.01, 1, 5, 10, 20, 30])
    density = np.stack([0.936 * centimetres, 0.0675 * centimetres])[:, None, :]
    measured = log_signal(transmission(density, beam).astype(np.float64))[0] / centimetres
    # A hundredth of a centimetre only to float32's rounding of 1 - 0.002.
    np.testing.assert_allclose(measured, expected, rtol=0.01)


def test_float32_equals_float64() -> None:
    density = np.random.default_rng(0).uniform(0, [[[25]], [[8]]], (2, 40, 50))
    exact = np.tensordot(BEAM.weight, np.exp(-np.tensordot(BEAM.basis_attenuation_cm2_g, density, 1)), 1)
    np.testing.assert_allclose(transmission(density, BEAM), exact, rtol=1e-4)
    variance = np.tensordot(BEAM.variance_weight, np.exp(-np.tensordot(BEAM.basis_attenuation_cm2_g, density, 1)), 1)
    np.testing.assert_allclose(transmission_and_variance(density, BEAM)[1], variance, rtol=1e-4)


def test_open_field_has_a_logarithm_of_zero() -> None:
    assert np.abs(log_signal(transmission(slab(0, 0), BEAM))).max() < 1e-6


def test_behind_thick_metal_all_is_finite() -> None:
    signal, variance = transmission_and_variance(slab(0, 1e6), BEAM)
    assert np.all(signal == 0)
    assert np.all(variance == 0)
    assert np.isfinite(log_signal(signal)).all()
    assert np.isfinite(log_signal(np.array([np.nan, -1, 0, np.inf]), 1e-3)[:3]).all()


def test_one_opaque_pixel_changes_no_other() -> None:
    density = np.random.default_rng(1).uniform(0, 20, (1, 2, 64, 64)).astype(np.float32)
    pierced = density.copy()
    pierced[0, 1, 30, 30] = 1e5
    before, after = (log_signal(transmission(d, BEAM)) for d in (density, pierced))
    elsewhere = np.ones((1, 64, 64), dtype=bool)
    elsewhere[0, 30, 30] = False
    assert np.array_equal(before[elsewhere], after[elsewhere])
    assert after[0, 30, 30] == pytest.approx(np.log(2**16))


def test_a_batch_equals_its_parts_and_a_crop_equals_the_whole() -> None:
    density = np.random.default_rng(2).uniform(0, 20, (3, 2, 150, 131)).astype(np.float32)
    whole = transmission(density, BEAM)
    assert np.array_equal(whole[1], transmission(density[1], BEAM))
    assert np.array_equal(whole[:, 10:17, 3:50], transmission(density[:, :, 10:17, 3:50], BEAM))


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((3, 4)),
        np.zeros((3, 4, 4)),
        np.full((2, 4, 4), -1.0),
        np.full((2, 4, 4), np.nan),
        np.zeros((0, 2, 4, 4)),
    ],
)
def test_bad_area_densities_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(InputError):
        transmission(bad, BEAM)


def test_bad_floor_is_refused() -> None:
    with pytest.raises(InputError):
        log_signal(np.ones((2, 2)), 0)


def test_single_precision_is_enough() -> None:
    rng = np.random.default_rng(0)
    density = rng.uniform(0, 30, (2, 40, 50))
    density[1] *= 0.2
    beam = nodes(Tube(tube_kvp=90), Detector())
    exact = np.einsum(
        "k,krc->rc", beam.weight, np.exp(-np.einsum("km,mrc->krc", beam.basis_attenuation_cm2_g, density))
    )
    np.testing.assert_allclose(transmission(density, beam), exact, rtol=1e-4)
