"""`CArm`: device presets and angulation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry.camera import Camera
from synthray.geometry.transforms import compose, rotation_about


@dataclass(frozen=True)
class NamedView:
    """A projection by its radiographic name.

    Attributes:
        orbit_deg: where the receptor stands around the long axis: 0 in front of the person (the beam runs from back
            to front, PA), 90 at the person's left, 180 behind (AP).
        tilt_deg: receptor towards the head (+) or the feet (-).
        seen_from_receptor: the picture is shown as seen from the receptor's side. True for receptors in front and
            at the sides, false for those behind: either way a frontal picture has the person's left on its right.
    """

    orbit_deg: float
    tilt_deg: float = 0.0
    seen_from_receptor: bool = True


# Judet views: the obturator oblique raises the named side towards the tube, the iliac oblique lowers it.
VIEWS = MappingProxyType(
    {
        "pa": NamedView(0),
        "ap": NamedView(180, 0, False),
        "lateral": NamedView(90),
        "left_lateral": NamedView(90),
        "right_lateral": NamedView(-90),
        "inlet": NamedView(180, -40, False),
        "outlet": NamedView(180, 40, False),
        "obturator_oblique_left": NamedView(-135, 0, False),
        "obturator_oblique_right": NamedView(135, 0, False),
        "iliac_oblique_left": NamedView(135, 0, False),
        "iliac_oblique_right": NamedView(-135, 0, False),
    }
)
VIEW_ALIASES = MappingProxyType({"lat": "lateral"})


def named_view(name: str) -> NamedView:
    """The view of that name; case, spaces and hyphens don't matter.

    Raises:
        InputError: the name is not known.
    """
    key = name.strip().lower().replace("-", "_").replace(" ", "_")
    key = VIEW_ALIASES.get(key, key)
    if key not in VIEWS:
        raise InputError(f"unknown view '{name}'; choose one of {', '.join(VIEWS)}")
    return VIEWS[key]


@dataclass(frozen=True, kw_only=True)
class CArm:
    """An X-ray device: detector, distances, and how far it can be angulated.

    Attributes:
        name: what the device is called in messages.
        rows: detector rows.
        columns: detector columns.
        pixel_mm: detector pixel pitch.
        source_to_detector_mm: SDD.
        source_to_isocenter_mm: default distance from the source to the target of a view.
        max_orbit_deg: largest LAO or RAO angle.
        max_tilt_deg: largest cranial or caudal angle.
    """

    name: str
    rows: int
    columns: int
    pixel_mm: float
    source_to_detector_mm: float
    source_to_isocenter_mm: float
    max_orbit_deg: float
    max_tilt_deg: float

    def __post_init__(self) -> None:
        if not 0 < self.source_to_isocenter_mm < self.source_to_detector_mm:
            raise InputError(
                f"{self.name}: the isocentre must lie between source and detector, got "
                f"{self.source_to_isocenter_mm} mm of {self.source_to_detector_mm} mm"
            )
        if not self.pixel_mm > 0:
            raise InputError(f"{self.name}: pixel_mm must be positive, got {self.pixel_mm}")

    @staticmethod
    def preset(name: str) -> CArm:
        """A device by name: see `PRESETS`.

        Raises:
            InputError: the name is not known.
        """
        if name not in PRESETS:
            raise InputError(f"unknown C-arm preset '{name}'; choose one of {', '.join(PRESETS)}")
        return PRESETS[name]

    def resized(self, rows: int, columns: int | None = None) -> CArm:
        """The same device read out with fewer or more pixels of the same pitch ratio; the field height stays.

        A column count other than `rows` x (columns / rows) of this device crops or widens the field.
        """
        pixel_mm = self.pixel_mm * self.rows / rows
        return replace(self, rows=rows, columns=columns or round(self.columns * rows / self.rows), pixel_mm=pixel_mm)

    def view(
        self,
        target_mm: npt.ArrayLike,
        lao_deg: float = 0.0,
        cran_deg: float = 0.0,
        roll_deg: float = 0.0,
        *,
        view: str = "pa",
        source_to_target_mm: float | None = None,
    ) -> Camera:
        """A camera that looks at a point.

        With the default `view` the angles are the clinical ones: they say where the receptor stands, 0/0 in front of
        the person, LAO towards the person's left, cranial towards the head; negative values are RAO and caudal. With
        another named view they are added to that view's own angles. Frontal pictures always show the person's left
        on the right of the picture, head up.

        Args:
            target_mm: (3,) patient mm; lands on the centre of the detector.
            lao_deg: orbital angle.
            cran_deg: tilt.
            roll_deg: turns the picture's content clockwise.
            view: a name of `VIEWS`.
            source_to_target_mm: distance from the source to the target; the isocentre's by default.

        Raises:
            InputError: an angle is beyond the device's travel, or the target is not between source and detector.
        """
        base = named_view(view)
        self._check_travel(lao_deg, self.max_orbit_deg, "LAO/RAO")
        self._check_travel(base.tilt_deg + cran_deg, self.max_tilt_deg, "cranial/caudal")
        distance = self.source_to_isocenter_mm if source_to_target_mm is None else source_to_target_mm
        if not 0 < distance < self.source_to_detector_mm:
            raise InputError(
                f"{self.name}: source_to_target_mm={distance} must lie between 0 and the detector at "
                f"{self.source_to_detector_mm} mm"
            )
        target = np.asarray(target_mm, dtype=np.float64)
        if target.shape != (3,) or not np.isfinite(target).all():
            raise InputError(f"target_mm must be three finite numbers, got {target_mm!r}")
        mirror = -1.0 if base.seen_from_receptor else 1.0
        axes = _camera_axes(np.deg2rad(base.orbit_deg + lao_deg), np.deg2rad(base.tilt_deg + cran_deg))
        axes = rotation_about([0, 0, 1], -mirror * np.deg2rad(roll_deg)).T @ axes
        source = target - distance * axes[2]
        focal_px = self.source_to_detector_mm / self.pixel_mm
        K = np.array([[mirror * focal_px, 0, (self.columns - 1) / 2], [0, focal_px, (self.rows - 1) / 2], [0, 0, 1]])
        return Camera(K, compose(axes, -axes @ source), self.rows, self.columns, self.source_to_detector_mm)

    def _check_travel(self, angle_deg: float, limit_deg: float, what: str) -> None:
        if not abs(angle_deg) <= limit_deg:
            raise InputError(f"{self.name}: {what} angle {angle_deg:g}° is beyond its travel of ±{limit_deg:g}°")


def _camera_axes(orbit_rad: float, tilt_rad: float) -> npt.NDArray[np.float64]:
    """(3, 3) camera axes x, y, z as rows, in the patient frame, for a receptor at that orbit and tilt."""
    flat = np.array([np.sin(orbit_rad), -np.cos(orbit_rad), 0.0])
    head = np.array([0.0, 0.0, 1.0])
    forward = np.cos(tilt_rad) * flat + np.sin(tilt_rad) * head
    down = np.sin(tilt_rad) * flat - np.cos(tilt_rad) * head
    return np.stack([np.cross(down, forward), down, forward])


PRESETS = MappingProxyType(
    {
        device.name: device
        for device in (
            # Mobile C-arm with a 30 cm flat panel (DeepFluoro's geometry: 1536 x 0.194 mm, SDD 1020 mm).
            CArm(
                name="cios-fusion",
                rows=1536,
                columns=1536,
                pixel_mm=0.194,
                source_to_detector_mm=1020,
                source_to_isocenter_mm=750,
                max_orbit_deg=100,
                max_tilt_deg=60,
            ),
            CArm(
                name="generic-300mm",
                rows=1000,
                columns=1000,
                pixel_mm=0.3,
                source_to_detector_mm=1000,
                source_to_isocenter_mm=600,
                max_orbit_deg=120,
                max_tilt_deg=60,
            ),
            # Upright radiography at 1.8 m: the chest stands against a 43 cm detector.
            CArm(
                name="chest-pa",
                rows=3072,
                columns=3072,
                pixel_mm=0.14,
                source_to_detector_mm=1800,
                source_to_isocenter_mm=1630,
                max_orbit_deg=100,
                max_tilt_deg=45,
            ),
            # Bucky table: pelvis and spine AP at 1.15 m on a 43 cm detector; use view="ap".
            CArm(
                name="bucky-table",
                rows=3072,
                columns=3072,
                pixel_mm=0.14,
                source_to_detector_mm=1150,
                source_to_isocenter_mm=1000,
                max_orbit_deg=50,
                max_tilt_deg=45,
            ),
            # Bedside: tube above the bed, detector under the back; use view="ap".
            CArm(
                name="chest-bedside",
                rows=3072,
                columns=3072,
                pixel_mm=0.14,
                source_to_detector_mm=1100,
                source_to_isocenter_mm=950,
                max_orbit_deg=45,
                max_tilt_deg=45,
            ),
        )
    }
)
