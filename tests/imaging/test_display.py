import numpy as np
import pytest

from synthray.errors import InputError
from synthray.imaging import DISPLAY_PRESETS, DisplayPreset, display
from synthray.imaging.contrast import equalised, multiscale


def phantom() -> np.ndarray:
    """Direct exposure around a wedge of 1 to 5, with noise."""
    image = np.random.default_rng(0).normal(0, 0.01, (200, 160)).astype(np.float32)
    image[20:180, 30:130] += np.linspace(1, 5, 100, dtype=np.float32)
    return image


@pytest.mark.parametrize("name", sorted(DISPLAY_PRESETS))
def test_every_preset_gives_whole_range_greys_in_the_right_order(name: str) -> None:
    grey = display(phantom(), name).astype(int)
    if DISPLAY_PRESETS[name].invert:
        grey = 255 - grey
    assert grey[:15].max() <= 8
    assert grey[100, 120] > grey[100, 60] > 0
    assert grey.max() > 200


def test_radiographs_show_bone_white_and_air_black() -> None:
    grey = display(phantom(), "chest-pa")
    assert grey.dtype == np.uint8
    assert np.median(grey[:15]) == 0
    assert grey[100, 128] > 240


@pytest.mark.parametrize("name", sorted(DISPLAY_PRESETS))
def test_one_extreme_pixel_moves_nothing_else(name: str) -> None:
    image = phantom()
    pierced = image.copy()
    pierced[100, 80] = 11.09
    difference = np.abs(display(pierced, name).astype(int) - display(image, name).astype(int))
    difference[100, 80] = 0
    if DISPLAY_PRESETS[name].contrast or DISPLAY_PRESETS[name].multiscale != 1:
        # Filters have a neighbourhood; beyond it nothing moves by more than a grey value.
        assert np.median(difference) == 0
        assert difference[:, 140:].max() <= 1
    else:
        assert difference.max() <= 1


def test_fixed_anchors_are_the_same_for_any_image() -> None:
    preset = DisplayPreset(anchors=(0.0, 4.0), bits=16)
    grey = display(np.array([[0.0, 1.0], [2.0, 8.0]]), preset)
    assert grey.dtype == np.uint16
    assert grey.tolist() == [[0, 16384], [32768, 65535]]


def test_linear_scale_shows_what_is_absorbed() -> None:
    grey = display(np.array([[0.0, np.log(2)], [20.0, -1.0]]), "linear")
    assert grey.tolist() == [[0, 128], [255, 0]]


def test_a_batch_equals_its_images() -> None:
    batch = np.stack([phantom(), phantom() * 2])
    assert np.array_equal(display(batch)[1], display(batch[1]))


def test_an_empty_field_stays_dark() -> None:
    noise = np.random.default_rng(1).normal(0, 0.02, (64, 64))
    assert display(noise, DisplayPreset()).max() < 10


@pytest.mark.parametrize("bad", [{"bits": 10}, {"anchors": (1.0, 1.0)}, {"percentiles": (5.0, 101.0)}, {"gamma": 0}])
def test_absurd_presets_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(InputError):
        DisplayPreset(**bad)  # type: ignore[arg-type]


def test_unknown_preset_is_refused_with_those_known() -> None:
    with pytest.raises(InputError, match="chest-pa"):
        display(phantom(), "sepia")


def test_equalisation_is_limited_and_keeps_order() -> None:
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (64, 1))
    np.testing.assert_allclose(equalised(ramp, 1.0), ramp, atol=0.02)
    # A weak texture: the slope limit bounds how far it can be pulled apart.
    texture = 0.5 + 0.03 * np.random.default_rng(1).standard_normal((128, 128), dtype=np.float32)
    gains = [float(equalised(texture, limit).std() / texture.std()) for limit in (2.0, 4.0)]
    assert 1.5 < gains[0] < 2.05
    assert 2.5 < gains[1] < 4.1
    noisy = np.random.default_rng(0).random((50, 70), dtype=np.float32)
    assert 0 <= equalised(noisy, 3.0).min() <= equalised(noisy, 3.0).max() <= 1


def test_multiscale_lifts_weak_detail_and_holds_back_strong() -> None:
    x = np.linspace(0, 40 * np.pi, 400, dtype=np.float32)
    weak, strong = 0.01 * np.sin(x), 2.0 * np.sin(x)
    flat = np.zeros((200, 400), dtype=np.float32)
    gains = [np.ptp(multiscale(flat + wave, 0.7, 0.5)[100, 100:300]) / np.ptp(wave) for wave in (weak, strong)]
    assert gains[0] > 1.5
    assert gains[1] < 1
    np.testing.assert_allclose(multiscale(flat + strong, 1.0, 0.5), flat + strong, atol=1e-5)


def test_a_curve_of_points_and_twelve_bits() -> None:
    preset = DisplayPreset(anchors=(0.0, 1.0), lut=((0.0, 1.0), (0.5, 0.5), (1.0, 0.0)), bits=12)
    grey = display(np.array([[0.0, 0.25], [0.5, 1.0]]), preset)
    assert grey.dtype == np.uint16
    assert grey.tolist() == [[4095, 3071], [2048, 0]]
    for lut in (((0.5, 0.0), (0.2, 1.0)), ((0.0, 0.0),), ((0.0, 0.0), (1.0, 2.0))):
        with pytest.raises(InputError, match="display lut"):
            DisplayPreset(lut=lut)
