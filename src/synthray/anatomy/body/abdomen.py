"""Organs of belly and pelvis in their bed of fat, with bowel, its contents and gas."""

from __future__ import annotations

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.envelope import build_for_weight, muscle_field
from synthray.anatomy.body.fields import Grid, codes_of, cross, ellipsoid, grid, join, paint_field, tube_field
from synthray.anatomy.body.flesh import belly_field
from synthray.anatomy.body.frame import Frame
from synthray.anatomy.body.heart import BLOOD_HU, aorta_line
from synthray.anatomy.body.lungs import dome_mm
from synthray.anatomy.body.shapes import spline

AIR_HU, LIVER_HU, SPLEEN_HU, KIDNEY_HU, WATER_HU, WALL_HU = -990.0, 54.0, 45.0, 32.0, 8.0, 40.0
_SIDES = ((1, "left"), (-1, "right"))


def paint_abdomen(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> None:
    """Liver to bladder; each organ keeps to free tissue, so the ones painted first stand before the later."""
    top = float(frame.height(max(frame.p.dome_right_mm, frame.p.dome_left_mm))) + 5
    low = float(frame.height(-20.0))
    wide, deep = 175 * frame.p.scale, 160 * frame.p.scale + frame.p.belly_mm
    area = grid(canvas, (-wide, -deep, low), (wide, deep, top), 4.0)
    if area.empty:
        return
    cavity = _cavity(frame, area)
    _paint_vessels(canvas, frame)
    kidneys = _paint_kidneys(canvas, frame, area)
    # The kidneys lie in fat of their own, more of it in stout people.
    room = np.maximum(cavity + 3, np.float32(5 + 0.25 * np.clip(frame.p.belly_mm, 0, 40)) - kidneys)
    for name, field, value in _solid_organs(frame, area):
        paint_field(canvas, area, np.maximum(field, room), value, name, over=codes_of(canvas))
    _paint_stomach(canvas, frame, area, cavity)
    _paint_pelvic_organs(canvas, frame, area)
    for name, line, radius in (
        ("colon", colon_line(frame, rng), 24.0),
        ("small_bowel", small_bowel_line(frame, rng), 13.0),
    ):
        _paint_bowel(canvas, frame, _held_in(area, cavity, line, radius * frame.p.scale), radius, name, rng)


def _held_in(area: Grid, cavity: Floats, line: Floats, radius_mm: float) -> Floats:
    """A bowel's centre line, pushed into the room of the belly where it comes too near to the wall."""
    room = np.broadcast_to(cavity, (area.x.size, area.y.size, area.z.size))
    slopes = np.gradient(room, area.step_mm)
    start = np.array([float(a.flat[0]) for a in (area.x, area.y, area.z)])
    points = line.copy()
    for _ in range(12):
        cell = tuple(np.clip(np.rint((points - start) / area.step_mm).astype(int), 0, np.array(room.shape) - 1).T)
        slope = np.stack([part[cell] for part in slopes], axis=1)
        steep = np.maximum(np.linalg.norm(slope, axis=1), 0.5)
        push = np.clip(room[cell] + 0.8 * radius_mm, 0, 8) / steep**2
        points -= 0.7 * push[:, None] * slope
    kernel = np.ones(5) / 5
    padded = np.pad(points, ((2, 2), (0, 0)), mode="edge")
    return np.stack([np.convolve(padded[:, axis], kernel, "valid") for axis in range(3)], axis=1)


def _cavity(frame: Frame, area: Grid) -> Floats:
    """Signed distance to the room inside the belly's wall, the lower ribs and the diaphragm."""
    half_width, half_depth, center = (np.asarray(c, dtype=np.float32)[None, None] for c in frame.cage(area.z[0, 0]))
    ribs = (np.sqrt((area.x / half_width) ** 2 + ((area.y - center) / half_depth) ** 2) - 1) * half_depth
    ribs = np.where(area.z > np.float32(frame.height(262.0)), ribs, np.float32(-60))
    under = (area.z - dome_mm(frame, area.x, area.y)) * np.float32(0.8)
    wall = belly_field(frame, area, muscle_field(frame, area, build_for_weight(frame).lean_mm))
    return np.maximum(np.maximum(ribs, under), wall)


def _solid_organs(frame: Frame, area: Grid) -> list[tuple[str, Floats, float]]:
    p, s = frame.p, frame.p.scale
    right, left = (float(frame.height(v)) for v in (p.dome_right_mm, p.dome_left_mm))
    wide, _, center = (float(c) for c in frame.cage(float(frame.height(320.0))))
    # The liver fills the room under the right dome; its lower edge rises towards the left.
    edge = right - (152 - 0.62 * (area.x + wide)) * s - 0.25 * (area.y - center)
    liver = cross(edge - area.z, (area.x - np.float32(0.42 * wide)), 24.0)
    liver = cross(liver, (area.y - np.float32(center + 62 * s)) * 0.9, 20.0)
    spleen = ellipsoid(area, (0.68 * wide, center + 34 * s, left - 62 * s), np.array([32, 46, 54]) * s, -18)
    gall = ellipsoid(area, (-0.42 * wide, center - 34 * s, right - 128 * s), np.array([14, 17, 27]) * s, 12)
    lumbar = frame.vertebra("vertebrae_L1")
    front = lumbar.center_mm + [0, -0.5 * lumbar.depth_mm - 34 * s, 0]
    line = spline(
        [front + np.array([-34, -2, -22]) * s, front + np.array([0, -8, 0]) * s, front + np.array([72, 26, 26]) * s], 16
    )
    pancreas = tube_field(area, line, np.interp(np.arange(16), [0, 6, 15], [15, 10, 9]) * s)
    return [
        ("gallbladder", gall, WATER_HU),
        ("spleen", spleen, SPLEEN_HU),
        ("pancreas", pancreas, 32.0),
        ("liver", liver, LIVER_HU),
    ]


def _paint_kidneys(canvas: Canvas, frame: Frame, area: Grid) -> Floats:
    """Kidneys along the psoas, the right one lower, with fat in the sinus; returns the distance to the nearer one."""
    s = frame.p.scale
    found: Floats = np.full((1, 1, 1), 400.0, dtype=np.float32)
    for side, name in _SIDES:
        v = frame.vertebra("vertebrae_L1" if side > 0 else "vertebrae_L2")
        at = v.center_mm + np.array([side * 62, 10, 4]) * s
        body = ellipsoid(area, at, np.array([27, 25, 55]) * s, side * 14)
        paint_field(canvas, area, body, KIDNEY_HU, f"kidney_{name}", over=codes_of(canvas))
        sinus = ellipsoid(area, at + np.array([-side * 10, -4, 0]) * s, np.array([12, 9, 24]) * s, side * 14)
        paint_field(canvas, area, sinus, -60.0, None, over=codes_of(canvas, [f"kidney_{name}"], free=False))
        found = np.minimum(found, body)
    return found


def _paint_stomach(canvas: Canvas, frame: Frame, area: Grid, cavity: Floats) -> None:
    """A J from under the left dome to before L2."""
    p, s = frame.p, frame.p.scale
    top = float(frame.height(p.dome_left_mm))
    wide, _, center = (float(c) for c in frame.cage(top - 50 * s))
    points = [
        [0.46 * wide, center + 8, top - 40 * s],
        [0.54 * wide, center - 18, top - 84 * s],
        [0.42 * wide, center - 34, top - 138 * s],
        [0.1 * wide, center - 42, top - 158 * s],
        [-0.16 * wide, center - 36, top - 140 * s],
    ]
    field = tube_field(area, spline(points, 40), np.interp(np.arange(40), [0, 8, 22, 39], [36, 35, 24, 13]) * s)
    field = np.maximum(field, cavity + 4)
    paint_field(canvas, area, field, (WALL_HU, 22.0), "stomach", edges_mm=(0, 4), over=codes_of(canvas))
    # The bodies stand, so gas gathers under the dome over a level of fluid.
    level = np.float32(top - (22 + 46 * p.stomach_gas) * s)
    gas = np.maximum(field + 4, level - area.z)
    paint_field(canvas, area, gas, AIR_HU, None, over=codes_of(canvas, ["stomach"], free=False))


def _paint_pelvic_organs(canvas: Canvas, frame: Frame, area: Grid) -> None:
    s = frame.p.scale
    fill = 0.75 + 0.5 * frame.p.stomach_gas
    bladder = ellipsoid(area, np.array([0, -22, 20 + 10 * fill]) * s, np.array([40, 32, 28]) * s * fill)
    paint_field(canvas, area, bladder, (WALL_HU, WATER_HU), "urinary_bladder", edges_mm=(0, 3), over=codes_of(canvas))
    if frame.p.female:
        womb = join(
            ellipsoid(area, np.array([2, 12, 52]) * s, np.array([25, 22, 24]) * s),
            ellipsoid(area, np.array([0, 22, 24]) * s, np.array([15, 14, 24]) * s),
            12.0,
        )
        paint_field(canvas, area, womb, 48.0, None, over=codes_of(canvas))
    else:
        gland = ellipsoid(area, np.array([0, -8, -12]) * s, np.array([23, 17, 18]) * s)
        paint_field(canvas, area, gland, 44.0, "prostate", over=codes_of(canvas))


def _paint_vessels(canvas: Canvas, frame: Frame) -> None:
    """Inferior vena cava and the iliac arteries from the aorta's fork."""
    s = frame.p.scale
    own = codes_of(canvas)
    fork = aorta_line(frame)[0][-1]
    low, high = (frame.vertebra(f"vertebrae_{n}") for n in ("L4", "T10"))
    cava = [
        low.at(-20 * s, -0.5 * low.depth_mm - 8 * s, -10),
        frame.vertebra("vertebrae_L1").at(-24 * s, -28 * s, 0),
        high.at(-26 * s, -40 * s, 0),
    ]
    canvas.tube(spline(cava, 14), 10.5 * s, BLOOD_HU, "inferior_vena_cava", keep=lambda codes: ~own[codes])
    for side, name in _SIDES:
        groin = frame.hip_center_mm(side) + np.array([-side * 8, -42, 12]) * s
        line = spline([fork, frame.hip_center_mm(side) * 0.5 + [0, fork[1] + 12, 0.55 * fork[2]], groin], 16)
        canvas.tube(line, 5.5 * s, BLOOD_HU, f"iliac_artery_{name}", keep=lambda codes: ~own[codes])


def colon_line(frame: Frame, rng: np.random.Generator) -> Floats:
    """(n, 3) centre line from the caecum around the belly to the rectum."""
    p, s = frame.p, frame.p.scale
    half_width, half_depth, center = (float(c) for c in frame.skin(float(frame.height(180.0))))
    side, front = 0.62 * half_width + 0.15 * p.belly_mm, center - 0.42 * half_depth - 0.5 * p.belly_mm
    z = {n: float(frame.vertebra(f"vertebrae_{n}").center_mm[2]) for n in ("L1", "L2", "L3", "L4", "L5")}
    points = np.array(
        [
            [-0.8 * side, center - 10, z["L5"] - 35 * s],
            [-side, center + 8, z["L4"]],
            [-side, center + 14, z["L2"]],
            [-0.85 * side, center - 10, z["L1"] - 12 * s],
            [-0.4 * side, front, z["L2"]],
            [0.1 * side, front - 4, z["L3"] + rng.uniform(-40, 10)],
            [0.6 * side, front + 10, z["L1"] - 10 * s],
            [0.98 * side, center + 12, z["L1"] + 16 * s],
            [1.03 * side, center + 20, z["L2"]],
            [1.02 * side, center + 14, z["L4"]],
            [0.85 * side, center, z["L5"] - 30 * s],
            [0.4 * side, -20, 68 * s],
            [rng.uniform(-30, 20), 0, 82 * s],
            [-6, 34 * s, 76 * s],
            [0, 52 * s, 44 * s],
            [0, 42 * s, 8 * s],
            [0, 30 * s, -22 * s],
        ]
    )
    points[:12] += rng.normal(0, 5, (12, 3))
    return spline(points, 260)


def small_bowel_line(frame: Frame, rng: np.random.Generator) -> Floats:
    """(n, 3) a line that winds in rows through the middle of the belly."""
    p, s = frame.p, frame.p.scale
    half_width, half_depth, center = (float(c) for c in frame.skin(float(frame.height(160.0))))
    top, low = float(frame.vertebra("vertebrae_L2").center_mm[2]), 58 * s
    depths = np.linspace(center - 0.5 * half_depth - 0.5 * p.belly_mm, center - 0.02 * half_depth, 3)
    points = []
    for row, z in enumerate(np.arange(top, low, -23 * s)):
        reach = (0.44 if z > 110 * s else 0.3) * half_width
        for sheet, y in enumerate(depths):
            across = np.linspace(-reach, reach, 5) * (1 if (row + sheet) % 2 else -1)
            points += [[x, y, z] for x in across]
    return spline(np.array(points) + rng.normal(0, 6.5, (len(points), 3)), 1300)


def _paint_bowel(
    canvas: Canvas, frame: Frame, line: Floats, radius_mm: float, name: str, rng: np.random.Generator
) -> None:
    """A tube with a wall, stool or fluid and stretches of gas; the colon is pinched into haustra."""
    n, s = len(line), frame.p.scale
    large = name == "colon"
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    knots = np.arange(0, along[-1] + 60, 60)
    wave = np.interp(along, knots, rng.uniform(0.72, 1.12, len(knots)))
    folds = np.abs(np.sin(np.pi * along / ((30 if large else 17) * s))) ** 0.5
    radii = radius_mm * s * wave * ((0.72 + 0.28 * folds) if large else (0.9 + 0.1 * folds))
    if large:
        radii *= np.interp(np.arange(n) / n, [0, 0.2, 0.5, 0.75, 1], [1.25, 1.1, 0.95, 0.75, 0.85])
    own = codes_of(canvas)
    canvas.tube(line, radii, WALL_HU, name, keep=lambda codes: ~own[codes])
    inner = codes_of(canvas, [name], free=False)
    # From people without gas to people full of it.
    share = float(rng.beta(1.6, 1.8)) * (0.75 if large else 0.18)
    start = 0
    while start < n - 6:
        piece = slice(start, min(start + int(rng.integers(9, 32)), n))
        if rng.random() < share:
            _paint_gas(canvas, line[piece], radii[piece], inner, rng)
        elif large:
            _paint_stool(canvas, line[piece], radii[piece], inner, rng)
        start = piece.stop


def _paint_gas(canvas: Canvas, line: Floats, radii: Floats, inner: Floats, rng: np.random.Generator) -> None:
    """A pocket that tapers to both ends and lies at the front; froth and folds take off some of its depth."""
    taper = np.sin(np.pi * (np.arange(len(line)) + 0.5) / len(line)) ** 0.3
    size = np.maximum(radii - 2, 1) * taper * rng.uniform(0.7, 1.0)
    lift = np.array([0, -0.35, 0]) * (radii - size)[:, None]
    hu = float(rng.uniform(-980, -720))
    for part, value in ((1.0, 0.55 * hu), (0.86, hu)):
        canvas.tube(line + lift, size * part, value, None, keep=lambda codes: ~inner[codes])


def _paint_stool(canvas: Canvas, line: Floats, radii: Floats, inner: Floats, rng: np.random.Generator) -> None:
    """Lumps with many small bubbles in and between them."""
    canvas.tube(line, np.maximum(radii - 3, 2), float(rng.uniform(-150, 30)), None, keep=lambda codes: ~inner[codes])
    for _ in range(int(rng.integers(2, 7)) * len(line) // 2):
        at = line[rng.integers(len(line))] + rng.normal(0, 0.36, 3) * radii.mean()
        size, hu = rng.uniform(1.2, 3.6, 3), float(rng.uniform(-850, -300))
        # Coarse voxels don't show them.
        if size.max() > 0.4 * canvas.voxel_mm:
            canvas.ellipsoid(at, size, hu, None, keep=lambda codes: ~inner[codes])
