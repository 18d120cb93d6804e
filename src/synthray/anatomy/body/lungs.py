"""Lungs between chest wall, diaphragm and mediastinum, with trees of vessels and bronchi that reach the pleura."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.fields import Grid, codes_of, cross, grid, join, paint_field
from synthray.anatomy.body.frame import Frame, ellipse_distance
from synthray.anatomy.body.heart import artery_radii_mm, bronchus_line, mediastinum_field, pulmonary_lines

LUNGS = ("lung_left", "lung_right")
# Vessels have codes of their own per lung, so that they belong to their lung and to `lung_vessels`.
VESSELS = MappingProxyType({"lung_left": "lung_vessels_left", "lung_right": "lung_vessels_right"})
# Ends of each arterial and each venous tree; radii at the hilum in mm (an interlobar artery is about 14 mm wide).
_TWIGS, _ROOT_MM, _BRONCHI = 440, 7.2, 36
# Elevation seen from the hilum that parts the basal, lower, middle and upper branches.
_FAN_DEG = (-58.0, -28.0, 12.0)
MEDIASTINAL_FAT_HU = -20.0


def lung_codes(canvas: Canvas) -> list[int]:
    """Codes of both lungs, their vessels included."""
    return [code for code, name in canvas.names.items() if name in (*LUNGS, *VESSELS.values())]


def with_vessels(names: Mapping[int, str]) -> dict[str, tuple[int, ...]]:
    """Structures of painted codes: each lung with its vessels, and all vessels once more as `lung_vessels`."""
    found: dict[str, tuple[int, ...]] = {name: (code,) for code, name in names.items() if name not in VESSELS.values()}
    vessels = {name: code for code, name in names.items() if name in VESSELS.values()}
    for lung, vessel in VESSELS.items():
        if vessel in vessels:
            found[lung] = (*found.get(lung, ()), vessels[vessel])
    return {**found, "lung_vessels": tuple(vessels.values())} if vessels else found


def paint_lungs(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> Floats:
    """Both lungs; returns the bool mask (I, J, K) of what lies below the diaphragm inside the trunk."""
    p = frame.p
    area = grid(canvas, step_mm=4.0)
    half_width, half_depth, center = (np.asarray(c, dtype=np.float32)[None, None] for c in frame.cage(area.z[0, 0]))
    cage = ellipse_distance(area.x, area.y - center, half_width, half_depth, 2.2)
    cage = np.maximum(cage, area.z - np.float32(frame.height(574.0)))
    dome = dome_mm(frame, area.x, area.y)
    middle = _middle(frame, area)
    lung = cross(cross(cross(cage, (dome - area.z) * np.float32(0.75), 3.0), -middle, 5.0), _cupolas(frame, area), 6.0)
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


def _cupolas(frame: Frame, area: Grid) -> Floats:
    """Signed distance to the room under the two domes of pleura that end the lungs above, one beside the spine each."""
    s = frame.p.scale
    across = 58.0 * s * frame.p.width
    beside = np.abs(area.x - frame.spine(area.z)[0]) - 40.0 * s * frame.p.width
    above = np.maximum(area.z - frame.height(528.0), 0) / (46 * s)
    found: Floats = (np.sqrt((beside / across) ** 2 + above**2) - 1).astype(np.float32) * np.float32(across)
    # Below, where the domes begin, chest wall and mediastinum alone are the borders.
    return np.where(above > 0, found, np.minimum(found, -20)).astype(np.float32)


def _middle(frame: Frame, area: Grid) -> Floats:
    """Signed distance to the mediastinum, computed where it can be and 60 mm elsewhere."""
    found = np.full((area.x.size, area.y.size, area.z.size), 60.0, dtype=np.float32)
    near = np.flatnonzero(np.abs(area.x.ravel() - frame.spine(area.z.ravel().mean())[0]) < 130 * frame.p.scale)
    part = slice(near[0], near[-1] + 1)
    found[part] = mediastinum_field(frame, replace(area, x=area.x[part]))
    return found


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
    """Arteries and veins of one lung, which taper out to the pleura, and bronchi from the main bronchus' end."""
    from synthray.anatomy.body.soft_kernels import paint_capsules

    s = frame.p.scale
    name = LUNGS[0] if side > 0 else LUNGS[1]
    own = codes_of(canvas, (*LUNGS, *VESSELS.values()), free=False)
    vessel = canvas.code(VESSELS[name])
    low, high = places[:, 2].min(), places[:, 2].max()

    def paint(ends: Floats, radii: Floats, value: float, code: int) -> None:
        paint_capsules(canvas.hu, canvas.codes, canvas.origin_mm, canvas.voxel_mm, ends, radii, value, own, code)

    def tree(start: Floats, count: int, root: float, held: Floats) -> tuple[Floats, Floats]:
        picked = places[held][rng.permutation(int(held.sum()))[:count]]
        return vessel_tree(start, picked + rng.uniform(-2, 2, picked.shape), root * s, rng)

    artery = pulmonary_lines(frame)[side]
    stem, wide = artery[14:], artery_radii_mm(frame)[14:]
    paint(np.stack([stem[:-1], stem[1:]], axis=1), np.stack([wide[:-1], wide[1:]], axis=1), 40.0, vessel)
    # Branches fan out: those to the apex leave the stem first, those to the base last.
    away = places - artery[18]
    fan = np.rad2deg(np.arctan2(away[:, 2], side * away[:, 0] + 25 * s))
    sector = np.digitize(fan + rng.normal(0, 12, len(fan)), _FAN_DEG)
    shift = np.array([-side * 10, -9, -14]) * s
    # Coarse voxels don't show the last twigs.
    twigs = _TWIGS * min(1.0, 3.5 / canvas.voxel_mm)
    for roots, size in ((artery[[29, 24, 18, 14]], 1.0), (artery[[22, 20, 17, 14]] + shift, 0.85)):
        for number, start in enumerate(roots):
            held = sector == number
            share = float(held.mean())
            if held.sum() > 20:
                ends, radii = tree(start, int(share * twigs) + 1, size * _ROOT_MM * share ** (1 / 3), held)
                # Standing, blood goes to the bases.
                radii = np.minimum(radii, 3.1 * s)
                paint(ends, radii * (1.12 - 0.4 * (ends[..., 2] - low) / (high - low)), 40.0, vessel)
    ends, radii = tree(bronchus_line(frame, side)[-1], _BRONCHI, 5.4, np.ones(len(places), dtype=bool))
    wide = radii.min(axis=1) > 0.9
    paint(ends[wide], radii[wide] + 0.8, 20.0, 0)
    paint(ends[wide], radii[wide], -960.0, canvas.code(name))


