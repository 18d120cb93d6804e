"""The whole chain at a level of realism: area densities in, radiograph out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.attenuation import basis_attenuation_cm2_g
from synthray.imaging.blur import focal_spot_sigma_mm, gaussian
from synthray.imaging.checks import check_between
from synthray.imaging.detector import Detector
from synthray.imaging.nodes import nodes
from synthray.imaging.noise import add_noise, photons_per_pixel
from synthray.imaging.scatter import Scatter, scattered
from synthray.imaging.signal import (
    DEFAULT_FLOOR,
    check_area_density,
    heuristic,
    log_signal,
    naive,
    transmission_and_variance,
)
from synthray.imaging.spectrum import Tube

Image = npt.NDArray[np.float32]
Level = Literal["naive", "heuristic", "realistic"]
_Each = TypeVar("_Each")


@dataclass(frozen=True, kw_only=True)
class ImagingSettings:
    """Everything that turns area densities into one radiograph.

    Attributes:
        tube: voltage and filtration.
        detector: what the photons meet.
        mas: tube output of one image in mAs.
        scatter: veil of scattered radiation.
        focal_spot_mm: width of the focal spot.
        node_count: energies that stand for the spectrum; 4 for tissue, 5 or 6 with metal.
        single_energy_kev: photon energy of the levels without a spectrum.
    """

    tube: Tube = field(default_factory=Tube)
    detector: Detector = field(default_factory=Detector)
    mas: float = 2.0
    scatter: Scatter = field(default_factory=Scatter)
    focal_spot_mm: float = 0.6
    node_count: int = 4
    single_energy_kev: float = 60.0

    def __post_init__(self) -> None:
        check_between("mas", self.mas, 1e-4, 2000)
        check_between("focal_spot_mm", self.focal_spot_mm, 0, 5)
        check_between("single_energy_kev", self.single_energy_kev, 10, 150)


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectorGeometry:
    """Where the detector stands; all that the imaging chain needs to know of the view.

    Attributes:
        pixel_mm: pitch of the image's pixels at the detector, which may be a multiple of the detector's own.
        source_to_detector_mm: along the central ray.
        magnification: source-detector over source-object distance; sets the focal spot's blur.
        falloff: None, or (row, column) photons per pixel relative to the central ray, see `falloff`. It acts on the
            noise only: images are flat-field corrected.
    """

    pixel_mm: float = 0.194
    source_to_detector_mm: float = 1000.0
    magnification: float = 1.3
    falloff: Image | None = None

    def __post_init__(self) -> None:
        check_between("pixel_mm", self.pixel_mm, 0.01, 100)
        check_between("source_to_detector_mm", self.source_to_detector_mm, 100, 10000)
        check_between("magnification", self.magnification, 1, 20)


@dataclass(frozen=True, eq=False)
class ImageResult:
    """Radiographs of a batch of views.

    Attributes:
        log_image: (view, row, column) float32 -ln(signal / open-field signal), finite.
        transmission: (view, row, column) float32 signal as a fraction of the open field's, as measured.
    """

    log_image: Image
    transmission: Image


def make_image(
    area_density: npt.ArrayLike,
    settings: ImagingSettings | Sequence[ImagingSettings],
    level: Level = "realistic",
    rng: np.random.Generator | Sequence[np.random.Generator] | None = None,
    geometry: DetectorGeometry | Sequence[DetectorGeometry] | None = None,
) -> ImageResult:
    """Radiographs from area densities.

    Levels: "naive" takes one energy and one material (all matter as water); "heuristic" one energy with separate
    weights for soft tissue and bone; "realistic" adds the spectrum, detector response, focal spot, scatter, quantum
    and read-out noise and the detector's blur. The first two are free of noise and use no random numbers.

    Args:
        area_density: (view, 2, row, column) g/cm² of adipose and cortical bone.
        settings: for all views, or one for each.
        level: one of the three.
        rng: one generator for each view, which makes a view's image independent of its batch; a single generator is
            split with `spawn`. Needed by "realistic" only.
        geometry: for all views, or one for each.

    Raises:
        InputError: shapes or counts differ, unknown level, no generator.
    """
    density = check_area_density(area_density)
    if density.ndim != 4:
        raise InputError(f"area density must have shape (view, 2, row, column), got {density.shape}")
    if level not in get_args(Level):
        raise InputError(f"realism must be one of {', '.join(get_args(Level))}, got '{level}'")
    views = len(density)
    each_settings = _one_for_each(settings, views, "settings")
    if level != "realistic":
        pictures = [_single_energy(one, setting, level) for one, setting in zip(density, each_settings, strict=True)]
        return _result(pictures, [DEFAULT_FLOOR] * views)
    each_geometry = _one_for_each(geometry or DetectorGeometry(), views, "geometry")
    rngs = rng.spawn(views) if isinstance(rng, np.random.Generator) else rng
    if rngs is None or len(rngs) != views:
        raise InputError(f"realism 'realistic' needs a random generator, or one for each of the {views} views")
    shots = [_realistic(*each) for each in zip(density, each_settings, each_geometry, rngs, strict=True)]
    return _result([picture for picture, _ in shots], [floor for _, floor in shots])


def _single_energy(density: Image, settings: ImagingSettings, level: Level) -> Image:
    if level == "naive":
        return naive(density, settings.single_energy_kev)
    return heuristic(density, basis_attenuation_cm2_g(settings.single_energy_kev).tolist())


def _realistic(
    density: Image, settings: ImagingSettings, geometry: DetectorGeometry, rng: np.random.Generator
) -> tuple[Image, float]:
    """One view's measured signal and the floor of its logarithm."""
    detector, pixel_mm = settings.detector, geometry.pixel_mm
    if geometry.falloff is not None and geometry.falloff.shape != density.shape[1:]:
        raise InputError(f"falloff of shape {geometry.falloff.shape} for an image of {density.shape[1:]}")
    beam = nodes(settings.tube, detector, settings.node_count)
    spot_px = focal_spot_sigma_mm(geometry.magnification, settings.focal_spot_mm) / pixel_mm
    primary, variance = (gaussian(one, spot_px) for one in transmission_and_variance(density, beam))
    veil = scattered(primary, settings.scatter, pixel_mm)
    # Scattered photons are taken to have the open beam's spread of energies.
    variance += veil * np.float32(beam.variance_weight.sum())
    photons = photons_per_pixel(beam, settings.mas, geometry.source_to_detector_mm, pixel_mm)
    # Binning n native pixels into one adds up their read-out noise in quadrature.
    readout = detector.electronic_noise_photons * (pixel_mm / detector.pixel_mm) / photons
    signal = add_noise(
        primary + veil,
        variance,
        photons if geometry.falloff is None else np.float32(photons) * geometry.falloff,
        rng,
        blur_sigma_px=detector.blur_sigma_mm / pixel_mm,
        electronic_noise=readout,
    )
    return signal, min(1.0, max(DEFAULT_FLOOR, readout))


def _result(pictures: Sequence[Image], floors: Sequence[float]) -> ImageResult:
    logs = [log_signal(picture, floor) for picture, floor in zip(pictures, floors, strict=True)]
    return ImageResult(log_image=np.stack(logs), transmission=np.stack(pictures))


def _one_for_each(given: _Each | Sequence[_Each], views: int, what: str) -> Sequence[_Each]:
    if not isinstance(given, Sequence):
        return [given] * views
    if len(given) != views:
        raise InputError(f"{len(given)} {what} for {views} views; give one, or one for each")
    return given
