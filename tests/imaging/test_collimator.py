"""Blades, veils and motion."""

import numpy as np
import pytest

from synthray.errors import InputError
from synthray.imaging.collimator import Collimator, moved, opening, with_veil


def test_a_rectangle_has_its_area_and_edge() -> None:
    field = opening(Collimator(width_mm=120, height_mm=80, edge_mm=4, leakage=0.01), 200, 300, 0.5)
    assert field[100, 150] == 1
    assert field[0, 0] == pytest.approx(0.01)
    # Half intensity where the blade is: 60 mm beside the middle.
    assert np.interp(60, (np.arange(300) - 149.5) * 0.5, -field[100]) == pytest.approx(-0.505, abs=0.01)
    open_area = ((field - 0.01) / 0.99).sum() * 0.25
    assert open_area == pytest.approx(120 * 80, rel=0.01)


def test_a_circle_has_its_area() -> None:
    field = opening(Collimator(shape="circle", width_mm=90, leakage=0, center_mm=(10, -5)), 300, 300, 0.5)
    assert field.sum() * 0.25 == pytest.approx(np.pi * 45**2, rel=0.01)
    rows, columns = np.nonzero(field > 0.5)
    assert ((columns.mean() - 149.5) * 0.5, (rows.mean() - 149.5) * 0.5) == pytest.approx((10, -5), abs=0.1)


def test_a_turn_is_counter_clockwise_in_the_picture() -> None:
    field = opening(Collimator(width_mm=100, height_mm=10, rotation_deg=30), 200, 200, 1.0)
    rows, columns = np.nonzero(field > 0.5)
    slope = np.polyfit(columns, rows, 1)[0]
    assert slope == pytest.approx(-np.tan(np.deg2rad(30)), rel=0.03)


def test_a_veil_keeps_the_total_and_lifts_the_dark() -> None:
    image = np.zeros((100, 100), dtype=np.float32)
    image[30:70, 30:70] = 1
    veiled = with_veil(image, 0.1, 8)
    assert veiled.sum() == pytest.approx(image.sum(), rel=0.01)
    assert veiled[50, 25] > 0.01
    assert with_veil(image, 0, 8) is image


def test_motion_blurs_along_its_direction_only() -> None:
    image = np.zeros((61, 61), dtype=np.float32)
    image[30, 30] = 1
    blurred = moved(image, (8.0, 0.0))
    assert blurred.sum() == pytest.approx(1, rel=1e-4)
    assert blurred[29].max() == 0
    column = np.arange(61)
    variance = (blurred[30] * (column - 30.0) ** 2).sum()
    assert variance == pytest.approx(8**2 / 12, rel=0.15)
    assert moved(image, (0.0, 0.0)) is image


def test_absurd_blades_are_refused() -> None:
    for bad in ({"shape": "star"}, {"width_mm": 0}, {"leakage": 2}, {"edge_mm": -1}, {"center_mm": (0.0, 1e9)}):
        with pytest.raises(InputError, match="collimator"):
            Collimator(**bad)
