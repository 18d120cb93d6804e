"""The types that hold an instrument or implant: `Part` (one material) and `Tool` (posed parts with landmarks)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry import apply, check_rigid, compose

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Part:
    """The surface of one material of a tool.

    A point is inside where the winding number of the surface is above zero: overlapping closed shells form a union
    that counts once, and a closed shell turned inside out makes a cavity.

    Attributes:
        vertices_mm: (V, 3) float64, tool frame.
        faces: (F, 3) int32 indices of vertices, outward by the right-hand rule.
        material: a material's name ("titanium") or a chemical formula ("NiTi").
        density_g_cm3: mass density; None takes the named material's usual one.
        body_vertices: this many first vertices bound bodies; those after them bound holes, whose shells may stick out.
            None is all.
    """

    vertices_mm: npt.NDArray[np.float64]
    faces: npt.NDArray[np.int32]
    material: str
    density_g_cm3: float | None = None
    body_vertices: int | None = None

    def __post_init__(self) -> None:
        vertices = np.ascontiguousarray(self.vertices_mm, dtype=np.float64)
        faces = np.asarray(self.faces)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or not len(vertices):
            raise InputError(f"a tool part's vertices must be (V, 3) in mm, got shape {vertices.shape}")
        if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces) or faces.dtype.kind not in "iu":
            raise InputError(f"a tool part's faces must be (F, 3) whole numbers, got {faces.dtype} {faces.shape}")
        if not np.isfinite(vertices).all():
            raise InputError("a tool part's vertices hold NaN or infinity: repair the mesh where it was made")
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise InputError(f"a tool part's faces name vertices outside 0 to {len(vertices) - 1}")
        if not self.material.strip():
            raise InputError('a tool part needs a material: a name such as "titanium" or a formula such as "NiTi"')
        if self.density_g_cm3 is not None and not 0 < self.density_g_cm3 < 25:
            raise InputError(f"{self.material}: density must lie within 0 to 25 g/cm3, got {self.density_g_cm3}")
        object.__setattr__(self, "vertices_mm", vertices)
        object.__setattr__(self, "faces", np.ascontiguousarray(faces, dtype=np.int32))

    def __repr__(self) -> str:
        return f"Part({self.material}, {len(self.faces)} triangles)"

    @property
    def outer_mm(self) -> npt.NDArray[np.float64]:
        """(V, 3) vertices of the bodies, without those of holes; tool frame."""
        return self.vertices_mm[: self.body_vertices]

    @property
    def volume_mm3(self) -> float:
        """Signed volume by the divergence theorem; overlapping shells count each time, cavities negative."""
        a, b, c = np.moveaxis(self.vertices_mm[self.faces], 1, 0)
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def _no_landmarks() -> Mapping[str, npt.NDArray[np.float64]]:
    return MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Tool:
    """An instrument or implant with its place in the patient.

    The tool frame's convention: +z along the long axis from the landmark "base" to the landmark "tip".

    Attributes:
        name: of its mask; unique in a scene.
        parts: one per material; later parts replace earlier ones where they overlap.
        landmarks: name -> (3,) mm, tool frame.
        patient_from_tool: (4, 4) rigid, tool mm -> patient mm (LPS).
    """

    name: str
    parts: tuple[Part, ...]
    landmarks: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=_no_landmarks)
    patient_from_tool: Matrix = field(default_factory=lambda: np.eye(4))

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InputError("a tool needs a name: its mask carries it")
        if not self.parts:
            raise InputError(f"tool '{self.name}' has no parts")
        points = {n: np.asarray(p, dtype=np.float64).reshape(-1) for n, p in self.landmarks.items()}
        for landmark, point in points.items():
            if point.shape != (3,) or not np.isfinite(point).all():
                raise InputError(f"tool '{self.name}': landmark '{landmark}' must be three finite numbers in mm")
        object.__setattr__(self, "parts", tuple(self.parts))
        object.__setattr__(self, "landmarks", MappingProxyType(points))
        pose = check_rigid(self.patient_from_tool, f"the pose of tool '{self.name}'")
        object.__setattr__(self, "patient_from_tool", pose)

    def __repr__(self) -> str:
        triangles = sum(len(part.faces) for part in self.parts)
        return f"Tool('{self.name}', {', '.join(dict.fromkeys(p.material for p in self.parts))}, {triangles} triangles)"

    def at(self, pose: npt.ArrayLike) -> Tool:
        """A copy placed by a (4, 4) rigid `patient_from_tool`, in place of the pose it had.

        Raises:
            InputError: the pose is not rigid.
        """
        return replace(self, patient_from_tool=np.asarray(pose, dtype=np.float64))

    def moved(self, offset_mm: npt.ArrayLike) -> Tool:
        """A copy shifted by (3,) mm in the patient frame."""
        return self.at(compose(np.eye(3), offset_mm) @ self.patient_from_tool)

    def renamed(self, name: str) -> Tool:
        """A copy whose mask has another name."""
        return replace(self, name=name)

    @property
    def landmarks_mm(self) -> dict[str, npt.NDArray[np.float64]]:
        """Landmark name -> (3,) patient mm (LPS)."""
        return {name: apply(self.patient_from_tool, point) for name, point in self.landmarks.items()}

    @property
    def bounds_mm(self) -> npt.NDArray[np.float64]:
        """(2, 3) lowest and highest patient coordinates of the bodies in mm."""
        points = np.concatenate([apply(self.patient_from_tool, part.outer_mm) for part in self.parts])
        return np.stack([points.min(axis=0), points.max(axis=0)])
