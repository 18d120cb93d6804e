from dataclasses import replace

import numpy as np
import pytest

from synthray.errors import InputError
from synthray.imaging import (
    Detector,
    DetectorGeometry,
    ImagingSettings,
    Scatter,
    SettingsRanges,
    Tube,
    draw_settings,
    make_image,
    mass_attenuation_cm2_g,
    nodes,
    photons_per_pixel,
    transmission,
)

QUIET = ImagingSettings(
    detector=replace(Detector(), blur_sigma_mm=0.0, electronic_noise_photons=0.0),
    scatter=Scatter(ratio=0, grid=None),
    focal_spot_mm=0,
    mas=2.0,
)
GEOMETRY = DetectorGeometry(pixel_mm=0.776)


def phantom(views: int = 3) -> np.ndarray:
    density = np.zeros((views, 2, 60, 70), dtype=np.float32)
    density[:, 0, 10:50, 10:60] = np.arange(10, 10 + views)[:, None, None]
    density[:, 1, 20:30, 20:40] = 4
    return density


def rngs(*seeds: int) -> list[np.random.Generator]:
    return [np.random.Generator(np.random.Philox(seed)) for seed in seeds]


def test_naive_takes_all_matter_as_water() -> None:
    result = make_image(phantom(1), ImagingSettings(), "naive")
    assert result.log_image.dtype == np.float32
    expected = 14 * mass_attenuation_cm2_g("water", 60.0)
    assert result.log_image[0, 25, 30] == pytest.approx(expected, rel=1e-4)
    assert abs(result.log_image[0, 0, 0]) < 1e-6


def test_heuristic_weighs_bone_by_its_own_attenuation() -> None:
    expected = 10 * mass_attenuation_cm2_g("adipose", 60.0) + 4 * mass_attenuation_cm2_g("cortical_bone", 60.0)
    assert make_image(phantom(1), ImagingSettings(), "heuristic").log_image[0, 25, 30] == pytest.approx(
        expected, rel=1e-4
    )


def test_realistic_without_its_disturbances_tends_to_the_spectral_transmission() -> None:
    settings = replace(QUIET, mas=2000.0)
    result = make_image(phantom(), settings, "realistic", rngs(0, 1, 2), GEOMETRY)
    expected = transmission(phantom(), nodes(settings.tube, settings.detector))
    np.testing.assert_allclose(result.transmission, expected, rtol=0.01)


def test_noise_has_the_variance_of_the_dose() -> None:
    density = np.zeros((1, 2, 300, 300), dtype=np.float32)
    density[:, 0] = 18
    beam = nodes(QUIET.tube, QUIET.detector)
    terms = np.exp(-18 * beam.basis_attenuation_cm2_g[:, 0])
    photons = photons_per_pixel(beam, QUIET.mas, 1000, 0.776)
    signal = make_image(density, QUIET, "realistic", rngs(5), GEOMETRY).transmission.astype(np.float64)
    assert signal.mean() == pytest.approx(beam.weight @ terms, rel=1e-3)
    assert signal.var() == pytest.approx(beam.variance_weight @ terms / photons, rel=0.03)


def test_a_view_does_not_depend_on_its_batch() -> None:
    settings = [ImagingSettings(mas=m) for m in (0.5, 1.0, 2.0)]
    batch = make_image(phantom(), settings, "realistic", rngs(3, 4, 5), GEOMETRY)
    alone = make_image(phantom()[1:2], settings[1], "realistic", rngs(4), GEOMETRY)
    assert batch.log_image[1].tobytes() == alone.log_image[0].tobytes()
    assert batch.transmission[1].tobytes() == alone.transmission[0].tobytes()


def test_same_seed_same_bytes_with_one_generator() -> None:
    first, again = (make_image(phantom(), ImagingSettings(), rng=rngs(9)[0], geometry=GEOMETRY) for _ in range(2))
    assert first.log_image.tobytes() == again.log_image.tobytes()
    assert not np.array_equal(first.log_image[0, :5], first.log_image[1, :5])


