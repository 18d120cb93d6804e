"""The types that hold a person: `Volume` (voxels + affine), `LabelMap` (named structures) and `Patient`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry import apply, check_affine

Array = npt.NDArray[Any]

_FARTHEST_LANDMARK_MM = 1e4


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxel values on a regular grid in patient space.

    Attributes:
        values: (I, J, K) array, index order i, j, k; integers are voxel centres.
        patient_from_voxel: (4, 4) float64, voxel index -> patient millimetres (LPS). May be oblique, flipped
            and anisotropic, not singular.
    """

    values: Array
    patient_from_voxel: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or min(self.values.shape) < 1:
            raise InputError(f"a volume needs three non-empty axes (i, j, k), got shape {self.values.shape}")
        object.__setattr__(self, "patient_from_voxel", check_affine(self.patient_from_voxel))

    def __repr__(self) -> str:
        spacing = " x ".join(f"{mm:.3g}" for mm in self.voxel_mm)
        return f"Volume({' x '.join(map(str, self.shape))} voxels of {spacing} mm, {self.values.dtype})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along i, j, k."""
        i, j, k = self.values.shape
        return i, j, k

    @property
    def voxel_mm(self) -> npt.NDArray[np.float64]:
        """(3,) distance between neighbouring voxel centres along i, j, k in mm."""
        return np.linalg.norm(self.patient_from_voxel[:3, :3], axis=0)

    @property
    def center_mm(self) -> npt.NDArray[np.float64]:
        """(3,) centre of the grid in patient mm."""
        return apply(self.patient_from_voxel, (np.array(self.shape) - 1) / 2)

    @property
    def corners_mm(self) -> npt.NDArray[np.float64]:
        """(8, 3) outer corners of the grid (voxel edges, not centres) in patient mm."""
        ends = np.array([[-0.5, n - 0.5] for n in self.shape])
        grid = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(8, 3)
        return apply(self.patient_from_voxel, grid)


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Named structures on the CT's grid.

    Each voxel carries one code; a structure is a set of codes, so structures may overlap (a lesion inside a lung)
    while the volume stays one small integer per voxel. Code 0 is background and belongs to no structure.

    Attributes:
        codes: (I, J, K) uint8 or uint16.
        structures: structure name -> the codes it consists of.
    """

    codes: Array
    structures: Mapping[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        if self.codes.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
            raise InputError(f"label codes must be uint8 or uint16, got {self.codes.dtype}")
        for name, codes in self.structures.items():
            if not name:
                raise InputError(f"the structure with codes {codes} has no name")
            if not codes or min(codes) < 1 or max(codes) > np.iinfo(np.uint16).max:
                raise InputError(f"structure '{name}' has codes {codes}: they must be 1 to 65535 (0 is background)")
        object.__setattr__(self, "structures", MappingProxyType(dict(self.structures)))

    def __repr__(self) -> str:
        return f"LabelMap({len(self.structures)} structures, {self.codes.dtype})"

    @staticmethod
    def from_names(codes: Array, names: Mapping[int, str]) -> LabelMap:
        """A label map in which code `c` is the structure `names[c]`; codes without a name are called `label_c`.

        Raises:
            InputError: codes are negative, not whole, or above 65535.
        """
        small = as_codes(codes)
        # Slice by slice: bincount works on a copy of eight bytes a voxel.
        present = np.unique(np.concatenate([np.flatnonzero(np.bincount(one.ravel())) for one in small]))
        listed = {int(c): str(n) for c, n in names.items()}
        for code in present[present > 0]:
            listed.setdefault(int(code), f"label_{code}")
        structures: dict[str, tuple[int, ...]] = {}
        for code, name in sorted(listed.items()):
            structures[name] = (*structures.get(name, ()), code)
        return LabelMap(small, structures)

    @property
    def names(self) -> tuple[str, ...]:
        """Structure names in the order of `structures`."""
        return tuple(self.structures)

    def mask(self, *names: str) -> npt.NDArray[np.bool_]:
        """(I, J, K) bool, true where a voxel belongs to any of the named structures.

        Raises:
            InputError: a name is not in this map.
        """
        table = np.zeros(int(self.codes.max(initial=0)) + 1, dtype=bool)
        for name in names:
            if name not in self.structures:
                raise InputError(f"no structure '{name}' in this label map; it has {', '.join(self.names) or 'none'}")
            codes = np.array(self.structures[name])
            table[codes[codes < len(table)]] = True
        return table[self.codes]

    def with_structure(self, name: str, mask: npt.NDArray[np.bool_]) -> LabelMap:
        """A copy with one more structure, which may overlap those already there.

        Raises:
            InputError: the name is taken or the mask is not on this grid.
        """
        if name in self.structures:
            raise InputError(f"structure '{name}' already exists")
        if mask.shape != self.codes.shape:
            raise InputError(f"structure '{name}': mask of shape {mask.shape} on a grid of {self.codes.shape}")
        held_codes = self.codes[mask]
        old = np.flatnonzero(np.bincount(held_codes)) if len(held_codes) else held_codes
        highest = max([int(self.codes.max(initial=0)), *(c for s in self.structures.values() for c in s)])
        table = np.zeros(highest + 1, dtype=np.int64)
        table[old] = highest + 1 + np.arange(len(old))
        if highest + len(old) > np.iinfo(np.uint16).max:
            raise InputError(f"structure '{name}': more than 65535 combinations of overlapping structures")
        codes = self.codes.astype(np.promote_types(self.codes.dtype, np.min_scalar_type(highest + len(old))))
        codes[mask] = table[held_codes]
        twins = dict(zip(old.tolist(), table[old].tolist(), strict=True))
        structures = {n: (*held, *(twins[c] for c in held if c in twins)) for n, held in self.structures.items()}
        return LabelMap(codes, {**structures, name: tuple(twins.values()) or (highest + 1,)})


def as_codes(values: Array) -> Array:
    """Label values as the smallest of uint8 and uint16 that holds them.

    Raises:
        InputError: values are negative, not whole numbers, or above 65535.
    """
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        raise InputError("a label map must hold whole numbers; this one has fractions, NaN or infinity")
    lowest, highest = int(values.min(initial=0)), int(values.max(initial=0))
    if lowest < 0 or highest > np.iinfo(np.uint16).max:
        raise InputError(f"a label map must lie within 0 to 65535, this one spans {lowest} to {highest}")
    return values.astype(np.uint8 if highest <= np.iinfo(np.uint8).max else np.uint16)


def _no_landmarks() -> Mapping[str, npt.NDArray[np.float64]]:
    return MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Patient:
    """One person: CT, labels on the CT's grid, and landmarks.

    Attributes:
        ct: Hounsfield units (int16 or float32), finite.
        labels: structures on the same grid, or None.
        landmarks: name -> (3,) patient mm (LPS).
        name: who this is, for file names and reports; never a real person's name.
        derived: what other rooms computed from this patient and keep with it, by room name; never compared or saved.
    """

    ct: Volume
    labels: LabelMap | None = None
    landmarks: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=_no_landmarks)
    name: str = "patient"
    derived: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.labels is not None and self.labels.codes.shape != self.ct.shape:
            raise InputError(
                f"{self.name}: labels of shape {self.labels.codes.shape} do not lie on the CT's grid {self.ct.shape}; "
                "load them from a file with its own affine to have them resampled"
            )
        if self.ct.values.dtype.kind == "f" and not np.isfinite(self.ct.values).all():
            raise InputError(f"{self.name}: the CT holds NaN or infinity; replace them (air is -1000 HU) first")
        points = {n: np.asarray(p, dtype=np.float64).reshape(-1) for n, p in self.landmarks.items()}
        for landmark, point in points.items():
            if point.shape != (3,) or not np.isfinite(point).all():
                raise InputError(f"{self.name}: landmark '{landmark}' must be three finite numbers in mm (LPS)")
            away_mm = float(np.linalg.norm(point - self.ct.center_mm))
            if away_mm > _FARTHEST_LANDMARK_MM:
                raise InputError(
                    f"{self.name}: landmark '{landmark}' lies {away_mm / 1000:.0f} m from the CT; use mm, LPS"
                )
        object.__setattr__(self, "landmarks", MappingProxyType(points))

    def __repr__(self) -> str:
        return f"Patient('{self.name}', {self.ct}, {self.labels}, {len(self.landmarks)} landmarks)"

    @staticmethod
    def from_arrays(
        hu: Array,
        patient_from_voxel: npt.ArrayLike,
        labels: Array | None = None,
        label_names: Mapping[int, str] | None = None,
        landmarks: Mapping[str, npt.ArrayLike] | None = None,
        *,
        name: str = "patient",
    ) -> Patient:
        """A patient from arrays.

        Args:
            hu: (I, J, K) Hounsfield units, int16 or float.
            patient_from_voxel: (4, 4) voxel index -> patient mm (LPS).
            labels: (I, J, K) whole numbers, 0 is background.
            label_names: label value -> structure name.
            landmarks: name -> three coordinates in patient mm (LPS).
            name: used in messages and file names.

        Raises:
            InputError: shapes differ, values are not finite, or the affine is singular.
        """
        values = np.asarray(hu)
        if values.dtype.kind not in "iuf":
            raise InputError(f"{name}: the CT must be numeric Hounsfield units, got {values.dtype}")
        hounsfield = values if values.dtype == np.int16 else values.astype(np.float32)
        return Patient(
            ct=Volume(hounsfield, np.asarray(patient_from_voxel, dtype=np.float64)),
            labels=None if labels is None else LabelMap.from_names(np.asarray(labels), label_names or {}),
            landmarks={n: np.asarray(p, dtype=np.float64) for n, p in (landmarks or {}).items()},
            name=name,
        )

    @property
    def center_mm(self) -> npt.NDArray[np.float64]:
        """(3,) centre of the CT's grid in patient mm."""
        return self.ct.center_mm

    @property
    def structure_names(self) -> tuple[str, ...]:
        """Names of all labelled structures."""
        return () if self.labels is None else self.labels.names

    def structure_center_mm(self, *names: str) -> npt.NDArray[np.float64]:
        """(3,) centre of mass of the named structures in patient mm.

        Raises:
            InputError: a structure is unknown or empty.
        """
        if self.labels is None:
            raise InputError(f"{self.name}: no labels, so no structure {', '.join(names)}")
        indices = np.argwhere(self.labels.mask(*names))
        if not len(indices):
            raise InputError(f"{self.name}: structure {', '.join(names)} is empty")
        return apply(self.ct.patient_from_voxel, indices.mean(axis=0))

    def with_structure(self, name: str, mask: npt.NDArray[np.bool_]) -> Patient:
        """A copy with one more labelled structure, which may overlap others."""
        held = self.labels or LabelMap(np.zeros(self.ct.shape, dtype=np.uint8), {})
        return replace(self, labels=held.with_structure(name, mask))
