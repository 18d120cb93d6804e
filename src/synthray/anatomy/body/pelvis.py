"""Hip bones, sacrum and coccyx, with the hip landmarks of the SyntheX paper by construction.

The wing's middle surface and thickness, the joint's walls and the sacrum's outline are rounded measurements on the
freely licensed trunk CT of TotalSegmentator's test data (Apache-2.0), whose hip centres lie 166 mm apart; what that
volume cuts off (ischium, lower pubis) follows ordinary anatomy tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.frame import Frame
from synthray.anatomy.body.shapes import Part, ball, block, paint, rod, sheet, spline

Place = Callable[[Any], Floats]

# Pelvic tilt and sacral slope of the measured pelvis, degrees.
_TILT_DEG, _SLOPE_DEG = 13.5, 40.0
_HIP_X_MM = 83.0

# Middle surface of the left wing: per height z, the x (left) of the bone at depths y from the wing's front edge to its
# back edge, and its thickness along x. Rows: z, (y, x, thickness)...
_WING = (
    (30, ((-42, 95, 14), (-30, 92, 26), (-10, 82, 40), (10, 81, 40), (24, 78, 34), (34, 72, 20))),
    (42, ((-44, 101, 13), (-30, 98, 19), (-10, 87, 34), (10, 81, 36), (24, 78, 34), (42, 73, 18))),
    (54, ((-43, 106, 13), (-30, 103, 18), (-10, 97, 22), (10, 82, 30), (24, 75, 27), (48, 70, 16))),
    (66, ((-58, 114, 10), (-40, 111, 11), (-20, 106, 13), (0, 97, 20), (20, 76, 24), (40, 67, 24), (70, 54, 14))),
    (78, ((-62, 118, 13), (-40, 116, 10), (-20, 113, 11), (0, 105, 13), (20, 83, 20), (40, 68, 23), (78, 52, 14))),
    (90, ((-61, 118, 12), (-40, 123, 13), (-20, 120, 9), (0, 112, 10), (20, 91, 12), (40, 69, 21), (82, 49, 18))),
    (102, ((-46, 125, 15), (-30, 128, 13), (-10, 125, 10), (10, 109, 9), (22, 94, 8), (40, 68, 20), (84, 49, 20))),
    (114, ((-37, 131, 14), (-20, 132, 14), (0, 124, 12), (16, 105, 10), (30, 78, 22), (50, 63, 21), (82, 52, 15))),
    (126, ((-24, 134, 14), (-10, 132, 14), (4, 124, 14), (16, 110, 12), (30, 84, 18), (50, 65, 20), (72, 59, 11))),
    (138, ((-4, 128, 13), (8, 120, 14), (18, 110, 13), (30, 91, 16), (40, 77, 18), (54, 68, 13))),
    (149, ((15, 110, 8), (20, 105, 9), (26, 98, 10), (32, 90, 9))),
)  # fmt: skip

# Points of the patient's left hip bone in the measured pelvis, mm from the middle between the hip centres.
_POINTS = MappingProxyType(
    {
        "ASIS": (119, -64, 83), "AIIS": (96, -46, 38), "PSIS": (50, 86, 98), "PIIS": (56, 71, 60), "GSN": (70, 48, 47),
        "SPINE": (48, 56, -2), "TUBER": (58, 40, -62), "EMINENCE": (66, -33, 20), "TUBERCLE": (25, -53, -13),
        "SPS": (7, -46, -9), "IPS": (8, -27, -49), "MOF": (22, -29, -32), "IOF": (41, 0, -58),
    }
)  # fmt: skip


@dataclass(frozen=True)
class Pelvis:
    """Places points of the measured pelvis in a person: scaled, made male or female, and tilted about the hip axis."""

    frame: Frame

    def at(self, side: int, points: Floats | tuple[float, ...] | list[list[float]]) -> Floats:
        """(..., 3) patient positions of points of the left hip bone, mirrored for the right."""
        p = self.frame.p
        q = np.array(points, dtype=np.float64)
        # A wider arch below the symphysis spreads the ischia and the rami's lower ends.
        low = np.clip((-10 - q[..., 2]) / 55, 0, 1) * np.clip(q[..., 0] / 55, 0, 1)
        q[..., 0] += 0.32 * (p.subpubic_deg - 70) * low
        # In women the wings flare outwards and the crest lies lower.
        high = np.clip((q[..., 2] - 40) / 100, 0, 1)
        q[..., 2] *= 1 - (0.045 * high if p.female else 0)
        q = q * np.array([side * p.scale * p.pelvis_width, p.scale, p.scale])
        return q @ _tilt(p.pelvic_tilt_deg - _TILT_DEG).T

    def size(self) -> float:
        """How much larger than the measured one the pelvis is."""
        return self.frame.p.scale * (0.4 + 0.6 * self.frame.p.pelvis_width)


def _tilt(deg: float) -> Floats:
    """(3, 3) rotation about the hip axis that leans the pelvis back: what lies above the hips moves to +y."""
    c, s = np.cos(np.deg2rad(deg)), np.sin(np.deg2rad(deg))
    return np.array([[1, 0, 0], [0, c, s], [0, -s, c]])


def paint_hips(canvas: Canvas, frame: Frame) -> dict[str, Floats]:
    """Hip bones and the symphysis' disc; returns landmarks named as in DeepFluoro (`ASIS-l`, ...)."""
    pelvis = Pelvis(frame)
    landmarks: dict[str, Floats] = {}
    for side, name, short in ((1, "left", "l"), (-1, "right", "r")):
        paint(canvas, hip_parts(pelvis, side), frame.bone(1150, 95, 1.3), f"hip_{name}")
        for key in ("GSN", "IOF", "MOF", "SPS", "IPS", "ASIS"):
            landmarks[f"{key}-{short}"] = pelvis.at(side, _POINTS[key])
        landmarks[f"FH-{short}"] = frame.hip_center_mm(side)
        for key, point in (
            ("psis", "PSIS"),
            ("ischial_spine", "SPINE"),
            ("pubic_tubercle", "TUBERCLE"),
            ("aiis", "AIIS"),
        ):
            landmarks[f"{key}_{name}"] = pelvis.at(side, _POINTS[point])
        landmarks[f"ischial_tuberosity_{name}"] = pelvis.at(side, (63, 34, -80))
    return landmarks


