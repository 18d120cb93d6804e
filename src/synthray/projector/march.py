"""What a march needs and returns: the prepared volume, rays as matrices, and `Projection`.

Sampling (all backends): Joseph's method. A ray visits every slice of the grid along one axis and reads the slice by
bilinear interpolation between voxel centres, zero outside the grid; each reading counts for the length of ray between
two slices. A structure is hit when the voxel nearest to a reading belongs to it. The axis is the one that the view
crosses fastest, the same for all its rays: were it chosen ray by ray, a voxel seen partly by rays of either kind would
land beside its place, by up to a pixel. Only a ray that runs more than `STEEPEST` voxels aside per slice takes the axis
that it crosses fastest itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy import LabelMap, Patient
from synthray.errors import InputError
from synthray.geometry import Camera

WORD_BITS = 64
STEEPEST = 3.0
# HU above which a voxel can contribute: below it the basis densities are zero.
AIR_HU = -990
# A body's surface for the depth image, g/cm³ of both bases: denser than air and cloth, lighter than lung.
SURFACE_DENSITY_G_CM3 = 0.1


@dataclass(frozen=True, eq=False)
class MarchVolume:
    """A patient as the kernels want it: cropped to what attenuates, padded by one empty voxel on every side.

    Attributes:
        packed: (I, J, K, 2) uint16, density of adipose and cortical bone in units of `scale_g_cm3`.
        scale_g_cm3: (2,) density of one unit.
        codes: (I, J, K) label codes; all zero when nothing is labelled.
        structures: names, in bit order.
        members: structure name -> codes.
        patient_from_voxel: (4, 4) affine of the padded grid.
    """

    packed: npt.NDArray[np.uint16]
    scale_g_cm3: npt.NDArray[np.float64]
    codes: npt.NDArray[Any]
    structures: tuple[str, ...]
    members: Mapping[str, tuple[int, ...]]
    patient_from_voxel: npt.NDArray[np.float64]

    def bit_table(self) -> npt.NDArray[np.uint64]:
        """(codes, words) uint64: the structures that each code belongs to."""
        words = max(1, -(-len(self.structures) // WORD_BITS))
        table = np.zeros((self._code_count(), words), dtype=np.uint64)
        for index, name in enumerate(self.structures):
            word, bit = divmod(index, WORD_BITS)
            table[list(self.members[name]), word] |= np.uint64(1) << np.uint64(bit)
        return table

    def path_table(self, names: Sequence[str]) -> npt.NDArray[np.float32]:
        """(codes, len(names)) float32: 1 where a code belongs to the named structure.

        Raises:
            InputError: a name is not a structure of this volume.
        """
        table = np.zeros((self._code_count(), len(names)), dtype=np.float32)
        for index, name in enumerate(names):
            if name not in self.members:
                known = ", ".join(self.structures) or "none"
                raise InputError(f"no structure '{name}' to measure the path through; this patient has {known}")
            table[list(self.members[name]), index] = 1
        return table

    def _code_count(self) -> int:
        named = (code for codes in self.members.values() for code in codes)
        return max(int(self.codes.max(initial=0)), *named, 0) + 1


def prepare(patient: Patient) -> MarchVolume:
    """The patient's march volume; made once and kept with the patient."""
    if "projector" not in patient.derived:
        patient.derived["projector"] = _prepare(patient)
    return patient.derived["projector"]


def _prepare(patient: Patient) -> MarchVolume:
    from synthray.anatomy import basis_densities

    labels = patient.labels or LabelMap(np.zeros(patient.ct.shape, dtype=np.uint8), {})
    box = _occupied(patient.ct.values, labels.codes)
    cropped = LabelMap(np.ascontiguousarray(labels.codes[box]), labels.structures)
    density = basis_densities(np.ascontiguousarray(patient.ct.values[box]), cropped)
    if not np.isfinite(density).all() or density.min() < 0:
        raise InputError(f"{patient.name}: densities must be finite and not negative")
    scale = np.maximum(density.max(axis=(0, 1, 2)), 1e-6).astype(np.float64) / np.iinfo(np.uint16).max
    padded = tuple(n + 2 for n in density.shape[:3])
    packed = np.zeros((*padded, 2), dtype=np.uint16)
    codes = np.zeros(padded, dtype=cropped.codes.dtype)
    inner = (slice(1, -1),) * 3
    for i in range(density.shape[0]):  # slab by slab: no second float volume
        packed[i + 1, 1:-1, 1:-1] = np.rint(density[i] / scale)
    codes[inner] = cropped.codes
    shift = np.eye(4)
    shift[:3, 3] = [s.start - 1 for s in box]
    return MarchVolume(packed, scale, codes, labels.names, labels.structures, patient.ct.patient_from_voxel @ shift)


