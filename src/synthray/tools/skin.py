"""The skin of a patient, as a place for tools to lie on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient, body_mask
from synthray.errors import InputError
from synthray.geometry import apply

Floats = npt.NDArray[np.float64]
_FURTHEST_MM = 1500.0


@dataclass(frozen=True, eq=False)
class Skin:
    """The border of the body in a CT; found once, it serves many tools.

    Attributes:
        patient: whose.
        body: (I, J, K) bool, true inside.
        voxels: (N, 3) voxels of the border, without those where the CT ends.
    """

    patient: Patient
    body: npt.NDArray[np.bool_]
    voxels: npt.NDArray[np.int64]

    def nearest(self, point_mm: Floats, patch_mm: float) -> tuple[Floats, Floats]:
        """The point (3,) of the skin nearest to another, and the outward normal (3,) of the skin around it."""
        ct = self.patient.ct
        points = apply(ct.patient_from_voxel, self.voxels)
        best = int(np.argmin(np.linalg.norm(points - point_mm, axis=1)))
        reach = np.ceil(patch_mm / ct.voxel_mm).astype(int)
        low, high = np.maximum(self.voxels[best] - reach, 0), self.voxels[best] + reach + 1
        part = self.body[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        around = apply(ct.patient_from_voxel, np.argwhere(np.ones_like(part)) + low)
        close = np.linalg.norm(around - points[best], axis=1) <= patch_mm
        within = part.ravel()
        normal = around[close & ~within].mean(axis=0) - around[close & within].mean(axis=0)
        outward = normal / np.linalg.norm(normal)
        return points[best] + outward * ct.voxel_mm.mean() / 2, outward

    def exit_mm(self, point_mm: Floats, direction: Floats) -> Floats:
        """The last point (3,) of the body on a line from a point; the point itself where the line meets no body."""
        ct = self.patient.ct
        steps = np.arange(0, _FURTHEST_MM, ct.voxel_mm.min() / 2)[:, None]
        line = point_mm + steps * direction / np.linalg.norm(direction)
        index = np.rint(apply(np.linalg.inv(ct.patient_from_voxel), line)).astype(int)
        held = np.all((index >= 0) & (index < ct.shape), axis=1)
        inside = np.flatnonzero(held)[self.body[tuple(index[held].T)]]
        return np.asarray(line[inside[-1]] if len(inside) else point_mm, dtype=np.float64)


def find_skin(patient: Patient) -> Skin:
    """The skin of a patient: the border of `anatomy.body_mask`.

    Raises:
        InputError: there is no body in the CT, or no skin.
    """
    body = body_mask(patient.ct)
    rim = body.copy()
    rim[1:-1, 1:-1, 1:-1] &= ~(
        body[2:, 1:-1, 1:-1] & body[:-2, 1:-1, 1:-1]
        & body[1:-1, 2:, 1:-1] & body[1:-1, :-2, 1:-1]
        & body[1:-1, 1:-1, 2:] & body[1:-1, 1:-1, :-2]
    )  # fmt: skip
    # The border of the CT cuts the body open; that is not skin.
    for axis in range(3):
        np.moveaxis(rim, axis, 0)[[0, -1]] = False
    voxels = np.argwhere(rim)
    if not len(voxels):
        raise InputError(f"{patient.name}: no skin in this CT: the body fills it, or there is none")
    return Skin(patient, body, voxels)