def hip_parts(pelvis: Pelvis, side: int) -> list[Part]:
    """The parts of one hip bone: wing, crest, joint, ischium, pubis, and the socket and foramen cut out."""
    at, z = pelvis.at, pelvis.size()
    return [*_wing(pelvis, side), *_ischium_and_pubis(pelvis, side), *_socket(pelvis, side),
            *_spines(at(side, _POINTS["SPINE"]), at(side, [[60, 48, 0]])[0], z)]  # fmt: skip


def _wing(pelvis: Pelvis, side: int) -> list[Part]:
    count, size = 22, pelvis.size()
    rows = []
    for height, knots in _WING:
        y, x, thick = np.array(knots, dtype=float).T
        even = np.linspace(y[0], y[-1], count)
        rows.append(np.stack([np.interp(even, y, x), even, np.full(count, height), np.interp(even, y, thick)], axis=1))
    table = np.array(rows)
    heights = np.linspace(0, len(rows) - 1, 26)
    grid = np.stack([spline(table[:, c], 26) for c in range(count)], axis=1)
    slope = np.gradient(grid[..., 0], axis=1) / np.maximum(np.gradient(grid[..., 1], axis=1), 0.5)
    # The table's thickness is along x and holds some blur of the 3 mm voxels it was read from.
    thick = np.maximum(grid[..., 3] / np.sqrt(1 + np.minimum(slope**2, 2.5)) - 3.2, 3.0)
    thick[heights < 2.2] *= 0.8
    patch = sheet(pelvis.at(side, grid[..., :3]), thick * size, blend_mm=4)
    edge = [grid[r, 0, :3] for r in range(10, 26)] + [grid[25, c, :3] for c in range(3, count, 3)]
    edge += [grid[r, -1, :3] for r in range(24, 9, -1)]
    crest = spline(pelvis.at(side, np.array(edge)[::2]), 60)
    width = np.interp(np.arange(60), [0, 6, 18, 30, 46, 59], [4.5, 4.5, 6.5, 5.5, 6.0, 6.0]) * size
    return [
        patch,
        rod(crest, width, 0.8 * width, blend_mm=9, shell=pelvis.frame.bone(1000, 95, 1.0)),
        *_front_edge(pelvis, side),
    ]


