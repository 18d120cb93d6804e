"""The body's outline: muscle's outer surface, the fat over it, the skin; and the weight that the outline must hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.fields import Grid, capsule, ellipsoid, grid, join
from synthray.anatomy.body.frame import Frame
from synthray.anatomy.body.pelvis import Pelvis
from synthray.anatomy.body.shoulder import acromion_mm, blade_mm, clavicle_ends_mm

SKIN_MM = 2.0
# Share of the body's mass in both shanks and feet (12.2 %) and both hands (1.2 %), Winter, Biomechanics and Motor
# Control of Human Movement, table 4.1; in both whole arms 10 %.
_BELOW_KNEES, _HANDS, _ARMS = 0.122, 0.012, 0.10
_THINNEST = 0.25


@dataclass(frozen=True, eq=False)
class Outline:
    """Signed distances in mm on a coarse grid: to the muscles' surface, and how thick the fat over it is."""

    area: Grid
    muscle: Floats
    fat: Floats

    @property
    def skin(self) -> Floats:
        """Signed distance to the skin's surface."""
        return self.muscle - self.fat - SKIN_MM


def outline(
    canvas: Canvas, frame: Frame, low_mm: Floats | None = None, high_mm: Floats | None = None, step_mm: float = 4.5
) -> Outline:
    """The outline over a box, the whole canvas when left out; muscle and fat as thick as the person's weight asks."""
    area, build = grid(canvas, low_mm, high_mm, step_mm), build_for_weight(frame)
    return Outline(area, muscle_field(frame, area, build.lean_mm), build.fat * fat_field(frame, area))


def muscle_field(frame: Frame, area: Grid, lean_mm: float) -> Floats:
    """Signed distance to the outer surface of the muscles of trunk, neck, head, arms and thighs."""
    body = join(_torso(frame, area, lean_mm), _legs(frame, area, lean_mm), 60.0)
    top = float(area.z.max())
    if top > frame.shoulder_mm(1)[2] - 120:
        body = join(body, _shoulders(frame, area), 22.0)
    if frame.p.arms != "absent":
        body = join(body, _arms(frame, area), 9.0)
    if top > float(frame.height(590.0)):
        body = join(body, _head(frame, area), 18.0)
    return body


def _smoothed(profile: Callable[[Floats], tuple[Floats, ...]], z: Floats, reach_mm: float) -> list[Floats]:
    """A profile along z without the corners of its table: weighted means over twice `reach_mm`."""
    offsets = np.linspace(-1, 1, 9)
    weights = np.exp(-2 * offsets**2)
    found = np.tensordot(weights / weights.sum(), [profile(z + reach_mm * o) for o in offsets], 1)
    return [part.astype(np.float32)[None, None] for part in found]


def _torso(frame: Frame, area: Grid, lean: float) -> Floats:
    s, z = frame.p.scale, area.z[0, 0]
    half_width, half_depth, center = _smoothed(frame.skin, z, 55 * s)
    level = np.asarray(frame.level(z), dtype=np.float32)[None, None]
    # Fat inside the belly pushes its wall forwards, most at the navel.
    bulge = np.float32(frame.p.belly_mm) * np.exp(-(((level - 190) / 95) ** 2))
    lean_mm = np.float32(lean) * (0.2 + 0.8 * np.clip((level - 10) / 130, 0, 1))
    wide = np.maximum(half_width + 0.4 * bulge - 0.8 * lean_mm, 1)
    deep = np.maximum(half_depth + 0.5 * bulge - lean_mm, 1)
    # The back stays where the spine is; belly and flanks give way.
    y = area.y - center + 0.5 * bulge - lean_mm
    # Below the hip joints the trunk closes like an ellipsoid, so that it runs into the thighs.
    trunk = _closed(area.x / wide, y / deep, (50 - level) / 120) * np.minimum(wide, deep)
    cage_width, cage_depth, cage_center = _smoothed(frame.cage, z, 30 * s)
    wide, deep = np.maximum(cage_width + 15 - 0.12 * lean_mm, 5), np.maximum(cage_depth + 13, 5)
    chest = _closed(area.x / wide, (area.y - cage_center) / deep, (292 - level) / (150 - 1.3 * lean)) * np.minimum(
        wide, deep
    )
    chest = np.maximum(chest, area.z - np.float32(frame.height(560.0)))
    # The furrow over the spine.
    furrow = 9 * np.exp(-((area.x / 16) ** 2)) * np.clip((area.y - center) / half_depth, 0, 1)
    return join(join(join(trunk, chest, 30.0), _back(frame, area), 20.0), _hips(frame, area), 25.0) + furrow.astype(
        np.float32
    )


