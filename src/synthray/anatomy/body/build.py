"""`body`: paint all parts in order, back to front."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from synthray.anatomy.body import pelvis, skeleton, trunk
from synthray.anatomy.body.canvas import Canvas
from synthray.anatomy.body.frame import Frame
from synthray.anatomy.body.proportions import Proportions, draw_proportions
from synthray.anatomy.patient import LabelMap, Patient, Volume
from synthray.errors import InputError

# Lowest and highest z above the hip centres, mm, for a scale of 1.
REGIONS = MappingProxyType({"trunk": (-260.0, 640.0), "chest": (150.0, 640.0), "pelvis": (-260.0, 300.0)})


def body(seed: int, *, region: str = "trunk", voxel_mm: float = 2.0) -> Patient:
    """A person by construction: CT, labels (TotalSegmentator names), landmarks.

    Patient coordinates have their origin between the hip centres. The structure `below_diaphragm` overlaps the organs
    there; it bounds the lung field that a radiologist draws.

    Args:
        seed: the person; equal seeds give equal bodies.
        region: `trunk` (thighs to neck), `chest` or `pelvis`.
        voxel_mm: edge of a voxel, 0.5 to 10.

    Raises:
        InputError: unknown region, or seed or voxel size out of range.
    """
    if region not in REGIONS:
        raise InputError(f"unknown body region '{region}'; choose one of {', '.join(REGIONS)}")
    if not 0.5 <= voxel_mm <= 10:
        raise InputError(f"voxel_mm={voxel_mm} is outside 0.5 to 10")
    if seed < 0:
        raise InputError(f"seed={seed}: seeds are whole numbers from 0")
    rng = np.random.Generator(np.random.Philox(key=[seed, 0xB0D1]))
    proportions = draw_proportions(rng)
    frame = Frame(proportions)
    canvas = _canvas(proportions, REGIONS[region], voxel_mm)
    trunk.paint_flesh(canvas, frame)
    trunk.paint_breasts(canvas, frame)
    below = trunk.paint_lungs(canvas, frame, rng)
    trunk.paint_heart(canvas, frame)
    trunk.paint_abdomen(canvas, frame, rng)
    landmarks = skeleton.paint_spine(canvas, frame)
    skeleton.paint_ribs(canvas, frame)
    skeleton.paint_shoulders(canvas, frame)
    landmarks |= pelvis.paint_pelvis(canvas, frame)
    _texture(canvas.hu, voxel_mm, rng)
    lungs = np.isin(canvas.codes, [c for c, n in canvas.names.items() if n in trunk.LUNGS])
    patient = Patient(
        ct=Volume(np.rint(np.clip(canvas.hu, -1024, 3071)).astype(np.int16), canvas.patient_from_voxel),
        labels=LabelMap.from_names(canvas.codes, canvas.names),
        landmarks=_inside(landmarks, canvas),
        name=f"body-{seed}",
    )
    below &= ~lungs & (canvas.hu > -1000)
    return patient.with_structure("below_diaphragm", below) if below.any() else patient


def _canvas(p: Proportions, heights: tuple[float, float], voxel_mm: float) -> Canvas:
    half_width = 215 * p.scale * p.width + p.fat_mm
    half_depth = 150 * p.scale * p.depth + p.fat_mm
    low = (-half_width, -half_depth, heights[0] * p.scale)
    return Canvas.empty(low, (half_width, half_depth, heights[1] * p.scale), voxel_mm)


def _inside(landmarks: dict[str, npt.NDArray[np.float64]], canvas: Canvas) -> dict[str, npt.NDArray[np.float64]]:
    low = canvas.origin_mm
    high = low + canvas.voxel_mm * np.array(canvas.hu.shape)
    return {name: at for name, at in landmarks.items() if np.all((at >= low) & (at <= high))}


def _texture(hu: npt.NDArray[np.float32], voxel_mm: float, rng: np.random.Generator) -> None:
    """Coarse and fine variation inside tissue, stronger in lung and bone than in flesh."""
    coarse = _smooth_noise(hu.shape, max(1, round(14 / voxel_mm)), rng)
    fine = rng.standard_normal(hu.shape, dtype=np.float32)
    strength = np.where(hu < -950, 0, np.where(hu < -500, 14, np.where(hu > 150, 22, 7))).astype(np.float32)
    hu += strength * (0.8 * coarse + fine)


def _smooth_noise(shape: tuple[int, ...], cell: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Unit-variance noise on a coarse grid, interpolated linearly along each axis in turn."""
    field = rng.standard_normal([n // cell + 2 for n in shape], dtype=np.float32)
    for axis, n in enumerate(shape):
        at = np.arange(n) / cell
        low = at.astype(int)
        weight = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        field = np.take(field, low, axis) * (1 - weight) + np.take(field, low + 1, axis) * weight
    return field / max(float(field.std()), 1e-6)
