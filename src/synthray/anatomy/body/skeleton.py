"""Spine, ribs, sternum, shoulder girdle and upper arms."""

from __future__ import annotations

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats, Shell
from synthray.anatomy.body.frame import Frame
from synthray.anatomy.body.trunk import MUSCLE_HU

CARTILAGE_HU = 110.0


def paint_spine(canvas: Canvas, frame: Frame) -> dict[str, Floats]:
    """Vertebrae L5 to C1 with arches and processes; returns their centres as landmarks."""
    landmarks = {}
    bone = frame.bone(900, 260, 1.6)
    for name, z, pitch in frame.vertebrae():
        x, y = (float(v) for v in frame.spine(z))
        size = pitch / 36.0
        half_width, half_depth = 10 + 14.5 * size, 8 + 9.5 * size
        landmarks[f"{name}_center"] = np.array([x, y, z])
        _vertebral_body(canvas, (x, y, z), half_width, half_depth, pitch * 0.40, bone, name)
        back = y + half_depth
        for side in (-1, 1):
            pedicle = [x + side * half_width * 0.62, back, z + 0.12 * pitch]
            lamina = [x + side * 10, back + 17, z - 0.05 * pitch]
            spinous_root = [x, back + 24, z - 0.12 * pitch]
            canvas.tube(
                [[pedicle[0], y + half_depth * 0.5, pedicle[2]], pedicle, lamina, spinous_root], 4.0 + size, bone, name
            )
            reach = half_width + (16 if "T" in name or "L" in name else 4)
            canvas.tube([lamina, [x + side * reach, back + 12, z + 0.05 * pitch]], 3.6, bone, name)
        drop = 0.85 if "T" in name else 0.3
        canvas.tube([[x, back + 22, z - 0.1 * pitch], [x, back + 42, z - drop * pitch]], 3.4, bone, name,
                    flatten=(0.8, 1.0, 1.5))  # fmt: skip
    return landmarks


def _vertebral_body(
    canvas: Canvas, center: tuple[float, float, float], half_width: float, half_depth: float, half_height: float,
    bone: Shell, name: str,
) -> None:  # fmt: skip
    reach = np.array([half_width, half_depth, half_height])
    box = canvas.box(np.array(center) - reach, np.array(center) + reach)
    x, y, z = (c - at for c, at in zip(canvas.coordinates(box), center, strict=True))
    waist = 1 - 0.12 * (1 - (z / half_height) ** 2)
    radial = (np.sqrt((x / half_width) ** 2 + (y / half_depth) ** 2) - waist) * half_depth
    canvas.paint(box, np.maximum(radial, np.abs(z) - half_height), bone, name)


def paint_ribs(canvas: Canvas, frame: Frame) -> None:
    """Twelve pairs of ribs on the rib cage's surface, their cartilage, and the sternum."""
    bone = frame.bone(1350, 330, 1.9)
    heights = {name: z for name, z, _ in frame.vertebrae()}
    for number in range(1, 13):
        for side in (-1, 1):
            path = _rib_path(frame, heights[f"vertebrae_T{number}"], number, side)
            end = len(path) if number < 11 else int(len(path) * (0.5 if number == 11 else 0.36))
            split = min(end, int(len(path) * (0.80 if number > 1 else 0.86)))
            name = f"rib_{'left' if side > 0 else 'right'}_{number}"
            thick = 3.7 if number > 1 else 4.4
            canvas.tube(path[:split], thick, bone, name, flatten=(1, 1, 1.75))
            if number <= 10 and split < end:
                canvas.tube(path[split - 1 : end], thick, CARTILAGE_HU, None, flatten=(1, 1, 1.6), keep=lambda c: c > 0)
    _paint_sternum(canvas, frame, bone)


def _rib_path(frame: Frame, z_head: float, number: int, side: int) -> Floats:
    """(n, 3) centre line of a rib from its head along the cage to the sternum."""
    s = frame.p.scale
    t = np.linspace(0, 1, 64)
    fall = (22 + 8.0 * min(number, 8) + 2.0 * max(number - 8, 0)) * frame.p.rib_slope * s
    # Ribs fall steadily to the front; the cartilage of the lower ones climbs back to the sternum.
    z = z_head - fall * np.sin(np.clip(t / 0.82, 0, 1) * np.pi / 2) ** 1.2
    climb = max(number - 4, 0) * 11.0 * s
    z = z + climb * np.clip((t - 0.82) / 0.18, 0, 1) ** 1.5
    half_width, half_depth, center = frame.cage(np.minimum(z, 532 * s))
    spine_x, _ = frame.spine(z_head)
    # Angle from the spine (0) along the side (90°) to the sternum (180°).
    angle = np.deg2rad(10 + 158 * t)
    x = spine_x * (1 - t) + side * (half_width + 3.5) * np.abs(np.sin(angle)) ** 0.87
    y = center + (half_depth + 3.5) * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.87
    return np.stack([x, y, z], axis=1)


