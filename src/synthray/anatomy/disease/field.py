"""What the diseases share: random streams, smooth noise, lungs on a coarse grid, and edits of HU and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.anatomy.hounsfield import is_lung
from synthray.anatomy.morphology import Mask, dilated, distance
from synthray.anatomy.patient import LabelMap, Patient, Volume
from synthray.anatomy.working_grid import bounding_box, cropped, to_working_grid
from synthray.errors import InputError
from synthray.geometry import apply

Floats = npt.NDArray[np.float64]
Box = tuple[slice, ...]

GRID_MM: Final = 2.5
_SIDES: Final = {"left": ("lung_left",), "right": ("lung_right",), "both": ("lung_left", "lung_right")}
# Partial voxels at the pleura that a lung mask leaves out lie above this; fat (-100 HU) does not.
_RIM_HU: Final = -200
_WAVES: Final = 24
_IN_USE = "code in use outside the box"


def generator(seed: int, stream: int) -> np.random.Generator:
    """The random stream of one kind of disease.

    Raises:
        InputError: the seed is no whole number from 0 to 2**63 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise InputError(f"seed={seed!r} must be a whole number from 0 to 2**63 - 1")
    return np.random.Generator(np.random.Philox(key=[int(seed), stream]))


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside its range.

    Raises:
        InputError: it is.
    """
    if not low <= value <= high:
        raise InputError(f"{name}={value:g} must lie within {low:g} to {high:g}")


def smooth_noise(rng: np.random.Generator, points_mm: Floats, wavelength_mm: float) -> Floats:
    """(N,) smooth noise of zero mean and unit variance at (N, 3) points: a sum of plane waves in random directions.

    In single precision, for speed; the phases are right to 1e-4.
    """
    vectors = rng.standard_normal((_WAVES, 3))
    vectors *= (
        (2 * np.pi / wavelength_mm)
        * rng.uniform(0.6, 1.6, (_WAVES, 1))
        / np.linalg.norm(vectors, axis=1, keepdims=True)
    )
    phases = rng.uniform(0, 2 * np.pi, _WAVES)
    points = np.ascontiguousarray(points_mm, dtype=np.float32)
    total = np.zeros(len(points), dtype=np.float32)
    for vector, phase in zip(vectors.astype(np.float32), phases.astype(np.float32), strict=True):
        total += np.cos(points @ vector + phase)
    return total * np.sqrt(2 / _WAVES)


def ramp(signed_mm: npt.NDArray[Any], width_mm: float) -> npt.NDArray[Any]:
    """0 below -width/2, 1 above width/2, smooth between."""
    t = np.clip(signed_mm / width_mm + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True, eq=False)
class Lungs:
    """Lungs on a coarse grid whose axes run to the patient's left, back and head.

    Attributes:
        mask: (I, J, K) bool on the CT's grid.
        box: part of the CT's grid that holds them with a margin.
        grid: (A, B, C) share of lung in each coarse cell, 0 to 1.
        inside: (A, B, C) bool, cells that are lung.
        depth_mm: (A, B, C) distance to the pleura inside, 0 outside.
    """

    mask: Mask
    box: Box
    grid: Volume
    inside: Mask
    depth_mm: npt.NDArray[np.float32]

    @property
    def cells_mm(self) -> Floats:
        """(N, 3) centres of all lung cells in patient mm, in the order of `inside`."""
        return self.points_mm(self.inside)

    @property
    def volume_ml(self) -> float:
        """Volume of the lung cells."""
        return float(self.inside.sum()) * GRID_MM**3 / 1000

    @property
    def near(self) -> Mask:
        """(A, B, C) lung and three cells around it: where a field must be known to be sampled up to the pleura."""
        return dilated(self.inside, 3)

    def points_mm(self, cells: Mask) -> Floats:
        """(N, 3) centres of some coarse cells in patient mm."""
        return apply(self.grid.patient_from_voxel, np.argwhere(cells))

    def on_ct(self, field: npt.NDArray[Any], ct: Volume, where: Mask) -> npt.NDArray[np.float32]:
        """A coarse field on the CT's grid within `box`, linear; only where a mask says, zero elsewhere."""
        from synthray.anatomy.disease.kernels import sample_where

        field_from_voxel = np.linalg.inv(self.grid.patient_from_voxel) @ cropped(ct, self.box).patient_from_voxel
        out = np.zeros(where.shape, dtype=np.float32)
        sample_where(np.ascontiguousarray(field, dtype=np.float32), field_from_voxel, np.ascontiguousarray(where), out)
        return out

    def support(self, ct: Volume) -> Mask:
        """Within `box`: lung, and the voxels at the pleura that are partly lung but were left out of the label."""
        inside = self.mask[self.box]
        rim = (ct.values[self.box] < _RIM_HU) & ~inside
        return inside | (self.on_ct(self.grid.values, ct, rim) > 0.02)