def _occupied(hu: npt.NDArray[Any], codes: npt.NDArray[Any]) -> tuple[slice, slice, slice]:
    """The smallest box that holds all tissue and labels; one voxel when there is none."""
    box = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        used = np.flatnonzero((hu.max(axis=others) > AIR_HU) | (codes.max(axis=others) > 0))
        box.append(slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1))
    return box[0], box[1], box[2]


@dataclass(frozen=True, eq=False)
class RayBundle:
    """The rays of a batch of views in voxel coordinates.

    A ray is `origin + t * (matrix @ (column, row, 1))`, with t its depth along the camera's z axis in mm.

    Attributes:
        origin: (view, 3) source, voxel index coordinates.
        matrix: (view, 3, 3) pixel -> direction per mm of depth, voxel index coordinates.
        inverse_K: (view, 3, 3) pixel -> direction in the camera frame, for lengths in mm.
        axis: (view,) int64, the grid's axis that the line from the source to the grid's centre crosses fastest.
        rows: detector rows.
        columns: detector columns.
    """

    origin: npt.NDArray[np.float64]
    matrix: npt.NDArray[np.float64]
    inverse_K: npt.NDArray[np.float64]
    axis: npt.NDArray[np.int64]
    rows: int
    columns: int


def bundle(cameras: Sequence[Camera], volume: MarchVolume) -> RayBundle:
    """The rays of several cameras of equal size in the voxel coordinates of a volume."""
    voxel_from_patient = np.linalg.inv(volume.patient_from_voxel)
    origin = np.stack([voxel_from_patient[:3, :3] @ c.source_mm + voxel_from_patient[:3, 3] for c in cameras])
    inverse_K = np.stack([np.linalg.inv(c.K) for c in cameras])
    linear = np.stack([voxel_from_patient[:3, :3] @ c.camera_from_patient[:3, :3].T for c in cameras])
    center = (np.array(volume.packed.shape[:3]) - 1) / 2
    axis = np.abs(center - origin).argmax(axis=1).astype(np.int64)
    return RayBundle(origin, linear @ inverse_K, inverse_K, axis, cameras[0].rows, cameras[0].columns)


class MaskStack(Mapping[str, npt.NDArray[np.bool_]]):
    """Structure name -> bool (view, row, column), unpacked from bit words when asked for."""

    def __init__(self, words: npt.NDArray[np.uint64], names: Sequence[str]) -> None:
        """Args: words: (view, row, column, word) uint64. names: structures in bit order."""
        self.words = words
        self._index = {name: index for index, name in enumerate(names)}

    def __getitem__(self, name: str) -> npt.NDArray[np.bool_]:
        if name not in self._index:
            raise KeyError(f"no structure '{name}'; there are {', '.join(self._index) or 'none'}")
        word, bit = divmod(self._index[name], WORD_BITS)
        return (self.words[..., word] >> np.uint64(bit)) & np.uint64(1) != 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)


@dataclass(frozen=True, eq=False)
class Projection:
    """The physics-free result of a march.

    Attributes:
        cameras: the views, in order.
        area_density: float32 (view, basis, row, column) g/cm²; basis 0 adipose, 1 cortical bone.
        masks: structure name -> bool (view, row, column); empty when not asked for.
        depth_mm: float32 (view, row, column), depth of the body's surface along the camera's z axis, NaN where the
            ray meets no body; None when not asked for.
        paths_mm: structure name -> float32 (view, row, column) length of ray inside it.
    """

    cameras: tuple[Camera, ...]
    area_density: npt.NDArray[np.float32]
    masks: Mapping[str, npt.NDArray[np.bool_]]
    depth_mm: npt.NDArray[np.float32] | None
    paths_mm: Mapping[str, npt.NDArray[np.float32]]
