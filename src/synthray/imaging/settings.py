"""What an image is made with: tube, dose, detector, scatter, and the geometry that the chain needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.attenuation import composition
from synthray.imaging.checks import check_between
from synthray.imaging.collimator import Collimator
from synthray.imaging.detector import Detector
from synthray.imaging.exposure import AutomaticExposure
from synthray.imaging.readout import Readout
from synthray.imaging.scatter import Scatter
from synthray.imaging.spectrum import Tube

Side = Literal["top", "bottom", "left", "right"]


@dataclass(frozen=True, kw_only=True)
class ImagingSettings:
    """Everything that turns area densities into one radiograph.

    Attributes:
        tube: voltage and filtration.
        detector: what the photons meet.
        mas: tube output of one image in mAs; None leaves it to the exposure control.
        exposure: automatic exposure control; also names the measuring field in which dose is reported.
        scatter: veil of scattered radiation, air gap and grid.
        focal_spot_mm: width of the focal spot.
        collimator: blades that limit the beam, or None for a beam that fills the detector.
        table_g_cm2: area density of table and cushion in the beam, taken as soft tissue.
        extra_materials: materials of the channels after adipose and cortical bone: names in `MATERIALS` or
            chemical formulas.
        node_count: energies that stand for the spectrum; None takes 5 for tissue, 7 with metal or iodine.
        single_energy_kev: photon energy of the levels without a spectrum.
        anode_side: side of the image towards which the anode lies. This and what follows acts at the level "full".
        off_focus: part of the beam that comes from around the focal spot.
        off_focus_sigma_mm: standard deviation of where it comes from, at the anode.
        motion_mm: (along columns, along rows) movement of the object during the exposure, at the object.
        readout: the detector's electronics and calibration.
    """

    tube: Tube = field(default_factory=Tube)
    detector: Detector = field(default_factory=Detector)
    mas: float | None = None
    exposure: AutomaticExposure = field(default_factory=AutomaticExposure)
    scatter: Scatter = field(default_factory=Scatter)
    focal_spot_mm: float = 0.6
    collimator: Collimator | None = None
    table_g_cm2: float = 0.0
    extra_materials: tuple[str, ...] = ()
    node_count: int | None = None
    single_energy_kev: float = 60.0
    anode_side: Side = "top"
    off_focus: float = 0.03
    off_focus_sigma_mm: float = 30.0
    motion_mm: tuple[float, float] = (0.0, 0.0)
    readout: Readout = field(default_factory=Readout)

    def __post_init__(self) -> None:
        if self.mas is not None:
            check_between("mas", self.mas, 1e-4, 2000)
        check_between("focal_spot_mm", self.focal_spot_mm, 0, 5)
        check_between("table_g_cm2", self.table_g_cm2, 0, 20)
        check_between("single_energy_kev", self.single_energy_kev, 10, 150)
        check_between("off_focus", self.off_focus, 0, 0.5)
        check_between("off_focus_sigma_mm", self.off_focus_sigma_mm, 0.1, 500)
        for shift in self.motion_mm:
            check_between("motion_mm", shift, -100, 100)
        if self.anode_side not in ("top", "bottom", "left", "right"):
            raise InputError(f"anode_side must be top, bottom, left or right, got '{self.anode_side}'")
        for material in self.extra_materials:
            composition(material)

    @property
    def energies(self) -> int:
        """Energy nodes to use."""
        if self.node_count is not None:
            return self.node_count
        return 7 if self.extra_materials else 5


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectorGeometry:
    """Where the detector stands; all that the imaging chain needs to know of the view.

    Attributes:
        pixel_mm: pitch of the image's pixels at the detector, which may be a multiple of the detector's own.
        source_to_detector_mm: along the central ray.
        magnification: source-detector over source-object distance; sets the focal spot's blur.
        source_to_surface_mm: from the focal spot to the skin, for the dose; None takes 15 cm before the object.
        principal_px: (column, row) where the central ray meets the detector; None is the middle of the image.
        falloff: None, or (row, column) photons per pixel relative to the central ray, see `falloff`. It acts on the
            noise only: images are flat-field corrected.
    """

    pixel_mm: float = 0.194
    source_to_detector_mm: float = 1000.0
    magnification: float = 1.3
    source_to_surface_mm: float | None = None
    principal_px: tuple[float, float] | None = None
    falloff: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        check_between("pixel_mm", self.pixel_mm, 0.01, 100)
        check_between("source_to_detector_mm", self.source_to_detector_mm, 100, 10000)
        check_between("magnification", self.magnification, 1, 20)

    @property
    def surface_mm(self) -> float:
        """From the focal spot to the skin, at least 50 mm."""
        if self.source_to_surface_mm is not None:
            return max(self.source_to_surface_mm, 50.0)
        return max(self.source_to_detector_mm / self.magnification - 150.0, 50.0)
