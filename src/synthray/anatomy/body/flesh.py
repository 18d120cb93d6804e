"""Skin, the fat under it, muscles with fat between them, and the breasts."""

from __future__ import annotations

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.envelope import SKIN_MM, outline
from synthray.anatomy.body.fields import Grid, codes_of, cross, ellipsoid, grid, join, paint_field, tube_field
from synthray.anatomy.body.frame import Frame
from synthray.anatomy.body.shapes import spline

FAT_HU, MUSCLE_HU, SKIN_HU, GLAND_HU = -102.0, 55.0, 60.0, 25.0
_SIDES = ((1, "left"), (-1, "right"))


def paint_flesh(canvas: Canvas, frame: Frame) -> None:
    """The whole outline with skin, fat and muscle, the belly's bed of fat, and the muscles that radiographs show."""
    shape = outline(canvas, frame)
    paint_field(canvas, shape.area, shape.skin, (SKIN_HU, FAT_HU), None, edges_mm=(0, SKIN_MM))
    paint_field(canvas, shape.area, shape.muscle, MUSCLE_HU, None)
    level = np.asarray(frame.level(shape.area.z), dtype=np.float32)
    bed = cross(belly_field(frame, shape.area, shape.muscle), np.maximum(-25 - level, level - 350), 70.0)
    paint_field(canvas, shape.area, bed, FAT_HU, None, edges_mm=(-4,), first_mm=4)
    _paint_muscles(canvas, frame)


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
    # Behind the spine lie muscles; beside it the room reaches further back.
    behind = along([0, 60, 160, 230], [18, 10, 10, 24]) + 45 * np.clip((np.abs(area.x) / s - 40) / 60, 0, 1) * along(
        [130, 210], [0, 1]
    )
    back = np.asarray(frame.spine(area.z)[1], dtype=np.float32) + behind.astype(np.float32) * np.float32(s)
    room = cross(muscle + np.float32(20 * p.muscle), np.abs(area.x) - half_width, 40.0)
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
                    (-60.0, MUSCLE_HU + 4),
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


def paint_breasts(canvas: Canvas, frame: Frame) -> None:
    """Breasts of fat with a core of gland that shrinks with age; in men a low mound."""
    p, s = frame.p, frame.p.scale
    size = (0.72 + min(p.fat_mm, 45) / 75) * (1.0 if p.female else 0.55)
    top = float(frame.height(425.0))
    half_width, half_depth, center = (float(v) for v in frame.cage(top - 55 * s))
    sag = (0.1 + 0.006 * max(p.age - 25, 0)) * size
    for side in (-1, 1):
        at = np.array(
            [side * 0.56 * half_width, center - 0.86 * half_depth + 4 - 0.2 * p.fat_mm, top - (40 + 60 * sag) * s]
        )
        radii = np.array([70, 38 if p.female else 18, 78]) * size * s
        area = grid(canvas, at - radii - 30, at + radii + 30, 3.0)
        if area.empty:
            continue
        lower = ellipsoid(area, at - [0, 7 * size, 20 * size * s], radii * [0.86, 1.0, 0.72])
        mound = join(ellipsoid(area, at, radii), lower, 30.0)
        # Upwards a breast fades into the chest without an edge.
        mound = mound + np.float32(26 * size) * np.clip((area.z - at[2]) / radii[2], 0, 1)
        paint_field(canvas, area, mound, (SKIN_HU, FAT_HU), None, edges_mm=(0, SKIN_MM), over=codes_of(canvas))
        if p.female:
            core = np.asarray(ellipsoid(area, at - [0, 6, 12 * size], radii * (0.62 - 0.003 * max(p.age - 30, 0))))
            paint_field(canvas, area, cross(core, mound + 7, 6.0), GLAND_HU, None, over=codes_of(canvas))
