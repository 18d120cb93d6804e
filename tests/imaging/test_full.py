"""The level "full", exposure control inside the chain, and the named systems."""

from dataclasses import replace

import numpy as np
import pytest

from synthray.errors import InputError
from synthray.imaging import (
    DISPLAY_PRESETS,
    SYSTEMS,
    AutomaticExposure,
    Collimator,
    DetectorGeometry,
    ImagingSettings,
    Readout,
    Scatter,
    System,
    Tube,
    display,
    make_image,
)

GEOMETRY = DetectorGeometry(pixel_mm=2.0, source_to_detector_mm=1200, magnification=1.2)
QUIET = ImagingSettings(
    scatter=Scatter(strength=0, grid=None),
    off_focus=0,
    focal_spot_mm=0,
    readout=Readout(gain_residual=0, dead_pixels=0),
)


def phantom(centimetres: float = 20, size: int = 128) -> np.ndarray:
    """A body of water that thins out towards its right side, with a bone in it."""
    density = np.zeros((1, 2, size, size), dtype=np.float32)
    profile = centimetres * np.linspace(1, 0.4, size - 40, dtype=np.float32)
    density[:, 0, 20:-20, 20:-20] = 0.936 * profile
    density[:, 1, 20:-20, 20:-20] = 0.0675 * profile
    density[:, 1, 50:78, 60:66] += 3
    return density


def shot(density: np.ndarray, settings: ImagingSettings, level: str = "full", seed: int = 0, geometry=GEOMETRY):
    return make_image(density, settings, level, [np.random.default_rng(seed)], [geometry])


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("centimetres", [8, 20, 32])
@pytest.mark.parametrize("level", ["realistic", "full"])
def test_a_first_image_is_neither_black_nor_white(name: str, centimetres: float, level: str) -> None:
    system = System.preset(name)
    result = shot(phantom(centimetres), system.settings, level)
    assert np.isfinite(result.log_image).all()
    grey = display(result.log_image, system.display)[0][25:-25, 25:-25]
    assert 15 < np.median(grey) < 240
    assert grey.max() > grey.min() + 30
    (dose,) = result.doses
    low, high = system.settings.exposure.mas_range
    assert low <= dose.mas <= high
    if low < dose.mas < high:
        assert dose.detector_kerma_ugy == pytest.approx(system.settings.exposure.detector_kerma_ugy, rel=0.2)


def test_every_system_names_a_display() -> None:
    for system in SYSTEMS.values():
        assert system.display in DISPLAY_PRESETS
    with pytest.raises(InputError, match="no X-ray system 'dentist'"):
        System.preset("dentist")


def test_twice_the_dose_has_less_noise_by_the_root_of_two() -> None:
    flat = np.zeros((1, 2, 128, 128), dtype=np.float32)
    noise = [
        float(shot(flat, replace(QUIET, mas=mas), "realistic", seed).transmission.std())
        for mas, seed in ((0.01, 1), (0.02, 2))
    ]
    assert noise[0] / noise[1] == pytest.approx(np.sqrt(2), rel=0.05)


def test_full_without_its_effects_is_realistic() -> None:
    settings = replace(
        QUIET, mas=1.0, tube=Tube(anode_angle_deg=22), readout=replace(QUIET.readout, bits=16, saturation_ugy=200)
    )
    # A field so narrow that the heel effect has no room.
    narrow = replace(GEOMETRY, pixel_mm=0.02)
    plain, full = (shot(phantom(), settings, level, 3, narrow).transmission for level in ("realistic", "full"))
    np.testing.assert_allclose(full, plain, atol=0.02 * plain.max())


def test_the_heel_effect_leaves_more_noise_on_the_anode_side() -> None:
    flat = np.zeros((1, 2, 192, 192), dtype=np.float32)
    settings = replace(QUIET, mas=0.02, tube=Tube(anode_angle_deg=10))
    for side, anode in (("top", np.s_[:40]), ("bottom", np.s_[-40:])):
        image = shot(flat, replace(settings, anode_side=side), "full").transmission[0]
        cathode = np.s_[-40:] if side == "top" else np.s_[:40]
        assert image.mean() == pytest.approx(1, abs=0.01)
        assert image[anode].std() > 1.1 * image[cathode].std()
    left = shot(flat, replace(settings, anode_side="left"), "full").transmission[0]
    assert left[:, :40].std() > 1.1 * left[:, -40:].std()


def test_the_beam_is_harder_on_the_anode_side() -> None:
    slab = np.zeros((1, 2, 192, 192), dtype=np.float32)
    slab[:, 0] = 15
    image = shot(slab, replace(QUIET, mas=500.0, readout=replace(QUIET.readout, saturation_ugy=1e5, bits=16)), "full")
    through = image.transmission[0]
    assert through[:30].mean() > 1.01 * through[-30:].mean()


def test_a_collimator_shades_and_lowers_the_dose() -> None:
    wide, narrow = (
        shot(phantom(), replace(QUIET, mas=2.0, collimator=collimator), "realistic")
        for collimator in (None, Collimator(width_mm=100, height_mm=100))
    )
    assert narrow.transmission[0, :20].mean() < 0.01
    assert narrow.doses[0].dose_area_product_ugy_m2 == pytest.approx(
        wide.doses[0].dose_area_product_ugy_m2 * 100**2 / 256**2, rel=0.02
    )


def test_a_table_takes_its_part_of_the_dose() -> None:
    control = AutomaticExposure(detector_kerma_ugy=1.0)
    without, with_table = (
        shot(phantom(), replace(QUIET, exposure=control, table_g_cm2=table), "realistic").doses[0].mas
        for table in (0.0, 2.0)
    )
    assert 1.3 < with_table / without < 1.9


def test_one_opaque_pixel_changes_no_other() -> None:
    settings = replace(QUIET, mas=1.0, tube=Tube(anode_angle_deg=20))
    density = phantom()
    detector = replace(settings.detector, blur_sigma_mm=0.0)
    settings = replace(settings, detector=detector)
    pierced = density.copy()
    pierced[0, 1, 64, 64] = 500
    for level in ("realistic", "full"):
        difference = shot(pierced, settings, level).log_image != shot(density, settings, level).log_image
        assert difference.sum() == 1


def test_metal_is_a_further_channel() -> None:
    density = np.concatenate([phantom(), np.zeros((1, 1, 128, 128), dtype=np.float32)], axis=1)
    density[0, 2, 60:70, 30:100] = 2.25  # 5 mm of titanium
    for level in ("naive", "heuristic", "realistic", "full"):
        settings = replace(QUIET, mas=5.0, extra_materials=("titanium",))
        image = shot(density, settings, level).log_image[0]
        assert image[64, 32:48].mean() > image[84, 32:48].mean() + 0.3, level
    with pytest.raises(InputError, match="no material 'unobtainium'"):
        ImagingSettings(extra_materials=("unobtainium",))
    with pytest.raises(InputError, match=r"shape \(..., 3, row, column\)"):
        shot(phantom(), replace(QUIET, extra_materials=("titanium",)))


def test_absurd_settings_are_refused_with_the_range() -> None:
    for bad, message in (
        ({"mas": -1.0}, "0.0001 to 2000"),
        ({"off_focus": 2.0}, "0 to 0.5"),
        ({"motion_mm": (0.0, 1e6)}, "-100 to 100"),
        ({"anode_side": "up"}, "top, bottom, left or right"),
        ({"table_g_cm2": -1.0}, "0 to 20"),
    ):
        with pytest.raises(InputError, match=message):
            ImagingSettings(**bad)
