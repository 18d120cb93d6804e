"""The mediastinum: chambers of the heart, great vessels, airway and oesophagus, as fields that also shape the lungs."""

from __future__ import annotations

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.fields import Grid, capsule, codes_of, ellipsoid, grid, join, paint_field, tube_field
from synthray.anatomy.body.frame import Frame
from synthray.anatomy.body.shapes import spline

BLOOD_HU, AIR_HU, WALL_HU = 42.0, -990.0, 30.0
# Mean ratio of the heart's width to the chest's; the person's factor `heart` spreads it.
CARDIOTHORACIC_RATIO = 0.45


def heart_width_mm(frame: Frame) -> float:
    """Transverse diameter of the heart."""
    return CARDIOTHORACIC_RATIO * frame.p.heart * 2 * float(frame.cage(float(frame.height(330.0)))[0])


def _place(frame: Frame) -> tuple[Floats, float]:
    """Middle of the heart's floor, over the diaphragm between the domes, and its size over a heart 126 mm wide."""
    p = frame.p
    floor = float(frame.height(0.5 * (p.dome_right_mm + p.dome_left_mm))) - 16
    center = float(frame.cage(floor + 40)[2])
    x = 0.6 * float(frame.spine(floor + 60)[0]) + 0.5 * p.heart_shift_mm
    return np.array([x, center, floor]), heart_width_mm(frame) / 126


def heart_field(frame: Frame, area: Grid) -> Floats:
    """Signed distance to the chambers: atria, ventricles, left auricle and pulmonary trunk, smoothly joined."""
    at, k = _place(frame)
    depth = k * (0.5 + 0.5 * frame.p.depth)
    size = np.array([k, depth, k])

    def chamber(center: tuple[float, ...], radii: tuple[float, ...], tilt: float = 0.0) -> Floats:
        return ellipsoid(area, at + np.array(center) * size, np.array(radii) * size, tilt)

    ventricles = join(
        chamber((46, -30, 36), (46, 36, 34), frame.p.heart_tilt_deg),
        chamber((14, -50, 26), (48, 30, 30), 0.6 * frame.p.heart_tilt_deg),
        18 * k,
    )
    atria = join(chamber((-18, -26, 44), (25, 30, 36)), chamber((6, 4, 62), (36, 22, 26)), 12 * k)
    trunk = capsule(area, at + np.array([18, -46, 58]) * size, at + np.array([24, -20, 106]) * size, (20 * k, 13 * k))
    auricle = chamber((38, -18, 72), (14, 13, 16))
    return join(join(ventricles, atria, 16 * k), join(trunk, auricle, 10 * k), 14 * k)


def aorta_line(frame: Frame) -> tuple[Floats, float]:
    """(n, 3) centre line of the aorta from the valve to its fork before L4, and its radius; it unfolds with age."""
    p, s = frame.p, frame.p.scale
    at, k = _place(frame)
    old = max(p.age - 40, 0) / 45
    top = float(frame.height(500.0 + 4 * old))
    spine_x = float(frame.spine(top)[0])
    front = float(frame.vertebra("vertebrae_T5").center_mm[1]) - 14 * s
    rise = [at + np.array([2, -30, 66]) * k, [spine_x - 12 - 8 * old, front - 44 * s, top - 46 * s]]
    arch = [
        [spine_x - 6, front - 40 * s, top - 14 * s],
        [spine_x + 6, front - 20 * s, top],
        [spine_x + (19 + 6 * old) * s, front + 4, top - 8 * s],
        [spine_x + (23 + 8 * old) * s, front + 18 * s, top - 34 * s],
    ]
    down = []
    for short, x in (("T7", 22 + 6 * old), ("T9", 18 + 8 * old), ("T11", 11), ("L1", 7), ("L4", 5)):
        v = frame.vertebra(f"vertebrae_{short}")
        down.append(v.center_mm + [x * s, -0.5 * v.depth_mm - (4 if short.startswith("T") else 12) * s, 0])
    return spline(np.array([*rise, *arch, *down], dtype=float), 80), (11.5 + 3.0 * old) * s


def carina_mm(frame: Frame) -> Floats:
    """(3,) where the windpipe forks, before the disc below T5."""
    v = frame.vertebra("vertebrae_T5")
    return v.at(2, -0.5 * v.depth_mm - 22 * frame.p.scale, -8)


def cava_line(frame: Frame) -> Floats:
    """(n, 3) from the right neck's root along the upper right border of the mediastinum into the right atrium."""
    at, k = _place(frame)
    c, s = carina_mm(frame), frame.p.scale
    return spline(
        [c + np.array([-26, -12, 70]) * s, c + np.array([-25, -16, 25]) * s, at + np.array([-22, -20, 76]) * k], 16
    )


