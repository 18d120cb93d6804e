"""Clavicles, scapulae, humeri and forearms, with the arms down, up or absent."""

from __future__ import annotations

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.frame import Frame
from synthray.anatomy.body.shapes import Part, ball, paint, rod, sheet, spline


def paint_shoulders(canvas: Canvas, frame: Frame) -> dict[str, Floats]:
    """Both shoulder girdles and, unless they are absent, the arms' bones; returns named points."""
    landmarks: dict[str, Floats] = {}
    for side, name in ((1, "left"), (-1, "right")):
        paint(canvas, [_clavicle(frame, side)], frame.bone(1200, 170, 2.0), f"clavicula_{name}")
        parts, points = scapula(frame, side)
        paint(canvas, parts, frame.bone(1100, 80, 0.9), f"scapula_{name}")
        landmarks |= {f"{key}_{name}": at for key, at in points.items()}
        if frame.p.arms != "absent":
            landmarks |= {f"{key}_{name}": at for key, at in _paint_arm(canvas, frame, side, name).items()}
    return landmarks


def acromion_mm(frame: Frame, side: int) -> Floats:
    """(3,) the middle of the acromion, above the humeral head."""
    s = frame.p.scale
    return frame.shoulder_mm(side) + np.array([side * 1, 9, 33]) * s


def clavicle_ends_mm(frame: Frame, side: int) -> tuple[Floats, Floats]:
    """Where a clavicle meets the breastbone and the acromion."""
    s, z = frame.p.scale, float(frame.height(521.0))
    half_depth, center = (float(c) for c in frame.cage(z)[1:])
    start = np.array([side * 21.0 * s, center - half_depth - 9 * s, z + 5 * s])
    return start, acromion_mm(frame, side) + np.array([-side * 15, -9, -1]) * s


def _clavicle(frame: Frame, side: int) -> Part:
    """An S seen from above: bowed forwards at its inner two thirds, backwards at its outer third."""
    s = frame.p.scale
    start, end = clavicle_ends_mm(frame, side)
    t = np.array([0, 0.2, 0.42, 0.64, 0.84, 1.0])[:, None]
    bow = np.array([[0, 0, 0], [0, -11, 2], [0, -11, 6], [0, 2, 9], [0, 10, 6], [0, 2, 0]]) * s
    line = spline(start + t * (end - start) + bow, 36)
    at = np.linspace(0, 1, 36)
    tall = np.interp(at, [0, 0.07, 0.25, 0.5, 0.75, 0.9, 1], [12.0, 10.8, 7.6, 6.4, 6.0, 5.6, 5.0]) * s
    deep = np.interp(at, [0, 0.07, 0.25, 0.5, 0.75, 0.9, 1], [9.5, 8.8, 6.6, 6.2, 7.2, 10, 9]) * s
    return rod(line, tall, deep, axis=(0, 0, 1))


def _glenoid_mm(frame: Frame, side: int) -> tuple[Floats, Floats]:
    """The middle of the socket and of the neck behind it."""
    s = frame.p.scale
    glenoid = frame.shoulder_mm(side) + np.array([-side * 25, 5, -2]) * s
    return glenoid, glenoid + np.array([-side * 9, 3, 0]) * s


def blade_mm(frame: Frame, side: int) -> Floats:
    """(16, 9, 3) the shoulder blade's middle surface, from its upper to its lower angle and from inside to outside."""
    p, s = frame.p, frame.p.scale
    out = p.scapula_out_mm + (20 if p.arms == "up" else 0)
    _, neck = _glenoid_mm(frame, side)
    rise = frame.shoulder_mm(side)[2] - float(frame.height(500.0))
    top = np.array([side * (72 + 0.7 * out) * s, 0, float(frame.height(538.0)) + 0.6 * rise])
    tip = np.array([side * (82 + 1.5 * out) * s, 0, float(frame.height(418.0)) + 0.6 * rise])
    root = np.array([side * (66 + out) * s, 0, float(frame.height(512.0)) + 0.6 * rise])
    inner = spline([top, root, 0.5 * (root + tip) + np.array([-side * 1, 0, 0]), tip], 16)
    outer = spline([neck + np.array([-side * 12, 2, 17]) * s, neck + np.array([0, 0, 2]) * s,
        neck + np.array([-side * 4, 2, -16]) * s,
                    0.55 * neck + 0.45 * tip + np.array([side * 3, 0, 0]), tip], 16)  # fmt: skip
    t = np.linspace(0, 1, 9)[None, :, None]
    grid = (1 - t) * inner[:, None] + t * outer[:, None]
    grid[..., 1] = _behind_ribs(frame, grid, outer)
    return grid


