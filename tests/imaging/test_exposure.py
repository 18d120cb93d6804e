"""Automatic exposure and dose, against closed forms."""

import numpy as np
import pytest

from synthray.errors import InputError
from synthray.imaging import Detector, Tube, nodes, transmission
from synthray.imaging.exposure import AutomaticExposure, control_exposure, dose, open_kerma_ugy_mas

WATER_G_CM2 = np.array([0.936, 0.0675])


def slab(centimetres: float, size: int = 100) -> np.ndarray:
    return np.broadcast_to((WATER_G_CM2 * centimetres)[:, None, None], (2, size, size)).astype(np.float32)


def test_open_beam_kerma_falls_with_the_square_of_the_distance() -> None:
    assert open_kerma_ugy_mas(Tube(), 1000) == pytest.approx(82.0, rel=0.012)
    assert open_kerma_ugy_mas(Tube(), 2000) == pytest.approx(open_kerma_ugy_mas(Tube(), 1000) / 4)


@pytest.mark.parametrize("centimetres", [5, 15, 25, 35])
def test_the_measuring_field_gets_its_dose(centimetres: float) -> None:
    control, tube = AutomaticExposure(detector_kerma_ugy=2.5), Tube(tube_kvp=90)
    chosen, mas = control_exposure(slab(centimetres), tube, Detector(), control, 1200)
    through = transmission(slab(centimetres), nodes(tube, Detector()))
    assert chosen == tube
    got = dose(through, chosen, mas, control, 1200, 800, 300.0 * 300)
    assert got.detector_kerma_ugy == pytest.approx(2.5, rel=0.01)
    assert got.entrance_kerma_ugy == pytest.approx(open_kerma_ugy_mas(tube, 800) * mas)
    # 9 dm² at the detector.
    assert got.dose_area_product_ugy_m2 == pytest.approx(open_kerma_ugy_mas(tube, 1200) * mas * 0.09)


def test_only_the_measuring_field_counts() -> None:
    image = slab(20).copy()
    image[:, :30] = 0  # direct exposure above the field
    control = AutomaticExposure(fields=((0.4, 0.6, 0.4, 0.6),))
    assert control_exposure(image, Tube(), Detector(), control, 1000)[1] == pytest.approx(
        control_exposure(slab(20), Tube(), Detector(), control, 1000)[1]
    )


def test_metal_in_the_measuring_field_counts() -> None:
    """The field gets its dose behind a titanium plate too, here as much as its own attenuation asks for."""
    titanium = np.full((1, 100, 100), 2.0, dtype=np.float32)
    whole, control = np.concatenate([slab(20), titanium]), AutomaticExposure()
    _, mas = control_exposure(whole, Tube(), Detector(), control, 1000, materials=("titanium",))
    through = transmission(whole, nodes(Tube(), Detector(), extra=("titanium",)))
    assert dose(through, Tube(), mas, control, 1000, 800, 1.0).detector_kerma_ugy == pytest.approx(2.5, rel=0.01)
    assert mas > 1.5 * control_exposure(slab(20), Tube(), Detector(), control, 1000)[1]


def test_the_voltage_rises_for_those_who_need_it() -> None:
    control = AutomaticExposure(mas_range=(0.1, 5.0), kvp_range=(60, 120))
    settings = [control_exposure(slab(cm), Tube(), Detector(), control, 1000) for cm in (5, 15, 25, 40)]
    voltages = [tube.tube_kvp for tube, _ in settings]
    assert voltages == sorted(voltages)
    assert voltages[0] == 60
    assert voltages[-1] == 120
    assert settings[-1][1] == 5.0  # what the generator can give
    assert all(0.1 <= mas <= 5 for _, mas in settings)


def test_wrong_controls_are_refused() -> None:
    for bad, message in (
        ({"fields": ()}, "at least one measuring field"),
        ({"fields": ((0.5, 0.4, 0, 1),)}, "rising fractions"),
        ({"mas_range": (5.0, 1.0)}, "mas_range must rise"),
        ({"kvp_range": (20.0, 90.0)}, "40 to 150"),
        ({"detector_kerma_ugy": -1.0}, "detector_kerma_ugy"),
    ):
        with pytest.raises(InputError, match=message):
            AutomaticExposure(**bad)
