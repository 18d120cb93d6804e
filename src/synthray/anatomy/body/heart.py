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
    floor = float(frame.height(0.5 * (p.dome_right_mm + p.dome_left_mm))) - 23
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

    tilt = frame.p.heart_tilt_deg
    left = chamber((40, -20, 38), (46, 38, 36), tilt)
    right = chamber((14, -52, 32), (48, 28, 36), 0.6 * tilt)
    atria = join(chamber((-17, -16, 46), (27, 34, 40)), chamber((6, 16, 74), (36, 22, 27)), 14 * k)
    base = chamber((8, -22, 78), (31, 34, 34))
    auricle = chamber((39, -20, 84), (15, 16, 18))
    found = join(join(left, right, 18 * k), join(atria, base, 14 * k), 18 * k)
    return join(found, join(trunk_field(frame, area), auricle, 10 * k), 14 * k)


def trunk_field(frame: Frame, area: Grid) -> Floats:
    """Signed distance to the pulmonary trunk with the right ventricle's outlet."""
    at, k = _place(frame)
    size = np.array([k, k * (0.5 + 0.5 * frame.p.depth), k])
    return capsule(area, at + np.array([23, -54, 50]) * size, trunk_end_mm(frame), (20 * k, 13.5 * k))


def trunk_end_mm(frame: Frame) -> Floats:
    """(3,) where the pulmonary trunk forks, left of the ascending aorta and below the arch."""
    return carina_mm(frame) + np.array([22, -24, -18]) * frame.p.scale


def aorta_line(frame: Frame) -> tuple[Floats, Floats]:
    """(80, 3) centre line of the aorta from the valve to its fork before L4, and (80,) its radius; age unfolds it."""
    p, s = frame.p, frame.p.scale
    at, k = _place(frame)
    old = max(p.age - 40, 0) / 45
    top = float(frame.height(500.0 + 4 * old))
    spine_x = float(frame.spine(top)[0])
    front = float(frame.vertebra("vertebrae_T5").center_mm[1]) - 14 * s
    rise = [at + np.array([2, -30, 66]) * k, [spine_x - 12 - 8 * old, front - 44 * s, top - 46 * s]]
    arch = [
        [spine_x - 6, front - 40 * s, top - 14 * s],
        [spine_x + 7 * s, front - 22 * s, top],
        [spine_x + (27 + 5 * old) * s, front - 2 * s, top - 9 * s],
        [spine_x + (27 + 7 * old) * s, front + 15 * s, top - 30 * s],
    ]
    down = []
    for short, x in (("T7", 22 + 6 * old), ("T9", 18 + 8 * old), ("T11", 11), ("L1", 7), ("L4", 5)):
        v = frame.vertebra(f"vertebrae_{short}")
        down.append(v.center_mm + [x * s, -0.5 * v.depth_mm - (4 if short.startswith("T") else 12) * s, 0])
    taper = np.interp(np.arange(80), [0, 14, 26, 45, 79], [1.35, 1.35, 1.1, 1.0, 0.8])
    return spline(np.array([*rise, *arch, *down], dtype=float), 80), (11.5 + 3.0 * old) * s * taper


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


def pulmonary_lines(frame: Frame) -> dict[int, Floats]:
    """Per side (n, 3) the pulmonary artery from the trunk's fork into the hilum and down to the lower lobe.

    The right one crosses behind the ascending aorta and below the carina; the left one arches over its bronchus.
    """
    c, s, fork = carina_mm(frame), frame.p.scale, trunk_end_mm(frame)
    right = [[-6, -16, -22], [-30, -8, -24], [-42, 0, -29], [-52, 6, -50], [-59, 12, -76]]
    left = [[33, -10, -10], [41, 5, -12], [45, 12, -22], [53, 17, -46], [60, 21, -72]]
    return {side: spline(np.array([fork, *(c + np.array(way) * s)]), 30) for side, way in ((-1, right), (1, left))}


def artery_radii_mm(frame: Frame) -> Floats:
    """(30,) radius along `pulmonary_lines`; the artery between the lobes is 14 to 16 mm wide at the hilum."""
    return np.interp(np.arange(30), [0, 13, 20, 29], [12.5, 9.2, 7.4, 5.6]) * frame.p.scale


def _column(frame: Frame, area: Grid) -> Floats:
    """Signed distance to the mediastinum's mass of fat, nodes and small vessels between spine and breastbone."""
    s, z = frame.p.scale, area.z[0, 0]
    level = np.asarray(frame.level(z), dtype=np.float32)[None, None]
    x, y = (np.asarray(c, dtype=np.float32)[None, None] for c in frame.spine(z))
    front = np.asarray(frame.cage(z)[2] - frame.cage(z)[1], dtype=np.float32)[None, None] + 3
    half = np.interp(level, [240, 340, 420, 470, 505, 530, 560, 580], [18, 18, 26, 31, 29, 30, 33, 28]) * np.float32(s)
    half *= np.float32(0.8 + 0.2 * frame.p.mediastinum_mm / 26)
    deep = np.maximum(0.5 * (y - front), 12)
    # Great veins bulge to the right below the arch; above it the arteries to the left arm lean to the left.
    lean = np.interp(level, [400, 470, 500, 530, 570], [0, -5, -2, -3, 1]).astype(np.float32)
    middle = 0.7 * x + lean * np.float32(s)
    across = ((area.x - middle) / half) ** 2 + np.abs((area.y - 0.5 * (y + front)) / deep) ** 2.6
    return (np.sqrt(across) - 1) * half