def _front_edge(pelvis: Pelvis, side: int) -> list[Part]:
    size = pelvis.size()
    asis, aiis = (np.array(_POINTS[k], dtype=float) for k in ("ASIS", "AIIS"))
    edge = pelvis.at(side, np.array([asis + [0, 3.5, 0], asis + [-5, 13, -15], aiis + [4, 5, 12], aiis + [-1, 4, 0]]))
    return [rod(spline(edge, 12), np.interp(np.arange(12), [0, 4, 8, 11], [4.4, 2.2, 2.4, 5]) * size, blend_mm=6)]


def _socket(pelvis: Pelvis, side: int) -> list[Part]:
    """The bone around the joint, hollowed; the socket opens downwards, outwards and a little forwards."""
    frame, size = pelvis.frame, pelvis.size()
    center, head = frame.hip_center_mm(side), head_radius_mm(frame)
    mouth = np.array([side * 0.70, -0.27, -0.66])
    mouth /= np.linalg.norm(mouth)
    dense = frame.bone(1100, 130, 0.9)
    body = ball(
        center - mouth * 3.0 * size + [0, 1.0 * size, 0], np.array([1, 1, 1]) * (head + 8.5), blend_mm=10, shell=dense
    )
    rim = center + mouth * 10.5 * size
    frontal = np.linalg.svd(mouth[None])[2][1:]
    opening = block(
        rim + mouth * 14, (head + 11, head + 11, 14), rounding_mm=12, rotation=np.stack([*frontal, mouth], axis=1)
    )
    roof = rod([center + [side * 2.0, -4, head + 9], center + [side * 15 * size, -2, head + 3]], 8 * size, blend_mm=10,
               shell=dense)  # fmt: skip
    cup = ball(center, head + 3.0)
    fossa = ball(center - mouth * 9.0 * size + [0, -2, -5], head - 6.0)
    return [body, roof, opening.cutting(3), cup.cutting(1.5), fossa.cutting(3)]


def head_radius_mm(frame: Frame) -> float:
    """Radius of the femoral head in true mm; joint space and socket follow from it."""
    return frame.p.femoral_head_mm


