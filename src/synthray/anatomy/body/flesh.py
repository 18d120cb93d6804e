"""Skin, the fat under it, muscles with fat between them, and the breasts."""

from __future__ import annotations

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.envelope import SKIN_MM, outline
from synthray.anatomy.body.fields import Grid, codes_of, cross, grid, paint_field, tube_field
from synthray.anatomy.body.frame import Frame, ellipse_distance
from synthray.anatomy.body.shapes import spline

FAT_HU, SKIN_HU, GLAND_HU = -102.0, 60.0, 25.0
_SIDES = ((1, "left"), (-1, "right"))


def paint_flesh(canvas: Canvas, frame: Frame) -> None:
    """The whole outline with skin, fat and muscle, the belly's bed of fat, and the muscles that radiographs show."""
    shape = outline(canvas, frame)
    paint_field(canvas, shape.area, shape.skin, (SKIN_HU, FAT_HU), None, edges_mm=(0, SKIN_MM))
    paint_field(canvas, shape.area, shape.muscle, muscle_hu(frame), None)
    level = np.asarray(frame.level(shape.area.z), dtype=np.float32)
    bed = cross(belly_field(frame, shape.area, shape.muscle), np.maximum(-25 - level, level - 350), 70.0)
    # Between the bowels of lean people there is more mesentery than fat.
    mesentery = FAT_HU + 50 * float(np.exp(-max(frame.p.fat_mm + frame.p.belly_mm, 0) / 25))
    paint_field(canvas, shape.area, bed, mesentery, None, edges_mm=(-4,), first_mm=4)
    paint_field(canvas, shape.area, _axilla(frame, shape.area, shape.muscle), FAT_HU, None)
    _paint_breasts(canvas, frame)
    _paint_muscles(canvas, frame)


def muscle_hu(frame: Frame) -> float:
    """HU of muscle, which fat replaces with age and weight; of one real man's muscles, 48 in psoas, 16 in the back."""
    p = frame.p
    return float(np.clip(58 - 0.4 * max(p.age - 30, 0) - 0.5 * max(p.bmi - 25, 0), 18, 58))


def _axilla(frame: Frame, area: Grid, muscle: Floats) -> Floats:
    """Signed distance to the fat between the chest wall's muscles, in the armpit and under the pectorals."""
    s, p, z = frame.p.scale, frame.p, area.z[0, 0]
    half_width, half_depth, center = (np.asarray(c, dtype=np.float32)[None, None] for c in frame.cage(z))
    cage = ellipse_distance(area.x, area.y - center, np.maximum(half_width, 8), np.maximum(half_depth, 8), 2.2)
    level = np.asarray(frame.level(z), dtype=np.float32)[None, None]
    # The outer sheet of muscle is 14 to 20 mm thick, the inner one with the ribs 17 mm.
    between = np.maximum(muscle + np.float32(17 * p.muscle), np.float32(17 * s) - cage)
    ends = np.maximum(395 - level, level - 540) * np.float32(s)
    arm = np.abs(area.x) - np.float32(0.5 * p.biacromial_mm - 62 * s)
    spine = np.float32(62 * s) - np.abs(area.x)
    return cross(np.maximum(between, spine), np.maximum(ends, arm), 14.0)


def belly_field(frame: Frame, area: Grid, muscle: Floats) -> Floats:
    """Signed distance to the room inside the belly's wall; in the pelvis it narrows to what the bones leave."""
    p, s = frame.p, frame.p.scale
    level = np.asarray(frame.level(area.z), dtype=np.float32)
    ramp = np.linspace(-80, 280, 46)
    smooth = np.ones(7) / 7

    def along(levels: list[float], values: list[float]) -> Floats:
        rough = np.interp(np.linspace(-104, 304, 52), levels, values)
        return np.asarray(np.interp(level, ramp, np.convolve(rough, smooth, "valid")), dtype=np.float32)

    half_width = along([-30, 20, 60, 110, 160, 220], [48, 58, 70, 100, 140, 240]) * np.float32(s * p.pelvis_width)
    # Behind the spine lie muscles; beside it the room reaches further back, with psoas and kidneys in its fat.
    beside = np.clip((np.abs(area.x) / s - 24) / 34, 0, 1)
    behind = along([0, 60, 160, 230], [18, 10, 8, 14]) + 36 * beside * along([90, 140, 230], [0, 0.8, 1])
    back = np.asarray(frame.spine(area.z)[1], dtype=np.float32) + behind.astype(np.float32) * np.float32(s)
    room = cross(muscle + np.float32(16 * p.muscle), np.abs(area.x) - half_width, 40.0)
    return cross(room, area.y - back, 30.0)


