"""Small lesions with a definite outline: lung nodules and calcifications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from synthray.anatomy.disease.field import (
    Box,
    Floats,
    check_range,
    find_lungs,
    generator,
    ramp,
    smooth_noise,
    with_label,
)
from synthray.anatomy.morphology import Mask, eroded
from synthray.anatomy.patient import Patient, Volume
from synthray.anatomy.working_grid import bounding_box
from synthray.errors import InputError
from synthray.geometry import apply

_NODULE_STREAM: Final = 0x40D0
_CALCIFICATION_STREAM: Final = 0xCA1C
_LARGEST_NUMBER: Final = 200

Blob = tuple[Floats, float, float]


def lung_nodules(
    patient: Patient,
    seed: int,
    *,
    number: int = 1,
    diameter_mm: tuple[float, float] = (5.0, 30.0),
    hu: tuple[float, float] = (20.0, 60.0),
    irregularity: float = 0.12,
) -> Patient:
    """A patient with lung nodules; adds (or extends) the label `nodule`.

    A nodule is at most 30 mm wide by definition (Fleischner Society glossary); HU of the default are those of soft
    tissue. For a calcified one give some hundred HU, for a non-solid one about -600.

    Args:
        patient: with labels `lung_left` and `lung_right`.
        seed: equal seeds give equal nodules.
        number: 1 to 200.
        diameter_mm: range that diameters are drawn from, within 2 to 30.
        hu: range that densities are drawn from, within -800 to 1500.
        irregularity: standard deviation of the radius over the mean radius, 0 to 0.4.

    Raises:
        InputError: no lung labels, no room for a nodule of that size, or a number out of range.
    """
    _check(number, diameter_mm, (2, 30), hu, (-800, 1500), irregularity)
    rng = generator(seed, _NODULE_STREAM)
    lungs = find_lungs(patient)
    cells, depth = lungs.cells_mm, lungs.depth_mm[lungs.inside]
    blobs = []
    for _ in range(number):
        radius = rng.uniform(*diameter_mm) / 2
        room = np.flatnonzero(depth >= min(radius, 0.8 * depth.max()))
        center = cells[rng.choice(room)] + rng.uniform(-1, 1, 3)
        blobs.append((center, radius, rng.uniform(*hu)))
    return _with_blobs(patient, rng, "nodule", blobs, irregularity, lungs.mask)


def calcifications(
    patient: Patient,
    structure: str,
    seed: int,
    *,
    number: int = 10,
    diameter_mm: tuple[float, float] = (1.5, 6.0),
    hu: tuple[float, float] = (200.0, 900.0),
    on_surface: bool = True,
    irregularity: float = 0.25,
) -> Patient:
    """A patient with calcifications in a structure (aorta, lung, kidney, …); adds or extends `calcification`.

    Calcium counts as such above 130 HU (Agatston et al., J Am Coll Cardiol 1990); the defaults lie above that. Sizes
    are our choice.

    Args:
        patient: with the label `structure`.
        structure: where they lie.
        seed: equal seeds give equal calcifications.
        number: 1 to 200.
        diameter_mm: range that diameters are drawn from, within 0.5 to 30.
        hu: range that densities are drawn from, within 130 to 2500.
        on_surface: in the structure's outer layer of voxels (vessel walls), else anywhere in it.
        irregularity: standard deviation of the radius over the mean radius, 0 to 0.4.

    Raises:
        InputError: no such structure, or a number out of range.
    """
    _check(number, diameter_mm, (0.5, 30), hu, (130, 2500), irregularity)
    rng = generator(seed, _CALCIFICATION_STREAM)
    mask, box = structure_box(patient, structure)
    within = mask[box]
    surface = within & ~eroded(within, 1)  # empty where the structure fills the CT
    places = np.argwhere(surface if on_surface and surface.any() else within) + [s.start for s in box]
    blobs = []
    for _ in range(number):
        center = apply(patient.ct.patient_from_voxel, places[rng.integers(len(places))])
        blobs.append((center, rng.uniform(*diameter_mm) / 2, rng.uniform(*hu)))
    return _with_blobs(patient, rng, "calcification", blobs, irregularity, mask)


def structure_box(patient: Patient, structure: str) -> tuple[Mask, Box]:
    """A structure's mask on the CT's grid and the box around it with a margin of two voxels.

    Raises:
        InputError: the patient has no such structure, or it is empty.
    """
    if patient.labels is None or structure not in patient.labels.names:
        held = ", ".join(patient.structure_names) or "none"
        raise InputError(f"{patient.name}: no structure '{structure}'; labelled are {held}")
    mask = patient.labels.mask(structure)
    if not mask.any():
        raise InputError(f"{patient.name}: structure '{structure}' is empty; choose one that the CT shows")
    return mask, bounding_box(mask, 2)


def _check(
    number: int,
    diameter_mm: tuple[float, float],
    diameter_limits: tuple[float, float],
    hu: tuple[float, float],
    hu_limits: tuple[float, float],
    irregularity: float,
) -> None:
    check_range("number", number, 1, _LARGEST_NUMBER)
    check_range("irregularity", irregularity, 0, 0.4)
    for name, pair, limits in (("diameter_mm", diameter_mm, diameter_limits), ("hu", hu, hu_limits)):
        for value in pair:
            check_range(name, value, *limits)
        if pair[0] > pair[1]:
            raise InputError(f"{name}={pair}: give the lower end of the range first")


def _with_blobs(
    patient: Patient,
    rng: np.random.Generator,
    name: str,
    blobs: Sequence[Blob],
    irregularity: float,
    within: Mask,
) -> Patient:
    """A copy with lesions (centre in mm, radius in mm, HU) clipped to a mask; their edges fade over a voxel."""
    values, lesions = patient.ct.values.copy(), np.zeros(patient.ct.shape, dtype=bool)
    edge_mm = float(patient.ct.voxel_mm.mean())
    for center, radius, hu in blobs:
        box = _box_around(patient.ct, center, radius * (1 + 3 * irregularity) + edge_mm)
        inside_mm = _outline(patient.ct, rng, box, center, radius, irregularity)
        weight = ramp(inside_mm, edge_mm) * within[box]
        new = values[box] + weight * (hu - values[box])
        values[box] = np.rint(new) if values.dtype.kind == "i" else new
        # A lesion smaller than a voxel still marks the voxel it lies in.
        lesions[box] |= (inside_mm >= min(0.0, inside_mm.max())) & within[box]
    return with_label(
        replace(patient, ct=replace(patient.ct, values=values)), name, tuple(slice(None) for _ in range(3)), lesions
    )


def _outline(
    ct: Volume, rng: np.random.Generator, box: Box, center_mm: Floats, radius_mm: float, irregularity: float
) -> Floats:
    """Distance in mm that each voxel of a box lies inside a lesion's outline, along the ray from its centre."""
    shape = tuple(s.stop - s.start for s in box)
    indices = np.argwhere(np.ones(shape, dtype=bool)) + [s.start for s in box]
    away = apply(ct.patient_from_voxel, indices) - center_mm
    length = np.linalg.norm(away, axis=1)
    # Noise on the sphere's directions changes the outline and leaves no holes.
    directions = away / np.maximum(length, 1e-9)[:, None]
    outline = radius_mm * (1 + irregularity * np.clip(smooth_noise(rng, directions, 1.6), -3, 3))
    return (outline - length).reshape(shape)


def _box_around(ct: Volume, center_mm: Floats, reach_mm: float) -> Box:
    center = apply(np.linalg.inv(ct.patient_from_voxel), center_mm)
    # A voxel axis covers the ball where the rows of the inverse affine say; exact for oblique grids too.
    reach = reach_mm * np.linalg.norm(np.linalg.inv(ct.patient_from_voxel)[:3, :3], axis=1)
    low = np.clip(np.floor(center - reach).astype(int), 0, np.array(ct.shape) - 1)
    high = np.clip(np.ceil(center + reach).astype(int) + 1, low + 1, ct.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
