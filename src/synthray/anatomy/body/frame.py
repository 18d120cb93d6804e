"""The scaffold that all parts hang on: the spine's curve, the rib cage's and the skin's cross-sections by height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy.body.canvas import Shell
from synthray.anatomy.body.proportions import Proportions

Floats = npt.NDArray[Any]

# Height of each vertebra's centre above the hip centres, mm, for a scale of 1.
_PITCH_MM = (("C", 7, 17.0), ("T", 12, 24.5), ("L", 5, 36.0))
_L5_MM = 88.0


def _by_height(z: Floats, table: Sequence[tuple[float, float]]) -> Floats:
    heights, values = zip(*table, strict=True)
    return np.interp(z, heights, values)


@dataclass(frozen=True)
class Frame:
    """Cross-sections of one person; all heights and results in mm, already scaled."""

    p: Proportions

    def vertebrae(self) -> list[tuple[str, float, float]]:
        """(name, height of the centre, pitch) from L5 up to C1."""
        found, z = [], _L5_MM * self.p.scale
        previous = None
        for region, count, pitch in reversed(_PITCH_MM):
            for number in range(count, 0, -1):
                step = pitch * (1 - 0.012 * (count - number)) * self.p.scale
                z += 0 if previous is None else (previous + step) / 2
                found.append((f"vertebrae_{region}{number}", z, step))
                previous = step
        return found

    def spine(self, z: Floats | float) -> tuple[Floats, Floats]:
        """x and y of the vertebral bodies' centres at a height: lumbar lordosis, thoracic kyphosis, mild scoliosis."""
        level = np.asarray(z, dtype=np.float64) / self.p.scale
        curve = _by_height(level, [(-100, 1.2), (60, 0.5), (160, 0.0), (280, 0.7), (420, 1.25), (520, 0.8), (640, 0.0)])
        x = self.p.scoliosis_mm * np.sin((level - 50) / 500 * 2 * np.pi)
        return x, (30 + curve * self.p.kyphosis_mm) * self.p.depth

    def cage(self, z: Floats | float) -> tuple[Floats, Floats, Floats]:
        """Inner half-width, half-depth and y of the centre of the rib cage at a height."""
        level = np.asarray(z, dtype=np.float64) / self.p.scale
        half_width = _by_height(
            level,
            [
                (200, 130),
                (280, 136),
                (350, 134),
                (420, 126),
                (465, 112),
                (500, 93),
                (525, 70),
                (541, 46),
                (551, 20),
                (556, 1),
            ],
        )
        half_depth = _by_height(
            level,
            [
                (200, 92),
                (280, 98),
                (350, 98),
                (420, 91),
                (465, 78),
                (500, 62),
                (525, 47),
                (541, 33),
                (551, 16),
                (556, 1),
            ],
        )
        center = _by_height(level, [(200, -2), (350, -4), (420, 0), (470, 10), (505, 20), (550, 32)])
        size = self.p.scale * self.p.width, self.p.scale * self.p.depth
        return half_width * size[0], half_depth * size[1], center * self.p.depth

    def skin(self, z: Floats | float) -> tuple[Floats, Floats, Floats]:
        """Half-width, half-depth and y of the centre of the trunk without its fat at a height."""
        level = np.asarray(z, dtype=np.float64) / self.p.scale
        half_width = _by_height(
            level,
            [(-400, 150), (-60, 168), (0, 170), (110, 146), (200, 136), (300, 146), (400, 152), (480, 150),
             (520, 138), (545, 100), (570, 66), (600, 57), (700, 62)],
        )  # fmt: skip
        half_depth = _by_height(
            level,
            [(-400, 85), (-60, 100), (0, 104), (110, 96), (200, 98), (300, 108), (400, 112), (480, 100), (520, 82),
             (545, 70), (570, 62), (600, 60), (700, 75)],
        )  # fmt: skip
        center = _by_height(level, [(-60, 5), (110, 2), (300, 2), (420, 4), (480, 10), (540, 22), (600, 18)])
        muscle = (self.p.muscle - 1) * 12
        size = self.p.scale * self.p.width, self.p.scale * self.p.depth
        return half_width * size[0] + muscle, half_depth * size[1] + muscle, center * self.p.depth

    def dome(self, x: Floats, y: Floats) -> Floats:
        """Height of the diaphragm over (x, y): a dome on each side, falling to the recesses at the wall."""
        half_width, half_depth, center = self.cage(300 * self.p.scale)
        height: Any = -np.inf
        for side, top in ((-1, self.p.dome_right_mm), (1, self.p.dome_left_mm)):
            dx = (x - side * 0.46 * half_width) / (0.6 * half_width)
            dy = (y - center + 0.22 * half_depth) / (1.15 * half_depth)
            height = np.maximum(
                height, top * self.p.scale - self.p.dome_drop_mm * self.p.scale * (dx**2 + dy**2) ** 0.9
            )
        return height

    def bone(self, cortical_hu: float, spongy_hu: float, cortex_mm: float) -> Shell:
        """A bone shell, scaled by the person's bone density."""
        return Shell(cortical_hu * self.p.bone, spongy_hu * self.p.bone, cortex_mm)


def ellipse_distance(x: Floats, y: Floats, half_width: Any, half_depth: Any, power: float = 2.0) -> Floats:
    """Approximate signed distance to a superellipse |x/a|^p + |y/b|^p = 1 (first order at the rim)."""
    norm = (np.abs(x / half_width) ** power + np.abs(y / half_depth) ** power) ** (1 / power)
    return (norm - 1) * np.minimum(half_width, half_depth)