def vessel_tree(root_mm: Floats, ends_mm: Floats, radius_mm: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A tree from a root to all of some points: capsules (n, 2, 3) and their radii (n, 2) in mm.

    Each branch runs a third of the way to the middle of the points that it feeds, which are then halved across their
    longest extent; radii follow Murray's law, r³ = sum of the branches' r³ (Murray, PNAS 1926;12:207), and the last
    twigs thin out further.
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
        way = 0.34 * (fed.mean(axis=0) - at)
        tip = at + way + rng.normal(0, 0.1, 3) * np.linalg.norm(way)
        bend = 0.5 * (at + tip) + rng.normal(0, 0.07, 3) * np.linalg.norm(way)
        thin = twig * len(fed) ** (1 / 3)
        capsules += [(at, bend), (bend, tip)]
        radii += [(wide, 0.5 * (wide + thin)), (0.5 * (wide + thin), thin)]
        axis = np.linalg.svd(fed - fed.mean(axis=0), full_matrices=False)[2][0]
        along = (fed - fed.mean(axis=0)) @ axis
        cut = np.sort(along)[int(rng.uniform(0.32, 0.68) * (len(fed) - 1))]
        parts = (fed[along <= cut], fed[along > cut])
        halves = parts if len(parts[1]) else (fed[:1], fed[1:])
        stack.extend((tip, twig * len(part) ** (1 / 3), part) for part in halves)
    return np.array(capsules), np.array(radii)
