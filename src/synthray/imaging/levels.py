"""The whole chain at a level of realism: area densities in, radiograph out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.attenuation import basis_attenuation_cm2_g
from synthray.imaging.blur import focal_spot_sigma_mm, gaussian
from synthray.imaging.collimator import moved, opening, with_veil
from synthray.imaging.exposure import Dose, control_exposure, dose, open_kerma_ugy_mas
from synthray.imaging.heel import heel_transmission
from synthray.imaging.nodes import Nodes, nodes
from synthray.imaging.noise import add_noise, photons_per_pixel
from synthray.imaging.readout import read_out
from synthray.imaging.scatter import scattered, signal_through_grid
from synthray.imaging.settings import DetectorGeometry, ImagingSettings
from synthray.imaging.signal import (
    DEFAULT_FLOOR,
    check_area_density,
    heuristic,
    log_signal,
    naive,
    transmission_and_variance,
)

Image = npt.NDArray[np.float32]
Level = Literal["naive", "heuristic", "realistic", "full"]
NOISY: tuple[Level, ...] = ("realistic", "full")
_Each = TypeVar("_Each")


@dataclass(frozen=True, eq=False)
class ImageResult:
    """Radiographs of a batch of views.

    Attributes:
        log_image: (view, row, column) float32 -ln(signal / open-field signal), finite.
        transmission: (view, row, column) float32 signal as a fraction of the open field's, as measured.
        doses: of each view; empty for the levels without a tube.
    """

    log_image: Image
    transmission: Image
    doses: tuple[Dose, ...] = ()


def make_image(
    area_density: npt.ArrayLike,
    settings: ImagingSettings | Sequence[ImagingSettings],
    level: Level = "realistic",
    rng: np.random.Generator | Sequence[np.random.Generator] | None = None,
    geometry: DetectorGeometry | Sequence[DetectorGeometry] | None = None,
) -> ImageResult:
    """Radiographs from area densities.

    Levels: "naive" takes one energy and one material (all matter as water); "heuristic" one energy with separate
    weights for soft tissue and bone; "realistic" adds the spectrum, detector response, focal spot, scatter, exposure
    control, quantum and read-out noise and the detector's blur; "full" adds the heel effect, off-focus radiation,
    glare, motion, gain, defects and digitisation. The first two are free of noise and use no random numbers.

    Args:
        area_density: (view, M, row, column) g/cm² of adipose, cortical bone and the settings' extra materials.
        settings: for all views, or one for each.
        level: one of the four.
        rng: one generator for each view, which makes a view's image independent of its batch; a single generator is
            split with `spawn`. Needed by the levels with noise only.
        geometry: for all views, or one for each.

    Raises:
        InputError: shapes or counts differ, unknown level, no generator.
    """
    views = len(np.asarray(area_density))
    each_settings = _one_for_each(settings, views, "settings")
    density = check_area_density(area_density, 2 + max((len(s.extra_materials) for s in each_settings), default=0))
    if density.ndim != 4:
        raise InputError(f"area density must have shape (view, material, row, column), got {density.shape}")
    if level not in get_args(Level):
        raise InputError(f"realism must be one of {', '.join(get_args(Level))}, got '{level}'")
    if level not in NOISY:
        pictures = [_single_energy(one, setting, level) for one, setting in zip(density, each_settings, strict=True)]
        return _result(pictures, [DEFAULT_FLOOR] * views)
    each_geometry = _one_for_each(geometry or DetectorGeometry(), views, "geometry")
    rngs = rng.spawn(views) if isinstance(rng, np.random.Generator) else rng
    if rngs is None or len(rngs) != views:
        raise InputError(f"realism '{level}' needs a random generator, or one for each of the {views} views")
    shots = [
        _exposed(*each, full=level == "full") for each in zip(density, each_settings, each_geometry, rngs, strict=True)
    ]
    images, floors, doses = zip(*shots, strict=True)
    return replace(_result(images, floors), doses=doses)


def _single_energy(density: Image, settings: ImagingSettings, level: Level) -> Image:
    if level == "naive":
        return naive(density, settings.single_energy_kev)
    attenuation = basis_attenuation_cm2_g(settings.single_energy_kev, settings.extra_materials)
    return heuristic(density, attenuation.tolist())


@dataclass(frozen=True)
class _Shot:
    """One exposure: what is set, what the control made of it, and where it happens."""

    settings: ImagingSettings
    geometry: DetectorGeometry
    beam: Nodes
    mas: float
    grid: float
    full: bool

    @property
    def photons(self) -> float:
        """Open-field photons per pixel at the detector."""
        distance_mm, pixel_mm = self.geometry.source_to_detector_mm, self.geometry.pixel_mm
        return self.grid * photons_per_pixel(self.beam, self.mas, distance_mm, pixel_mm)

    @property
    def readout_noise(self) -> float:
        """Its standard deviation as a fraction of the open field's signal.

        Binning n native pixels into one adds up their noise in quadrature.
        """
        detector = self.settings.detector
        return detector.electronic_noise_photons * (self.geometry.pixel_mm / detector.pixel_mm) / self.photons


def _exposed(
    density: Image, settings: ImagingSettings, geometry: DetectorGeometry, rng: np.random.Generator, full: bool
) -> tuple[Image, float, Dose]:
    """One view's measured signal, the floor of its logarithm, and its dose."""
    shape, pixel_mm, distance_mm = density.shape[1:], geometry.pixel_mm, geometry.source_to_detector_mm
    if geometry.falloff is not None and geometry.falloff.shape != shape:
        raise InputError(f"falloff of shape {geometry.falloff.shape} for an image of {shape}")
    if settings.table_g_cm2:
        density = density.copy()
        density[0] += np.float32(settings.table_g_cm2)
    shot = _controlled(density, settings, geometry, full)
    primary, variance, relative = _primary(density, shot)
    area_px = float(np.prod(shape))
    if settings.collimator is not None:
        field = opening(settings.collimator, shape[0], shape[1], pixel_mm)
        primary, variance, area_px = primary * field, variance * field, float(field.sum())
    veil: Image = scattered(
        primary, density, shot.beam, settings.scatter, pixel_mm, distance_mm, settings.extra_materials
    )
    # Scattered photons are taken to have the open beam's spread of energies.
    variance = variance + veil * np.float32(shot.beam.variance_weight.sum())
    signal = _detected(primary + veil, variance, relative, shot, rng)
    report = dose(
        primary * np.float32(shot.grid),
        shot.settings.tube,
        shot.mas,
        settings.exposure,
        distance_mm,
        geometry.surface_mm,
        area_px * pixel_mm**2,
    )
    return signal, min(1.0, max(DEFAULT_FLOOR, shot.readout_noise)), report