def _ischium_and_pubis(pelvis: Pelvis, side: int) -> list[Part]:
    size = pelvis.size()

    def curve(points: list[list[float]], radii: list[float], across: list[float], axis: list[float]) -> Part:
        line = spline(pelvis.at(side, np.array(points, dtype=float)), 24)
        at = np.linspace(0, len(radii) - 1, 24)
        first, second = (np.interp(at, range(len(radii)), r) * size for r in (radii, across))
        return rod(line, first, second, axis=np.array(axis) * [side, 1, 1], blend_mm=7)

    superior = curve([[70, -24, 16], [56, -33, 8], [40, -41, -4], [26, -47, -14], [13, -44, -19]],
                     [11, 8.0, 6.0, 6.5, 9.0], [11, 8.0, 6.5, 6.5, 6.5], [0, 0.35, 1])  # fmt: skip
    body = curve([[13, -45, -17], [11.5, -38, -29], [11.5, -31, -42]], [6.5, 6.5, 6.0], [9.5, 8.0, 6.0], [1, 0, 0])
    inferior = curve([[12, -31, -41], [23, -17, -55], [36, 0, -66], [52, 18, -69]], [6, 6.0, 7, 11], [3.6, 3.6, 4.2, 9],
                     [0.75, 0.1, 0.65])  # fmt: skip
    ischium = curve([[71, 26, 8], [69, 36, -10], [68, 43, -28], [66, 42, -46], [63, 34, -65]],
                    [15, 14.5, 14.5, 16.5, 17], [12, 11, 12, 14, 13], [1, 0, 0])  # fmt: skip
    brim = curve(
        [[66, -30, 16], [66, -14, 30], [70, 6, 44], [72, 24, 56], [70, 38, 66]],
        [6.5, 6.5, 7, 7.5, 8],
        [7, 8, 8, 8, 8],
        [1, 0, 0.5],
    )
    back = curve([[73, 30, 46], [72, 36, 30], [69, 40, 12], [65, 44, -6]], [9, 9, 9, 9], [10, 9, 8, 8], [1, 0, 0])
    joint = curve([[8.5, -40, -16], [8, -33, -32], [8.5, -29, -44]], [4, 4, 4], [9.5, 9, 7], [1, 0, 0])
    tubercle = ball(pelvis.at(side, (23, -49, -13)), 5.5 * size, blend_mm=6)
    return [ischium, superior, body, joint, inferior, brim, back, tubercle]


def _spines(tip: Floats, root: Floats, size: float) -> list[Part]:
    return [rod([root, 0.4 * root + 0.6 * tip, tip], np.array([7, 4, 1.6]) * size, blend_mm=7)]


def paint_symphysis(canvas: Canvas, frame: Frame) -> None:
    """The fibrous disc between the pubic bones."""
    middle = Pelvis(frame).at(1, [[0.01, -42, -14], [0.01, -36, -29], [0.01, -30, -44]])
    canvas.tube(middle, 7.0 * frame.p.scale, 95.0, None, flatten=(1.0, 1.3, 1.3))


def paint_sacrum(canvas: Canvas, frame: Frame) -> dict[str, Floats]:
    """Sacrum and coccyx; returns the middle of the endplate and the promontory."""
    parts, curve = _sacrum(frame)
    paint(canvas, parts, frame.bone(780, 50, 0.9), "sacrum")
    top = frame.sacral_endplate_mm
    slope = np.deg2rad(frame.p.sacral_slope_deg)
    promontory = top + 16.5 * frame.p.scale * np.array([0, -np.cos(slope), -np.sin(slope)])
    return {"sacral_endplate": top, "promontory": promontory, "coccyx_tip": curve[-1]}


def _sacrum(frame: Frame) -> tuple[list[Part], Floats]:
    p, s = frame.p, frame.p.scale
    wide = s * p.pelvis_width
    turn = _tilt(0.5 * (p.pelvic_tilt_deg - _TILT_DEG) - 0.5 * (p.sacral_slope_deg - _SLOPE_DEG))
    top = frame.sacral_endplate_mm

    def at(points: Floats | list[list[float]]) -> Floats:
        """Points given from the measured sacrum's endplate."""
        return top + (np.array(points, dtype=float) * [wide, s, s]) @ turn.T

    # Middle of the sacral bodies from S1 to the coccyx.
    bodies = np.array([[0, 0, 0], [0, 12, -14], [0, 29, -30], [0, 46, -46], [0, 56, -61], [0, 59, -76], [0, 57, -92],
                       [0, 50, -106]], dtype=float)  # fmt: skip
    line = at(spline(bodies, 40))
    t = np.linspace(0, 7, 40)
    half = np.interp(t, range(8), [24, 24, 20, 17, 14, 11, 6, 3]) * wide
    deep = np.interp(t, range(8), [15, 14, 11, 8.5, 7, 6, 4, 3]) * s
    column = rod(line[3:], half[3:], deep[3:], axis=(1, 0, 0), blend_mm=6)
    slope = np.deg2rad(p.sacral_slope_deg)
    up = np.array([0, -np.sin(slope), np.cos(slope)])
    axes = np.stack([[1.0, 0, 0], np.cross(up, [1.0, 0, 0]), up], axis=1)
    plate = block(top - up * 9 * s, (24.5 * wide, 16.5 * s, 9 * s), rounding_mm=5, rotation=axes, blend_mm=5)
    crest = rod(
        at([[0, 38, -10], [0, 50, -26], [0, 63, -44], [0, 67, -58], [0, 63, -72]]),
        [3.5, 3.5, 3.5, 3.5, 3],
        blend_mm=8,
        shell=frame.bone(500, 70, 0.7),
    )
    return [plate, column, *_alae(at, s), crest, *_foramina(at, s)], line