def test_finite_behind_thick_metal_and_with_hardly_any_dose() -> None:
    density = phantom(1)
    density[:, 1, 30:40, 30:40] = 1e5
    result = make_image(density, ImagingSettings(mas=1e-4), "realistic", rngs(0), GEOMETRY)
    assert np.isfinite(result.log_image).all()
    assert result.log_image.max() < 12


def test_scatter_lowers_contrast() -> None:
    clear, veiled = (
        make_image(
            phantom(1), replace(QUIET, mas=2000.0, scatter=Scatter(ratio=ratio, sigma_mm=20)), "realistic", rngs(0)
        )
        for ratio in (0, 3)
    )
    contrast = [float(r.log_image[0, 25, 30] - r.log_image[0, 40, 30]) for r in (clear, veiled)]
    assert contrast[1] < 0.95 * contrast[0]


def test_the_edge_of_the_field_is_noisier_than_its_centre() -> None:
    slope = np.broadcast_to(np.linspace(1, 0.25, 400, dtype=np.float32), (400, 400))
    signal = make_image(
        np.zeros((1, 2, 400, 400)), QUIET, "realistic", rngs(0), replace(GEOMETRY, falloff=slope)
    ).transmission[0]
    assert signal[:, -20:].std() / signal[:, :20].std() == pytest.approx(2, rel=0.1)


def test_bigger_pixels_gather_more_photons_and_more_readout_noise() -> None:
    dark = np.full((1, 2, 200, 200), 200, dtype=np.float32)
    settings = replace(QUIET, detector=replace(QUIET.detector, electronic_noise_photons=5.0))
    fine, coarse = (
        make_image(dark, settings, "realistic", rngs(1), DetectorGeometry(pixel_mm=p)).transmission.std()
        for p in (0.194, 0.776)
    )
    # 16 native pixels: 4 times the read-out noise on 16 times the signal.
    assert fine / coarse == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": "dreamlike"}, "naive, heuristic, realistic"),
        ({"rng": None}, "generator"),
        ({"rng": rngs(1)}, "3 views"),
        ({"settings": [ImagingSettings()]}, "1 settings for 3 views"),
        ({"area_density": np.zeros((2, 5, 5))}, "view, material, row, column"),
    ],
)
def test_bad_calls_are_refused(change: dict[str, object], message: str) -> None:
    call: dict[str, object] = {
        "area_density": phantom(),
        "settings": ImagingSettings(),
        "level": "realistic",
        "rng": rngs(1, 2, 3),
    }
    with pytest.raises(InputError, match=message):
        make_image(**{**call, **change})  # type: ignore[arg-type]


def test_drawn_settings_lie_within_their_ranges_and_follow_the_seed() -> None:
    ranges = SettingsRanges(tube_kvp=(70, 90), mas=(0.1, 10), detectors=(Detector(), Detector.preset("csi-chest")))
    rng = np.random.default_rng(0)
    drawn = [draw_settings(ranges, rng) for _ in range(200)]
    assert all(70 <= d.tube.tube_kvp <= 90 and 0.1 <= d.mas <= 10 for d in drawn)
    assert 0.6 < np.median([d.mas for d in drawn]) < 1.6
    assert {d.detector for d in drawn} == set(ranges.detectors)
    assert draw_settings(ranges, np.random.default_rng(1)) == draw_settings(ranges, np.random.default_rng(1))


@pytest.mark.parametrize(
    "bad", [{"tube_kvp": (90.0, 70.0)}, {"mas": (-1.0, 1.0)}, {"copper_mm": (0, 9)}, {"detectors": ()}]
)
def test_absurd_ranges_are_refused(bad: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(InputError):
        SettingsRanges(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [{"mas": 0}, {"focal_spot_mm": -1}, {"single_energy_kev": 1000}])
def test_absurd_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(InputError):
        ImagingSettings(**bad)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        DetectorGeometry(pixel_mm=0)


def test_settings_are_hashable_and_default_to_a_usable_tube() -> None:
    assert hash(ImagingSettings()) == hash(ImagingSettings(tube=Tube()))


def test_falloff_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="falloff"):
        make_image(
            phantom(1), QUIET, "realistic", rngs(0), replace(GEOMETRY, falloff=np.ones((2, 2), dtype=np.float32))
        )