def _controlled(density: Image, settings: ImagingSettings, geometry: DetectorGeometry, full: bool) -> _Shot:
    """The exposure with the voltage and mAs that were set, or that the control finds."""
    tube, mas = settings.tube, settings.mas
    beam = nodes(tube, settings.detector, settings.energies, settings.extra_materials)
    if mas is None:
        tube, mas = control_exposure(
            density,
            tube,
            settings.detector,
            settings.exposure,
            geometry.source_to_detector_mm,
            signal_through_grid(settings.scatter, beam),
            settings.extra_materials,
        )
        settings = replace(settings, tube=tube)
        beam = nodes(tube, settings.detector, settings.energies, settings.extra_materials)
    return _Shot(settings, geometry, beam, mas, signal_through_grid(settings.scatter, beam), full)


def _primary(density: Image, shot: _Shot) -> tuple[Image, Image, Image | None]:
    """Primary signal and variance before the detector, and open-field photons relative to the central ray."""
    settings, geometry = shot.settings, shot.geometry
    spot_px = focal_spot_sigma_mm(geometry.magnification, settings.focal_spot_mm) / geometry.pixel_mm
    if not shot.full:
        primary, variance = (gaussian(one, spot_px) for one in transmission_and_variance(density, shot.beam))
        return primary, variance, geometry.falloff
    *both, relative = heel_transmission(density, settings, geometry)
    right, down = (mm * geometry.magnification / geometry.pixel_mm for mm in settings.motion_mm)
    # Off-focus radiation passes the patient too: it is the shadow of a wide source.
    sigma_px = settings.off_focus_sigma_mm * (geometry.magnification - 1) / geometry.pixel_mm
    primary, variance = (
        with_veil(moved(gaussian(one, spot_px), (right, down)), settings.off_focus, sigma_px) for one in both
    )
    return primary, variance, relative if geometry.falloff is None else relative * geometry.falloff


def _detected(signal: Image, variance: Image, relative: Image | None, shot: _Shot, rng: np.random.Generator) -> Image:
    """What the detector reads, as a fraction of the open field's signal."""
    detector, geometry = shot.settings.detector, shot.geometry
    measured = add_noise(
        signal,
        variance,
        shot.photons if relative is None else np.float32(shot.photons) * relative,
        rng,
        blur_sigma_px=detector.blur_sigma_mm / geometry.pixel_mm,
        electronic_noise=shot.readout_noise,
    )
    if not shot.full:
        return measured
    measured = with_veil(measured, detector.glare, detector.glare_sigma_mm / geometry.pixel_mm)
    kerma_ugy = open_kerma_ugy_mas(shot.settings.tube, geometry.source_to_detector_mm) * shot.mas * shot.grid
    return read_out(measured, kerma_ugy, shot.settings.readout)


def _result(pictures: Sequence[Image], floors: Sequence[float]) -> ImageResult:
    logs = [log_signal(picture, floor) for picture, floor in zip(pictures, floors, strict=True)]
    return ImageResult(log_image=np.stack(logs), transmission=np.stack(pictures))


def _one_for_each(given: _Each | Sequence[_Each], views: int, what: str) -> Sequence[_Each]:
    if not isinstance(given, Sequence):
        return [given] * views
    if len(given) != views:
        raise InputError(f"{len(given)} {what} for {views} views; give one, or one for each")
    return given
