"""The scaffold that all parts hang on: the spine, the joints' centres, the rib cage's and skin's cross-sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy.body.canvas import Shell
from synthray.anatomy.body.proportions import Proportions

Floats = npt.NDArray[Any]

# Bodies of the vertebrae, mm for a scale of 1 and from below: (name, height, disc below, width, depth). The course over
# the levels is that of Panjabi et al., Spine 1991;16:888 and 1992;17:299; sizes are raised to those measured on CT.
_BODIES = (
    ("L5", 26.2, 10.4, 50.0, 35.0), ("L4", 27.6, 10.6, 48.6, 35.0), ("L3", 27.6, 10.6, 46.8, 34.6),
    ("L2", 27.4, 9.6, 45.0, 33.8), ("L1", 26.4, 8.6, 43.4, 32.6), ("T12", 25.0, 7.6, 41.0, 31.4),
    ("T11", 23.4, 6.6, 37.6, 31.0), ("T10", 22.4, 5.8, 34.8, 30.4), ("T9", 21.2, 5.2, 33.0, 29.6),
    ("T8", 20.4, 4.6, 31.4, 28.6), ("T7", 19.9, 4.2, 30.2, 27.2), ("T6", 19.4, 3.8, 29.2, 25.8),
    ("T5", 18.7, 3.5, 28.4, 24.2), ("T4", 18.3, 3.4, 28.0, 22.8), ("T3", 17.9, 3.5, 28.4, 21.2),
    ("T2", 17.4, 3.8, 29.4, 19.6), ("T1", 16.4, 4.5, 30.0, 18.4), ("C7", 14.4, 5.0, 27.0, 17.4),
    ("C6", 12.4, 4.6, 24.4, 17.0), ("C5", 12.2, 4.6, 22.6, 16.4), ("C4", 12.4, 4.6, 21.6, 16.0),
    ("C3", 12.8, 4.6, 20.6, 15.8), ("C2", 19.0, 4.2, 19.0, 15.2), ("C1", 13.0, 2.0, 20.0, 12.0),
)  # fmt: skip
# Hip centres to the middle of the sacral endplate, mm for a scale of 1.
_PELVIC_THICKNESS_MM = MappingProxyType({"female": 111.0, "male": 95.0})
# Heights of L5, T12, T1 and C1 in the tables below, mm above the hip centres for a scale of 1.
_TABLE_LEVELS = (0.0, 124.0, 300.0, 560.0, 668.0)


@dataclass(frozen=True)
class Vertebra:
    """One vertebra's body: its centre, its own axes (columns: left, back, up) in patient space, its size in mm."""

    name: str
    center_mm: Floats
    rotation: Floats
    width_mm: float
    depth_mm: float
    height_mm: float
    disc_mm: float

    def at(self, x: float, y: float, z: float) -> Floats:
        """A point given in mm along the vertebra's own axes from its centre."""
        return self.center_mm + self.rotation @ np.array([x, y, z])


def _by_height(z: Floats, table: Sequence[tuple[float, float]]) -> Floats:
    heights, values = zip(*table, strict=True)
    return np.interp(z, heights, values)