def _paint_muscles(canvas: Canvas, frame: Frame) -> None:
    for side, name in _SIDES:
        for muscle, points, radii in _muscles(frame, side):
            line = spline(points, 24)
            wide = (
                np.interp(np.linspace(0, 1, 24), np.linspace(0, 1, len(radii)), radii) * frame.p.scale * frame.p.muscle
            )
            reach = float(wide.max()) + 6
            area = grid(canvas, line.min(axis=0) - reach, line.max(axis=0) + reach, 3.0)
            if not area.empty:
                paint_field(
                    canvas,
                    area,
                    tube_field(area, line, wide),
                    (10.0, muscle_hu(frame) + 6) if muscle == "iliopsoas" else (-60.0, muscle_hu(frame)),
                    f"{muscle}_{name}",
                    edges_mm=(-1.2, 0.6),
                    first_mm=1.2,
                    over=codes_of(canvas),
                )


def _muscles(frame: Frame, side: int) -> list[tuple[str, Floats, tuple[float, ...]]]:
    """(name, points in mm, radii in mm for a scale of 1) along each muscle."""
    s, hip = frame.p.scale, frame.hip_center_mm(side)

    def beside(short: str, x: float, y: float) -> Floats:
        return frame.vertebra(f"vertebrae_{short}").center_mm + np.array([side * x, y, 0]) * s

    psoas = [
        beside("T12", 26, 2),
        beside("L2", 36, 2),
        beside("L4", 46, -4),
        hip + [-side * 24 * s, -16, 95 * s],
        hip + np.array([-side * 4, -34, 25]) * s,
        hip + np.array([-side * 6, 14, -42]) * s,
    ]
    erector = [
        beside("L5", 26, 50),
        beside("L3", 32, 50),
        beside("T12", 30, 44),
        beside("T8", 27, 36),
        beside("T3", 22, 32),
    ]
    seat = [
        hip + np.array([-side * 44, 84, 70]) * s,
        hip + np.array([-side * 14, 76, 20]) * s,
        hip + np.array([side * 26, 44, -40]) * s,
    ]
    outer = [
        hip + np.array([side * 34, 22, 85]) * s,
        hip + np.array([side * 40, 16, 45]) * s,
        hip + np.array([side * 44, 8, 8]) * s,
    ]
    return [
        ("iliopsoas", np.array(psoas), (9, 17, 21, 22, 20, 10)),
        ("autochthon", np.array(erector), (22, 24, 21, 15, 10)),
        ("gluteus_maximus", np.array(seat), (22, 34, 20)),
        ("gluteus_medius", np.array(outer), (20, 24, 12)),
    ]


def _paint_breasts(canvas: Canvas, frame: Frame) -> None:
    """Breasts of fat with a core of gland that shrinks with age; in men a low mound.

    A breast lifts the skin of the chest's front: steeply at the fold below, without an edge towards the collar bone.
    """
    p, s = frame.p, frame.p.scale
    size = (0.72 + min(p.fat_mm, 45) / 75) * (1.0 if p.female else 0.55)
    at = float(frame.height(425.0)) - (52 + 7 * size + 0.3 * max(p.age - 25, 0) * size) * s
    half_width, half_depth, center = (float(v) for v in frame.cage(at))
    lift_mm = (38 if p.female else 9) * size * s * (1.0 if p.female else min(max(p.fat_mm - 6, 0) / 12, 1))
    low = np.array([-0.54 * half_width - 76 * size * s, center - half_depth - 190, at - 56 * size * s])
    high = np.array([-low[0], center - 0.3 * half_depth, at + 110 * size * s])
    shape = outline(canvas, frame, low, high)
    area = shape.area
    if area.empty or lift_mm < 1:
        return
    up = area.z - np.float32(at)
    tall = np.where(up > 0, np.float32(105 * size * s), np.float32(52 * size * s))
    lift: Floats = np.zeros((1, 1, 1), dtype=np.float32)
    outer: Floats = np.zeros((1, 1, 1), dtype=np.float32)
    for side in (-1, 1):
        across = (area.x - np.float32(side * 0.54 * half_width)) / np.float32(72 * size * s)
        room = np.clip(1 - across**2 - (up / tall) ** 2, 0, 1)
        lift = lift + lift_mm * np.where(up > 0, room**1.4, room**0.85)
        outer = np.maximum(outer, room)
    front = np.clip((center - 0.35 * half_depth - area.y) / np.float32(30 * s), 0, 1)
    mound = shape.skin - np.asarray(lift * front, dtype=np.float32)
    chest = codes_of(canvas)
    near = np.maximum(mound, np.where((outer > 0) & (area.y < center), -shape.skin, np.float32(50)))
    paint_field(canvas, area, near, (SKIN_HU, FAT_HU), None, edges_mm=(0, SKIN_MM), over=chest)
    if p.female:
        core = np.float32(60) * (0.30 + 0.007 * max(p.age - 30, 0) - outer)
        gland = np.maximum(np.maximum(core, mound + 8), 6 - shape.muscle + np.where(area.y < center, 0, 90))
        paint_field(canvas, area, gland, (-60.0, GLAND_HU), None, edges_mm=(-8, 4), first_mm=6, over=chest)
