"""Rigid and affine transforms as (4, 4) float64 matrices, named `to_from` and composed with `@`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError

Matrix = npt.NDArray[np.float64]

_SHORTEST_MM, _LONGEST_MM, _FARTHEST_MM = 1e-6, 1e4, 1e7


def apply(to_from: npt.ArrayLike, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Points `(..., 3)` carried through a (4, 4) affine transform."""
    matrix = np.asarray(to_from, dtype=np.float64)
    return np.asarray(points, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


def compose(rotation: npt.ArrayLike, translation_mm: npt.ArrayLike) -> Matrix:
    """(4, 4) transform from a (3, 3) linear part and a (3,) translation in mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = translation_mm
    return matrix


def invert_rigid(to_from: npt.ArrayLike) -> Matrix:
    """Inverse of a rigid transform, exact up to rounding: the transposed rotation is used."""
    matrix = np.asarray(to_from, dtype=np.float64)
    rotation = matrix[:3, :3].T
    return compose(rotation, -rotation @ matrix[:3, 3])


def check_affine(matrix: npt.ArrayLike, what: str = "the affine") -> Matrix:
    """A (4, 4) float64 copy of an affine transform.

    Raises:
        InputError: wrong shape, NaN or infinity, last row not 0 0 0 1, singular, or of a size that no room has: axes
            under a nanometre or over ten metres, an origin over ten kilometres away.
    """
    affine = np.array(matrix, dtype=np.float64)
    if affine.shape != (4, 4):
        raise InputError(f"{what} must be a 4 x 4 matrix, got shape {affine.shape}")
    if not np.isfinite(affine).all():
        raise InputError(f"{what} holds NaN or infinity")
    if not np.allclose(affine[3], [0, 0, 0, 1], atol=1e-9):
        raise InputError(f"{what} must end in the row 0 0 0 1, got {affine[3].tolist()}")
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if lengths.min() <= 0 or abs(np.linalg.det(affine[:3, :3] / np.where(lengths > 0, lengths, 1))) < 1e-3:
        raise InputError(f"{what} is singular: two axes coincide or a voxel has no size (axis lengths {lengths} mm)")
    if lengths.min() < _SHORTEST_MM or lengths.max() > _LONGEST_MM or np.abs(affine[:3, 3]).max() > _FARTHEST_MM:
        raise InputError(
            f"{what} makes no sense in mm: axis lengths {lengths}, origin {affine[:3, 3]}; were bytes of it damaged?"
        )
    return affine


def check_rigid(matrix: npt.ArrayLike, what: str = "the pose") -> Matrix:
    """A (4, 4) float64 copy of a rigid transform.

    Raises:
        InputError: not an affine, not orthonormal within 1e-5, or a mirror image.
    """
    pose = check_affine(matrix, what)
    rotation = pose[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-5:
        raise InputError(f"{what} is not rigid: its rotation part is not orthonormal")
    if np.linalg.det(rotation) < 0:
        raise InputError(f"{what} is a mirror image (determinant -1); flip an axis of K instead")
    return pose


def rotation_about(axis: npt.ArrayLike, angle_rad: float) -> npt.NDArray[np.float64]:
    """(3, 3) right-handed rotation about an axis through the origin (Rodrigues' formula)."""
    x, y, z = np.asarray(axis, dtype=np.float64) / np.linalg.norm(np.asarray(axis, dtype=np.float64))
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle_rad) * skew + (1 - np.cos(angle_rad)) * skew @ skew