@dataclass(frozen=True)
class Frame:
    """Where things are in one person; heights and results in mm, already scaled.

    `side` is +1 for the person's left, -1 for the right.
    """

    p: Proportions

    @cached_property
    def _spine(self) -> Mapping[str, Vertebra]:
        """The vertebrae from L5 up; the whole leans so that C7 stands over the back of the sacral endplate."""
        free = self._stack(0.0)
        seventh, start = free["vertebrae_C7"].center_mm, free["vertebrae_L5"].center_mm
        target = self.sacral_endplate_mm[1] + self.p.scale * (14.0 - 0.5 * (self.p.kyphosis_deg - 40))
        return self._stack(float(np.rad2deg(np.arctan2(target - seventh[1], seventh[2] - start[2]))))

    def _stack(self, lean_deg: float) -> Mapping[str, Vertebra]:
        """Each vertebra on the one below, leaning as its place in lordosis, kyphosis and scoliosis asks."""
        found: dict[str, Vertebra] = {}
        at, s = self.sacral_endplate_mm, self.p.scale
        for n, (name, height, disc, width, depth) in enumerate(_BODIES):
            whole = lean_deg * float(np.interp(n, [0, 2, 16, 23], [0.2, 1, 1, 0.3]))
            turn = _rotation(self._lean_deg(n) + whole, *self._scoliosis_deg(n))
            below = turn if n == 0 else 0.5 * (turn + found[_full(_BODIES[n - 1][0])].rotation)
            at = at + below[:, 2] * disc * s + turn[:, 2] * height * s / 2
            broad = s * (1.0 if not self.p.female else 0.95)
            found[_full(name)] = Vertebra(_full(name), at, turn, width * broad, depth * broad, height * s, disc * s)
            at = at + turn[:, 2] * height * s / 2
        return MappingProxyType(found)

    def _lean_deg(self, n: int) -> float:
        """How far the n-th vertebra from L5 up leans back (its upward axis turned towards +y)."""
        p = self.p
        low = 12.0 + 0.3 * (p.lordosis_deg - 53)
        start = -p.sacral_slope_deg + 0.32 * p.lordosis_deg
        top = low - p.kyphosis_deg
        knots = [(0, start), (1, start + 0.34 * (low - start)), (2, start + 0.6 * (low - start)),
                 (4, low - 1), (6, low + 4), (8, low + 3), (11, low - 0.42 * p.kyphosis_deg), (16, top + 2),
                 (18, top + 4), (20, top + 16), (23, 0)]  # fmt: skip
        return float(_by_height(np.array(n), knots))

    def _scoliosis_deg(self, n: int) -> tuple[float, float]:
        """Lean to the left and axial turn of the n-th vertebra; a curve turns the bodies towards its convex side."""
        phase = 2 * np.pi * n / 15 + self.p.scoliosis_phase
        fade = float(np.interp(n, [0, 3, 15, 21], [0.4, 1, 1, 0]))
        half = 0.5 * self.p.scoliosis_deg * fade
        return half * float(np.cos(phase)), 0.5 * half * float(np.sin(phase))

    @property
    def sacral_endplate_mm(self) -> Floats:
        """(3,) the middle of the sacrum's upper endplate, above and behind the hip centres by the pelvic tilt."""
        tilt = np.deg2rad(self.p.pelvic_tilt_deg)
        return _PELVIC_THICKNESS_MM[self.p.sex] * self.p.scale * np.array([0, np.sin(tilt), np.cos(tilt)])

    def vertebrae(self) -> list[tuple[str, float, float]]:
        """(name, height of the centre, pitch) from L5 up to C1."""
        return [(v.name, float(v.center_mm[2]), v.height_mm + v.disc_mm) for v in self._spine.values()]

    def vertebra(self, name: str) -> Vertebra:
        """A vertebra by its full name, such as `vertebrae_L3`."""
        return self._spine[name]

    def level(self, z: Floats | float) -> Floats:
        """A person's heights as heights in tables of a person of scale 1: L5 at 124, T12 at 300, T1 at 560 mm."""
        known = [0.0] + [float(self.vertebra(f"vertebrae_{n}").center_mm[2]) for n in ("L5", "T12", "T1", "C1")]
        z = np.asarray(z, dtype=np.float64)
        inside = np.interp(z, known, _TABLE_LEVELS)
        beyond = np.where(z < 0, z, np.maximum(z - known[-1], 0)) / self.p.scale
        return inside + beyond

    def height(self, level: Floats | float) -> Floats:
        """The opposite of `level`: a height in this person for a height in a table."""
        known = [0.0] + [float(self.vertebra(f"vertebrae_{n}").center_mm[2]) for n in ("L5", "T12", "T1", "C1")]
        level = np.asarray(level, dtype=np.float64)
        beyond = np.where(level < 0, level, np.maximum(level - _TABLE_LEVELS[-1], 0)) * self.p.scale
        return np.interp(level, _TABLE_LEVELS, known) + beyond

    def spine(self, z: Floats | float) -> tuple[Floats, Floats]:
        """x and y of the vertebral bodies' centres at a height; below L5 the sacrum's."""
        centers = np.array([v.center_mm for v in self._spine.values()])
        s, top = self.p.scale, self.sacral_endplate_mm
        low = top + s * np.array([[0.0, 26, -104], [0, 48, -66], [0, 38, -34], [0, 0, 0]])
        points = np.concatenate([low, centers])
        return np.interp(z, points[:, 2], points[:, 0]), np.interp(z, points[:, 2], points[:, 1])

    def cage(self, z: Floats | float) -> tuple[Floats, Floats, Floats]:
        """Inner half-width, half-depth and y of the centre of the rib cage at a height."""
        level = self.level(z)
        half_width = _by_height(level, [(238, 126), (320, 135), (392, 134), (447, 127), (483, 117), (515, 105),
            (539, 89),
                                        (557, 69), (567, 48), (574, 25), (578, 1)])  # fmt: skip
        half_depth = _by_height(level, [(238, 84), (320, 91), (392, 94), (447, 87), (483, 77), (515, 65), (539, 52),
                                        (557, 39), (567, 27), (574, 15), (578, 1)])  # fmt: skip
        ahead = _by_height(level, [(238, 40), (320, 50), (392, 51), (447, 45), (483, 37), (515, 27), (539, 17),
                                   (557, 9), (574, 4), (578, 2)])  # fmt: skip
        s = self.p.scale
        return half_width * s * self.p.width, half_depth * s * self.p.depth, self.spine(z)[1] - ahead * s * self.p.depth

    def skin(self, z: Floats | float) -> tuple[Floats, Floats, Floats]:
        """Half-width, half-depth and y of the centre of the trunk without its fat at a height."""
        level = self.level(z)
        half_width = _by_height(
            level,
            [(-400, 130), (-60, 146), (0, 150), (145, 141), (238, 136), (341, 144), (445, 148), (526, 144),
             (568, 126), (590, 100), (606, 64), (636, 50), (655, 2), (840, 1)],
        )  # fmt: skip
        half_depth = _by_height(
            level,
            [(-400, 85), (-60, 100), (0, 104), (145, 98), (238, 98), (341, 100), (445, 96), (500, 88), (526, 80),
             (568, 66), (590, 60), (606, 54), (636, 48), (655, 2), (840, 1)],
        )  # fmt: skip
        low = _by_height(level, [(-60, 5), (110, 0), (145, -18), (238, -22)]) * self.p.depth
        # From the lower ribs up the outline goes with the rib cage, whatever the kyphosis.
        follow = np.clip((level - 200) / 110, 0, 1)
        center = low + follow * (self.cage(z)[2] + 3 * self.p.scale - low)
        muscle = (self.p.muscle - 1) * 12
        size = self.p.scale * self.p.width, self.p.scale * self.p.depth
        wide, deep = (
            np.maximum(half * k + muscle, 1.0) for half, k in zip((half_width, half_depth), size, strict=True)
        )
        return wide, deep, center

    def hip_center_mm(self, side: int) -> Floats:
        """(3,) the middle of a femoral head."""
        return np.array([side * 83.0 * self.p.scale * self.p.pelvis_width, 0.0, 0.0])

    def knee_mm(self, side: int) -> Floats:
        """(3,) the middle of a knee joint; a thigh is about 24.5 % of the stature (Drillis & Contini 1966)."""
        length = 0.242 * 10 * self.p.height_cm
        return self.hip_center_mm(side) + np.array([-side * 0.02 * length, 0.01 * length, -length])

    def shoulder_mm(self, side: int) -> Floats:
        """(3,) the middle of a humeral head; raised and drawn in when the arms are up."""
        s, up = self.p.scale, self.p.arms == "up"
        z = float(self.height(526.0)) - self.p.shoulder_drop_mm + (34.0 * s if up else 0.0)
        y = float(self.spine(self.height(512.0))[1]) - 22 * s
        return np.array([side * (0.5 * self.p.biacromial_mm - (28 if up else 12)), y, z])

    def elbow_mm(self, side: int) -> Floats:
        """(3,) the middle of an elbow; upper arms run 18.6 % of the stature (Drillis & Contini 1966)."""
        length, spread = 0.18 * 10 * self.p.height_cm, np.deg2rad(self.p.arm_abduction_deg)
        if self.p.arms == "up":
            spread = np.deg2rad(158.0 - 0.6 * self.p.arm_abduction_deg)
        way = np.array([side * np.sin(spread), -0.12 if self.p.arms == "up" else 0.1, -np.cos(spread)])
        return self.shoulder_mm(side) + length * way / np.linalg.norm(way)

    @property
    def skull_radii_mm(self) -> Floats:
        """(3,) half width, half length and half height of the braincase's outer surface."""
        return np.array([73.0, 90.0, 68.0]) * (0.5 + 0.5 * self.p.scale) * (0.97 if self.p.female else 1.0)

    def skull_center_mm(self) -> Floats:
        """(3,) the middle of the braincase, above and a little ahead of the atlas."""
        r = self.skull_radii_mm
        return self.vertebra("vertebrae_C1").center_mm + np.array([0.0, -2.0, 12.0 * self.p.scale + 0.92 * r[2]])

    def bone(self, cortical_hu: float, spongy_hu: float, cortex_mm: float) -> Shell:
        """A bone shell, thinned and scaled by the person's bone density."""
        return Shell(cortical_hu * (0.4 + 0.6 * self.p.bone), spongy_hu * self.p.bone, cortex_mm * self.p.cortex)


def _full(short: str) -> str:
    return f"vertebrae_{short}"


def _rotation(back_deg: float, left_deg: float, axial_deg: float) -> Floats:
    """(3, 3) axes of a vertebra (columns) that leans back and to the left and is turned about its own height."""
    back, left, turn = np.deg2rad([back_deg, left_deg, axial_deg])
    pitch = np.array([[1, 0, 0], [0, np.cos(back), np.sin(back)], [0, -np.sin(back), np.cos(back)]])
    roll = np.array([[np.cos(left), 0, np.sin(left)], [0, 1, 0], [-np.sin(left), 0, np.cos(left)]])
    yaw = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    return roll @ pitch @ yaw


def ellipse_distance(x: Floats, y: Floats, half_width: Any, half_depth: Any, power: float = 2.0) -> Floats:
    """Approximate signed distance to a superellipse |x/a|^p + |y/b|^p = 1 (first order at the rim)."""
    norm = (np.abs(x / half_width) ** power + np.abs(y / half_depth) ** power) ** (1 / power)
    return (norm - 1) * np.minimum(half_width, half_depth)