def scapula(frame: Frame, side: int) -> tuple[list[Part], dict[str, Floats]]:
    """A blade on the back of the chest with its spine, acromion, coracoid and glenoid."""
    s, head, grid = frame.p.scale, frame.shoulder_mm(side), blade_mm(frame, side)
    glenoid, neck = _glenoid_mm(frame, side)
    thick = 1.6 * s + 1.6 * np.abs(np.linspace(-1, 1, 9)) ** 3 * np.ones((16, 1))
    border = grid[:, -1]
    ridge = spline([grid[4, 0], grid[4, 4] + np.array([0, 10, 8]) * s, neck + np.array([-side * 6, 22, 22]) * s], 12)
    base = spline([grid[4, 0], grid[4, 4], neck + np.array([-side * 8, 4, 8]) * s], 12)
    acromion = acromion_mm(frame, side)
    parts = [
        sheet(grid, thick),
        rod(border[2:], np.linspace(5.5, 3.6, 14) * s, np.linspace(5, 3, 14) * s, blend_mm=5),
        rod(grid[:, 0], 2.2 * s, blend_mm=4),
        rod([grid[15, 4], grid[14, 2]], 3.4 * s, blend_mm=5),
        sheet(np.stack([base, ridge]), np.array([[2.0] * 12, [4.0] * 12]) * s, blend_mm=4),
        rod(ridge, np.linspace(3, 5.5, 12) * s, np.linspace(2.6, 4, 12) * s, blend_mm=5),
        rod(spline([ridge[-1], acromion + np.array([side * 1, 9, 0]) * s, acromion + np.array([-side * 2, -12,
        1]) * s], 8),
            np.array([5, 4.6, 4.4, 4.4, 4.4, 4.2, 4, 3.6]) * s, np.array([8, 10, 11, 12, 12, 11, 10, 9]) * s,
                blend_mm=6),
        rod(spline([neck + np.array([-side * 4, -2, 14]) * s, neck + np.array([side * 2, -18, 24]) * s,
        neck + np.array([side * 14, -30, 17]) * s], 8),
            np.linspace(7, 4.5, 8) * s, np.linspace(8, 5.5, 8) * s, blend_mm=6),
        ball(glenoid + np.array([-side * 4, 1, 0]) * s, np.array([7, 12.5, 18]) * s, blend_mm=8,
        shell=frame.bone(1150, 260, 1.5)),
        ball(head, 26.0 * s).cutting(1),
    ]  # fmt: skip
    return parts, {
        "acromion": acromion + np.array([side * 11, 0, 1]) * s,
        "glenoid": glenoid,
        "scapula_tip": grid[-1, 0],
    }


def _behind_ribs(frame: Frame, grid: Floats, outer: Floats) -> Floats:
    """Depth of the blade's points: on the back of the chest wall, running forwards to the glenoid's neck."""
    s = frame.p.scale
    half_width, half_depth, center = frame.cage(np.minimum(grid[..., 2], frame.height(505.0)))
    half_width, half_depth = half_width + 15 * s, half_depth + 15 * s
    share = np.clip(1 - np.abs(grid[..., 0] / half_width) ** 2.3, 0, 1) ** (1 / 2.3)
    wall = center + half_depth * np.maximum(share, 0.25)
    t = np.linspace(0, 1, grid.shape[1])[None, :]
    near = np.clip(1 - np.arange(len(grid)) / 11, 0, 1)[:, None] ** 0.7
    return wall + t**2 * near * (outer[:, None, 1] - wall)


def _paint_arm(canvas: Canvas, frame: Frame, side: int, name: str) -> dict[str, Floats]:
    s = frame.p.scale
    head, elbow = frame.shoulder_mm(side), frame.elbow_mm(side)
    axis = (elbow - head) / np.linalg.norm(elbow - head)
    out = np.array([side, 0, 0.0]) - axis * axis[0] * side
    out /= np.linalg.norm(out)
    if frame.p.arms == "up":
        out = -out
    start = head + out * 11 * s + axis * 12 * s
    line = spline(
        [start, start + axis * 40 * s - out * 3 * s, 0.5 * (start + elbow), elbow - axis * 34 * s, elbow - axis * 4], 30
    )
    t = np.linspace(0, 1, 30)
    wide = np.interp(t, [0, 0.1, 0.25, 0.6, 0.8, 0.95, 1], [21, 17.5, 12, 10.8, 13, 26, 24]) * s
    deep = np.interp(t, [0, 0.1, 0.25, 0.6, 0.8, 0.95, 1], [18, 15, 11.5, 10.8, 9.5, 8, 9]) * s
    parts = [
        ball(head, np.array([22.0, 22.5, 23.5]) * s, blend_mm=6, shell=frame.bone(1100, 170, 0.8)),
        rod(
            [start - axis * 17 * s + out * 3 * s, start + axis * 6 * s + out * 1.5 * s, start + axis * 34 * s],
            np.array([12.5, 15, 13]) * s,
            blend_mm=10,
            shell=frame.bone(1100, 120, 1.4),
        ),
        rod(line[2:], wide[2:], deep[2:], axis=out, blend_mm=8, shell=frame.bone(1550, -20, 3.8)),
    ]
    paint(canvas, parts, frame.bone(1200, 210, 1.3), f"humerus_{name}")
    _paint_forearm(canvas, frame, side, name, elbow, axis, out)
    return {"humeral_head": head, "elbow": elbow}


def _paint_forearm(
    canvas: Canvas, frame: Frame, side: int, name: str, elbow: Floats, axis: Floats, out: Floats
) -> None:
    """Radius and ulna, bent a little at the elbow: forwards with the arms down, over the head with them up."""
    s = frame.p.scale
    bend = np.array([-side * 0.25, -0.25, 0]) if frame.p.arms == "down" else np.array([-side * 0.8, 0.0, 0.1])
    way = axis + bend
    way = way / np.linalg.norm(way) * 0.146 * 10 * frame.p.height_cm
    shell = frame.bone(1450, 60, 2.6)
    for label, shift, radii in (("ulna", -9.0, [11, 8, 6.5, 5]), ("radius", 10.0, [10, 6.5, 7, 11])):
        start = elbow + out * shift * s + axis * 4
        line = spline([start, start + 0.2 * way, start + 0.6 * way, start + way], 16)
        paint(canvas, [rod(line, np.interp(np.linspace(0, 3, 16), range(4), radii) * s)], shell, f"{label}_{name}")
