"""C-arm angles as DICOM writes them (PS3.3 C.8.7.5, XA Positioner), to and from a camera.

The primary angle is like a longitude in the transaxial plane (0 in front of the chest, +90 at the person's left, LAO),
the secondary angle like a latitude (+90 at the head, CRA); both say where the receptor stands. They hold neither the
place of the isocentre in the CT, nor a detector that is shifted or turned in its plane by other than quarter turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry.camera import Camera
from synthray.geometry.transforms import apply, compose

Floats = npt.NDArray[np.float64]

# PS3.3 C.7.6.1.1.1: the side of the person that rows and columns run towards.
_LETTERS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}
_LEAST_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class DicomView:
    """A view in DICOM's terms.

    Attributes:
        primary_deg: Positioner Primary Angle; LAO positive.
        secondary_deg: Positioner Secondary Angle; CRA positive.
        source_to_detector_mm: Distance Source to Detector.
        detector_mm: (row, column) spacing at the detector: Imager Pixel Spacing.
        rows: of the image.
        columns: of the image.
        source_to_patient_mm: Distance Source to Patient: to the isocentre; None when it isn't said.
        orientation: Patient Orientation: where a row runs to and where a column runs to, such as ("L", "F"). Without it
            the image is taken to be as one faces the person: head up, the left on the right.
    """

    primary_deg: float
    secondary_deg: float
    source_to_detector_mm: float
    detector_mm: tuple[float, float]
    rows: int
    columns: int
    source_to_patient_mm: float | None = None
    orientation: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        numbers = (self.primary_deg, self.secondary_deg, self.source_to_detector_mm, *self.detector_mm)
        if not np.isfinite(numbers).all() or abs(self.primary_deg) > 360 or abs(self.secondary_deg) > 90:
            raise InputError(
                f"C-arm angles must be within ±360° and ±90°, got {self.primary_deg} and {self.secondary_deg}"
            )
        if min(self.source_to_detector_mm, *self.detector_mm) <= 0:
            raise InputError("the distance to the detector and its pixel spacing must be positive")

    def camera(self, target_mm: npt.ArrayLike, source_to_target_mm: float | None = None) -> Camera:
        """The camera whose central ray meets a point of the patient.

        Args:
            target_mm: (3,) patient mm, where the isocentre is; DICOM doesn't say.
            source_to_target_mm: instead of `source_to_patient_mm`.

        Raises:
            InputError: the distance to the target is not known or beyond the detector.
        """
        distance = source_to_target_mm or self.source_to_patient_mm
        if distance is None or not 0 < distance < self.source_to_detector_mm:
            raise InputError(
                f"source_to_target_mm={distance}: give the distance from the source to the target, less than "
                f"{self.source_to_detector_mm:g} mm"
            )
        axes, mirror = self._axes()
        source = np.asarray(target_mm, dtype=np.float64).reshape(3) - distance * axes[2]
        focal_row, focal_column = (self.source_to_detector_mm / mm for mm in self.detector_mm)
        K = np.array([
            [mirror * focal_column, 0, (self.columns - 1) / 2], [0, focal_row, (self.rows - 1) / 2], [0, 0, 1],
        ])  # fmt: skip
        return Camera(K, compose(axes, -axes @ source), self.rows, self.columns, self.source_to_detector_mm)

    @staticmethod
    def of(camera: Camera, target_mm: npt.ArrayLike | None = None) -> DicomView:
        """The nearest view in DICOM's terms.

        Exact for cameras whose central ray meets the detector's middle and whose picture is turned by quarter turns.

        Args:
            camera: with a known distance to the detector.
            target_mm: (3,) patient mm, the isocentre, from which `source_to_patient_mm` follows.

        Raises:
            InputError: the distance is not known.
        """
        column_mm, row_mm = camera.pixel_mm
        rotation = camera.camera_from_patient[:3, :3]
        x, y, z = rotation[2]
        along_row = rotation[0] * np.sign(camera.K[0, 0])
        return DicomView(
            primary_deg=float(np.degrees(np.arctan2(x, -y))) if np.hypot(x, y) > 1e-9 else 0.0,
            secondary_deg=float(np.degrees(np.arcsin(np.clip(z, -1, 1)))),
            source_to_detector_mm=float(camera.source_to_detector_mm or 0.0),
            detector_mm=(row_mm, column_mm),
            rows=camera.rows,
            columns=camera.columns,
            source_to_patient_mm=(
                None if target_mm is None else float(apply(camera.camera_from_patient, target_mm)[2])
            ),
            orientation=(_letters(along_row), _letters(rotation[1] * np.sign(camera.K[1, 1]))),
        )

    def _axes(self) -> tuple[Floats, float]:
        """(3, 3) camera axes as rows in the patient frame, and the sign of the columns along x."""
        primary, secondary = np.radians(self.primary_deg), np.radians(self.secondary_deg)
        flat = np.array([np.sin(primary), -np.cos(primary), 0.0])
        head = np.array([0.0, 0.0, 1.0])
        forward = np.cos(secondary) * flat + np.sin(secondary) * head
        down = np.sin(secondary) * flat - np.cos(secondary) * head
        side = np.cross(down, forward)
        if self.orientation is None:
            behind = np.cos(primary) < -1e-9
            return np.stack([side, down, forward]), 1.0 if behind else -1.0
        rows_to, columns_to = _direction(self.orientation[1]), _direction(self.orientation[0])
        chosen = [(s, d) for s in (side, -side) for d in (down, -down)]
        # Of the eight ways to lay a picture on the detector the one that runs as the letters say.
        along_column, along_row = max(
            [(d, s) for s, d in chosen] + [(s, d) for s, d in chosen],
            key=lambda pair: float(pair[0] @ rows_to + pair[1] @ columns_to),
        )
        x = np.cross(along_column, forward)
        return np.stack([x, along_column, forward]), 1.0 if along_row @ x > 0 else -1.0


def _direction(letters: str) -> Floats:
    """(3,) unit vector of letters such as "L" or "FL": the first one counts most."""
    known = [letter for letter in letters.upper() if letter in _LETTERS]
    if not known:
        raise InputError(f"patient orientation '{letters}' is not made of L, R, A, P, H, F")
    total = sum((np.array(_LETTERS[letter], dtype=float) / 3**n for n, letter in enumerate(known)), np.zeros(3))
    return total / max(float(np.linalg.norm(total)), 1e-9)


def _letters(direction: Floats) -> str:
    """Letters of the sides that a direction points to, the main one first."""
    order = np.argsort(-np.abs(direction))
    pairs = (("L", "R"), ("P", "A"), ("H", "F"))
    return "".join(pairs[axis][int(direction[axis] < 0)] for axis in order if abs(direction[axis]) > _LEAST_SHARE)
