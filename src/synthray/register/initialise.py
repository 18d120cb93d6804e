"""Rough views to start from: of landmarks seen in the X-ray, and of the C-arm's angles in a DICOM header."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.anatomy.xray_dicom import read_view
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import Camera, agreed_view

# A pose has six unknowns: four points are the fewest that also contradict a wrong one.
FEWEST = 4
_AGREEING = 6
_TOLERANCE = 0.03


def camera_from_landmarks(
    patient: Patient,
    landmarks_px: Mapping[str, npt.ArrayLike],
    camera: Camera,
    *,
    confidence: Mapping[str, float] | None = None,
    tolerance_px: float | None = None,
    seed: int = 0,
) -> Camera:
    """The view that most landmarks of an X-ray agree on (PnP and RANSAC, see `geometry.agreed_view`).

    Args:
        patient: the CT with its landmarks.
        landmarks_px: landmark -> (column, row), clicked or predicted; NaN for one that wasn't found.
        camera: the intrinsics, of the X-ray's size; its pose may be far off.
        confidence: landmark -> weight; all the same by default.
        tolerance_px: largest error of a landmark that agrees; 3 % of the image's longer side by default.
        seed: of the random sets.

    Raises:
        InputError: fewer than 4 are known in both, or no pose puts 6 of them (all, where there are fewer) within the
            tolerance.

    Warns:
        SynthrayWarning: the CT lacks a landmark of the X-ray.
    """
    unknown = sorted(set(landmarks_px) - set(patient.landmarks))
    if unknown:
        message = f"{patient.name}: the CT has no landmark {', '.join(unknown)}; left out"
        warnings.warn(message, SynthrayWarning, stacklevel=2)
    seen = {name: _pixel(name, at) for name, at in landmarks_px.items() if name in patient.landmarks}
    weights = {name: 1.0 if confidence is None else float(confidence.get(name, 0.0)) for name in seen}
    used = [name for name, at in seen.items() if np.isfinite(at).all() and weights[name] > 0]
    if len(used) < FEWEST:
        raise InputError(
            f"{len(used)} landmarks that both the X-ray and {patient.name} have; a view takes at least {FEWEST}, "
            "better 6 or more"
        )
    reach = _TOLERANCE * max(camera.rows, camera.columns) if tolerance_px is None else tolerance_px
    found = agreed_view(
        camera,
        np.array([patient.landmarks[name] for name in used]),
        np.array([seen[name] for name in used]),
        np.array([weights[name] for name in used]),
        tolerance_px=reach,
        fewest=min(_AGREEING, len(used)),
        seed=seed,
    )
    if found is None:
        raise InputError(
            f"no view puts {min(_AGREEING, len(used))} of the {len(used)} landmarks within {reach:.0f} px of where "
            "they were seen; check their names (left and right are the patient's) and the camera's K"
        )
    return found


def _pixel(name: str, at: npt.ArrayLike) -> npt.NDArray[np.float64]:
    pixel = np.asarray(at, dtype=np.float64)
    if pixel.shape != (2,):
        raise InputError(f"landmark '{name}' must be (column, row) in px, got shape {pixel.shape}")
    return pixel


def camera_from_dicom(path: str | Path, target_mm: npt.ArrayLike, *, shape: tuple[int, int] | None = None) -> Camera:
    """The view that an X-ray's DICOM header tells, see `geometry.DicomView`.

    Where the isocentre lies in the person is not in the header: the target is put there.

    Args:
        path: of the DICOM file.
        target_mm: (3,) patient mm, what the middle of the picture shows.
        shape: (rows, columns) of the image as it will be registered; the header's by default.

    Raises:
        InputError: the file can't be read, or lacks an angle, a distance or the pixel size.
    """
    view = read_view(path)
    if view is None or view.source_to_patient_mm is None:
        raise InputError(
            f"{path}: its DICOM header tells no view (PositionerPrimaryAngle, ImagerPixelSpacing, "
            "DistanceSourceToDetector and DistanceSourceToPatient are needed, and a detector square to the beam); give "
            "the camera yourself (CArm.view)"
        )
    camera = view.camera(target_mm)
    return camera if shape is None else camera.resized(*shape)
