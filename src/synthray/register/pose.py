"""Small changes of a camera's pose: how a view moves, and how an image's derivative is carried to another pivot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.geometry import Camera, apply, compose, invert_rigid, rotation_about

Motion = npt.NDArray[np.float64]


def moved(camera: Camera, motion: npt.ArrayLike, pivot_mm: npt.ArrayLike | None = None) -> Camera:
    """The camera after the anatomy turned about a pivot and then shifted, as seen in the camera frame.

    With c the pivot in the camera frame, a point p goes to exp(ω) (p - c) + c + τ. About the source (c = 0) this
    agrees to first order with the exp(ξ) of `projector.project`; about a point in the anatomy turning and shifting
    are far less alike in the image, which conditions the search for a pose.

    Args:
        camera: the view.
        motion: (6,) ω: rotation vector in rad, and τ: shift in mm, along the camera's x, y and z (z is depth).
        pivot_mm: (3,) patient mm; the X-ray source by default.
    """
    change = np.asarray(motion, dtype=np.float64)
    center = pivot_in_camera(camera, pivot_mm)
    rotation = rotation_matrix(change[:3])
    camera_from_camera = compose(rotation, center + change[3:] - rotation @ center)
    return replace(camera, camera_from_patient=_orthonormal(camera_from_camera @ camera.camera_from_patient))


def motion_between(start: Camera, end: Camera, pivot_mm: npt.ArrayLike | None = None) -> Motion:
    """(6,) motion that `moved` carries `start` to `end` with; the exact inverse for turns below half a turn."""
    pivot = start.source_mm if pivot_mm is None else np.asarray(pivot_mm, dtype=np.float64)
    turn = end.camera_from_patient[:3, :3] @ start.camera_from_patient[:3, :3].T
    shift = apply(end.camera_from_patient, pivot) - apply(start.camera_from_patient, pivot)
    return np.concatenate([rotation_vector(turn), shift])


def perturbed(
    camera: Camera, rotation_deg: Sequence[float], shift_mm: Sequence[float], pivot_mm: npt.ArrayLike | None = None
) -> Camera:
    """The camera moved by (rx, ry, rz) degrees about a pivot and (tx, ty, tz) mm; see `moved`."""
    return moved(camera, np.concatenate([np.deg2rad(rotation_deg), shift_mm]), pivot_mm)


def at_pivot(jacobian: npt.NDArray[Any], pivot_camera_mm: npt.ArrayLike) -> npt.NDArray[Any]:
    """An image's derivative for turns about the source as that for turns about a pivot.

    To first order a turn ω about c is a turn about the source and a shift c × ω.

    Args:
        jacobian: (..., 6, row, column), from `project`.
        pivot_camera_mm: (3,) in the camera frame.
    """
    turn, shift = jacobian[..., :3, :, :], jacobian[..., 3:, :, :]
    lever = np.cross(np.asarray(pivot_camera_mm, dtype=np.float64), np.eye(3)).astype(jacobian.dtype)  # row k: c × e_k
    return np.concatenate([turn + np.einsum("kj,...jrc->...krc", lever, shift), shift], axis=-3)


def pivot_in_camera(camera: Camera, pivot_mm: npt.ArrayLike | None) -> npt.NDArray[np.float64]:
    """(3,) the pivot in the camera frame; the origin when it is the source."""
    return np.zeros(3) if pivot_mm is None else apply(camera.camera_from_patient, pivot_mm)


def rotation_matrix(vector: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """(3, 3) rotation by a rotation vector (3,) in rad."""
    angle = float(np.linalg.norm(vector))
    return rotation_about(vector, angle) if angle > 0 else np.eye(3)


def rotation_vector(rotation: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(3,) rotation vector in rad of a (3, 3) rotation, at most half a turn long.

    Read from the unit quaternion of Shepperd (1978), which is exact for small and for half turns alike.
    """
    traces = np.array([np.trace(rotation), *np.diag(rotation)])
    largest = int(traces.argmax())
    antisymmetric = np.array(
        [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]]
    )
    if largest == 0:
        quaternion = np.array([1 + traces[0], *antisymmetric])
    else:
        axis = largest - 1
        symmetric = rotation[axis] + rotation[:, axis]
        symmetric[axis] = 1 + 2 * rotation[axis, axis] - traces[0]
        quaternion = np.array([antisymmetric[axis], *symmetric])
    quaternion *= (-1 if quaternion[0] < 0 else 1) / np.linalg.norm(quaternion)
    sine = float(np.linalg.norm(quaternion[1:]))
    if sine < 1e-12:
        return 2 * quaternion[1:]
    return quaternion[1:] * (2 * np.arctan2(sine, quaternion[0]) / sine)


def opposite(camera: Camera, pivot_mm: npt.ArrayLike) -> Camera:
    """The camera on the other side of the person: half a turn about the long axis (patient z) through a point."""
    turned = rotation_about([0, 0, 1], np.pi)
    pivot = np.asarray(pivot_mm, dtype=np.float64)
    about_pivot = compose(turned, pivot - turned @ pivot)
    return replace(camera, camera_from_patient=camera.camera_from_patient @ invert_rigid(about_pivot))


def left_right_flipped(camera: Camera) -> Camera:
    """The camera whose image is this one's with the columns in reverse order, seen from the same place."""
    K = camera.K.copy()
    K[0] = [-K[0, 0], -K[0, 1], camera.columns - 1 - K[0, 2]]
    return replace(camera, K=K)


def _orthonormal(pose: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The pose with rounding errors of its rotation removed."""
    left, _, right = np.linalg.svd(pose[:3, :3])
    return compose(left @ right, pose[:3, 3])
