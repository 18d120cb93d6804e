"""Ribs with their cartilages, and the sternum."""

from __future__ import annotations

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats, Shell
from synthray.anatomy.body.frame import Frame
from synthray.anatomy.body.shapes import Part, paint, rod, sheet, spline

# Per rib 1 to 12: angle around the chest where bone ends (0 at the spine, 180 at the sternum), the level of that end,
# and the level where its cartilage meets the sternum or the cartilage above.
_ENDS = (
    (146, 520, 520), (152, 492, 494), (153, 463, 470), (150, 434, 448), (146, 404, 428), (141, 376, 411), (133, 352,
    398),
    (123, 328, 376), (112, 303, 350), (99, 278, 322), (76, 262, 262), (44, 262, 262),
)  # fmt: skip
# How far below the sternal notch's level the ribs' outline lies, mm between the ribs' inner face and their middle.
_OUTWARD_MM = 4.0
CARTILAGE_HU = 105.0


def paint_chest(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> dict[str, Floats]:
    """Costal cartilages, ribs and sternum; returns points of the sternum."""
    paths = {(n, side): rib_path(frame, n, side) for n in range(1, 13) for side in (-1, 1)}
    _paint_cartilages(canvas, frame, paths, rng)
    for (number, side), path in paths.items():
        paint(
            canvas,
            _rib(frame, path, number),
            frame.bone(1150, 60, 0.85),
            f"rib_{'left' if side > 0 else 'right'}_{number}",
        )
    return _paint_sternum(canvas, frame)


def rib_path(frame: Frame, number: int, side: int) -> Floats:
    """(n, 3) centre line of a rib from its head over its tubercle along the chest wall to its cartilage."""
    v, s = frame.vertebra(f"vertebrae_T{number}"), frame.p.scale
    end, level, _ = _ENDS[number - 1]
    first = 30.0 if number < 12 else 24.0
    angle = np.deg2rad(np.linspace(first, end, 36))
    # A rib lies near a plane that slopes to the front, so its fall goes with its depth, and a little with its length.
    fall = 0.52 * (1 - np.cos(angle)) / (1 - np.cos(angle[-1])) + 0.48 * (angle / angle[-1])
    start = v.at(0, 0, 2 * s)[2]
    low = float(frame.height(level - 60 * (frame.p.rib_slope - 1) * min(number, 7) / 7))
    z = start + (low - start) * fall
    around = _wall(frame, z, angle, side)
    head = v.at(side * 0.47 * v.width_mm, 0.36 * v.depth_mm, (0.38 if 1 < number < 11 else 0.1) * v.height_mm)
    reach = {11: 0.62, 12: 0.55}.get(number, 1.0)
    tubercle = v.at(side * (0.5 * v.width_mm + 14 * s * reach), 0.5 * v.depth_mm + 12 * s, 1 * s)
    return spline(np.concatenate([[head], [0.5 * (head + tubercle) + [0, 2, 0]], [tubercle], around]), 64)


def _wall(frame: Frame, z: Floats, angle: Floats, side: int) -> Floats:
    """(n, 3) points on the chest wall at heights and angles (radians from the spine)."""
    top = float(frame.height(552.0))
    half_width, half_depth, center = frame.cage(np.minimum(z, top))
    out = _OUTWARD_MM * frame.p.scale
    x = frame.spine(z)[0] * 0.5 * (1 + np.cos(angle)) + side * (half_width + out) * np.abs(np.sin(angle)) ** 0.87
    y = center + (half_depth + out) * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.87
    return np.stack([x, y, z], axis=1)


def _rib(frame: Frame, path: Floats, number: int) -> list[Part]:
    s = frame.p.scale * (0.5 + 0.5 * frame.p.width)
    along = np.gradient(path, axis=0)
    center = frame.cage(path[:, 2])[2]
    outward = np.stack([path[:, 0], path[:, 1] - center, np.zeros(len(path))], axis=1)
    outward[:, 2] += {1: 2.2, 2: 0.8}.get(number, 0.15) * np.linalg.norm(outward, axis=1)
    tall_axis = np.cross(along, outward)
    tall_axis /= np.linalg.norm(tall_axis, axis=1, keepdims=True)
    t = np.linspace(0, 1, len(path))
    big = {1: 7.8, 2: 6.0, 11: 5.4, 12: 4.2}.get(number, 6.2)
    tall = np.interp(t, [0, 0.03, 0.08, 0.2, 0.6, 0.94, 1], [5.5, 4.6, 5.4, big, big, 1.1 * big, big]) * s
    thin = np.interp(t, [0, 0.03, 0.08, 0.2, 0.7, 1], [4.8, 3.7, 4.2, 3.7, 3.1, 3.4]) * s
    if number > 10:
        tall *= np.interp(t, [0, 0.7, 1], [1, 1, 0.45])
    soft = frame.bone(700, 130, 0.5)
    cut = len(path) - 4
    return [rod(path[: cut + 1], tall[: cut + 1], thin[: cut + 1], axis=tall_axis[: cut + 1]),
            rod(path[cut:], tall[cut:], thin[cut:], axis=tall_axis[cut:], shell=soft)]  # fmt: skip


def _cartilage_path(frame: Frame, path: Floats, number: int, side: int) -> Floats:
    s = frame.p.scale
    _, _, level = _ENDS[number - 1]
    z = float(frame.height(level))
    if number <= 7:
        half_depth, center = (float(c) for c in frame.cage(z)[1:])
        end = np.array([side * np.interp(level, [395, 470, 520], [14, 14, 26]) * s, center - half_depth - 6 * s, z])
    else:
        end = _wall(frame, np.array([z]), np.deg2rad(np.array([np.interp(number, [8, 10], [152, 136])])), side)[0]
    middle = 0.5 * (path[-1] + end)
    ahead = _wall(frame, middle[2:3], np.array([np.deg2rad(0.5 * (_ENDS[number - 1][0] + 168))]), side)[0]
    bend = np.array([0.0, 0.0, -7.0 * s * max(number - 3, 0) / 4])
    return spline([path[-1], 0.5 * (middle + ahead) + bend, end], 14)


def _paint_cartilages(
    canvas: Canvas, frame: Frame, paths: dict[tuple[int, int], Floats], rng: np.random.Generator
) -> None:
    """Cartilage with age's calcification: along its rim in men, in its core in women (Navani et al. 1970, in kind)."""
    p, s = frame.p, frame.p.scale
    parts = []
    for (number, side), path in paths.items():
        line = _cartilage_path(frame, path, number, side) if number <= 10 else None
        flecks = rng.uniform(0, 1, (14, 2))
        if line is None:
            continue
        rim = 0.6 * p.calcification if not p.female else 0.15 * p.calcification
        shell = Shell(CARTILAGE_HU + 700 * rim, CARTILAGE_HU + (180 * p.calcification if p.female else 20), 1.2)
        parts.append(rod(line, 6.0 * s, 4.2 * s, blend_mm=2, shell=shell))
        hard = Shell(0, CARTILAGE_HU + 520 * p.calcification, 0.0)
        for n, (chance, size) in enumerate(flecks):
            if chance < 0.8 * p.calcification * (1.0 - n / 20):
                parts.append(rod(line[n : n + 1], (1.2 + 1.6 * size) * s, blend_mm=0.5, shell=hard))
    hot = Shell(CARTILAGE_HU + (420 * p.calcification if not p.female else 60), CARTILAGE_HU, 1.0)
    paint(canvas, parts, hot, "costal_cartilages")


def _paint_sternum(canvas: Canvas, frame: Frame) -> dict[str, Floats]:
    s = frame.p.scale * (0.93 if frame.p.female else 1.0)
    levels = np.array([527, 515, 500, 492, 470, 450, 428, 408, 396])
    half = np.array([24, 30, 22, 15, 15, 17.5, 19, 16, 9]) * s
    thick = np.array([11, 13, 11, 10, 9, 9, 9, 8.5, 7]) * s
    z = frame.height(levels)
    half_depth, center = frame.cage(z)[1:]
    y = center - half_depth - 6.5 * s
    line = spline(np.stack([np.zeros(9), y, z, half, thick], axis=1), 28)
    across = np.linspace(-1, 1, 7)
    grid = np.stack(
        [line[:, None, 3] * across, line[:, None, 1] + 3 * s * across**2, line[:, None, 2] + 0 * across], axis=-1
    )
    notch = line[:1, 2:3] * 0 + 5 * s * (np.abs(across) - 0.5) * np.clip(1 - np.arange(28)[:, None] / 3, 0, 1)
    grid[..., 2] += notch
    xiphoid = rod([grid[-1, 3], grid[-1, 3] + np.array([0, -2, -18]) * s, grid[-1, 3] + np.array([0, 0, -32]) * s],
                  np.array([7, 5, 2.5]) * s, np.array([3, 2.2, 1.8]) * s, axis=(1, 0, 0),
                  shell=frame.bone(600, 110, 0.8))  # fmt: skip
    plate = sheet(grid, np.repeat(line[:, 4:5], 7, axis=1) * (1 - 0.25 * across**2))
    paint(canvas, [plate, xiphoid], frame.bone(900, 75, 0.8), "sternum")
    front = np.array([0, -0.5 * 11 * s, 0])
    return {"sternal_notch": grid[0, 3] + np.array([0, 0, 4 * s]), "sternal_angle": line[9, :3] * [0, 1, 1] + front,
            "xiphoid_tip": grid[-1, 3] + np.array([0, 0, -34]) * s}  # fmt: skip
