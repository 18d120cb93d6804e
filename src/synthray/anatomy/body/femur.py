"""Femur, kneecap and the top of the tibia and fibula."""

from __future__ import annotations

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats, Shell
from synthray.anatomy.body.frame import Frame
from synthray.anatomy.body.shapes import Part, ball, paint, rod, spline


def paint_legs(canvas: Canvas, frame: Frame) -> dict[str, Floats]:
    """Both legs' bones down to the box's end; returns points on the femurs' axes, trochanters and condyles."""
    landmarks: dict[str, Floats] = {}
    for side, name in ((1, "left"), (-1, "right")):
        parts, points = femur(frame, side)
        paint(canvas, parts, frame.bone(1250, 180, 1.3), f"femur_{name}")
        landmarks |= {f"{key}_{name}": at for key, at in points.items()}
        _paint_knee(canvas, frame, side, name)
    return landmarks


def femur(frame: Frame, side: int) -> tuple[list[Part], dict[str, Floats]]:
    """A femur's parts and its named points; the neck meets the shaft at the person's neck-shaft angle."""
    s, head = frame.p.scale, frame.p.femoral_head_mm
    size = head / 23.5
    center, knee = frame.hip_center_mm(side), frame.knee_mm(side)
    neck = _neck_direction(frame, side)
    # Necks differ less between people than heads do.
    junction = center + neck * 52 * (0.65 + 0.35 * size) * (0.5 + 0.5 * s)
    axis = _shaft_axis(junction, knee)
    across = _level(side, axis)
    front = np.cross(across, axis) * side
    front = front if front[1] < 0 else -front
    dense = frame.bone(1100, 200, 0.8)
    tube = frame.bone(1650, -30, 6.2)
    collar = frame.bone(1350, 120, 2.0)
    greater = junction + across * 9 * size - axis * 12 * size - front * 5 * size
    lesser = junction + axis * 46 * size - across * 13 * size - front * 11 * size
    parts = [
        ball(center, head, blend_mm=4, shell=dense),
        rod([center + neck * 6 * size, center + neck * 30 * size, junction - neck * 4], np.array([16.5, 14.8,
        18]) * size,
            np.array([16.5, 12.0, 14]) * size, axis=-axis, blend_mm=8, shell=collar),
        rod([greater - axis * 4 * size - front * 2, greater + axis * 18 * size,
        junction + axis * 44 * size + across * 2],
            np.array([9, 13.5, 13]) * size, np.array([13.5, 15, 13]) * size, axis=across, blend_mm=12,
                shell=frame.bone(1150, 60, 1.4)),
        rod([lesser + across * 9 * size, lesser], np.array([9, 5.5]) * size, blend_mm=9, shell=frame.bone(1300, 200,
        2)),
        rod([greater - axis * 2, greater + axis * 22 * size - front * 8 * size, lesser], np.array([4, 4.5,
        5]) * size, blend_mm=8,
            shell=collar),
        rod([junction + axis * 36 * size, junction + axis * 58 * size], np.array([15, 14]) * size, blend_mm=12,
            shell=frame.bone(1450, 30, 3.4)),
        _shaft(junction, knee, across, front, axis, size, s, tube),
        *_condyles(frame, knee, side, size),
    ]  # fmt: skip
    points = {"femoral_neck_axis": junction, "femoral_shaft_axis": junction + axis * 120 * s,
              "greater_trochanter": greater - axis * 15 * size, "lesser_trochanter": lesser - across * 4 * size,
              "medial_condyle": knee - across * 23 * size + axis * -2,
                  "lateral_condyle": knee + across * 24 * size + axis * -2,
              "femur_isthmus": 0.5 * (junction + knee) + front * 6 * s}  # fmt: skip
    return parts, points