def _alae(at: Place, s: float) -> list[Part]:
    """The sacrum's side masses: a plate from the bodies to the joint with the hip bone, and the roof of the canal."""
    rows = [([24, 2, -6], [37, 10, -4], [47, 20, -11], [51, 27, -19]), ([23, 12, -20], [36, 20, -18], [50, 28, -20],
        [57, 38, -26]),
            ([20, 28, -34], [34, 34, -33], [46, 40, -34], [53, 46, -38]), ([17, 44, -48], [27, 46, -47], [37, 50,
            -48], [43, 54, -52]),
            ([14, 55, -62], [22, 57, -62], [29, 58, -62], [33, 60, -64]), ([11, 58, -76], [15, 59, -76], [18, 60,
            -76], [20, 60, -77])]  # fmt: skip
    thick = np.array(
        [[18, 16, 18, 16], [22, 22, 24, 22], [18, 20, 22, 20], [14, 14, 16, 13], [11, 11, 10, 8], [8, 7, 6, 5]]
    )
    fine = np.stack([spline(np.array(rows, dtype=float)[:, c], 16) for c in range(4)], axis=1)
    swell = np.stack([spline(np.stack([thick[:, c]] * 1, axis=1).astype(float), 16)[:, 0] for c in range(4)], axis=1)
    parts = [sheet(at(fine * [side, 1, 1]), swell * s, blend_mm=6) for side in (-1, 1)]
    lamina = [[-20, 26, -8], [-12, 36, -9], [0, 41, -10], [12, 36, -9], [20, 26, -8]], [[-19, 44, -30], [-11, 52,
        -30], [0, 56, -31], [11, 52, -30], [19, 44, -30]], [[-15, 60, -50], [-9, 65, -50], [0, 68, -50], [9, 65,
            -50], [15, 60, -50]]  # fmt: skip
    roof = sheet(at(np.array(lamina, dtype=float)), 4.0 * s, blend_mm=8)
    facets = [rod(at([[side * 19, 27, -4], [side * 20, 29, 8]]), 4.5 * s, blend_mm=7) for side in (-1, 1)]
    return [*parts, roof, *facets]


def _foramina(at: Place, s: float) -> list[Part]:
    holes = []
    for x, y, z, radius in ((21, 24, -27, 5.6), (19, 42, -43, 5.0), (16, 53, -57, 4.4), (14, 58, -69, 3.6)):
        for side in (-1, 1):
            line = at([[side * (x + 3), y - 17, z - 6], [side * x, y, z], [side * x, y + 18, z + 4]])
            holes.append(rod(line, radius * s, blend_mm=2).cutting(5))
    canal = at([[0, 24, 6], [0, 29, -10], [0, 44, -28], [0, 58, -48]])
    holes.append(rod(canal, np.array([6, 6, 4.5, 3]) * s, np.array([10, 10, 8, 5]) * s, axis=(0, 1, 0)).cutting(2))
    return holes
