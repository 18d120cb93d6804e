"""The surfaces of a scene's tools as one set of triangles in a view's pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry import Camera, apply
from synthray.tools import Tool

# Nearer to the source than this nothing can be drawn, mm.
_NEAREST_MM = 1.0


class Triangles(NamedTuple):
    """All triangles of a scene in one view.

    Attributes:
        corner_px: (face, 3, 2) float64 column and row of each corner.
        inverse_depth: (face, 3) float64, 1/mm.
        part: (face,) int64 number of the part that a face bounds, in the order of replacement.
        box_px: (face, 4) int64 first and end row, first and end column of the pixels that a face may touch.
    """

    corner_px: npt.NDArray[np.float64]
    inverse_depth: npt.NDArray[np.float64]
    part: npt.NDArray[np.int64]
    box_px: npt.NDArray[np.int64]


class Parts(NamedTuple):
    """What the parts of a scene's tools are made of, in the order of replacement: later ones over earlier ones.

    Attributes:
        tool: (part,) int64 number of the tool.
        material: (part,) int64 index into `materials`.
        density_g_cm3: (part,) float64.
        materials: names, in the order of first use.
    """

    tool: npt.NDArray[np.int64]
    material: npt.NDArray[np.int64]
    density_g_cm3: npt.NDArray[np.float64]
    materials: tuple[str, ...]


def parts(tools: Sequence[Tool]) -> Parts:
    """Number the parts of all tools.

    Raises:
        InputError: a part has no density.
    """
    listed = [(number, tool, part) for number, tool in enumerate(tools) for part in tool.parts]
    for _, tool, part in listed:
        if part.density_g_cm3 is None:
            raise InputError(f"tool '{tool.name}': a part of {part.material} has no density; put it into a Scene first")
    materials = tuple(dict.fromkeys(part.material for _, _, part in listed))
    return Parts(
        np.array([number for number, _, _ in listed], dtype=np.int64),
        np.array([materials.index(part.material) for _, _, part in listed], dtype=np.int64),
        np.array([part.density_g_cm3 for _, _, part in listed], dtype=np.float64),
        materials,
    )


def triangles(tools: Sequence[Tool], camera: Camera) -> Triangles:
    """The surfaces of all tools as a camera sees them.

    Raises:
        InputError: a tool reaches behind the X-ray source.
    """
    corners, owners, count = [], [], 0
    for tool in tools:
        camera_from_tool = camera.camera_from_patient @ tool.patient_from_tool
        for part in tool.parts:
            placed = apply(camera_from_tool, part.vertices_mm)
            if len(placed) and placed[:, 2].min() < _NEAREST_MM:
                raise InputError(f"tool '{tool.name}' reaches behind the X-ray source; move it or the camera")
            corners.append(placed[part.faces])
            owners.append(np.full(len(part.faces), count, dtype=np.int64))
            count += 1
    corner = np.concatenate(corners)
    depth = corner[..., 2]
    corner_px = (corner @ camera.K.T)[..., :2] / depth[..., None]
    box = _boxes(corner_px, camera)
    seen = (box[:, 0] < box[:, 1]) & (box[:, 2] < box[:, 3])
    return Triangles(corner_px[seen], 1 / depth[seen], np.concatenate(owners)[seen], box[seen])


def _boxes(corner_px: npt.NDArray[np.float64], camera: Camera) -> npt.NDArray[np.int64]:
    """(face, 4) pixels that a face may touch: those whose square, half a pixel around the centre, overlaps its box."""
    low, high = corner_px.min(axis=1), corner_px.max(axis=1)
    size = np.array([camera.columns, camera.rows])
    first = np.clip(np.floor(low + 0.5), 0, size)
    end = np.clip(np.floor(high + 0.5) + 1, 0, size)
    return np.stack([first[:, 1], end[:, 1], first[:, 0], end[:, 0]], axis=1).astype(np.int64)


def boxed(drawn: Triangles) -> tuple[Triangles, tuple[int, int, int, int]]:
    """Triangles in the pixels of the smallest box that holds all pixels they may touch.

    Returns:
        The triangles, and first and end row, first and end column of the box in the whole image.
    """
    if not len(drawn.part):
        return drawn, (0, 0, 0, 0)
    box = drawn.box_px
    top, bottom, left, right = int(box[:, 0].min()), int(box[:, 1].max()), int(box[:, 2].min()), int(box[:, 3].max())
    moved = drawn._replace(corner_px=drawn.corner_px - [left, top], box_px=box - np.array([top, top, left, left]))
    return moved, (top, bottom, left, right)
