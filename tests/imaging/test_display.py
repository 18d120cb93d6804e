import numpy as np
import pytest

from synthray.errors import InputError
from synthray.imaging import DISPLAY_PRESETS, DisplayPreset, display


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
    if DISPLAY_PRESETS[name].contrast:
        # Unsharp masking has a neighbourhood; beyond it nothing moves by more than a grey value.
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


@pytest.mark.parametrize("bad", [{"bits": 12}, {"anchors": (1.0, 1.0)}, {"percentiles": (5.0, 101.0)}, {"gamma": 0}])
def test_absurd_presets_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(InputError):
        DisplayPreset(**bad)  # type: ignore[arg-type]


def test_unknown_preset_is_refused_with_those_known() -> None:
    with pytest.raises(InputError, match="chest-pa"):
        display(phantom(), "sepia")
