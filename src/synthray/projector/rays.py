"""The rays of a batch of views, in the voxel coordinates of one volume.

Sampling (all backends): Joseph's method. A ray visits every slice of the grid along one axis and reads the slice by
bilinear interpolation between voxel centres, zero outside the grid; each reading counts for the length of ray between
two slices. A structure is hit when the voxel nearest to a reading belongs to it. The axis is the one that the view
crosses fastest, the same for all its rays: were it chosen ray by ray, a voxel seen partly by rays of either kind would
land beside its place, by up to a pixel. Only a ray that runs more than `STEEPEST` voxels aside per slice takes the axis
that it crosses fastest itself.

Where a voxel's shadow is smaller than a pixel, one ray per pixel would skip matter: the pixel is then the mean of
2 x 2 or 4 x 4 rays (`supersample`), its masks are their union and its depth is their smallest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry import Camera
from synthray.projector.volume import MarchVolume

STEEPEST = 3.0
# Part of a voxel left out at the grid's rim, which is empty: rounding of positions then can't lead out of the array.
RIM = 1e-4
SUPERSAMPLING = (1, 2, 4)
# A voxel's shadow may be this much smaller than a pixel before more rays are taken.
_SHADOW_SLACK = 1.1

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RayBundle:
    """The rays of a batch of views in voxel coordinates.

    A ray is `origin + t * (matrix @ (column, row, 1))`, with t its depth along the camera's z axis in mm. Here columns
    and rows count rays, `supersample` of them along each side of a pixel.

    Attributes:
        origin: (view, 3) source, voxel index coordinates.
        matrix: (view, 3, 3) ray index -> direction per mm of depth, voxel index coordinates.
        inverse_K: (view, 3, 3) ray index -> direction in the camera frame, for lengths in mm.
        axis: (view,) int64, the grid's axis that the line from the source to the grid's centre crosses fastest.
        rows: detector rows, in pixels.
        columns: detector columns, in pixels.
        supersample: (view,) int64, rays along each side of a pixel: 1, 2 or 4.
    """

    origin: Floats
    matrix: Floats
    inverse_K: Floats
    axis: npt.NDArray[np.int64]
    rows: int
    columns: int
    supersample: npt.NDArray[np.int64]


def bundle(
    cameras: Sequence[Camera], volume: MarchVolume, supersample: int | None = None, like: RayBundle | None = None
) -> RayBundle:
    """The rays of several cameras of equal size in the voxel coordinates of a volume.

    Args:
        cameras: the views.
        volume: what is marched.
        supersample: rays along each side of a pixel; None takes what the shadow of a voxel asks for, view by view.
        like: rays through the same grid points whose axis and supersampling are taken over, so that parts of a volume
            are read where the whole is.

    Raises:
        InputError: `supersample` is not 1, 2 or 4.
    """
    if supersample is not None and supersample not in SUPERSAMPLING:
        raise InputError(f"supersample must be 1, 2, 4 or None, got {supersample}")
    rows, columns = cameras[0].rows, cameras[0].columns
    if like is None:
        factors = [supersample or needed_supersampling(camera, volume) for camera in cameras]
    else:
        factors = like.supersample.tolist()
    fine = [c.resized(rows * n, columns * n) if n > 1 else c for c, n in zip(cameras, factors, strict=True)]
    voxel_from_patient = np.linalg.inv(volume.patient_from_voxel)
    origin = np.stack([voxel_from_patient[:3, :3] @ c.source_mm + voxel_from_patient[:3, 3] for c in fine])
    inverse_K = np.stack([np.linalg.inv(c.K) for c in fine])
    linear = np.stack([voxel_from_patient[:3, :3] @ c.camera_from_patient[:3, :3].T for c in fine])
    center = (np.array(volume.shape) - 1) / 2
    axis = np.abs(center - origin).argmax(axis=1).astype(np.int64) if like is None else like.axis
    return RayBundle(origin, linear @ inverse_K, inverse_K, axis, rows, columns, np.array(factors))


def needed_supersampling(camera: Camera, volume: MarchVolume) -> int:
    """Rays along a pixel's side for a pixel, seen at the grid's centre, to be no larger than a voxel."""
    affine = volume.patient_from_voxel
    center = affine[:3, :3] @ ((np.array(volume.shape) - 1) / 2) + affine[:3, 3]
    depth = np.linalg.norm(center - camera.source_mm)
    pixel = depth / min(abs(camera.K[0, 0]), abs(camera.K[1, 1]))
    ratio = pixel / np.linalg.norm(affine[:3, :3], axis=0).min()
    return next((n for n in SUPERSAMPLING if ratio <= n * _SHADOW_SLACK), SUPERSAMPLING[-1])
