"""Pelvis and femurs, with the 14 hip landmarks of the SyntheX paper by construction."""

from __future__ import annotations

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.frame import Frame

HIP_CENTER_MM = np.array([88.0, 4.0, 0.0])
# Thin tubes that make up an iliac wing; fewer leave gaps at 1 mm voxels.
_WING_RIBS = 72


def paint_pelvis(canvas: Canvas, frame: Frame) -> dict[str, Floats]:
    """Hip bones, sacrum and femurs; returns landmarks named as in DeepFluoro (`FH-l`, …)."""
    landmarks: dict[str, Floats] = {}
    _paint_sacrum(canvas, frame)
    for side, name, short in ((1, "left", "l"), (-1, "right", "r")):
        points = {key: _place(frame, side, at) for key, at in _HIP_POINTS.items()}
        center = _place(frame, side, HIP_CENTER_MM)
        _paint_hip(canvas, frame, points, center, f"hip_{name}")
        _paint_femur(canvas, frame, side, center, f"femur_{name}")
        landmarks |= {f"{key}-{short}": points[key] for key in ("GSN", "IOF", "MOF", "SPS", "IPS", "ASIS")}
        landmarks[f"FH-{short}"] = center
    return landmarks


# Points of the patient's left hip bone, mm, for a scale of 1; x is mirrored for the right.
_HIP_POINTS = {
    "ASIS": np.array([118.0, -58.0, 82.0]),
    "AIIS": np.array([96.0, -36.0, 42.0]),
    "CREST": np.array([132.0, -8.0, 124.0]),
    "PSIS": np.array([42.0, 70.0, 96.0]),
    "GSN": np.array([66.0, 44.0, 34.0]),
    "SI": np.array([46.0, 50.0, 84.0]),
    "BRIM": np.array([72.0, 8.0, 46.0]),
    "SPS": np.array([7.0, -62.0, -2.0]),
    "IPS": np.array([7.0, -52.0, -38.0]),
    "MOF": np.array([14.5, -53.0, -20.0]),
    "IOF": np.array([44.0, -22.0, -52.0]),
    "TUBER": np.array([62.0, 22.0, -62.0]),
}


def _place(frame: Frame, side: int, at: Floats) -> Floats:
    p = frame.p
    return at * np.array([side * p.scale * p.width, p.scale * p.depth, p.scale])


def _paint_hip(canvas: Canvas, frame: Frame, points: dict[str, Floats], center: Floats, name: str) -> None:
    s = frame.p.scale
    bone = frame.bone(950, 220, 1.8)
    # The iliac wing: a fan of thin tubes from the acetabulum's roof to the crest, thicker at its border.
    crest = _bezier(
        [points["ASIS"], points["CREST"] + [0, -30, 10], points["CREST"] + [0, 30, 12], points["PSIS"]], _WING_RIBS
    )
    roof = _bezier([points["AIIS"], center + [0, -8, 34 * s], points["BRIM"], points["GSN"] + [0, 8, 12]], _WING_RIBS)
    for low, high in zip(roof, crest, strict=True):
        middle = 0.5 * (low + high) + np.array([np.sign(center[0]) * 6.0, 6.0, 0])
        canvas.tube(np.stack([low, middle, high]), [5.5, 2.6, 4.0], bone, name)
    canvas.tube(crest, 5.0, bone, name)
    canvas.tube(np.stack([points["ASIS"], points["AIIS"]]), 5.0, bone, name)
    canvas.tube(np.stack([points["SI"], points["BRIM"], center + [0, 0, 12]]), [11, 9, 12], bone, name)
    # Acetabulum: a thick ball, hollowed for the femoral head and its cartilage.
    canvas.ellipsoid(center + [-np.sign(center[0]) * 5, 2, 3], np.full(3, frame.p.femoral_head_mm + 9) * s, bone, name)
    # Pubis and ischium: two rami around the obturator foramen.
    canvas.tube(
        np.stack([center + [-np.sign(center[0]) * 22, -18, 4], points["SPS"] + [0, 4, -6]]), [10, 7.5], bone, name
    )
    canvas.tube(np.stack([points["SPS"] + [0, 4, -6], points["IPS"] + [0, 2, 4]]), 7.0, bone, name)
    canvas.tube(np.stack([center + [-np.sign(center[0]) * 6, 26, -16], points["TUBER"]]), [12, 14], bone, name)
    canvas.tube(
        np.stack([points["TUBER"], points["IOF"] + [0, 4, -8], points["IPS"] + [0, 2, 2]]), [10, 6.0, 6.0], bone, name
    )
    open_side = center + [np.sign(center[0]) * 9, -3, -6]
    canvas.ellipsoid(open_side, np.full(3, frame.p.femoral_head_mm + 4) * s, 60.0, None)
    canvas.ellipsoid(center, np.full(3, frame.p.femoral_head_mm + 3) * s, 90.0, None)


def _paint_femur(canvas: Canvas, frame: Frame, side: int, center: Floats, name: str) -> None:
    p, s = frame.p, frame.p.scale
    head = frame.bone(1000, 330, 1.6)
    shaft = frame.bone(1450, -40, 6.5)
    # The neck's angle to the shaft, seen from the front, with some anteversion.
    lean = np.deg2rad(p.neck_shaft_deg - 90)
    neck = center + 50 * s * np.array([side * np.cos(lean), 0.18, -np.sin(lean)])
    canvas.tube([neck, neck + [side * 6, 2, -60], neck + [-side * 14, 0, -420 * s]], [17, 15, 14.5], shaft, name)
    canvas.tube([center, neck], [15, 17], head, name)
    canvas.ellipsoid(neck + [side * 13, 6, 14], np.array([15, 18, 20]) * s, head, name)
    canvas.ellipsoid(neck + [-side * 12, 14, -38], np.array([11, 11, 14]) * s, head, name)
    canvas.ellipsoid(center, np.full(3, p.femoral_head_mm) * s, head, name)


def _paint_sacrum(canvas: Canvas, frame: Frame) -> None:
    s = frame.p.scale
    bone = frame.bone(700, 200, 1.8)
    top = np.array([float(frame.spine(66 * s)[0]), float(frame.spine(66 * s)[1]) + 4, 66 * s])
    t = np.linspace(0, 1, 12)[:, None]
    curve = _bezier([top, top + [0, 34, -30], top + [0, 46, -70], top + [0, 22, -112 * s]], 12)
    width = np.interp(t[:, 0], [0, 0.3, 0.7, 1], [44, 40, 22, 8]) * frame.p.width * s
    for at, half in zip(curve, width, strict=True):
        ends = at + np.array([[-half, 6, 0], [0, -4, 0], [half, 6, 0]])
        canvas.tube(ends, [8, 12, 8], bone, "sacrum")
    for row in range(4):
        at = curve[2 + 2 * row]
        for side in (-1, 1):
            hole = at + [side * (20 - 2.5 * row), 0, 2]
            canvas.tube([hole - [0, 14, 0], hole + [0, 14, 0]], 4.0, 30.0, None)


def _bezier(control: list[Floats], count: int) -> Floats:
    """(count, 3) points of a cubic Bézier curve."""
    t = np.linspace(0, 1, count)[:, None]
    a, b, c, d = control
    return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