def _paint_sternum(canvas: Canvas, frame: Frame, bone: Shell) -> None:
    s = frame.p.scale
    heights = np.linspace(515, 350, 12) * s
    half_depth, center = frame.cage(heights)[1:]
    points = np.stack([np.zeros(12), center - half_depth - 6, heights], axis=1)
    canvas.tube(points, np.linspace(7.5, 5, 12), bone, "sternum", flatten=(2.4, 0.8, 1))


def paint_shoulders(canvas: Canvas, frame: Frame) -> None:
    """Clavicles, scapulae, humeri, and the flesh of shoulders and arms around them."""
    p, s = frame.p, frame.p.scale
    bone = frame.bone(1050, 200, 2.2)
    top = 530 * s - p.shoulder_drop_mm
    for side in (-1, 1):
        name = "left" if side > 0 else "right"
        head = np.array([side * 168 * s * p.width, 22.0, top - 22])
        spread = np.deg2rad(p.arm_abduction_deg)
        elbow = head + 300 * s * np.array([side * np.sin(spread), 0.1, -np.cos(spread)])
        flesh = 40 + 0.6 * p.fat_mm + 8 * p.muscle
        for radius, value in ((flesh, -100.0), (flesh - 0.55 * p.fat_mm, MUSCLE_HU)):
            canvas.tube(
                [head * [0.62, 1, 1], head, elbow], [radius, radius, radius * 0.85], value, None, keep=lambda c: c > 0
            )
        canvas.ellipsoid(head, np.array([23, 23, 23]) * s, bone, f"humerus_{name}")
        canvas.tube([head, elbow], 11.0 * s, frame.bone(1300, -60, 4.5), f"humerus_{name}")
        _paint_clavicle(canvas, side, top, head, frame)
        _paint_scapula(canvas, side, head, frame)


def _paint_clavicle(canvas: Canvas, side: int, top: float, head: Floats, frame: Frame) -> None:
    _, half_depth, center = (float(v) for v in frame.cage(505 * frame.p.scale))
    start = np.array([side * 16.0, center - half_depth - 10, 512 * frame.p.scale])
    end = head + [-side * 10, -8, 26]
    t = np.linspace(0, 1, 20)[:, None]
    path = start + t * (end - start) + np.sin(2 * np.pi * t) * np.array([0, -13.0, 3.0])
    name = f"clavicula_{'left' if side > 0 else 'right'}"
    canvas.tube(path, np.linspace(7.5, 5.5, 20), frame.bone(1100, 150, 2.2), name)


def _paint_scapula(canvas: Canvas, side: int, head: Floats, frame: Frame) -> None:
    """A thin triangle behind the ribs with its spine, acromion and thicker outer border."""
    p, s = frame.p, frame.p.scale
    bone = frame.bone(1200, 250, 1.6)
    name = f"scapula_{'left' if side > 0 else 'right'}"
    half_width, half_depth, center = (float(v) for v in frame.cage(430 * s))
    glenoid = head + [-side * 26, 6, -2]
    inner_top = np.array([side * (78 + p.scapula_out_mm) * s, center + half_depth * 0.86 + 12, 505 * s])
    tip = np.array([side * (92 + 1.3 * p.scapula_out_mm) * s, center + half_depth * 0.82 + 12, 382 * s])
    tip[0] = side * min(abs(tip[0]), half_width + 14)
    for t in np.linspace(0, 1, 72):
        canvas.tube([glenoid + t * (tip - glenoid), inner_top + t * (tip - inner_top)], 1.6, bone, name)
    canvas.tube([glenoid, tip], 4.2, bone, name)
    ridge = 0.5 * (glenoid + inner_top) + [0, 16, 8]
    canvas.tube([inner_top + 0.25 * (tip - inner_top), ridge, head + [-side * 6, 12, 32]], 4.0, bone, name)
