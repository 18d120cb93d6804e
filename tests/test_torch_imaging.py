"""`synthray.torch.radiograph` against `synthray.imaging`."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="synthray.torch needs the extra 'learn'")

from synthray.errors import InputError  # noqa: E402
from synthray.imaging import SYSTEMS, DetectorGeometry, ImagingSettings, make_image, nodes, scattered  # noqa: E402
from synthray.imaging.collimator import Collimator  # noqa: E402
from synthray.torch import radiograph  # noqa: E402
from synthray.torch.imaging import scattered as scattered_tensor  # noqa: E402

GEOMETRY = DetectorGeometry(pixel_mm=1.5, source_to_detector_mm=1200, magnification=1.3)


def phantom(size: int = 150) -> np.ndarray:
    density = np.zeros((1, 2, size, size), dtype=np.float32)
    density[:, 0, 15:-15, 15:-15] = np.linspace(5, 25, size - 30, dtype=np.float32)
    density[:, 1, 40:110, 60:70] = 3
    return density


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_same_numbers_as_numpy(name: str) -> None:
    # So much dose that the noise is out of the way.
    settings = replace(SYSTEMS[name].settings, mas=2000.0, collimator=Collimator(width_mm=200, height_mm=180))
    detector = replace(settings.detector, electronic_noise_photons=0.0)
    settings = replace(settings, detector=detector)
    expected = make_image(phantom(), settings, "realistic", [np.random.default_rng(0)], GEOMETRY)
    log_image, signal = radiograph(torch.from_numpy(phantom()), settings, GEOMETRY, noise=False)
    assert np.abs(signal.numpy() / expected.transmission - 1)[expected.transmission > 1e-3].mean() < 2e-3
    assert np.abs(np.median(signal.numpy() / expected.transmission) - 1) < 1e-4
    assert np.abs(np.median(log_image.numpy() - expected.log_image)) < 1e-4


def test_scatter_is_the_same_within_rounding() -> None:
    settings = SYSTEMS["bucky-table"].settings
    beam = nodes(settings.tube, settings.detector)
    density = phantom()[0]
    primary = np.exp(-0.2 * density.sum(axis=0))
    expected = scattered(primary, density, beam, settings.scatter, 1.5, 1200)
    parts = (torch.from_numpy(primary), torch.from_numpy(density))
    veil = scattered_tensor(*parts, beam, settings.scatter, 1.5, 1200)
    np.testing.assert_allclose(veil.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_metal_counts_in_dose_and_scatter_as_in_numpy() -> None:
    chest = SYSTEMS["chest-bedside"].settings
    detector = replace(chest.detector, electronic_noise_photons=0.0)
    settings = replace(chest, detector=detector, mas=None, extra_materials=("titanium",), collimator=None)
    metal = np.zeros_like(phantom()[:, :1])
    metal[..., 60:, :] = 1.5
    density = np.concatenate([phantom(), metal], axis=1)
    expected = make_image(density, settings, "realistic", [np.random.default_rng(0)], GEOMETRY)
    _, signal = radiograph(torch.from_numpy(density), settings, GEOMETRY, noise=False)
    assert np.abs(np.median(signal.numpy() / expected.transmission) - 1) < 2e-3
    beam = nodes(settings.tube, settings.detector, extra=("titanium",))
    primary = np.exp(-0.2 * density[0].sum(axis=0))
    parts = (torch.from_numpy(primary), torch.from_numpy(density[0]))
    veil = scattered_tensor(*parts, beam, settings.scatter, 1.5, 1200, ("titanium",))
    plain = scattered(primary, density[0], beam, settings.scatter, 1.5, 1200, ("titanium",))
    np.testing.assert_allclose(veil.numpy(), plain, rtol=1e-4, atol=1e-6)


def test_noise_has_the_same_spread() -> None:
    flat = np.full((1, 2, 200, 200), 4, dtype=np.float32)
    settings = replace(SYSTEMS["chest-bedside"].settings, mas=0.5)
    expected = make_image(flat, settings, "realistic", [np.random.default_rng(0)], GEOMETRY).transmission
    _, signal = radiograph(torch.from_numpy(flat), settings, GEOMETRY, torch.Generator().manual_seed(0))
    middle = np.s_[0, 60:140, 60:140]
    assert signal.numpy()[middle].std() == pytest.approx(expected[middle].std(), rel=0.05)
    again = radiograph(torch.from_numpy(flat), settings, GEOMETRY, torch.Generator().manual_seed(0))[1]
    assert torch.equal(signal, again)


def test_exposure_control_is_the_same() -> None:
    settings = SYSTEMS["mobile-c-arm"].settings
    expected = make_image(phantom(), settings, "realistic", [np.random.default_rng(0)], GEOMETRY)
    log_image, _ = radiograph(torch.from_numpy(phantom()), settings, GEOMETRY, torch.Generator().manual_seed(1))
    assert float(log_image.mean()) == pytest.approx(float(expected.log_image.mean()), abs=0.01)


def test_the_image_is_differentiable() -> None:
    density = torch.from_numpy(phantom(60)).requires_grad_()
    settings = ImagingSettings(mas=5.0)
    log_image, _ = radiograph(density, settings, GEOMETRY, noise=False)
    log_image[0, 30, 30].backward()
    assert torch.isfinite(density.grad).all()
    assert density.grad[0, 1, 30, 30] > density.grad[0, 0, 30, 30] > 0


def test_wrong_input_is_refused() -> None:
    density = torch.from_numpy(phantom(40))
    for bad, message in (
        (lambda: radiograph(density[0], ImagingSettings(), GEOMETRY), "shape"),
        (lambda: radiograph(density, [ImagingSettings()] * 2, GEOMETRY), "2 settings for 1 views"),
        (lambda: radiograph(density, ImagingSettings(extra_materials=("titanium",)), GEOMETRY), "2 materials"),
    ):
        with pytest.raises(InputError, match=message):
            bad()