def find_lungs(patient: Patient, side: str = "both") -> Lungs:
    """The labelled lungs of a patient.

    Raises:
        InputError: no such side, or no labels `lung_left` and `lung_right`.
    """
    if side not in _SIDES:
        raise InputError(f"side='{side}' must be left, right or both")
    names = _SIDES[side]
    if not set(names) <= set(patient.structure_names):
        raise InputError(
            f"{patient.name}: no label {' and '.join(names)}; synthray.anatomy.with_lungs(patient) finds them"
        )
    labels = patient.labels
    mask = labels.mask(*names) if labels is not None else np.zeros(patient.ct.shape, dtype=bool)
    if not mask.any():
        raise InputError(f"{patient.name}: the label {' and '.join(names)} is empty; give a CT that shows the thorax")
    margin = int(np.ceil(4 * GRID_MM / patient.ct.voxel_mm.min()))
    box = bounding_box(mask, margin)
    part = cropped(Volume(mask.view(np.uint8), patient.ct.patient_from_voxel), box)
    grid = to_working_grid(part, GRID_MM, outside=0)
    grid = replace(grid, values=grid.values.astype(np.float32))
    inside = grid.values >= 0.5
    if not inside.any():
        raise InputError(f"{patient.name}: the lung label is smaller than {GRID_MM:g} mm; check its voxel size")
    return Lungs(mask, box, grid, inside, distance(~inside) * np.float32(GRID_MM))


def with_hu(patient: Patient, box: Box, hu: npt.NDArray[Any], where: Mask | slice = slice(None)) -> Patient:
    """A copy whose CT holds new HU within a box, in the CT's own type; `where` picks voxels of the box."""
    values = patient.ct.values.copy()
    values[box][where] = np.rint(hu) if values.dtype.kind == "i" else hu
    return replace(patient, ct=replace(patient.ct, values=values))


def with_label(patient: Patient, name: str, box: Box, mask: Mask, *, leaves_lung: bool = False) -> Patient:
    """A copy with one more structure given within a box; a structure of that name grows.

    Args:
        patient: who.
        name: of the structure.
        box: part of the CT's grid.
        mask: which of the box's voxels.
        leaves_lung: those voxels stop being lung (fluid and free air are not).
    """
    labels = patient.labels or LabelMap(np.zeros(patient.ct.shape, dtype=np.uint8), {})
    if name in labels.names:
        mask = mask | labels.mask(name)[box]
        labels = without(labels, [name])
    labels = _added_in(labels, name, box, mask)
    if leaves_lung:
        own = set(labels.structures[name])
        kept = {n: tuple(c for c in codes if not (is_lung(n) and c in own)) for n, codes in labels.structures.items()}
        spare = int(max(c for codes in labels.structures.values() for c in codes)) + 1
        labels = LabelMap(labels.codes, {n: codes or (spare,) for n, codes in kept.items()})
    return replace(patient, labels=labels)


def _added_in(labels: LabelMap, name: str, box: Box, mask: Mask) -> LabelMap:
    """`LabelMap.with_structure` for a structure that lies within a box, at the cost of that box."""
    highest = int(labels.codes.max(initial=0))
    # The box's own map must not give out a code that is in use outside the box.
    used = {_IN_USE: (highest,)} if highest else {}
    inner = LabelMap(labels.codes[box], {**labels.structures, **used}).with_structure(name, mask)
    codes = labels.codes.astype(np.promote_types(labels.codes.dtype, inner.codes.dtype))
    codes[box] = inner.codes
    return LabelMap(codes, {n: held for n, held in inner.structures.items() if n != _IN_USE})


def without(labels: LabelMap, names: Sequence[str]) -> LabelMap:
    """A label map that lacks some structures; voxels that belong to nothing else become background."""
    kept = {n: codes for n, codes in labels.structures.items() if n not in names}
    table = np.zeros(int(labels.codes.max(initial=0)) + 1, dtype=labels.codes.dtype)
    for code in {c for codes in kept.values() for c in codes if c < len(table)}:
        table[code] = code
    return LabelMap(table[labels.codes], kept)
