"""Shapes of masks, 2-D or 3-D: connected parts, growing, shrinking, filling, distance. Thin over SimpleITK."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def components(mask: Mask) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Face-connected parts numbered by falling size from 1, and their numbers of voxels."""
    import SimpleITK

    parts = SimpleITK.RelabelComponent(SimpleITK.ConnectedComponent(_image(mask)), sortByObjectSize=True)
    numbered = SimpleITK.GetArrayFromImage(parts).T
    return numbered, np.bincount(numbered.ravel(order="K"))[1:]


def filled(mask: Mask) -> Mask:
    """With its holes filled: background that doesn't reach the border."""
    import SimpleITK

    return _array(SimpleITK.BinaryFillhole(_image(mask)))


def filled_slices(mask: Mask) -> Mask:
    """Each axial slice (fixed k) with its holes filled."""
    whole = np.zeros_like(mask)
    for k in np.flatnonzero(mask.any(axis=(0, 1))):
        whole[:, :, k] = filled(mask[:, :, k])
    return whole


def dilated(mask: Mask, radius: int) -> Mask:
    """Grown by a ball of that many voxels."""
    import SimpleITK

    return _array(SimpleITK.BinaryDilate(_image(mask), [radius] * mask.ndim))


def eroded(mask: Mask, radius: int) -> Mask:
    """Shrunk by a ball of that many voxels; the volume's border does not eat into it."""
    import SimpleITK

    return _array(SimpleITK.BinaryErode(_image(mask), [radius] * mask.ndim, SimpleITK.sitkBall, 0.0, 1.0, True))


def opened(mask: Mask, radius: int) -> Mask:
    """Without the parts that a ball of that many voxels doesn't fit into."""
    return dilated(eroded(mask, radius), radius)


def closed(mask: Mask, radius: int) -> Mask:
    """With the gaps filled that a ball of that many voxels doesn't fit into."""
    import SimpleITK

    return _array(SimpleITK.BinaryMorphologicalClosing(_image(mask), [radius] * mask.ndim))


def distance(mask: Mask) -> npt.NDArray[np.float32]:
    """Distance in voxels to the mask, zero inside."""
    import SimpleITK

    away = SimpleITK.SignedMaurerDistanceMap(_image(mask), squaredDistance=False)
    return np.maximum(SimpleITK.GetArrayFromImage(away).T, 0)


def averaged(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each voxel's mean with its neighbours in a cube of three voxels."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values.T))
    return SimpleITK.GetArrayFromImage(SimpleITK.Mean(image, [1] * values.ndim)).T


def to_nearest(mask: Mask) -> npt.NDArray[np.int64]:
    """(I, J, 2) steps along i and j from each pixel of a 2-D mask to the nearest true one."""
    import SimpleITK

    away = SimpleITK.DanielssonDistanceMapImageFilter()
    away.Execute(_image(mask))
    return SimpleITK.GetArrayFromImage(away.GetVectorDistanceMap()).swapaxes(0, 1).astype(np.int64)


def _image(mask: Mask) -> Any:
    import SimpleITK

    return SimpleITK.GetImageFromArray(np.ascontiguousarray(mask.T).view(np.uint8))


def _array(image: Any) -> Mask:
    import SimpleITK

    return SimpleITK.GetArrayFromImage(image).T > 0
