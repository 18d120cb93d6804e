"""Soft parts: skin, fat, muscle, lungs with vessels, heart and great vessels, diaphragm and what lies below it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.frame import Frame, ellipse_distance

FAT_HU, MUSCLE_HU, BLOOD_HU, LIVER_HU, AIR_HU = -100.0, 50.0, 42.0, 58.0, -990.0
LUNGS = ("lung_left", "lung_right")
Keep = Callable[[Floats], Floats]


def paint_flesh(canvas: Canvas, frame: Frame) -> None:
    """Trunk, neck and legs: a layer of fat around muscle."""
    everything = canvas.whole
    x, y, z = canvas.coordinates(everything)
    height = z[0, 0]
    half_width, half_depth, center = (part[None, None, :].astype(np.float32) for part in frame.skin(height))
    fat = frame.p.fat_mm * np.clip(1.15 - (z / frame.p.scale - 100) / 700, 0.35, 1.2)
    for outward, value in ((fat, FAT_HU), (np.float32(0.0), MUSCLE_HU)):
        trunk = ellipse_distance(x, y - center, half_width + outward, half_depth + outward * 0.8, 2.4)
        trunk = np.maximum(trunk, -75 * frame.p.scale - z)
        legs = [
            ellipse_distance(x - side * 80 * frame.p.width, y - 8, 72 * frame.p.scale + outward, 80 + outward)
            for side in (-1, 1)
        ]
        thighs = np.maximum(np.minimum(legs[0], legs[1]), z + 10)
        canvas.paint(everything, _smooth_union(trunk, thighs, 30.0).astype(np.float32), value, None)


def _smooth_union(first: Floats, second: Floats, width_mm: float) -> Floats:
    """Signed distance to the union of two shapes with the crease between them filled over `width_mm`."""
    blend = np.maximum(width_mm - np.abs(first - second), 0) / width_mm
    return np.minimum(first, second) - blend**2 * width_mm / 4


def paint_breasts(canvas: Canvas, frame: Frame) -> None:
    """Breasts of fat and gland, larger in women."""
    size = (0.75 + frame.p.fat_mm / 60) * (1.0 if frame.p.female else 0.5)
    half_width, half_depth, center = (float(v) for v in frame.skin(350 * frame.p.scale))
    for side in (-1, 1):
        at = (side * 0.56 * half_width, center - half_depth - 0.2 * frame.p.fat_mm, 352 * frame.p.scale)
        canvas.ellipsoid(at, np.array([72, 34, 66]) * size, -75.0, None, keep=lambda codes: codes > 0)


def paint_lungs(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> Floats:
    """Both lungs with vessels; returns the bool mask (I, J, K) of what lies below the diaphragm inside the trunk."""
    p, s = frame.p, frame.p.scale
    everything = canvas.whole
    x, y, z = canvas.coordinates(everything)
    half_width, half_depth, center = (part[None, None, :].astype(np.float32) for part in frame.cage(z[0, 0]))
    spine_x, spine_y = (part[None, None, :].astype(np.float32) for part in frame.spine(z[0, 0]))
    cage = ellipse_distance(x, y - center, half_width, half_depth, 2.3)
    dome = frame.dome(x[..., 0], y[..., 0])[:, :, None].astype(np.float32)
    # The mediastinum is widest before the spine and narrows towards the sternum; behind it the lungs lie beside the
    # vertebral bodies.
    ahead = np.clip((spine_y - 14 - y) / 95, 0, 1)
    wave = np.sin(z / (31 * s) + 9 * p.heart) + np.sin(z / (17 * s) + 5 * p.depth)
    # Great vessels and the thymus' remains fill the front of the upper mediastinum.
    narrowing = 0.5 * np.clip((500 - z / s) / 60, 0.1, 1)
    half_gap = (p.mediastinum_mm + 4 + 1.5 * wave) * (1 - narrowing * ahead**1.5)
    middle = np.abs(x - spine_x) - np.where(y < spine_y - 8, half_gap, 0)
    vertebra = ellipse_distance(x - spine_x, y - spine_y - 22, np.float32(32 * s), np.float32(46 * s))
    lung = np.maximum.reduce([cage, (dome - z) * 0.7, -middle, -vertebra])
    canvas.paint(everything, np.where(x >= spine_x, lung, 1e3), p.lung_hu, "lung_left")
    canvas.paint(everything, np.where(x < spine_x, lung, 1e3), p.lung_hu, "lung_right")
    _paint_vessels(canvas, frame, rng)
    return (z < dome) & (cage < 6) & (z > 120 * s)


def _paint_vessels(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> None:
    """Vessels that fan out from each hilum and thin towards the periphery."""
    p, s = frame.p, frame.p.scale

    def outside_lungs(codes: Floats) -> Floats:
        lungs = [code for code, name in canvas.names.items() if name in LUNGS]
        return ~np.isin(codes, lungs)

    for side in (-1, 1):
        hilum = np.array([side * (p.mediastinum_mm + 14), 5.0, (408 - 8 * side) * s])
        canvas.ellipsoid(hilum, (13 * s, 17, 26 * s), 35.0, None, keep=outside_lungs)
        for _ in range(p.vessels):
            _branch(canvas, hilum + rng.normal(0, 6, 3), side, rng, outside_lungs)


def _branch(canvas: Canvas, start: Floats, side: int, rng: np.random.Generator, keep: Keep) -> None:
    direction = rng.normal(0, 1, 3) * [0.9, 0.7, 1.1] + [side * 0.8, 0.1, -0.15]
    stack = [(start, direction / np.linalg.norm(direction), rng.uniform(2.6, 4.6), rng.uniform(30, 60))]
    while stack:
        at, heading, radius, length = stack.pop()
        bend = rng.normal(0, 0.16, (4, 3))
        points, radii = [at], [radius]
        for turn in bend:
            heading = heading + turn
            heading = heading / np.linalg.norm(heading)
            points.append(points[-1] + heading * length / 4)
            radii.append(radii[-1] * 0.93)
        canvas.tube(np.array(points), np.array(radii), 30.0, None, keep=keep)
        if radii[-1] > 0.8:
            for _ in range(2):
                fork = heading + rng.normal(0, 0.45, 3)
                stack.append((points[-1], fork / np.linalg.norm(fork), radii[-1] * 0.7, length * 0.72))


def paint_heart(canvas: Canvas, frame: Frame) -> None:
    """Heart, aorta, and the airway down to the main bronchi."""
    p, s = frame.p, frame.p.scale
    floor = 0.5 * (p.dome_right_mm + p.dome_left_mm) * s - 8
    tilt = np.deg2rad(p.heart_tilt_deg)
    turn = np.array([[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]])
    center = np.array([24 + p.heart_shift_mm, -26 * p.depth, floor + 34 * p.heart * s])
    canvas.ellipsoid(center, np.array([76, 52 * p.depth, 54]) * p.heart * s, BLOOD_HU, "heart", rotation=turn)
    base = center + [-18, 4, 40 * p.heart * s]
    canvas.ellipsoid(base, np.array([38, 36, 46]) * p.heart * s, BLOOD_HU, "heart")
    arch_z = 468 * s
    spine_x, spine_y = (float(v) for v in frame.spine(arch_z))
    angle = np.linspace(0, np.pi, 12)
    arch = np.stack([2 + 10 * (1 - np.cos(angle)), 10 - 36 * np.cos(angle), arch_z + 20 * np.sin(angle) - 14], axis=1)
    arch[:, 1] += 0.3 * spine_y
    ascending = np.linspace(base + [4, -4, 20], arch[0], 6)
    down = np.linspace(arch_z - 14, 120 * s, 24)
    descending = np.stack([20 + np.asarray(frame.spine(down)[0]), np.asarray(frame.spine(down)[1]) - 22, down], axis=1)
    canvas.tube(np.concatenate([ascending, arch, descending]), 13.5 * s, BLOOD_HU, "aorta")
    _paint_airway(canvas, frame, spine_x, spine_y)


def _paint_airway(canvas: Canvas, frame: Frame, spine_x: float, spine_y: float) -> None:
    s = frame.p.scale
    top, carina = 640 * s, 432 * s
    front = spine_y - 34 * s
    canvas.tube([[spine_x, front - 12, top], [spine_x + 1, front - 6, 520 * s], [spine_x + 3, front, carina]], 8.5 * s,
                AIR_HU, "trachea")  # fmt: skip
    for side, reach, drop in ((-1, 36, 26), (1, 44, 22)):
        canvas.tube([[spine_x + 3, front, carina], [spine_x + side * reach, front, carina - drop * s]], 6 * s, AIR_HU,
                    "trachea")  # fmt: skip


def paint_abdomen(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> None:
    """Liver, spleen, stomach with its gas bubble, kidneys, bladder, bowel with gas, over a bed of fat and bowel."""
    p, s = frame.p, frame.p.scale

    def not_free(codes: Floats) -> Floats:
        return codes > 0

    half_width, half_depth, _ = (float(v) for v in frame.skin(180 * s))
    canvas.ellipsoid((0, -12, 150 * s), (half_width - 26, half_depth - 24, 165 * s), 5.0, None, keep=not_free)
    right, left = p.dome_right_mm * s, p.dome_left_mm * s
    canvas.ellipsoid(
        (-62 * p.width * s, -8, right - 66), (84 * p.width, 82 * p.depth, 72), LIVER_HU, "liver", keep=not_free
    )
    canvas.ellipsoid((10, -40 * p.depth, right - 62), (70, 40, 48), LIVER_HU, "liver", keep=not_free)
    canvas.ellipsoid((92 * p.width * s, 38, left - 62), (28, 42, 46), 52.0, "spleen", keep=not_free)
    canvas.ellipsoid((62 * p.width, -22, left - 44), (44, 44, 38), 35.0, "stomach", keep=not_free)
    if p.stomach_gas > 0.25:
        size = 12 + 24 * p.stomach_gas
        canvas.ellipsoid(
            (62 * p.width, -34, left - 8 - size * 0.75),
            (size * 1.15, size, size * 0.72),
            AIR_HU,
            "stomach",
            keep=lambda codes: codes == canvas.code("lung_left"),
        )
    for side, drop in ((-1, 12), (1, 0)):
        canvas.ellipsoid((side * 58, 42, (195 - drop) * s), (26, 24, 52), 35.0, f"kidney_{_side(side)}", keep=not_free)
    canvas.ellipsoid((0, -38, 18 * s), (38, 34, 30), 8.0, "urinary_bladder", keep=not_free)
    for _ in range(int(rng.integers(4, 16))):
        at = (rng.uniform(-100, 100) * p.width, rng.uniform(-70, 0) * p.depth, rng.uniform(40, 215) * s)
        canvas.ellipsoid(at, rng.uniform(6, 18, 3), AIR_HU, None, keep=not_free)


def _side(side: int) -> str:
    return "left" if side > 0 else "right"
