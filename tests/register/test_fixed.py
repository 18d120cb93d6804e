from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthray.errors import InputError
from synthray.geometry import CArm
from synthray.register.fixed import clipped, fitted_display, fixed_image, isotonic, noise_deviation, reduced

CAMERA = CArm.preset("cios-fusion").resized(96).view(target_mm=(0, 0, 0))


def picture(shape=(96, 96)):
    row, column = np.mgrid[: shape[0], : shape[1]] / 9.0
    return 100 + 40 * np.sin(row) * np.cos(0.8 * column) + 5 * column


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12))
def test_isotonic_rises_and_is_nearest(values):
    value, weight = np.array(values), np.linspace(1, 2, len(values))
    curve = isotonic(value, weight)
    assert (np.diff(curve) >= -1e-12).all()
    # The conditions of the nearest: residuals are square to the curve, and lie against any rising one.
    residual = weight * (value - curve)
    assert residual @ curve == pytest.approx(0, abs=1e-9)
    for first in range(len(value)):
        assert residual[first:].sum() <= 1e-9


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("display", [np.sqrt, np.exp, np.tanh])
def test_a_monotone_display_is_undone(display, sign):
    truth = (picture() - 90) / 50
    moving = truth + 0.02 * np.random.default_rng(0).normal(size=truth.shape)
    shown = sign * display(truth - truth.min())
    curve = fitted_display(shown, moving, np.ones(truth.shape, dtype=bool), sign)
    assert (np.diff(sign * curve(np.linspace(shown.min(), shown.max(), 50))) >= 0).all()
    assert np.corrcoef(curve(shown).ravel(), truth.ravel())[0, 1] > 0.995


def test_the_display_of_unrelated_images_keeps_the_grey_values():
    curve = fitted_display(picture(), -picture(), np.ones((96, 96), dtype=bool), 1)
    greys = np.linspace(picture().min(), picture().max(), 20)
    assert (np.diff(curve(greys)) > 0).all()


@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_noise_is_measured_beside_structure(sigma):
    noisy = picture() + np.random.default_rng(0).normal(0, sigma, (96, 96))
    assert noise_deviation(noisy, np.ones((96, 96), dtype=bool)) == pytest.approx(sigma, rel=0.1)


def test_clipped_areas_and_shutters_do_not_count():
    shown = picture()
    shown[:20] = 0
    shown[60, 60] = 255
    counted = fixed_image(shown, None, CAMERA).mask
    assert not counted[:20].any()
    assert counted[21:].all()
    assert clipped(np.zeros((9, 9))).all()


def test_smaller_levels_see_the_same_field():
    level = reduced(fixed_image(picture(), None, CAMERA), 32)
    assert level.image.shape == (32, 32)
    np.testing.assert_allclose(level.image[0, 0], picture()[:3, :3].mean())
    point = np.array([20.0, -10, 30])
    np.testing.assert_allclose(level.camera.project(point), (CAMERA.project(point) + 0.5) / 3 - 0.5)


def test_sizes_that_do_not_divide_are_cut_at_the_far_side():
    camera = replace(CAMERA, rows=95, columns=94)
    level = reduced(fixed_image(picture((95, 94)), None, camera), 32)
    assert level.image.shape == (31, 31)
    point = np.array([20.0, -10, 30])
    np.testing.assert_allclose(level.camera.project(point), (camera.project(point) + 0.5) / 3 - 0.5)


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (np.zeros((3, 96, 96)), None, "one image"),
        (np.zeros((96, 96), dtype=complex), None, "of numbers"),
        (np.zeros((95, 96)), None, "use camera.resized"),
        (np.full((96, 96), np.nan), None, "NaN or infinity"),
        (picture(), np.ones((9, 9)), "mask has shape"),
        (picture(), np.zeros((96, 96)), "leaves no pixel"),
    ],
)
def test_what_is_refused(image, mask, message):
    with pytest.raises(InputError, match=message):
        fixed_image(image, mask, CAMERA)