def _hips(frame: Frame, area: Grid) -> Floats:
    """What covers the iliac wings, however thin the rest may be: an oval tilted as the pelvis is, and its corners."""
    s, wide = frame.p.scale, 138 * frame.p.scale * frame.p.pelvis_width
    tilt = np.deg2rad(frame.p.pelvic_tilt_deg - 13.5)
    up = np.float32(np.cos(tilt)) * area.z - np.float32(np.sin(tilt)) * area.y
    back = np.float32(np.cos(tilt)) * area.y + np.float32(np.sin(tilt)) * area.z
    ends = np.abs(up - np.float32(74 * s)) / np.float32(98 * s)
    deep = np.float32(87 * s)
    found = _closed(area.x / wide, (back - np.float32(11 * s)) / deep, ends) * deep
    for side in (-1, 1):
        edge = Pelvis(frame).at(side, [[98, -44, 44], [117, -60, 83], [129, -24, 118], [110, 12, 146]])
        for start, end in pairwise(edge):
            found = join(found, capsule(area, start, end, (16.0, 16.0)), 12.0)
    return found


def _back(frame: Frame, area: Grid) -> Floats:
    """The muscles beside the spinous processes and the least of a belly, however thin the rest may be."""
    s, z = frame.p.scale, area.z[0, 0]
    x, y = _smoothed(frame.spine, z, 25 * s)
    level = np.asarray(frame.level(z), dtype=np.float32)[None, None]
    ends = np.maximum((90 - level) / 90, (level - 475) / 140)
    deep = np.interp(level, [150, 330], [48, 42]).astype(np.float32) * np.float32(s)
    muscles = _closed((area.x - x) / (70 * s), (area.y - y - 28 * s) / deep, ends) * deep
    ends = np.abs(level - 185) / 150
    # The belly's organs need room before the spine.
    least = np.float32(60 * s)
    belly = _closed((area.x - x) / (112 * s * frame.p.width), (area.y - y + 36 * s) / least, ends) * least
    return join(muscles, belly, 20.0)


def _closed(across: Floats, deep: Floats, below: Floats, power: float = 2.4) -> Floats:
    """How far outside a column with the section |x|^p + |y|^p = 1, which closes where `below` runs from 0 to 1."""
    ends = np.clip(below, 0, None) ** power
    return (np.abs(across) ** power + np.abs(deep) ** power + ends) ** (1 / power) - 1


def _legs(frame: Frame, area: Grid, lean_mm: float) -> Floats:
    p = frame.p
    found: Floats = np.full((1, 1, 1), 400.0, dtype=np.float32)
    for side in (-1, 1):
        hip, knee = frame.hip_center_mm(side), frame.knee_mm(side)
        wide = 70 * p.scale * (0.4 + 0.6 * p.muscle) - 0.65 * lean_mm
        thigh = capsule(area, hip + [side * 4, 8, -30], knee + [0, 6, 10], (wide, 52 * p.scale - 0.3 * lean_mm), 1.08)
        seat = ellipsoid(
            area, hip + np.array([-side * 12, 58, 6]) * p.scale, np.array([66, 54, 84]) * p.scale - 0.6 * lean_mm
        )
        outer = ellipsoid(
            area, hip + np.array([side * 28, 14, 20]) * p.scale, np.array([46, 60, 96]) * p.scale - 0.4 * lean_mm
        )
        found = join(found, join(join(thigh, seat, 50.0), outer, 60.0), 12.0)
    return found