def _neck_direction(frame: Frame, side: int) -> Floats:
    """Unit vector from the head's centre down the neck; anteversion turns the head forwards of the shaft's plane."""
    # The shaft itself leans inwards towards the knee by about 7 degrees.
    lean = np.deg2rad(frame.p.neck_shaft_deg - 90 + 7)
    turn = np.deg2rad(frame.p.anteversion_deg)
    return np.array([side * np.cos(lean) * np.cos(turn), np.cos(lean) * np.sin(turn), -np.sin(lean)])


def _shaft_axis(junction: Floats, knee: Floats) -> Floats:
    way = knee - junction
    return way / np.linalg.norm(way)


def _level(side: int, axis: Floats) -> Floats:
    """Unit vector across a leg's axis, away from the body's middle."""
    out = np.array([side, 0.0, 0.0]) - axis * axis[0] * side
    return out / np.linalg.norm(out)


def _shaft(
    junction: Floats, knee: Floats, across: Floats, front: Floats, axis: Floats, size: float, s: float, shell: Shell
) -> Part:
    """The shaft, bowed forwards, widening to the condyles; its marrow cavity starts below the lesser trochanter."""
    way = knee - junction
    t = np.array([0.09, 0.16, 0.3, 0.45, 0.6, 0.74, 0.86, 0.95])
    bow = front * (10 * s * np.sin(np.pi * np.clip(t, 0, 1)))[:, None]
    line = spline(junction + t[:, None] * way + bow, 40)
    at = np.linspace(0, 7, 40)
    wide = np.interp(at, range(8), [16, 14.5, 13.6, 13.4, 13.8, 16.5, 24, 33]) * size
    deep = np.interp(at, range(8), [14, 14, 14, 14, 14, 14.5, 17, 21]) * size
    return rod(line, wide, deep, axis=across, blend_mm=8, shell=shell)


def _condyles(frame: Frame, knee: Floats, side: int, size: float) -> list[Part]:
    spongy = frame.bone(1100, 190, 1.0)
    parts = []
    for way in (-1, 1):
        at = knee + np.array([way * side * 21.0, 4.0, 19.0]) * size
        parts.append(ball(at + np.array([0, 5, 0]) * size, np.array([15.5, 29, 21]) * size, blend_mm=8, shell=spongy))
    end = knee + np.array([0, 0, 30]) * size
    parts.append(ball(end, np.array([37, 23, 24]) * size, blend_mm=10, shell=spongy))
    notch = knee + np.array([0, 20, 3]) * size
    return [
        *parts,
        rod([notch + [0, 20, 0], notch - np.array([0, 14, 0]) * size], np.array([15, 9]) * size, 9 * size).cutting(4),
    ]


def _paint_knee(canvas: Canvas, frame: Frame, side: int, name: str) -> None:
    size = frame.p.femoral_head_mm / 23.5
    knee = frame.knee_mm(side)
    spongy = frame.bone(1100, 200, 1.0)
    patella = ball(knee + np.array([0, -36, 22]) * size, np.array([21, 10.5, 21]) * size, shell=spongy)
    paint(canvas, [patella], spongy, f"patella_{name}")
    top = knee + np.array([0, 6, -6]) * size
    parts = [
        rod([top + np.array([0, 0, -7]) * size, top + np.array([0, -2, -26]) * size, top + np.array([0, -6,
        -62]) * size,
             top + np.array([0, -6, -140]) * size], np.array([37, 33, 17, 13]) * size, np.array([23, 21, 17,
                 14]) * size,
            axis=(1, 0, 0), blend_mm=6, shell=spongy),
        rod([top + np.array([0, 1, -4]) * size, top + np.array([0, 1, 3]) * size], np.array([7, 2]) * size, blend_mm=4),
    ]  # fmt: skip
    paint(canvas, parts, spongy, f"tibia_{name}")
    fibula = top + np.array([side * 31, 16, -20]) * size
    paint(canvas, [rod([fibula, fibula + np.array([0, 0, -26]), fibula + np.array([-side * 4, 0, -140])],
                       np.array([9, 6.5, 6]) * size)], spongy, f"fibula_{name}")  # fmt: skip
