"""Random proportions of a built-in body, drawn first as data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Proportions:
    """One person's measures. Lengths in mm; z = 0 is the level of the hip centres, y = 0 the middle of the trunk.

    The means are those of an adult of 1.72 m (rounded from common anatomy tables: vertebral pitch 23 to 36 mm,
    thoracic width about 270 mm, femoral head radius 24 mm, neck-shaft angle 127°); the spreads are wider than a
    population's, because training profits from variety.
    """

    scale: float
    width: float
    depth: float
    fat_mm: float
    muscle: float
    scoliosis_mm: float
    kyphosis_mm: float
    dome_right_mm: float
    dome_left_mm: float
    dome_drop_mm: float
    heart: float
    heart_shift_mm: float
    heart_tilt_deg: float
    mediastinum_mm: float
    shoulder_drop_mm: float
    arm_abduction_deg: float
    scapula_out_mm: float
    lung_hu: float
    bone: float
    rib_slope: float
    stomach_gas: float
    neck_shaft_deg: float
    femoral_head_mm: float
    female: bool
    vessels: int


def draw_proportions(rng: np.random.Generator) -> Proportions:
    """One random person; height, width and depth are correlated through a common size factor."""
    size = rng.normal(0, 1)
    female = bool(rng.random() < 0.5)
    scale = float(np.clip(1.0 + 0.045 * size - (0.03 if female else -0.02), 0.86, 1.14))
    return Proportions(
        scale=scale,
        width=float(np.clip(rng.normal(1.0, 0.07), 0.84, 1.18)),
        depth=float(np.clip(rng.normal(1.0, 0.09), 0.8, 1.25)),
        fat_mm=float(np.clip(rng.gamma(3.0, 5.0), 4, 45)),
        muscle=float(rng.uniform(0.8, 1.25)),
        scoliosis_mm=float(rng.normal(0, 5)),
        kyphosis_mm=float(rng.uniform(12, 32)),
        dome_right_mm=float(rng.normal(322, 16)),
        dome_left_mm=float(rng.normal(310, 17)),
        dome_drop_mm=float(rng.uniform(55, 95)),
        heart=float(np.clip(rng.normal(1.0, 0.12), 0.75, 1.35)),
        heart_shift_mm=float(rng.normal(0, 7)),
        heart_tilt_deg=float(rng.uniform(20, 55)),
        mediastinum_mm=float(rng.uniform(20, 33)),
        shoulder_drop_mm=float(rng.normal(0, 12)),
        arm_abduction_deg=float(rng.uniform(8, 60)),
        scapula_out_mm=float(rng.uniform(-10, 35)),
        lung_hu=float(rng.uniform(-880, -740)),
        bone=float(rng.uniform(0.7, 1.2)),
        rib_slope=float(rng.uniform(0.75, 1.3)),
        stomach_gas=float(rng.random()),
        neck_shaft_deg=float(rng.normal(127, 5)),
        femoral_head_mm=float(rng.normal(24, 1.8)),
        female=female,
        vessels=int(rng.integers(14, 30)),
    )