def _shoulders(frame: Frame, area: Grid) -> Floats:
    """Trapezius and deltoid."""
    s, m = frame.p.scale, frame.p.muscle
    neck = frame.vertebra("vertebrae_C5").center_mm
    found: Floats = capsule(area, frame.vertebra("vertebrae_C2").center_mm + [0, 2, 0],
                            frame.vertebra("vertebrae_T2").center_mm + [0, -14, 0], (53 * s, 62 * s))  # fmt: skip
    for side in (-1, 1):
        joint = frame.shoulder_mm(side)
        slope = capsule(
            area, neck + [side * 26 * s, 10, -8], joint + np.array([-side * 22, 4, 8]) * s, (34 * s, 36 * s * m)
        )
        found = join(found, slope, 25.0)
        found = join(found, capsule(area, *clavicle_ends_mm(frame, side), (19 * s, 17 * s)), 14.0)
        # The muscles on both faces of the shoulder blade.
        blade = blade_mm(frame, side)
        for start, end in (
            (blade[1, 1], blade[14, 2]),
            (blade[1, 5], blade[13, 6]),
            (blade[2, 8], blade[9, 8]),
            (blade[4, 4], acromion_mm(frame, side)),
        ):
            found = join(found, capsule(area, start, end, (18 * s, 19 * s)), 14.0)
        if frame.p.arms != "absent":
            found = join(
                found,
                ellipsoid(area, joint + [side * 6, 2, -14 * s], np.array([42, 46, 56]) * s * (0.5 + 0.5 * m)),
                25.0,
            )
    return found


def _arms(frame: Frame, area: Grid) -> Floats:
    s, m = frame.p.scale, 0.5 + 0.5 * frame.p.muscle
    found: Floats = np.full((1, 1, 1), 400.0, dtype=np.float32)
    for side in (-1, 1):
        shoulder, elbow = frame.shoulder_mm(side), frame.elbow_mm(side)
        hand = elbow + 0.9 * (elbow - shoulder)
        upper = capsule(area, shoulder + [side * 4, 0, 0], elbow, (44 * s * m, 36 * s * m))
        found = np.minimum(found, join(upper, capsule(area, elbow, hand, (38 * s * m, 25 * s * m)), 10.0))
    return found


def _head(frame: Frame, area: Grid) -> Floats:
    at, radii = frame.skull_center_mm(), frame.skull_radii_mm
    k = float(radii[1]) / 90
    found = join(
        ellipsoid(area, at, radii + 4),
        ellipsoid(area, at + np.array([0, 40, -34]) * k, np.array([62, 53, 42]) * k),
        20.0,
    )
    face = capsule(
        area, at + np.array([0, -46, -30]) * k, at + np.array([0, -50, -112]) * k, (57 * k, 42 * k), flat=0.95
    )
    nose = capsule(area, at + np.array([0, -92, -38]) * k, at + np.array([0, -106, -62]) * k, (6 * k, 11 * k))
    return join(join(found, face, 20.0), nose, 10.0)


