"""The heel effect across the field: intensity and spectrum change from anode to cathode."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from synthray.imaging.detector import Detector, response
from synthray.imaging.nodes import Nodes, compress
from synthray.imaging.settings import DetectorGeometry, ImagingSettings
from synthray.imaging.signal import transmission_and_variance
from synthray.imaging.spectrum import Tube, spectrum

Image = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]

# Spectra that stand for the field, evenly from its anode side to its cathode side.
_ANCHORS = 5


def heel_transmission(
    area_density: Image, settings: ImagingSettings, geometry: DetectorGeometry
) -> tuple[Image, Image, Image]:
    """Transmission and its variance with the spectrum of each place, and the photons there.

    Transmissions of a few spectra across the field are mixed linearly between them. Each is a fraction of the open
    field at its own place, as flat-field correction makes it.

    Args:
        area_density: (M, row, column) g/cm².
        settings: tube, detector and on which side the anode is.
        geometry: distances; the central ray may meet the image anywhere.

    Returns:
        (row, column) transmission, variance (see `Nodes`), and open-field photons relative to the central ray.
    """
    rows, columns = area_density.shape[-2:]
    along = settings.anode_side in ("left", "right")
    angle = _towards_cathode_deg(rows, columns, settings, geometry)
    anchors = np.linspace(angle.min(), angle.max(), _ANCHORS)
    beams = [
        _beam(settings.tube, settings.detector, settings.energies, settings.extra_materials, round(float(a), 1))
        for a in anchors
    ]
    center = _beam(settings.tube, settings.detector, settings.energies, settings.extra_materials, 0.0)
    primary, variance = (np.zeros((rows, columns), dtype=np.float32) for _ in range(2))
    photons = np.zeros(len(angle))
    for index, beam in enumerate(beams):
        share = np.interp(angle, anchors, np.eye(_ANCHORS)[index])
        weight = (share if along else share[:, None]).astype(np.float32)
        through, spread = transmission_and_variance(area_density, beam)
        primary += weight * through
        variance += weight * spread
        photons += share * beam.fluence_per_cm2_mas / center.fluence_per_cm2_mas
    relative = photons if along else photons[:, None]
    return primary, variance, np.broadcast_to(relative, (rows, columns)).astype(np.float32)


def _towards_cathode_deg(rows: int, columns: int, settings: ImagingSettings, geometry: DetectorGeometry) -> Array:
    """Angle from the central ray of each column (or row), positive towards the cathode."""
    principal = geometry.principal_px or ((columns - 1) / 2, (rows - 1) / 2)
    along = settings.anode_side in ("left", "right")
    place = np.arange(columns) - principal[0] if along else np.arange(rows) - principal[1]
    sign = 1 if settings.anode_side in ("left", "top") else -1
    angle = np.rad2deg(np.arctan2(sign * place * geometry.pixel_mm, geometry.source_to_detector_mm))
    return np.clip(angle, -44, 44)


@lru_cache(maxsize=64)
def _beam(tube: Tube, detector: Detector, count: int, extra: tuple[str, ...], off_axis_deg: float) -> Nodes:
    there = spectrum(tube, off_axis_deg)
    return compress(there, *response(detector, there.energy_kev), count, extra)
