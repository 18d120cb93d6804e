"""Dose: what the tube must give for the detector to get enough, and what the patient then gets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.checks import check_between
from synthray.imaging.detector import Detector
from synthray.imaging.nodes import nodes
from synthray.imaging.signal import transmission
from synthray.imaging.spectrum import TUBE_KVP, Tube, air_kerma_ugy_mas, spectrum

Image = npt.NDArray[np.float32]
Field = tuple[float, float, float, float]

# Pixels along a side of the coarse image that the control looks at.
_COARSE = 64
_KVP_STEP = 5.0


@dataclass(frozen=True, kw_only=True)
class AutomaticExposure:
    """Automatic exposure control: a measuring field, a dose to reach there, and what the generator can give.

    Attributes:
        detector_kerma_ugy: air kerma at the detector to reach in the measuring field, behind patient and grid. 2.5 µGy
            is speed class 400 of radiography; fluoroscopy takes 0.01 to 0.1 per frame.
        fields: measuring fields as fractions of the image: (top, bottom, left, right) each. Their mean counts.
        mas_range: lowest and highest tube output.
        kvp_range: lowest and highest tube voltage; None keeps the tube's. The lowest voltage is taken at which the
            output suffices.
    """

    detector_kerma_ugy: float = 2.5
    fields: tuple[Field, ...] = ((0.35, 0.65, 0.35, 0.65),)
    mas_range: tuple[float, float] = (0.02, 400.0)
    kvp_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_between("detector_kerma_ugy", self.detector_kerma_ugy, 1e-4, 1000)
        if not self.fields:
            raise InputError("exposure control needs at least one measuring field")
        for top, bottom, left, right in self.fields:
            if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
                raise InputError(
                    f"measuring field {(top, bottom, left, right)}: give (top, bottom, left, right) as rising fractions"
                )
        _check_range("mas_range", self.mas_range, 1e-4, 2000)
        if self.kvp_range is not None:
            _check_range("kvp_range", self.kvp_range, *TUBE_KVP)


@dataclass(frozen=True, kw_only=True)
class Dose:
    """What one image took.

    Attributes:
        tube_kvp: tube voltage.
        mas: tube output.
        detector_kerma_ugy: air kerma at the detector, mean of the measuring fields, without scatter.
        entrance_kerma_ugy: incident air kerma where the beam enters the patient, without backscatter.
        dose_area_product_ugy_m2: air kerma times the area of the beam, the same at any distance.
    """

    tube_kvp: float
    mas: float
    detector_kerma_ugy: float
    entrance_kerma_ugy: float
    dose_area_product_ugy_m2: float


def open_kerma_ugy_mas(tube: Tube, distance_mm: float) -> float:
    """Air kerma of the open beam per mAs at a distance from the focal spot, without the air's attenuation."""
    check_between("distance_mm", distance_mm, 50, 10000)
    return air_kerma_ugy_mas(spectrum(tube)) * (1000 / distance_mm) ** 2


def control_exposure(
    area_density: npt.ArrayLike,
    tube: Tube,
    detector: Detector,
    control: AutomaticExposure,
    source_to_detector_mm: float,
    grid_transmission: float = 1.0,
    materials: tuple[str, ...] = (),
) -> tuple[Tube, float]:
    """Tube voltage and mAs with which the measuring field gets its dose.

    Args:
        area_density: (M, row, column) g/cm² of adipose, cortical bone and further materials.
        tube: filtration, and the voltage when the control leaves it.
        detector: whose signal the control goes by.
        control: what to reach.
        source_to_detector_mm: along the central ray.
        grid_transmission: of the primary through an anti-scatter grid.
        materials: what the channels after the two tissues are of.

    Returns:
        The tube with the chosen voltage, and mAs within `mas_range`.
    """
    coarse = _coarse(np.asarray(area_density, dtype=np.float32))
    low, high = control.kvp_range or (tube.tube_kvp, tube.tube_kvp)
    voltages = np.append(np.arange(low, high, _KVP_STEP), high)
    for kvp in voltages:
        chosen = replace(tube, tube_kvp=float(kvp))
        reached = (
            _field_mean(transmission(coarse, nodes(chosen, detector, extra=materials)), control.fields)
            * grid_transmission
        )
        mas = control.detector_kerma_ugy / (open_kerma_ugy_mas(chosen, source_to_detector_mm) * max(reached, 1e-12))
        if mas <= control.mas_range[1]:
            break
    return chosen, float(np.clip(mas, *control.mas_range))


def dose(
    transmitted: Image,
    tube: Tube,
    mas: float,
    control: AutomaticExposure,
    source_to_detector_mm: float,
    source_to_surface_mm: float,
    field_mm2: float,
) -> Dose:
    """The dose of an image.

    Args:
        transmitted: (row, column) primary signal as a fraction of the open field's.
        tube: its setting.
        mas: tube output.
        control: names the measuring fields.
        source_to_detector_mm: along the central ray.
        source_to_surface_mm: from the focal spot to the skin.
        field_mm2: area of the beam at the detector.
    """
    at_detector = open_kerma_ugy_mas(tube, source_to_detector_mm) * mas
    return Dose(
        tube_kvp=tube.tube_kvp,
        mas=mas,
        detector_kerma_ugy=at_detector * _field_mean(transmitted, control.fields),
        entrance_kerma_ugy=open_kerma_ugy_mas(tube, max(source_to_surface_mm, 50.0)) * mas,
        dose_area_product_ugy_m2=at_detector * field_mm2 * 1e-6,
    )


def _coarse(density: Image) -> Image:
    """Every n-th pixel, so that a control loop costs next to nothing."""
    step = max(1, min(density.shape[-2:]) // _COARSE)
    return density[:, ::step, ::step]


def _field_mean(image: Image, fields: tuple[Field, ...]) -> float:
    """Mean of a (row, column) image over the measuring fields, which hold at least one pixel each."""
    means = []
    for top, bottom, left, right in fields:
        (first_row, last_row), (first_column, last_column) = (
            (int(low * size), max(int(high * size), int(low * size) + 1))
            for (low, high), size in zip(((top, bottom), (left, right)), image.shape, strict=True)
        )
        means.append(float(image[first_row:last_row, first_column:last_column].mean()))
    return float(np.mean(means))


def _check_range(name: str, pair: tuple[float, float], low: float, high: float) -> None:
    for value in pair:
        check_between(name, value, low, high)
    if pair[0] > pair[1]:
        raise InputError(f"{name} must rise, got {pair[0]:g} to {pair[1]:g}")
