"""How an image changes with the focal length and the principal point, from how it changes with the pose."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.geometry import Camera


def intrinsics_jacobian(jacobian: npt.NDArray[Any], camera: Camera) -> npt.NDArray[Any]:
    """Derivative of an image with respect to K[0, 0], K[1, 1], K[0, 2] and K[1, 2].

    A line integral depends on the line alone, so the derivative by a ray's direction r is square to r, and the pose's
    derivative for turns about the source, D × r, tells all of it: D = r × (D × r) / |r|². K changes r = K⁻¹ (column,
    row, 1). With several rays per pixel the middle one stands for all.

    Args:
        jacobian: (..., 6, row, column), from `project`, for turns about the source.
        camera: the view.

    Returns:
        (..., 4, row, column) per pixel of focal length (first two; negative for a mirrored axis) and per pixel of the
        principal point's column and row.
    """
    K = camera.K
    column, row = np.meshgrid(np.arange(camera.columns), np.arange(camera.rows))
    y = (row - K[1, 2]) / K[1, 1]
    x = (column - K[0, 1] * y - K[0, 2]) / K[0, 0]
    ray = np.stack([x, y, np.ones_like(x)])
    by_direction = np.cross(ray, jacobian[..., :3, :, :], axis=-3) / (ray**2).sum(axis=0)
    by_x, by_y = by_direction[..., 0, :, :] / K[0, 0], by_direction[..., 1, :, :]
    # A change of y moves x through the shear K[0, 1].
    by_y = (by_y - by_x * K[0, 1]) / K[1, 1]
    return np.stack([-x * by_x, -y * by_y, -by_x, -by_y], axis=-3).astype(jacobian.dtype)
