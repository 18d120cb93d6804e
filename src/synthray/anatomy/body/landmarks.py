"""Named points: which bone each lies on, and the last step that puts it on that bone's painted surface."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats

# Further than this a point is left where its construction put it, mm.
REACH_MM = 9.0
_SIDES = MappingProxyType({"l": "left", "r": "right"})
# Bone of each named point of one side, and of the middle.
_BONE_OF = MappingProxyType(
    {
        "psis": "hip", "aiis": "hip", "ischial_spine": "hip", "pubic_tubercle": "hip", "ischial_tuberosity": "hip",
        "greater_trochanter": "femur", "lesser_trochanter": "femur", "medial_condyle": "femur",
            "lateral_condyle": "femur",
        "acromion": "scapula", "scapula_tip": "scapula",
    }
)  # fmt: skip
_MIDDLE = MappingProxyType(
    {
        "promontory": "sacrum", "sacral_endplate": "sacrum", "coccyx_tip": "sacrum", "sternal_notch": "sternum",
        "sternal_angle": "sternum", "xiphoid_tip": "sternum", "nasion": "skull", "menton": "skull", "vertex": "skull",
        "inion": "skull",
    }
)  # fmt: skip


def bone_of(name: str) -> str | None:
    """The structure on whose surface a landmark lies; None for points inside bones and between them."""
    if name in _MIDDLE:
        return _MIDDLE[name]
    if name.endswith("_spinous_tip"):
        return name.removesuffix("_spinous_tip")
    if name[-2:] in ("-l", "-r"):
        return None if name.startswith("FH") else f"hip_{_SIDES[name[-1]]}"
    point, _, side = name.rpartition("_")
    return f"{_BONE_OF[point]}_{side}" if point in _BONE_OF else None


def snapped(landmarks: Mapping[str, Floats], canvas: Canvas) -> dict[str, Floats]:
    """The landmarks within the canvas, surface points moved to the nearest voxel centre on their bone's surface."""
    low, high = canvas.origin_mm, canvas.origin_mm + canvas.voxel_mm * (np.array(canvas.hu.shape) - 1)
    codes = {held: code for code, held in canvas.names.items()}
    found = {}
    for name, at in landmarks.items():
        if np.all((at >= low) & (at <= high)):
            code = codes.get(bone_of(name) or "")
            found[name] = np.asarray(at, dtype=np.float64) if code is None else _nearest(canvas, at, code)
    return found


def _nearest(canvas: Canvas, at: Floats, code: int) -> Floats:
    reach = REACH_MM + canvas.voxel_mm
    box = canvas.box(at - reach, at + reach)
    inside = canvas.codes[box] == code
    core = np.zeros_like(inside)
    middle = (slice(1, -1),) * 3
    core[middle] = inside[middle]
    for axis in range(3):
        core &= np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
    surface = np.argwhere(inside & ~core) + [s.start for s in box]
    if not len(surface):
        return at
    points = canvas.origin_mm + canvas.voxel_mm * surface
    distance = np.linalg.norm(points - at, axis=1)
    return np.asarray(points[distance.argmin()] if distance.min() <= reach else at)