def mediastinum_field(frame: Frame, area: Grid) -> Floats:
    """Signed distance to all that lies between the lungs; its outline is the lungs' inner border."""
    s, z = frame.p.scale, area.z
    x, y = (np.asarray(c, dtype=np.float32) for c in frame.spine(z))
    line, radius = aorta_line(frame)
    found = join(heart_field(frame, area) - 2.5, _column(frame, area), 12.0)
    found = join(found, tube_field(area, line, radius) - 2.5, 8.0)
    found = join(found, tube_field(area, cava_line(frame), 9.5 * s) - 1.5, 12.0)
    for side, way in pulmonary_lines(frame).items():
        found = join(found, tube_field(area, way[:16], np.linspace(12.5, 9, 16) * s) - 2, 9.0)
        bronchus = bronchus_line(frame, side)
        found = join(found, tube_field(area, bronchus, 8.5 * s), 9.0)
    # Lung follows the sides of the vertebral bodies to the ribs' heads behind them.
    broad = np.interp(frame.level(z), [240, 300, 420, 560], [21, 20, 15.5, 17]).astype(np.float32) * np.float32(s)
    spine = np.sqrt(((area.x - x) / broad) ** 2 + ((area.y - y - 12) / (27 * s)) ** 2)
    found = join(found, (spine - 1) * broad, 8.0)
    # The lungs all but touch behind the breastbone.
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
    _paint_great_vessels(canvas, frame)
    if frame.p.calcification > 0.45:
        _calcify(canvas, line, radius, frame.p.calcification, int(frame.p.vessels))
    _paint_airway(canvas, frame)


def _calcify(canvas: Canvas, line: Floats, radius: Floats, amount: float, seed: int) -> None:
    """Plaques in the wall of the aorta, most at the arch and before its fork."""
    rng = np.random.default_rng(seed)
    for _ in range(int(40 * (amount - 0.4))):
        n = int(rng.choice([rng.integers(12, 30), rng.integers(52, 78)]))
        away = rng.normal(size=3)
        at = line[n] + radius[n] * away / np.linalg.norm(away)
        canvas.ellipsoid(at, rng.uniform([1, 1, 1.5], [2.2, 2.2, 5]), 600.0, None)


def bronchus_line(frame: Frame, side: int) -> Floats:
    """(n, 3) a main bronchus from the carina; the right one is steeper and shorter."""
    c, s = carina_mm(frame), frame.p.scale
    way = ([16, 4, -13], [31, 9, -25], [44, 14, -38]) if side > 0 else ([-13, 3, -14], [-24, 7, -27], [-33, 11, -42])
    return spline(np.array([c, *(c + np.array(way) * s)]), 10)


def _paint_great_vessels(canvas: Canvas, frame: Frame) -> None:
    """Pulmonary arteries, and above the arch the brachiocephalic veins and the arteries to neck and arms."""
    s, own = frame.p.scale, codes_of(canvas)

    def tube(points: Floats, radius: Floats | float, name: str) -> None:
        canvas.tube(points, radius, BLOOD_HU, name, keep=lambda codes: ~own[codes])

    for way in pulmonary_lines(frame).values():
        tube(way, artery_radii_mm(frame), "pulmonary_artery")
    arch, cava = aorta_line(frame)[0], cava_line(frame)[0]
    neck = frame.vertebra("vertebrae_C6").center_mm
    for side, name in ((1, "left"), (-1, "right")):
        root = neck + np.array([side * 22, -26, 0]) * s
        out = root + np.array([side * 48, -6, -34]) * s
        meet = 0.5 * (root + out) + np.array([-side * 6, -6, -16]) * s
        tube(spline(np.array([cava, 0.5 * (cava + meet) + np.array([0, -7, 0]) * s, meet]), 12), 6.5 * s,
             f"brachiocephalic_vein_{name}")  # fmt: skip
        start = arch[np.argmin(np.abs(arch[:40, 0] - (meet[0] * 0.3 - 2)) + 0.5 * (arch[:40, 2].max() - arch[:40, 2]))]
        tube(spline(np.array([start, 0.5 * (start + root) + np.array([0, 6, 0]) * s, root]), 12), 4.2 * s,
             f"common_carotid_artery_{name}")  # fmt: skip
        tube(spline(np.array([start, start + np.array([side * 8, 12, 26]) * s, out]), 12), 4.6 * s,
             f"subclavian_artery_{name}")  # fmt: skip


def _paint_airway(canvas: Canvas, frame: Frame) -> None:
    c, s = carina_mm(frame), frame.p.scale
    neck = frame.vertebra("vertebrae_C6")
    top = neck.at(0, -0.5 * neck.depth_mm - 18 * s, 0)
    low = frame.vertebra("vertebrae_T11")
    gullet = [top + [3, 12, 0], c + [5, 16 * s, 0], low.at(10, -0.5 * low.depth_mm - 26 * s, 0)]
    canvas.tube(spline(gullet, 12), 7 * s, 30.0, "esophagus", keep=lambda codes: codes > 0)
    branches = [(spline([top, 0.5 * (top + c) + [1, 0, 0], c], 10), np.full(10, 9.2))]
    branches += [(bronchus_line(frame, side), np.linspace(7.6, 6.0, 10)) for side in (-1, 1)]
    for points, radii in branches:
        canvas.tube(points, (radii + 1.5) * s, WALL_HU, None)
    for points, radii in branches:
        canvas.tube(points, radii * s, AIR_HU, "trachea")
