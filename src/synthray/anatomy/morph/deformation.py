"""`Deformation`: a smooth displacement field, what it does to points, and what it does to a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy.patient import LabelMap, Patient, Volume
from synthray.errors import InputError
from synthray.geometry import apply

Floats = npt.NDArray[np.float64]

# Half steps of the fixed-point iteration that inverts a displacement; whole ones diverge where the field is steep.
_STEPS = 200
_CLOSE_MM = 0.01


@dataclass(frozen=True, eq=False)
class Deformation:
    """Where each point of the deformed person comes from: original = deformed + displacement(deformed).

    Attributes:
        displacement_mm: (I, J, K, 3) float64 patient mm, at the nodes of a coarse grid; linear between them.
        patient_from_node: (4, 4) node index -> patient mm.
    """

    displacement_mm: Floats
    patient_from_node: Floats

    def original_from_deformed(self, points_mm: npt.ArrayLike) -> Floats:
        """(..., 3) places in the original person of points of the deformed one; exact."""
        points = np.asarray(points_mm, dtype=np.float64)
        return points + self._displacement(points)

    def deformed_from_original(self, points_mm: npt.ArrayLike) -> Floats:
        """(..., 3) places in the deformed person of points of the original one, to 0.01 mm.

        Raises:
            InputError: the field folds there, so that no single place exists.
        """
        target = np.asarray(points_mm, dtype=np.float64)
        at = target.copy()
        for _ in range(_STEPS):
            miss = target - self.original_from_deformed(at)
            if np.abs(miss).max(initial=0) < _CLOSE_MM:
                return at
            at = at + 0.5 * miss
        raise InputError("the deformation is too steep to be inverted; take a smaller amplitude or more smoothness")

    @property
    def smallest_jacobian(self) -> float:
        """Smallest local change of volume; zero or less where the field folds."""
        per_node = np.stack([np.gradient(self.displacement_mm, axis=axis) for axis in range(3)], axis=-1)
        slope = per_node @ np.linalg.inv(self.patient_from_node[:3, :3])
        return float(np.linalg.det(np.eye(3) + slope).min())

    def apply(self, patient: Patient) -> Patient:
        """The deformed person on the same grid: CT (linear), labels (nearest voxel) and landmarks.

        What comes from beyond the CT's rim repeats the rim.

        Raises:
            InputError: the field folds somewhere.
        """
        if not self.smallest_jacobian > 0:
            raise InputError(
                f"{patient.name}: the deformation folds space (smallest Jacobian {self.smallest_jacobian:.2f}); "
                "take a smaller amplitude or more smoothness"
            )
        ct, labels = patient.ct, patient.labels
        moved = LabelMap(self._resampled(labels.codes, ct, linear=False), labels.structures) if labels else None
        names, points = list(patient.landmarks), np.array(list(patient.landmarks.values())).reshape(-1, 3)
        return replace(
            patient,
            ct=Volume(self._resampled(ct.values, ct, linear=True), ct.patient_from_voxel),
            labels=moved,
            landmarks=dict(zip(names, self.deformed_from_original(points), strict=True)),
        )

    def _displacement(self, points: Floats) -> Floats:
        """(..., 3) mm, linear between nodes, constant beyond the outermost ones."""
        shape = np.array(self.displacement_mm.shape[:3])
        at = np.clip(apply(np.linalg.inv(self.patient_from_node), points), 0, shape - 1)
        low = np.minimum(at.astype(int), np.maximum(shape - 2, 0))
        fraction = at - low
        total = np.zeros(points.shape)
        for corner in np.ndindex(2, 2, 2):
            share = np.where(corner, fraction, 1 - fraction).prod(axis=-1)
            index = np.minimum(low + corner, shape - 1)
            total += share[..., None] * self.displacement_mm[index[..., 0], index[..., 1], index[..., 2]]
        return total

    def _resampled(self, values: npt.NDArray[Any], grid: Volume, *, linear: bool) -> npt.NDArray[Any]:
        import SimpleITK

        # ITK works on images without geometry here, in voxels.
        in_voxels = self.displacement_mm @ np.linalg.inv(grid.patient_from_voxel[:3, :3]).T
        field = SimpleITK.GetImageFromArray(np.ascontiguousarray(in_voxels.transpose(2, 1, 0, 3)), isVector=True)
        voxel_from_node = np.linalg.inv(grid.patient_from_voxel) @ self.patient_from_node
        field.SetSpacing(np.diag(voxel_from_node)[:3].tolist())
        field.SetOrigin(voxel_from_node[:3, 3].tolist())
        resampler = SimpleITK.ResampleImageFilter()
        source = SimpleITK.GetImageFromArray(np.ascontiguousarray(values.T))
        resampler.SetReferenceImage(source)
        resampler.SetTransform(SimpleITK.DisplacementFieldTransform(field))
        resampler.SetInterpolator(SimpleITK.sitkLinear if linear else SimpleITK.sitkNearestNeighbor)
        resampler.UseNearestNeighborExtrapolatorOn()
        return np.ascontiguousarray(SimpleITK.GetArrayFromImage(resampler.Execute(source)).T)


def node_grid(ct: Volume, node_mm: float) -> tuple[tuple[int, int, int], Floats, Sequence[int]]:
    """A coarse grid over a CT: its shape, its (4, 4) affine, and the voxels between two nodes along each axis."""
    every = [max(1, round(node_mm / mm)) for mm in ct.voxel_mm.tolist()]
    i, j, k = (-(-(n - 1) // step) + 1 for n, step in zip(ct.shape, every, strict=True))
    return (i, j, k), ct.patient_from_voxel @ np.diag([*map(float, every), 1.0]), every
