"""`Camera`: a pinhole at the X-ray source and a flat detector."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry.transforms import apply, check_rigid, invert_rigid

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Camera:
    """One view: pose and intrinsics.

    The camera frame has its origin at the source, +x along the columns, +y down the rows and +z from the source to
    the detector. Pixels are (column, row); integers are pixel centres. A detector that is read out as seen from
    behind (a PA chest film: the viewer faces the person) has a negative `K[0, 0]`: columns then run along -x.

    Attributes:
        K: (3, 3) intrinsic matrix in pixels, last row 0 0 1, no entry below the diagonal.
        camera_from_patient: (4, 4) rigid, patient mm (LPS) -> camera mm.
        rows: number of detector rows.
        columns: number of detector columns.
        source_to_detector_mm: distance along +z; sets the pixel size. None when unknown.
    """

    K: npt.NDArray[np.float64]
    camera_from_patient: npt.NDArray[np.float64]
    rows: int
    columns: int
    source_to_detector_mm: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", _check_intrinsics(self.K))
        object.__setattr__(self, "camera_from_patient", check_rigid(self.camera_from_patient, "camera_from_patient"))
        for what, count in (("rows", self.rows), ("columns", self.columns)):
            if int(count) != count or not 1 <= count <= 32768:
                raise InputError(f"a camera needs 1 to 32768 {what}, got {count}")
        distance = self.source_to_detector_mm
        if distance is not None and not (np.isfinite(distance) and distance > 0):
            raise InputError(f"source_to_detector_mm must be positive, got {distance}")

    @staticmethod
    def from_matrix(
        K: npt.ArrayLike,
        camera_from_patient: npt.ArrayLike,
        rows: int,
        columns: int,
        *,
        source_to_detector_mm: float | None = None,
        pixel_mm: float | None = None,
    ) -> Camera:
        """A camera from its matrices.

        Args:
            K: (3, 3) intrinsic matrix in pixels.
            camera_from_patient: (4, 4) rigid, patient mm -> camera mm.
            rows: detector rows.
            columns: detector columns.
            source_to_detector_mm: distance from the source to the detector; or give
            pixel_mm: the row spacing of the detector, from which the distance follows.

        Raises:
            InputError: a matrix is malformed, or both distances are given and disagree.
        """
        intrinsics = np.asarray(K, dtype=np.float64)
        if pixel_mm is not None:
            implied = abs(float(_check_intrinsics(intrinsics)[1, 1])) * pixel_mm
            if source_to_detector_mm is not None and abs(implied - source_to_detector_mm) > 1e-3 * implied:
                raise InputError(
                    f"K and pixel_mm={pixel_mm} put the detector at {implied:.2f} mm, "
                    f"but source_to_detector_mm={source_to_detector_mm}"
                )
            source_to_detector_mm = implied
        return Camera(intrinsics, np.asarray(camera_from_patient, float), rows, columns, source_to_detector_mm)

    @property
    def patient_from_camera(self) -> npt.NDArray[np.float64]:
        """(4, 4) rigid, camera mm -> patient mm."""
        return invert_rigid(self.camera_from_patient)

    @property
    def source_mm(self) -> Points:
        """(3,) position of the source in patient mm."""
        return self.patient_from_camera[:3, 3]

    @property
    def direction(self) -> Points:
        """(3,) unit vector of the detector's normal, from source to detector, in the patient frame."""
        return self.camera_from_patient[2, :3].copy()

    @property
    def mirrored(self) -> bool:
        """True when the columns run against the camera's +x."""
        return bool(self.K[0, 0] * self.K[1, 1] < 0)

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """(column spacing, row spacing) on the detector in mm.

        Raises:
            InputError: the source-detector distance is not known.
        """
        if self.source_to_detector_mm is None:
            raise InputError("this camera has no source_to_detector_mm, so its pixel size is unknown")
        return self.source_to_detector_mm / abs(self.K[0, 0]), self.source_to_detector_mm / abs(self.K[1, 1])

    def project(self, points_mm: npt.ArrayLike) -> Points:
        """Patient points `(..., 3)` mm -> `(..., 2)` (column, row) px; NaN for points not in front of the source."""
        local = apply(self.camera_from_patient, points_mm)
        depth = np.where(local[..., 2] > 1e-9, local[..., 2], np.nan)
        column = (self.K[0, 0] * local[..., 0] + self.K[0, 1] * local[..., 1]) / depth + self.K[0, 2]
        row = self.K[1, 1] * local[..., 1] / depth + self.K[1, 2]
        return np.stack([column, row], axis=-1)

    def contains(self, pixels: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """`(...,)` bool: pixels `(..., 2)` that lie on the detector, its half-pixel rim included."""
        points = np.asarray(pixels, dtype=np.float64)
        size = np.array([self.columns, self.rows])
        return np.all((points >= -0.5) & (points <= size - 0.5), axis=-1)

    def rays(self) -> tuple[Points, Points]:
        """The source (3,) in patient mm and unit directions (rows, columns, 3) to the pixel centres."""
        column, row = np.meshgrid(np.arange(self.columns), np.arange(self.rows))
        y = (row - self.K[1, 2]) / self.K[1, 1]
        x = (column - self.K[0, 2] - self.K[0, 1] * y) / self.K[0, 0]
        local = np.stack([x, y, np.ones_like(x)], axis=-1)
        local /= np.linalg.norm(local, axis=-1, keepdims=True)
        return self.source_mm, local @ self.camera_from_patient[:3, :3]

    def resized(self, rows: int, columns: int) -> Camera:
        """The same detector read out with another number of pixels; the field stays the same."""
        scale = np.array([columns / self.columns, rows / self.rows])
        K = self.K.copy()
        K[:2] *= scale[:, None]
        # Pixel centres are integers, so the detector's edge lies at -0.5 before and after.
        K[:2, 2] += (scale - 1) / 2
        return replace(self, K=K, rows=rows, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON; `from_dict` takes it back without loss."""
        return {
            "K": self.K.tolist(),
            "camera_from_patient": self.camera_from_patient.tolist(),
            "rows": self.rows,
            "columns": self.columns,
            "source_to_detector_mm": self.source_to_detector_mm,
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Camera:
        """A camera from what `to_dict` returned.

        Raises:
            InputError: a field is missing, unknown or malformed.
        """
        known = {"K", "camera_from_patient", "rows", "columns", "source_to_detector_mm"}
        missing, unknown = known - {"source_to_detector_mm"} - set(data), set(data) - known
        if missing or unknown:
            raise InputError(f"camera: missing fields {sorted(missing)}, unknown fields {sorted(unknown)}")
        try:
            matrices = np.asarray(data["K"], dtype=np.float64), np.asarray(data["camera_from_patient"], dtype=float)
        except (TypeError, ValueError):
            raise InputError("camera: K and camera_from_patient must be matrices of numbers") from None
        return Camera(*matrices, data["rows"], data["columns"], data.get("source_to_detector_mm"))

    def save(self, path: str | Path) -> None:
        """Write the camera as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: str | Path) -> Camera:
        """Read a camera from JSON.

        Raises:
            InputError: the file is missing, not JSON, or not a camera.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a readable camera file ({error})") from None
        if not isinstance(data, dict):
            raise InputError(f"{path}: a camera file holds one JSON object")
        return Camera.from_dict(data)


def _check_intrinsics(K: npt.ArrayLike) -> npt.NDArray[np.float64]:
    matrix = np.array(K, dtype=np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise InputError(f"K must be a finite 3 x 3 matrix, got shape {matrix.shape}")
    if not np.allclose(matrix[[1, 2, 2, 2], [0, 0, 1, 2]], [0, 0, 0, 1], atol=1e-9):
        raise InputError("K must be upper triangular with the last row 0 0 1")
    if matrix[0, 0] == 0 or matrix[1, 1] == 0:
        raise InputError("K needs a focal length other than 0 on its diagonal")
    return matrix