def mediastinum_field(frame: Frame, area: Grid) -> Floats:
    """Signed distance to all that lies between the lungs; its outline is the lungs' inner border."""
    s, z = frame.p.scale, area.z
    x, y = (np.asarray(c, dtype=np.float32) for c in frame.spine(z))
    line, radius = aorta_line(frame)
    found = join(heart_field(frame, area) - 2.5, tube_field(area, line, radius) - 2, 10.0)
    found = join(found, tube_field(area, cava_line(frame), 9.5 * s) - 1.5, 14.0)
    c = carina_mm(frame)
    middle = capsule(area, c + [0, 4, -30 * s], c + [0, -8, 130 * s], (22 * s, 21 * s), flat=1.1)
    hila = join(
        capsule(area, c + np.array([-18, -4, -12]) * s, c + np.array([-44, -6, -28]) * s, (18 * s, 11 * s)),
        capsule(area, c + np.array([18, -4, -6]) * s, c + np.array([44, -2, -20]) * s, (18 * s, 11 * s)),
        8.0,
    )
    found = join(found, join(middle, hila, 12.0), 14.0)
    spine = np.sqrt(((area.x - x) / (22 * s)) ** 2 + ((area.y - y - 12) / (36 * s)) ** 2)
    found = join(found, (spine - 1) * np.float32(22 * s), 8.0)
    # The lungs all but touch in front of the heart and the great vessels.
    septum = np.abs(area.x - 0.4 * x - np.float32(3)) + np.float32(0.5)
    return join(found, septum, 5.0)


def paint_heart(canvas: Canvas, frame: Frame) -> None:
    """Heart, aorta, superior vena cava, oesophagus, windpipe and main bronchi."""
    s = frame.p.scale
    at, k = _place(frame)
    area = grid(canvas, at - 110 * k, at + np.array([110, 60, 140]) * k, 4.0)
    own = codes_of(canvas)
    if not area.empty:
        paint_field(canvas, area, heart_field(frame, area), BLOOD_HU, "heart", over=own)
    line, radius = aorta_line(frame)
    over = codes_of(canvas, ("heart", "iliopsoas_left", "iliopsoas_right"))
    canvas.tube(line, radius + 1.2, WALL_HU + 10, "aorta", keep=lambda codes: ~over[codes])
    canvas.tube(cava_line(frame), 9.5 * s, BLOOD_HU, "superior_vena_cava", keep=lambda codes: ~own[codes])
    if frame.p.calcification > 0.45:
        _calcify(canvas, line, radius, frame.p.calcification, int(frame.p.vessels))
    _paint_airway(canvas, frame)


def _calcify(canvas: Canvas, line: Floats, radius: float, amount: float, seed: int) -> None:
    """Plaques in the wall of the aorta, most at the arch and before its fork."""
    rng = np.random.default_rng(seed)
    for _ in range(int(40 * (amount - 0.4))):
        n = int(rng.choice([rng.integers(12, 30), rng.integers(52, 78)]))
        away = rng.normal(size=3)
        at = line[n] + radius * away / np.linalg.norm(away)
        canvas.ellipsoid(at, rng.uniform([1, 1, 1.5], [2.2, 2.2, 5]), 600.0, None)


def _paint_airway(canvas: Canvas, frame: Frame) -> None:
    c, s = carina_mm(frame), frame.p.scale
    neck = frame.vertebra("vertebrae_C6")
    top = neck.at(0, -0.5 * neck.depth_mm - 18 * s, 0)
    low = frame.vertebra("vertebrae_T11")
    gullet = [top + [3, 12, 0], c + [5, 16 * s, 0], low.at(10, -0.5 * low.depth_mm - 26 * s, 0)]
    canvas.tube(spline(gullet, 12), 7 * s, 30.0, "esophagus", keep=lambda codes: codes > 0)
    windpipe = spline([top, 0.5 * (top + c) + [1, 0, 0], c], 10)
    branches = [
        (windpipe, 9.0),
        (spline([c, c + np.array([-17, 3, -24]) * s, c + np.array([-30, 6, -44]) * s], 8), 6.6),
        (spline([c, c + np.array([24, 4, -20]) * s, c + np.array([44, 8, -34]) * s], 8), 5.8),
    ]
    for points, radius in branches:
        canvas.tube(points, (radius + 1.6) * s, WALL_HU, None)
    for points, radius in branches:
        canvas.tube(points, radius * s, AIR_HU, "trachea")
