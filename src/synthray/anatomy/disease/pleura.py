"""Fluid or air in the pleural space."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from synthray.anatomy.disease.field import (
    GRID_MM,
    Floats,
    Lungs,
    check_range,
    find_lungs,
    generator,
    ramp,
    smooth_noise,
    with_hu,
    with_label,
)
from synthray.anatomy.morphology import Mask
from synthray.anatomy.patient import LabelMap, Patient, Volume
from synthray.anatomy.resample import resample
from synthray.anatomy.working_grid import cropped
from synthray.errors import InputError

Posture = Literal["upright", "supine"]

_EFFUSION_STREAM: Final = 0xEF0
_PNEUMOTHORAX_STREAM: Final = 0xA1F
# Direction away from gravity in LPS: to the head, or to the chest's front.
_UP: Final = {"upright": np.array([0.0, 0.0, 1.0]), "supine": np.array([0.0, -1.0, 0.0])}
_MENISCUS_MM: Final = {"upright": (35.0, 14.0), "supine": (12.0, 10.0)}
_SOLID_HU: Final = 40.0
_BEYOND_MM: Final = 25.0


def pleural_effusion(
    patient: Patient,
    seed: int,
    *,
    side: Literal["left", "right"] = "right",
    volume_ml: float | None = None,
    hu: float | None = None,
    posture: Posture = "upright",
) -> Patient:
    """A patient with free fluid in the dependent part of one pleural space; adds `pleural_effusion`.

    The fluid takes the lung's lowest part, with a meniscus that climbs the pleura; its voxels stop being lung. The rest
    of that lung gets denser as the same tissue fills less space. An upright frontal view shows some 175 to 200 mL and
    more (blunted costophrenic angle). HU: transudates 5.0 ± 3.4, exudates 15.1 ± 5.1 (Gümüş et al., Clinics 2024).

    Args:
        patient: with the label `lung_left` or `lung_right`, whichever side is meant.
        seed: equal seeds give equal effusions.
        side: of the patient.
        volume_ml: at most 80 % of the lung; drawn from 150 to 1500 mL (at most half of the lung).
        hu: of the fluid, -10 to 60; drawn from 2 to 20.
        posture: where down is: `upright` to the feet, `supine` to the back.

    Raises:
        InputError: no lung label, unknown side or posture, or a number out of range.
    """
    rng = generator(seed, _EFFUSION_STREAM)
    lungs = _one_lung(patient, side, posture)
    drawn_ml = rng.uniform(150, 1500)
    fluid_hu = rng.uniform(2, 20) if hu is None else hu
    volume_ml = min(drawn_ml, 0.5 * lungs.volume_ml) if volume_ml is None else volume_ml
    check_range("volume_ml", volume_ml, 1, 0.8 * lungs.volume_ml)
    check_range("hu", fluid_hu, -10, 60)
    support = lungs.support(patient.ct)
    fluid_mm = lungs.on_ct(_fluid_field(rng, lungs, volume_ml, posture), patient.ct, support)
    old = patient.ct.values[lungs.box].astype(np.float32)
    squeezed = np.where(lungs.mask[lungs.box], compressed(old, 1 - volume_ml / lungs.volume_ml), old)
    new = squeezed + ramp(fluid_mm, 2 * GRID_MM) * support * (fluid_hu - squeezed)
    changed = with_hu(patient, lungs.box, new)
    return with_label(changed, "pleural_effusion", lungs.box, (fluid_mm > 0) & support, leaves_lung=True)


def pneumothorax(
    patient: Patient,
    seed: int,
    *,
    side: Literal["left", "right"] = "right",
    collapse: float | None = None,
    posture: Posture = "upright",
) -> Patient:
    """A patient with air between chest wall and a collapsed lung; adds `pneumothorax`.

    The lung shrinks towards a point at its hilum, in the dependent part, so that air gathers at the apex (upright) or
    the front (supine). Vessels and labels within move with it; HU rise as the same tissue fills less space, up to that
    of soft tissue. Landmarks stay. The range of collapse is our choice.

    Args:
        patient: with the label `lung_left` or `lung_right`, whichever side is meant.
        seed: equal seeds give equal results.
        side: of the patient.
        collapse: share of the lung's volume lost, 0.05 to 0.85; drawn from 0.15 to 0.6.
        posture: `upright` or `supine`.

    Raises:
        InputError: no lung label, unknown side or posture, or a number out of range.
    """
    rng = generator(seed, _PNEUMOTHORAX_STREAM)
    lungs = _one_lung(patient, side, posture)
    drawn, jitter_mm = rng.uniform(0.15, 0.6), rng.uniform(-8, 8, 3)
    share = drawn if collapse is None else collapse
    check_range("collapse", share, 0.05, 0.85)
    scale = (1 - share) ** (1 / 3)
    source = _shrunk_about(patient.ct, lungs, _hilum_mm(lungs, side, posture) + jitter_mm, scale)
    part = Volume(np.ascontiguousarray(patient.ct.values[lungs.box]), cropped(patient.ct, lungs.box).patient_from_voxel)
    old = part.values.astype(np.float32)
    moved = resample(replace(part, values=old), part.shape, source, linear=True, outside=-1000)
    inside = lungs.mask[lungs.box]
    lung = resample(replace(part, values=inside.astype(np.float32)), part.shape, source, linear=True, outside=0)
    support = lungs.support(patient.ct)
    new = -1000 + ramp(lung - 0.5, 1.0) * (compressed(moved, 1 - share) + 1000)
    free = (lung < 0.5) & support
    changed = with_hu(patient, lungs.box, np.where(support, new, old))
    return with_label(
        _labels_moved(changed, lungs, source, inside & ~free), "pneumothorax", lungs.box, free, leaves_lung=True
    )


def compressed(hu: npt.NDArray[np.float32], volume_share: float) -> npt.NDArray[np.float32]:
    """HU of lung squeezed to a share of its volume: mass is kept, but nothing gets denser than soft tissue by it."""
    return np.minimum((hu + 1000) / volume_share - 1000, np.maximum(hu, _SOLID_HU))


def _one_lung(patient: Patient, side: str, posture: str) -> Lungs:
    if side not in ("left", "right"):
        raise InputError(f"side='{side}' must be left or right")
    if posture not in _UP:
        raise InputError(f"posture='{posture}' must be {' or '.join(_UP)}")
    return find_lungs(patient, side)


def _fluid_field(rng: np.random.Generator, lungs: Lungs, volume_ml: float, posture: Posture) -> Floats:
    """Coarse field in mm, positive in the fluid; the level is where the volume below it is the one wanted."""
    near = lungs.near
    points = lungs.points_mm(near)
    climb_mm, fade_mm = _MENISCUS_MM[posture]
    height = points @ _UP[posture] - climb_mm * np.exp(-lungs.depth_mm[near] / fade_mm)
    height += 1.5 * smooth_noise(rng, points, 60.0)
    level = np.quantile(height[lungs.inside[near]], volume_ml / lungs.volume_ml)
    field = np.full(lungs.grid.shape, -100.0)
    field[near] = level - height
    return field


def _hilum_mm(lungs: Lungs, side: str, posture: Posture) -> Floats:
    """(3,) point on the lung's medial side towards which it shrinks: low when upright, far back when supine."""
    cells = lungs.cells_mm
    low = {"upright": (0.55, 0.22), "supine": (0.9, 0.45)}[posture]
    y, z = (np.quantile(cells[:, axis], share) for axis, share in zip((1, 2), low, strict=True))
    medial = np.quantile(cells[:, 0], 0.03 if side == "left" else 0.97)
    # From beyond the medial surface, so that the lung stays against the mediastinum.
    return np.array([medial + (-_BEYOND_MM if side == "left" else _BEYOND_MM), y, z])


def _shrunk_about(ct: Volume, lungs: Lungs, center_mm: Floats, scale: float) -> Floats:
    """(4, 4) voxel of the box -> patient mm of where its content lay before the lung shrank about a point."""
    before = np.diag([1 / scale, 1 / scale, 1 / scale, 1.0])
    before[:3, 3] = center_mm * (1 - 1 / scale)
    return before @ cropped(ct, lungs.box).patient_from_voxel


def _labels_moved(patient: Patient, lungs: Lungs, source: Floats, target: Mask) -> Patient:
    """Labels within the lung carried along to where the lung is now."""
    if patient.labels is None:
        return patient
    part = cropped(Volume(patient.labels.codes, patient.ct.patient_from_voxel), lungs.box)
    held = Volume(np.where(lungs.mask[lungs.box], part.values, 0), part.patient_from_voxel)
    moved = resample(held, part.shape, source, linear=False, outside=0)
    codes = patient.labels.codes.copy()
    codes[lungs.box] = np.where(target & (moved > 0), moved, part.values)
    return replace(patient, labels=LabelMap(codes, patient.labels.structures))
