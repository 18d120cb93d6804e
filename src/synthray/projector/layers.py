"""Several volumes in one scene: which of them counts where, and how their marches add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.projector.result import Marched
from synthray.projector.volume import WORD_BITS, MarchVolume, prepare


def layers(patient: Patient, over: Sequence[Patient]) -> list[MarchVolume]:
    """The march volumes of a scene, none of them holding anything where a later one does.

    A voxel of a lower volume is emptied where the nearest voxel of a volume above it has density or a label.

    Args:
        patient: the lowest volume.
        over: volumes that replace what lies under them, later ones over earlier ones.
    """
    if not over:
        return [prepare(patient)]
    stack = [prepare(one) for one in (patient, *over)]
    held = patient.derived.setdefault("projector-layers", {})
    key = tuple(id(volume) for volume in stack)
    if key not in held:
        held.clear()  # one scene at a time: carved copies are as large as the volumes
        held[key] = [_carved(volume, stack[n + 1 :]) for n, volume in enumerate(stack)]
    return held[key]


def merged(parts: Sequence[Marched], volumes: Sequence[MarchVolume]) -> tuple[Marched, tuple[str, ...]]:
    """The marches of several volumes as one, and the names of its structures in bit order."""
    if len(parts) == 1:
        return parts[0], volumes[0].structures
    names = tuple(dict.fromkeys(name for volume in volumes for name in volume.structures))
    words = np.zeros((*parts[0].words.shape[:3], max(1, -(-len(names) // WORD_BITS))), dtype=np.uint64)
    for part, volume in zip(parts, volumes, strict=True):
        for index, name in enumerate(volume.structures if part.words.shape[-1] else ()):
            from_word, from_bit = divmod(index, WORD_BITS)
            to_word, to_bit = divmod(names.index(name), WORD_BITS)
            bit = (part.words[..., from_word] >> np.uint64(from_bit)) & np.uint64(1)
            words[..., to_word] |= bit << np.uint64(to_bit)
    depths = [part.depth for part in parts if part.depth is not None]
    gradients = [part.gradient for part in parts if part.gradient is not None]
    return Marched(
        density=np.sum([part.density for part in parts], axis=0),
        words=words,
        depth=np.fmin.reduce(depths) if depths else None,
        paths=np.sum([part.paths for part in parts], axis=0),
        gradient=np.sum(gradients, axis=0) if gradients else None,
    ), names


def _carved(volume: MarchVolume, above: Sequence[MarchVolume]) -> MarchVolume:
    """A copy of a volume that is empty wherever one of those above it holds something."""
    if not above:
        return volume
    packed, codes = volume.packed.copy(), volume.codes.copy()
    for upper in above:
        upper_from_voxel = np.linalg.inv(upper.patient_from_voxel) @ volume.patient_from_voxel
        box = _reach(np.linalg.inv(upper_from_voxel), upper.shape, volume.shape)
        for i in range(box[0].start, box[0].stop):
            taken = _holds(upper, upper_from_voxel, i, box[1], box[2])
            packed[i, box[1], box[2]][taken] = 0
            if volume.labelled:
                codes[i, box[1], box[2]][taken] = 0
    return replace(volume, packed=packed, codes=codes, derived={})


def _reach(lower_from_upper: npt.NDArray[Any], upper: Sequence[int], lower: Sequence[int]) -> list[slice]:
    """The part of the lower grid that the upper one covers."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(upper) - 1)
    placed = corners @ lower_from_upper[:3, :3].T + lower_from_upper[:3, 3]
    first, last = np.floor(placed.min(axis=0)).astype(int), np.ceil(placed.max(axis=0)).astype(int) + 1
    return [slice(max(f, 0), min(max(e, 0), n)) for f, e, n in zip(first, last, lower, strict=True)]


def _holds(upper: MarchVolume, upper_from_voxel: npt.NDArray[Any], i: int, j: slice, k: slice) -> npt.NDArray[np.bool_]:
    """(J, K) bool: whether the upper volume holds something at these voxels of a lower one."""
    index = np.stack(np.meshgrid(i, range(j.start, j.stop), range(k.start, k.stop), indexing="ij"), axis=-1)[0]
    nearest = np.rint(index @ upper_from_voxel[:3, :3].T + upper_from_voxel[:3, 3]).astype(int)
    inside = np.all((nearest >= 0) & (nearest < np.array(upper.shape)), axis=-1)
    at = tuple(np.where(inside[..., None], nearest, 0).transpose(2, 0, 1))
    held = upper.packed[at].any(axis=-1)
    if upper.labelled:
        held |= upper.codes[at] > 0
    return held & inside
