"""Moving values from one grid to another, for any affine, sheared ones too."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy.patient import Volume
from synthray.geometry import apply


def resample(
    volume: Volume,
    shape: tuple[int, int, int],
    patient_from_voxel: npt.NDArray[np.float64],
    *,
    linear: bool,
    outside: float,
) -> npt.NDArray[Any]:
    """(I, J, K) values of `volume` at the voxel centres of another grid, in the volume's type.

    Args:
        volume: what to sample.
        shape: (I, J, K) of the other grid.
        patient_from_voxel: its (4, 4) affine.
        linear: trilinear, else nearest neighbour.
        outside: value beyond the volume's outer voxel edges.
    """
    import SimpleITK

    # ITK works on images without geometry here; the transform carries output indices to input indices.
    source = SimpleITK.GetImageFromArray(np.ascontiguousarray(volume.values.T))
    source_from_target = np.linalg.inv(volume.patient_from_voxel) @ patient_from_voxel
    transform = SimpleITK.AffineTransform(
        source_from_target[:3, :3].ravel().tolist(), source_from_target[:3, 3].tolist()
    )
    target = SimpleITK.ResampleImageFilter()
    target.SetSize([int(n) for n in shape])
    target.SetTransform(transform)
    target.SetInterpolator(SimpleITK.sitkLinear if linear else SimpleITK.sitkNearestNeighbor)
    target.SetDefaultPixelValue(outside)
    return np.ascontiguousarray(SimpleITK.GetArrayFromImage(target.Execute(source)).T)


def covers(grid: Volume, shape: tuple[int, int, int], patient_from_voxel: npt.NDArray[np.float64]) -> bool:
    """Whether a grid's outer corners are the other grid's within a tenth of a voxel: the two are the same grid."""
    if grid.shape != shape:
        return False
    other = Volume(np.broadcast_to(np.uint8(0), shape), patient_from_voxel)
    apart = np.linalg.norm(grid.corners_mm - other.corners_mm, axis=-1).max()
    return bool(apart < 0.1 * grid.voxel_mm.min())


def shares_voxels(grid: Volume, patient_from_voxel: npt.NDArray[np.float64]) -> bool:
    """Whether a grid's voxel centres are voxel centres of another grid: cropped, padded, flipped or with other axes.

    Within a tenth of a voxel; moving labels from one to the other by nearest neighbour is then exact.
    """
    other_from_grid = np.linalg.inv(patient_from_voxel) @ grid.patient_from_voxel
    exact = np.rint(other_from_grid)
    if not np.array_equal(np.abs(exact[:3, :3]).sum(axis=0), np.ones(3)) or abs(np.linalg.det(exact[:3, :3])) != 1:
        return False
    ends = np.array([[0, n - 1] for n in grid.shape])
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(8, 3)
    return bool(np.abs(apply(other_from_grid - exact, corners)).max() < 0.1)
