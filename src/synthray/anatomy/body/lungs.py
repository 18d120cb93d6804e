"""Lungs between chest wall, diaphragm and mediastinum, with trees of vessels and bronchi that reach the pleura."""

from __future__ import annotations

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.fields import codes_of, cross, grid, join, paint_field
from synthray.anatomy.body.frame import Frame, ellipse_distance
from synthray.anatomy.body.heart import carina_mm, mediastinum_field

LUNGS = ("lung_left", "lung_right")
# Ends of each arterial and each venous tree; radii at the hilum in mm (an interlobar artery is about 14 mm wide).
_TWIGS, _ROOT_MM = 420, 6.6
MEDIASTINAL_FAT_HU = -70.0


def paint_lungs(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> Floats:
    """Both lungs; returns the bool mask (I, J, K) of what lies below the diaphragm inside the trunk."""
    p = frame.p
    area = grid(canvas, step_mm=4.0)
    half_width, half_depth, center = (np.asarray(c, dtype=np.float32)[None, None] for c in frame.cage(area.z[0, 0]))
    cage = ellipse_distance(area.x, area.y - center, half_width, half_depth, 2.2)
    cage = np.maximum(cage, area.z - np.float32(frame.height(574.0)))
    dome = dome_mm(frame, area.x, area.y)
    middle = mediastinum_field(frame, area)
    lung = cross(cross(cage, (dome - area.z) * np.float32(0.75), 3.0), -middle, 5.0)
    split = np.asarray(0.7 * frame.spine(area.z)[0], dtype=np.float32) + 2
    # Fat fills the chest around heart and vessels.
    paint_field(canvas, area, np.maximum(cage, dome - area.z), MEDIASTINAL_FAT_HU, None)
    paint_field(canvas, area, np.maximum(lung, split - area.x), p.lung_hu, "lung_left")
    paint_field(canvas, area, np.maximum(lung, area.x - split), p.lung_hu, "lung_right")
    for side in (-1, 1):
        inside = np.argwhere(np.broadcast_to((lung < -2) & ((area.x - split) * side > 3), lung.shape))
        if len(inside) > 50:
            start = np.array([area.x.flat[0], area.y.flat[0], area.z.flat[0]])
            _paint_trees(canvas, frame, side, start + area.step_mm * inside, rng)
    return _below(canvas, frame)


def dome_mm(frame: Frame, x: Floats, y: Floats) -> Floats:
    """Height of the diaphragm at (x, y) in mm: a dome on each side, the heart's bed a little lower between them."""
    p, s = frame.p, frame.p.scale
    half_width, half_depth, center = (float(c) for c in frame.cage(float(frame.height(340.0))))
    dy = (y - center + 0.15 * half_depth) / (1.2 * half_depth)
    found: Floats = np.full((1, 1, 1), -1e3, dtype=np.float32)
    drops = ((-0.46, p.dome_right_mm, 0.62, 0.0), (0.46, p.dome_left_mm, 0.62, 0.0),
             (0.06, 0.5 * (p.dome_right_mm + p.dome_left_mm), 0.6, 16.0))  # fmt: skip
    for across, top, wide, lower in drops:
        square = ((x - across * half_width) / (wide * half_width)) ** 2 + dy**2
        height = float(frame.height(top)) - (lower + p.dome_drop_mm * square**1.25) * s
        found = -join(-found, -height.astype(np.float32), 14.0)
    return found


def _below(canvas: Canvas, frame: Frame) -> Floats:
    """(I, J, K) bool: inside the chest's or belly's wall, under the domes."""
    x, y, z = canvas.coordinates(canvas.whole)
    half_width, half_depth, center = (np.asarray(c, dtype=np.float32)[None, None] for c in frame.cage(z[0, 0]))
    dome = dome_mm(frame, x, y)
    across = np.abs(x / half_width) ** 2 + ((y - center) / half_depth) ** 2
    return (z < dome) & (across < 1.1) & (z > 120 * frame.p.scale)


def _paint_trees(canvas: Canvas, frame: Frame, side: int, places: Floats, rng: np.random.Generator) -> None:
    """Arteries, veins and bronchi of one lung; bronchi run beside the larger arteries."""
    from synthray.anatomy.body.soft_kernels import paint_capsules

    s = frame.p.scale
    hilum = carina_mm(frame) + np.array([side * 34, 0, -14 if side > 0 else -24]) * s
    own = codes_of(canvas, LUNGS, free=False)

    def paint(ends: Floats, radii: Floats, value: float) -> None:
        paint_capsules(canvas.hu, canvas.codes, canvas.origin_mm, canvas.voxel_mm, ends, radii, value, own, 0)

    low, high = places[:, 2].min(), places[:, 2].max()
    for start, root in ((hilum, _ROOT_MM), (hilum + np.array([-side * 6, -6, -16]) * s, 0.85 * _ROOT_MM)):
        picked = places[rng.permutation(len(places))[:_TWIGS]] + rng.uniform(-2, 2, (min(_TWIGS, len(places)), 3))
        ends, radii = vessel_tree(start, picked, root * s, rng)
        # Standing, blood goes to the bases.
        radii = radii * (1.12 - 0.4 * (ends[..., 2] - low) / (high - low))
        paint(ends, radii, 40.0)
        if root == _ROOT_MM:
            wide = radii.min(axis=1) > 1.1
            shift = np.array([-side * 0.5, 0.75, 0.4])
            beside = ends[wide] + shift * 1.9 * radii[wide][..., None]
            paint(beside, radii[wide] * 0.85 + 0.7, 20.0)
            paint(beside, radii[wide] * 0.85, -960.0)


def vessel_tree(root_mm: Floats, ends_mm: Floats, radius_mm: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A tree from a root to all of some points: capsules (n, 2, 3) and their radii (n, 2) in mm.

    Each branch runs half way to the middle of the points that it feeds, which are then halved across their longest
    extent; radii follow Murray's law, r³ = sum of the branches' r³ (Murray, PNAS 1926;12:207), and the last twigs thin
    out further.
    """
    capsules, radii = [], []
    twig = radius_mm / len(ends_mm) ** (1 / 3)
    stack: list[tuple[Floats, float, Floats]] = [(np.asarray(root_mm, dtype=np.float64), radius_mm, ends_mm)]
    while stack:
        at, wide, fed = stack.pop()
        if len(fed) == 1:
            bend = 0.5 * (at + fed[0]) + rng.normal(0, 0.06, 3) * np.linalg.norm(fed[0] - at)
            capsules += [(at, bend), (bend, fed[0])]
            radii += [(twig, 0.75 * twig), (0.75 * twig, 0.35 * twig)]
            continue
        way = 0.42 * (fed.mean(axis=0) - at)
        tip = at + way + rng.normal(0, 0.1, 3) * np.linalg.norm(way)
        bend = 0.5 * (at + tip) + rng.normal(0, 0.07, 3) * np.linalg.norm(way)
        thin = twig * len(fed) ** (1 / 3)
        capsules += [(at, bend), (bend, tip)]
        radii += [(wide, 0.5 * (wide + thin)), (0.5 * (wide + thin), thin)]
        axis = np.linalg.svd(fed - fed.mean(axis=0), full_matrices=False)[2][0]
        along = (fed - fed.mean(axis=0)) @ axis
        cut = np.quantile(along, rng.uniform(0.32, 0.68))
        parts = (fed[along <= cut], fed[along > cut])
        halves = parts if len(parts[1]) else (fed[:1], fed[1:])
        stack.extend((tip, twig * len(part) ** (1 / 3), part) for part in halves)
    return np.array(capsules), np.array(radii)
