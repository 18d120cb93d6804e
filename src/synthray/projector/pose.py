"""From a ray's gradient to the Jacobian of an image with respect to the camera's pose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.geometry import Camera
from synthray.projector.rays import RayBundle
from synthray.projector.volume import MarchVolume


def pose_jacobian(
    gradient: npt.NDArray[Any], rays: RayBundle, cameras: Sequence[Camera], volume: MarchVolume
) -> npt.NDArray[Any]:
    """Derivative of every ray's area density with respect to the six pose parameters.

    The pose changes as camera_from_patient' = exp(ξ) @ camera_from_patient with ξ = (ω, τ): a rotation by the vector ω
    in radians about the source, then a shift of τ mm, both along the camera's axes. To first order the source moves
    by -Rᵀ τ in the patient and a ray's direction r in the camera frame turns by r × ω.

    Args:
        gradient: (view, 2, 6, row, column) from a backend, one ray per pixel.
        rays: of the same views, without supersampling.
        cameras: the views.
        volume: what was marched.

    Returns:
        (view, 2, 6, row, column), of the gradient's type: g/cm² per radian (first three), g/cm² per mm (last three).
    """
    voxel_from_patient = np.linalg.inv(volume.patient_from_voxel)[:3, :3]
    column, row = np.meshgrid(np.arange(rays.columns), np.arange(rays.rows))
    pixels = np.stack([column, row, np.ones_like(row)]).astype(np.float64)
    jacobian = np.empty_like(gradient)
    for view, camera in enumerate(cameras):
        voxel_from_camera = voxel_from_patient @ camera.camera_from_patient[:3, :3].T
        ray = np.einsum("ij,jrc->irc", rays.inverse_K[view], pixels)
        to_origin = np.einsum("ji,bjrc->birc", voxel_from_camera, gradient[view, :, :3])
        to_direction = np.einsum("ji,bjrc->birc", voxel_from_camera, gradient[view, :, 3:])
        jacobian[view, :, :3] = np.cross(to_direction, ray[None], axis=1)
        jacobian[view, :, 3:] = -to_origin
    return jacobian