def fat_field(frame: Frame, area: Grid) -> Floats:
    """Thickness of the fat under the skin in mm: most at belly, seat and hips, a third of it over the upper chest."""
    p, z = frame.p, area.z[0, 0]
    level = np.asarray(frame.level(z), dtype=np.float32)
    hips = 1.25 if p.female else 0.8
    share = np.interp(level, [-420, -200, -60, 60, 160, 260, 380, 480, 560, 640],
                      [0.45, 0.6 * hips, hips, 1.1 * hips, 1.0, 0.8, 0.55, 0.4, 0.35, 0.22])  # fmt: skip
    thick = np.float32(p.fat_mm) * share.astype(np.float32)[None, None] + 2
    arm = np.float32(0.5 * p.biacromial_mm - 30)
    limbs = np.clip((np.abs(area.x) - arm) / 30, 0, 1) * np.clip((level[None, None] - 120) / 150, 0, 1)
    thick = thick * (1 - 0.45 * limbs)
    back = np.clip((area.y - 40) / 60, 0, 1) * np.clip((level[None, None] - 60) / 60, 0, 1)
    thick = thick * (1 - 0.3 * back)
    head = np.clip((level[None, None] - 650) / 30, 0, 1)
    return thick * (1 - head) + head * np.float32(4 + 0.06 * p.fat_mm)


@dataclass(frozen=True)
class Build:
    """What a person's weight asks for: a factor on the fat's thickness, and by how much the muscles are thinner.

    `reach_mm` is how far the skin reaches to the side (trunk and hips), to the front and to the back.
    """

    fat: float
    lean_mm: float
    reach_mm: tuple[float, float, float]


@lru_cache(maxsize=2)
def build_for_weight(frame: Frame) -> Build:
    """The build at which the body weighs what it should, found on a grid of 14 mm.

    Fat is thinned or thickened first; where the thinnest isn't thin enough, muscle gives way by up to 40 mm. Muscle and
    organs weigh 1.06, fat 0.93 and lungs 0.25 g/cm³ (ICRP 110's means), with which the skeleton's surplus and the
    lungs' lack are set against each other.
    """
    p = frame.p
    low = np.array([-420.0, -320.0, float(frame.height(-462.0))])
    high = np.array([420.0, 240.0, float(frame.height(850.0))])
    area = grid(Canvas.empty(low, high, 14.0), step_mm=14.0)
    fat = fat_field(frame, area)
    wanted = p.weight_kg * (1 - _BELOW_KNEES - (_ARMS if p.arms == "absent" else _HANDS)) - (1.6 if p.female else 0.3)
    lean = np.array([0.0, 20.0, 40.0])
    muscle = muscle_field(frame, area, 0.0)
    thinnest = _mass_kg(frame, area, muscle, _THINNEST * fat)
    lean_mm = 0.0
    if thinnest > wanted:
        fields = [muscle_field(frame, area, float(mm)) for mm in lean[1:]]
        masses = [thinnest] + [_mass_kg(frame, area, field, _THINNEST * fat) for field in fields]
        lean_mm = float(np.interp(-wanted, -np.array(masses), lean))
        muscle = muscle_field(frame, area, lean_mm)
    below, above = _THINNEST, 3.0
    for _ in range(12):
        factor = 0.5 * (below + above)
        below, above = (factor, above) if _mass_kg(frame, area, muscle, factor * fat) < wanted else (below, factor)
    return Build(factor, lean_mm, _reach_mm(frame, area, muscle - factor * fat - SKIN_MM))


def _reach_mm(frame: Frame, area: Grid, skin: Floats) -> tuple[float, float, float]:
    inside = skin < 0.5 * area.step_mm
    level = np.asarray(frame.level(area.z[0, 0]))
    deep = area.y[0, inside.any(axis=(0, 2)), 0]
    wide = np.abs(area.x[inside[:, :, (level > -250) & (level < 320)].any(axis=(1, 2)), 0, 0])
    return float(wide.max()) + 8, 8 - float(deep.min()), float(deep.max()) + 8


def _mass_kg(frame: Frame, area: Grid, muscle: Floats, fat: Floats) -> float:
    cells = (area.step_mm / 10) ** 3 / 1000
    core, whole = (
        cells * float(np.clip(0.5 - field / area.step_mm, 0, 1).sum()) for field in (muscle, muscle - fat - SKIN_MM)
    )
    return 1.045 * core - 3.6 * frame.p.scale**3 + 0.93 * (whole - core)
