"""What a tool runs through, reported so that an impossible placement isn't hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthray.anatomy import Patient
from synthray.errors import InputError
from synthray.geometry import apply
from synthray.tools.sampling import inside_points
from synthray.tools.tool import Tool

BONE_BY_HU = "bone by HU"


@dataclass(frozen=True)
class CollisionReport:
    """How much of a tool lies in what.

    Attributes:
        tool: its name.
        tool_mm3: the tool's volume.
        outside_mm3: the part of it outside the CT.
        overlap_mm3: structure (or "bone by HU") -> mm³ of the tool within it; only what is met.
    """

    tool: str
    tool_mm3: float
    outside_mm3: float
    overlap_mm3: Mapping[str, float]

    def __str__(self) -> str:
        met = ", ".join(f"{name} {volume:.0f} mm³" for name, volume in self.overlap_mm3.items()) or "nothing"
        return f"{self.tool} ({self.tool_mm3:.0f} mm³) meets {met}"


def collisions(
    tool: Tool,
    patient: Patient,
    structures: Sequence[str] | None = None,
    *,
    bone_hu: float = 250.0,
    spacing_mm: float | None = None,
) -> CollisionReport:
    """The volumes in which a tool overlaps a patient's structures and bone, from points sampled inside the mesh.

    Args:
        tool: posed.
        patient: CT, with or without labels.
        structures: labelled structures to look at; None takes all, and "bone by HU" always comes with them.
        bone_hu: voxels above it are bone where labels don't say so.
        spacing_mm: between sampled points; None takes the finest that is cheap.

    Raises:
        InputError: a structure is unknown.
    """
    names = patient.structure_names if structures is None else tuple(structures)
    unknown = [name for name in names if name not in patient.structure_names]
    if unknown:
        has = ", ".join(patient.structure_names) or "none"
        raise InputError(f"{patient.name}: no structure '{unknown[0]}' to collide with; it has {has}")
    points, each_mm3 = inside_points(tool, spacing_mm)
    voxels = np.rint(apply(np.linalg.inv(patient.ct.patient_from_voxel), points)).astype(np.int64)
    held = np.all((voxels >= 0) & (voxels < patient.ct.shape), axis=1)
    index = tuple(voxels[held].T)
    overlap = {BONE_BY_HU: each_mm3 * float((patient.ct.values[index] > bone_hu).sum())}
    if patient.labels is not None:
        codes = patient.labels.codes[index]
        for name in names:
            overlap[name] = each_mm3 * float(np.isin(codes, patient.labels.structures[name]).sum())
    met = {name: volume for name, volume in overlap.items() if volume > 0}
    return CollisionReport(tool.name, each_mm3 * len(points), each_mm3 * float((~held).sum()), met)
