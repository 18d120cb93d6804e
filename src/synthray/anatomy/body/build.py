"""`body`: paint all parts in order, back to front."""

from __future__ import annotations

from types import MappingProxyType
from zlib import crc32

import numpy as np

from synthray.anatomy.body import (
    abdomen,
    envelope,
    femur,
    flesh,
    heart,
    lungs,
    pelvis,
    shoulder,
    skull,
    spine,
    texture,
    thorax_bones,
)
from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.frame import Frame
from synthray.anatomy.body.landmarks import snapped
from synthray.anatomy.body.proportions import Arms, draw_proportions
from synthray.anatomy.patient import LabelMap, Patient, Volume
from synthray.errors import InputError

# Lowest and highest level (see `Frame.level`) of each region, mm above the hip centres.
REGIONS = MappingProxyType(
    {
        "trunk": (-462.0, 840.0),
        "chest": (205.0, 680.0),
        "abdomen": (60.0, 420.0),
        "pelvis": (-250.0, 280.0),
        "head": (560.0, 840.0),
    }
)


def body(
    seed: int,
    *,
    sex: str | None = None,
    age: float | None = None,
    height_cm: float | None = None,
    weight_kg: float | None = None,
    region: str = "trunk",
    voxel_mm: float = 1.5,
    arms: Arms = "down",
) -> Patient:
    """A person by construction: CT, labels (TotalSegmentator names), landmarks.

    Patient coordinates have their origin between the hip centres. The structure `below_diaphragm` overlaps the organs
    there; it bounds the lung field that a radiologist draws.

    Args:
        seed: the person; equal seeds give equal bodies.
        sex: `female` or `male`; drawn when left out, as the measures below are.
        age: 18 to 100 years.
        height_cm: stature, 120 to 220 cm.
        weight_kg: 30 to 250 kg, with a body mass index of 12 to 70.
        region: `trunk` (vertex to knees), `chest`, `abdomen`, `pelvis` or `head`.
        voxel_mm: edge of a voxel, 0.5 to 10.
        arms: `down`, `up` or `absent`.

    Raises:
        InputError: unknown region, sex or arms; seed, voxel size or a measure out of range.
    """
    _check(seed, region, voxel_mm)
    proportions = draw_proportions(
        _generator(seed, "proportions"), sex=sex, age=age, height_cm=height_cm, weight_kg=weight_kg, arms=arms
    )
    frame = Frame(proportions)
    canvas = _canvas(frame, REGIONS[region], voxel_mm)
    below = _paint_soft_parts(canvas, frame, seed)
    landmarks = _paint_bones(canvas, frame, seed)
    texture.paint_texture(canvas, _generator(seed, "texture"))
    patient = Patient(
        ct=Volume(np.rint(np.clip(canvas.hu, -1024, 3071)).astype(np.int16), canvas.patient_from_voxel),
        labels=LabelMap(canvas.codes, lungs.with_vessels(canvas.painted_names())),
        landmarks=snapped(landmarks, canvas),
        name=f"body-{seed}",
    )
    below &= (canvas.hu > -1000) & ~np.isin(canvas.codes, lungs.lung_codes(canvas))
    return patient.with_structure("below_diaphragm", below) if below.any() else patient


def _check(seed: int, region: str, voxel_mm: float) -> None:
    if region not in REGIONS:
        raise InputError(f"unknown body region '{region}'; choose one of {', '.join(REGIONS)}")
    if not 0.5 <= voxel_mm <= 10:
        raise InputError(f"voxel_mm={voxel_mm} is outside 0.5 to 10")
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise InputError(f"seed={seed}: seeds are whole numbers from 0")


def _paint_soft_parts(canvas: Canvas, frame: Frame, seed: int) -> Floats:
    """Flesh and organs; returns the bool mask of what lies below the diaphragm."""
    flesh.paint_flesh(canvas, frame)
    below = lungs.paint_lungs(canvas, frame, _generator(seed, "lungs"))
    heart.paint_heart(canvas, frame)
    abdomen.paint_abdomen(canvas, frame, _generator(seed, "abdomen"))
    return below


def _paint_bones(canvas: Canvas, frame: Frame, seed: int) -> dict[str, Floats]:
    """All bones over the soft parts; returns their named points as constructed."""
    landmarks = spine.paint_spine(canvas, frame, _generator(seed, "spine"))
    landmarks |= thorax_bones.paint_chest(canvas, frame, _generator(seed, "ribs"))
    landmarks |= shoulder.paint_shoulders(canvas, frame)
    landmarks |= skull.paint_skull(canvas, frame)
    landmarks |= pelvis.paint_sacrum(canvas, frame)
    pelvis.paint_symphysis(canvas, frame)
    landmarks |= pelvis.paint_hips(canvas, frame)
    return landmarks | femur.paint_legs(canvas, frame)


def _generator(seed: int, part: str) -> np.random.Generator:
    """The random numbers of one part of one person, so that a change to one part leaves the others as they were."""
    return np.random.Generator(np.random.Philox(key=[seed, crc32(part.encode())]))


def _canvas(frame: Frame, levels: tuple[float, float], voxel_mm: float) -> Canvas:
    """The box of a region: wide enough for shoulders and upper arms, deep enough for belly and buttocks."""
    p, low, high = frame.p, *(float(frame.height(z)) for z in levels)
    shoulders = high > frame.shoulder_mm(1)[2] - 60 and p.arms != "absent"
    half_width, front, back = envelope.build_for_weight(frame).reach_mm
    if p.arms == "down":
        half_width = 190 * p.scale * max(p.width, p.pelvis_width) + p.fat_mm + 0.4 * p.belly_mm
    half_width = max(half_width, 190 * p.scale * max(p.width, p.pelvis_width))
    if shoulders:
        half_width = max(half_width, 0.5 * p.biacromial_mm + 50 + 0.5 * p.fat_mm)
    front += 20.0 if p.female else 0.0
    return Canvas.empty((-half_width, -front, low), (half_width, back, high), voxel_mm)
