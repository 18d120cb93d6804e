"""Random proportions of a built-in body, drawn first as data; what the caller gives is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from synthray.errors import InputError

Arms = Literal["down", "up", "absent"]
SEXES = ("female", "male")
ARMS = ("down", "up", "absent")
# Stature of adults, mean and SD in cm: NHANES 2007-2010, Vital Health Stat 11(252), 2012, PMID 25204692.
STATURE_CM = {"female": (162.1, 7.0), "male": (175.9, 7.5)}
# Stature at which lengths are drawn with a scale of 1.
REFERENCE_CM = 172.0


@dataclass(frozen=True, kw_only=True)
class Proportions:
    """One person's measures; lengths in mm for a scale of 1 unless said otherwise.

    z = 0 is the level of the hip centres, y = 0 their depth. Where a published figure is met, `anthropometry` names
    it with its source.

    Attributes:
        sex: `female` or `male`.
        age: years.
        height_cm: stature.
        weight_kg: mass of the whole person, legs and hands included.
        scale: stature over the reference stature of 1.72 m.
        width: breadth of the rib cage over the reference.
        depth: depth of the trunk over the reference.
        pelvis_width: breadth of the pelvis over the reference.
        fat_mm: fat under the skin of the belly, in true mm.
        belly_mm: how far fat inside the belly pushes its wall out, in true mm.
        muscle: thickness of muscle over the reference.
        bone: density of bone over that of a healthy thirty-year-old.
        cortex: thickness of cortical bone, likewise.
        trabecular_hu: HU of the vertebral bodies' spongy bone.
        calcification: 0 to 1, how far cartilage and vessel walls have calcified.
        biacromial_mm: distance between the acromial tips, in true mm.
        arms: `down`, `up` or `absent`.
    """

    sex: str
    age: float
    height_cm: float
    weight_kg: float
    scale: float
    width: float
    depth: float
    pelvis_width: float
    fat_mm: float
    belly_mm: float
    muscle: float
    sacral_slope_deg: float
    pelvic_tilt_deg: float
    lordosis_deg: float
    kyphosis_deg: float
    scoliosis_deg: float
    scoliosis_phase: float
    kyphosis_mm: float
    scoliosis_mm: float
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
    biacromial_mm: float
    lung_hu: float
    bone: float
    cortex: float
    trabecular_hu: float
    calcification: float
    osteophytes: float
    wedge: float
    rib_slope: float
    stomach_gas: float
    neck_shaft_deg: float
    anteversion_deg: float
    femoral_head_mm: float
    subpubic_deg: float
    vessels: int
    arms: Arms

    @property
    def female(self) -> bool:
        """Whether the person is a woman."""
        return self.sex == "female"

    @property
    def bmi(self) -> float:
        """Body mass index, kg/m²."""
        return self.weight_kg / (self.height_cm / 100) ** 2


def draw_proportions(
    rng: np.random.Generator,
    *,
    sex: str | None = None,
    age: float | None = None,
    height_cm: float | None = None,
    weight_kg: float | None = None,
    arms: Arms = "down",
) -> Proportions:
    """One random person; a measure that is given replaces its draw and leaves all other draws as they were.

    Raises:
        InputError: a measure that no adult has.
    """
    _check(sex, age, height_cm, weight_kg, arms)
    drawn_sex = "female" if rng.random() < 0.5 else "male"
    sex = drawn_sex if sex is None else sex
    unit = rng.standard_normal(40)
    drawn_age = 18 + 72 * rng.beta(1.6, 1.6)
    age = float(drawn_age if age is None else age)
    mean, sd = STATURE_CM[sex]
    # About 1 cm of stature is lost per decade after 50.
    stature = float(np.clip(mean + sd * unit[0] - 0.1 * max(age - 50, 0), 140, 208))
    if height_cm is None:
        height_cm = stature if weight_kg is None else float(np.clip(stature, *_heights_for(weight_kg)))
    bmi = float(np.clip(26 * np.exp(0.19 * unit[1]) + 0.03 * (min(age, 65) - 45), 16, 52))
    weight_kg = float(bmi * (height_cm / 100) ** 2 if weight_kg is None else weight_kg)
    bmi = weight_kg / (height_cm / 100) ** 2
    if not 12 <= bmi <= 70:
        raise InputError(
            f"height_cm={height_cm:g} with weight_kg={weight_kg:g} is a body mass index of {bmi:.0f}; give 12 to 70"
        )
    return _proportions(sex, age, height_cm, weight_kg, arms, unit, rng)


def _heights_for(weight_kg: float) -> tuple[float, float]:
    """The statures in cm at which a weight gives a body mass index within 14 to 65."""
    low, high = (100 * float(np.sqrt(weight_kg / bmi)) for bmi in (65, 14))
    return max(low, 120.0), min(high, 220.0)


def _check(sex: str | None, age: float | None, height_cm: float | None, weight_kg: float | None, arms: str) -> None:
    if sex is not None and sex not in SEXES:
        raise InputError(f"unknown sex '{sex}'; choose female or male, or leave it out")
    if arms not in ARMS:
        raise InputError(f"unknown arms '{arms}'; choose one of {', '.join(ARMS)}")
    limits = {"age": (age, 18, 100), "height_cm": (height_cm, 120, 220), "weight_kg": (weight_kg, 30, 250)}
    for name, (value, low, high) in limits.items():
        if value is not None and not low <= value <= high:
            raise InputError(f"{name}={value:g} is outside {low} to {high}")


def _proportions(
    sex: str, age: float, height_cm: float, weight_kg: float, arms: Arms, unit: np.ndarray, rng: np.random.Generator
) -> Proportions:
    woman = sex == "female"
    scale = height_cm / REFERENCE_CM
    excess = weight_kg / (height_cm / 100) ** 2 - 23
    old = max(age - 35, 0) / 50
    slope = float(np.clip(39.5 + 7.7 * unit[2], 22, 60))
    kyphosis = float(np.clip(38 + 8 * unit[3] + 12 * old**1.5, 15, 80))
    # Most backs are nearly straight; one in twenty has a scoliosis beyond 10 degrees (Cobb).
    scoliosis = float(np.clip(3.0 * unit[4] + (18 * unit[5] if abs(unit[6]) > 1.7 else 0), -45, 45))
    thinning = (0.30 if woman else 0.2) * old
    head = (21.4, 1.35) if woman else (23.5, 1.5)
    shoulders = (356, 18) if woman else (401, 19)
    return Proportions(
        sex=sex, age=age, height_cm=float(height_cm), weight_kg=weight_kg, scale=scale,
        width=float(np.clip((0.955 if woman else 1.015) * (1 + 0.05 * unit[7] + 0.004 * excess), 0.82, 1.25)),
        depth=float(np.clip((0.94 if woman else 1.02) * (1 + 0.07 * unit[8] + 0.007 * excess + 0.05 * old), 0.78,
            1.35)),
        pelvis_width=float(np.clip((1.03 if woman else 0.97) * (1 + 0.045 * unit[9]), 0.86, 1.2)),
        fat_mm=float(np.clip((16 if woman else 11) + (1.9 if woman else 1.6) * excess + 3 * unit[10], 3, 90)),
        belly_mm=float(np.clip((1.2 if woman else 2.0) * (excess + 10 * old) + 4 * unit[11], -5, 95)),
        muscle=float(np.clip((0.93 if woman else 1.07) + 0.1 * unit[12] - 0.12 * old + 0.008 * excess, 0.7, 1.5)),
        sacral_slope_deg=slope,
        pelvic_tilt_deg=float(np.clip(13.0 + 7.5 * unit[13] - 0.25 * (slope - 39.5), -2, 30)),
        lordosis_deg=float(np.clip(1.05 * slope + 12 + 5 * unit[14], 25, 85)),
        kyphosis_deg=kyphosis, scoliosis_deg=scoliosis, scoliosis_phase=float(rng.uniform(0, 2 * np.pi)),
        kyphosis_mm=float(np.clip(0.55 * kyphosis, 10, 40)), scoliosis_mm=0.9 * scoliosis,
        # A raised half of the diaphragm is common in the ill, a low one isn't.
        dome_right_mm=366 + 15 * unit[15] + 20 * max(unit[15] - 1, 0) - 0.5 * excess,
        dome_left_mm=354 + 16 * unit[16] + 20 * max(unit[16] - 1, 0) - 0.5 * excess,
        dome_drop_mm=float(rng.uniform(55, 95)),
        heart=float(np.clip(1.0 + 0.09 * unit[17] + 0.004 * excess + 0.08 * old, 0.78, 1.35)),
        heart_shift_mm=7 * unit[18], heart_tilt_deg=float(np.clip(38 - 0.8 * excess + 8 * unit[19], 12, 58)),
        mediastinum_mm=float(rng.uniform(20, 33)),
        shoulder_drop_mm=8 * unit[20], arm_abduction_deg=float(rng.uniform(4, 24)),
        scapula_out_mm=float(rng.uniform(5, 45)),
        biacromial_mm=float(np.clip(shoulders[0] + shoulders[1] * (0.55 * unit[0] + 0.83 * unit[21]), 310, 470)),
        lung_hu=float(rng.uniform(-880, -740)),
        bone=float(np.clip(1.05 + 0.09 * unit[22] - 1.1 * thinning, 0.55, 1.3)),
        cortex=float(np.clip(1.04 + 0.09 * unit[22] - thinning + 0.05 * unit[23], 0.5, 1.35)),
        # L1 has 226 ± 44 HU below 30 years and loses 2.5 HU a year (Jang et al., Radiology 2019;291:360); what reaches
        # into a region of interest from the walls adds about 13.
        trabecular_hu=float(np.clip(213 - 2.5 * max(age - 27, 0) + 38 * unit[22], 30, 330)),
        calcification=float(np.clip((age - 25) / 60 + 0.25 * unit[24], 0, 1)),
        osteophytes=float(np.clip((age - 45) / 40 + 0.35 * unit[25], 0, 1)),
        wedge=float(np.clip(unit[26] - 1.9 + 4 * thinning, 0, 1)),
        rib_slope=float(np.clip((1.05 if woman else 0.98) + 0.1 * unit[27] - 0.1 * old, 0.75, 1.3)),
        stomach_gas=float(rng.random()),
        neck_shaft_deg=float(125.5 + 5.4 * unit[28] + (10 * np.sign(unit[30]) if abs(unit[29]) > 2.2 else 0)),
        anteversion_deg=float(np.clip((12.0 if woman else 10.5) + 8.0 * unit[31], -12, 38)),
        femoral_head_mm=float(np.clip(head[0] + head[1] * (0.5 * unit[0] + 0.86 * unit[32]), 18, 29)),
        subpubic_deg=float(np.clip((88 if woman else 66) + 6 * unit[33], 48, 108)),
        vessels=int(rng.integers(14, 30)), arms=arms,
    )  # fmt: skip
