"""`MarchVolume`: a patient as the kernels want it, and a coarse map of what is where in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy import LabelMap, Patient
from synthray.anatomy.hounsfield import HIGHEST_HU, LOWEST_HU, density_table, first_entry_of_code
from synthray.errors import InputError

WORD_BITS = 64
# HU above which a voxel can contribute: below it the basis densities are zero.
AIR_HU = -990
# Positions in the kernels are fixed point with 12 bits for the index.
_LARGEST_SIDE = 4094


@dataclass(frozen=True, eq=False)
class MarchVolume:
    """A patient as the kernels want it: cropped to what attenuates, padded by one empty voxel on every side.

    Attributes:
        name: the patient's.
        packed: (I, J, K, 2) uint16, density of adipose and cortical bone in units of `scale_g_cm3`.
        scale_g_cm3: (2,) density of one unit.
        codes: (I, J, K) unsigned label codes; of shape (1, 1, 1) when nothing is labelled.
        structures: names, in bit order.
        members: structure name -> codes.
        patient_from_voxel: (4, 4) affine of the padded grid.
        derived: what backends computed from this volume and keep with it.
    """

    name: str
    packed: npt.NDArray[np.uint16]
    scale_g_cm3: npt.NDArray[np.float64]
    codes: npt.NDArray[Any]
    structures: tuple[str, ...]
    members: Mapping[str, tuple[int, ...]]
    patient_from_voxel: npt.NDArray[np.float64]
    derived: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the padded grid."""
        return self.packed.shape[0], self.packed.shape[1], self.packed.shape[2]

    @property
    def labelled(self) -> bool:
        """Whether any voxel has a label."""
        return self.codes.shape == self.shape

    @property
    def nbytes(self) -> int:
        """Bytes of what a march reads."""
        return self.packed.nbytes + self.codes.nbytes

    def bit_table(self) -> npt.NDArray[np.uint64]:
        """(codes, words) uint64: the structures that each code belongs to. Made once."""
        if "bit_table" not in self.derived:
            self.derived["bit_table"] = self._bit_table()
        return self.derived["bit_table"]

    def _bit_table(self) -> npt.NDArray[np.uint64]:
        words = max(1, -(-len(self.structures) // WORD_BITS))
        named = (code for codes in self.members.values() for code in codes)
        count = max(int(self.codes.max(initial=0)), *named, 0) + 1
        table = np.zeros((count, words), dtype=np.uint64)
        for index, name in enumerate(self.structures):
            word, bit = divmod(index, WORD_BITS)
            table[list(self.members[name]), word] |= np.uint64(1) << np.uint64(bit)
        return table

    def path_table(self, names: Sequence[str]) -> npt.NDArray[np.float32]:
        """(codes, len(names)) float32: 1 where a code belongs to the named structure."""
        table = np.zeros((len(self.bit_table()), len(names)), dtype=np.float32)
        for index, name in enumerate(names):
            table[list(self.members.get(name, ())), index] = 1
        return table


def prepare(patient: Patient) -> MarchVolume:
    """The patient's march volume; made once and kept with the patient.

    Raises:
        InputError: densities are not finite, or the grid is too large.
    """
    if "projector" not in patient.derived:
        patient.derived["projector"] = _prepare(patient)
    return patient.derived["projector"]


def part(volume: MarchVolume, name: str) -> MarchVolume:
    """A volume that holds one structure's densities alone, on the same grid points, without labels."""
    held = volume.derived.setdefault("parts", {})
    if name not in held:
        member = np.isin(volume.codes, volume.members[name])
        box = _bounds(member)
        packed = np.pad(volume.packed[box] * member[box][..., None], [(1, 1)] * 3 + [(0, 0)])
        shift = np.eye(4)
        shift[:3, 3] = [s.start - 1 for s in box]
        codes = np.zeros((1, 1, 1), dtype=np.uint8)
        held[name] = MarchVolume(
            volume.name, packed, volume.scale_g_cm3, codes, (), {}, volume.patient_from_voxel @ shift
        )
    return held[name]


def _bounds(member: npt.NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """The smallest box that holds all true voxels; one voxel when there are none."""
    ends = []
    for axis in range(3):
        where = np.flatnonzero(member.any(axis=tuple(a for a in range(3) if a != axis)))
        ends.append(slice(int(where[0]), int(where[-1]) + 1) if len(where) else slice(0, 1))
    return ends[0], ends[1], ends[2]


def _prepare(patient: Patient) -> MarchVolume:
    hu, labels = patient.ct.values, patient.labels or LabelMap(np.zeros((1, 1, 1), dtype=np.uint8), {})
    labelled = labels.codes.shape == hu.shape
    box = _occupied(hu, labels.codes if labelled else None)
    if max(s.stop - s.start for s in box) > _LARGEST_SIDE:
        raise InputError(f"{patient.name}: {hu.shape} voxels; at most {_LARGEST_SIDE} a side can be projected")
    inner = LabelMap(labels.codes[box], labels.structures) if labelled else None
    packed, scale = _pack(hu[box], inner, patient.name)
    codes = np.zeros((1, 1, 1), dtype=np.uint8) if inner is None else np.pad(inner.codes, 1)
    shift = np.eye(4)
    shift[:3, 3] = [s.start - 1 for s in box]
    affine = patient.ct.patient_from_voxel @ shift
    return MarchVolume(patient.name, packed, scale, codes, labels.names, labels.structures, affine)


def _pack(
    hu: npt.NDArray[Any], labels: LabelMap | None, name: str
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.float64]]:
    """Densities as padded 16-bit pairs, and the density of one unit of each."""
    if not np.isfinite((hu.min(), hu.max())).all():
        raise InputError(f"{name}: Hounsfield units must be finite; the CT holds NaN or infinity")
    table = density_table().astype(np.float64)
    entries = np.zeros(1, dtype=np.int32) if labels is None else first_entry_of_code(labels)
    highest = int(np.clip(np.rint(hu.max()), LOWEST_HU, HIGHEST_HU)) - LOWEST_HU
    reached = np.concatenate([table[entry : entry + highest + 1] for entry in np.unique(entries)])
    scale = np.maximum(reached.max(axis=0), 1e-6) / np.iinfo(np.uint16).max
    pairs = np.rint(np.minimum(table / scale, np.iinfo(np.uint16).max)).astype(np.uint16)
    words = pairs.view(np.uint32).ravel()  # one look-up fetches both
    packed = np.zeros((*(n + 2 for n in hu.shape), 2), dtype=np.uint16)
    for i, layer in enumerate(hu):
        whole = layer if layer.dtype.kind in "iu" else np.rint(layer)
        index = np.clip(whole, LOWEST_HU, HIGHEST_HU).astype(np.int32) - LOWEST_HU
        if labels is not None:
            index += entries[labels.codes[i]]
        packed[i + 1, 1:-1, 1:-1] = words[index].view(np.uint16).reshape(*index.shape, 2)
    return packed, scale


def _occupied(hu: npt.NDArray[Any], codes: npt.NDArray[Any] | None) -> tuple[slice, slice, slice]:
    """The smallest box that holds all tissue and labels; one voxel when there is none."""
    used = hu > AIR_HU
    return _bounds(used if codes is None else used | (codes > 0))
