"""Closed surfaces that tools are assembled from: solids of revolution, swept tubes, prisms, threads.

A body's winding number is one inside, a hole's minus one, so that shells are joined and drilled by listing them:
the projector takes a point as metal where the sum is above zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from synthray.geometry import apply

Floats = npt.NDArray[np.float64]

# Enough for chords within 0.03 % of the diameter.
SIDES = 128


class Mesh(NamedTuple):
    """A closed triangle surface: (V, 3) mm and (F, 3) int32, outward by the right-hand rule."""

    vertices_mm: Floats
    faces: npt.NDArray[np.int32]


def join(meshes: Sequence[Mesh]) -> Mesh:
    """All shells as one surface; where bodies overlap they are their union."""
    starts = np.cumsum([0, *(len(m.vertices_mm) for m in meshes)])
    faces = [m.faces + start for m, start in zip(meshes, starts, strict=False)]
    return Mesh(np.concatenate([m.vertices_mm for m in meshes]), np.concatenate(faces).astype(np.int32))


def drill(bodies: Sequence[Mesh], holes: Sequence[Mesh]) -> Mesh:
    """The union of bodies less every hole.

    Each hole is listed once per body: where all bodies overlap the winding number is their count, and the hole has to
    bring it to zero there too.
    """
    turned = [Mesh(h.vertices_mm, h.faces[:, ::-1]) for h in holes]
    return join([*bodies, *(turned * len(bodies))])


def placed(mesh: Mesh, to_from: npt.ArrayLike) -> Mesh:
    """The surface carried through a (4, 4) transform that doesn't mirror."""
    return Mesh(apply(to_from, mesh.vertices_mm), mesh.faces)


def shifted(mesh: Mesh, x_mm: float = 0.0, y_mm: float = 0.0, z_mm: float = 0.0) -> Mesh:
    """The surface moved by an offset."""
    return Mesh(mesh.vertices_mm + [x_mm, y_mm, z_mm], mesh.faces)


def _circle(sides: int) -> Floats:
    """(sides, 2) polygon of the unit circle's area: chords through it are then right on average."""
    angles = 2 * np.pi * np.arange(sides) / sides
    radius = np.sqrt(2 * np.pi / (sides * np.sin(2 * np.pi / sides)))
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def _capped(rings: Floats, start: Floats, end: Floats) -> Mesh:
    """Rings (n, sides, 3), counter-clockwise about the direction start -> end, closed by a fan at each end."""
    n, sides = rings.shape[:2]
    here = np.arange(n * sides).reshape(n, sides)
    beside = np.roll(here, -1, axis=1)
    a, b, c, d = here[:-1].ravel(), beside[:-1].ravel(), beside[1:].ravel(), here[1:].ravel()
    first, last = np.full(sides, n * sides), np.full(sides, n * sides + 1)
    faces = [
        np.stack([a, b, c], axis=-1),
        np.stack([a, c, d], axis=-1),
        np.stack([first, beside[0], here[0]], axis=-1),
        np.stack([last, here[-1], beside[-1]], axis=-1),
    ]
    vertices = np.concatenate([rings.reshape(-1, 3), start[None], end[None]])
    return Mesh(vertices, np.concatenate(faces).astype(np.int32))


def revolve(profile_mm: npt.ArrayLike, sides: int = SIDES) -> Mesh:
    """The solid swept by a profile about z.

    Args:
        profile_mm: (n, 2) of (radius, z) with positive radii, from the low end to the high end; both ends are closed
            flat.
        sides: of the polygon around.
    """
    profile = np.asarray(profile_mm, dtype=np.float64)
    rings = np.empty((len(profile), sides, 3))
    rings[..., :2] = profile[:, None, :1] * _circle(sides)
    rings[..., 2] = profile[:, None, 1]
    return _capped(rings, np.array([0, 0, profile[0, 1]]), np.array([0, 0, profile[-1, 1]]))


def cylinder(radius_mm: float, low_mm: float, high_mm: float, sides: int = SIDES) -> Mesh:
    """A cylinder about z between two heights."""
    return revolve([(radius_mm, low_mm), (radius_mm, high_mm)], sides)


def sphere(radius_mm: float, center_mm: npt.ArrayLike = (0, 0, 0), sides: int = SIDES) -> Mesh:
    """A ball, with as many rings as give its volume within 0.1 %."""
    polar = np.pi * np.arange(1, sides // 2) / (sides // 2)
    mesh = revolve(np.stack([np.sin(polar), -np.cos(polar)], axis=-1), sides)
    mesh.vertices_mm[-2:, 2] = -1, 1
    scale = (4 * np.pi / 3 / volume_mm3(mesh)) ** (1 / 3)
    return Mesh(mesh.vertices_mm * (radius_mm * scale) + np.asarray(center_mm), mesh.faces)


def volume_mm3(mesh: Mesh) -> float:
    """Signed volume by the divergence theorem."""
    a, b, c = np.moveaxis(mesh.vertices_mm[mesh.faces], 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def prism(outline_mm: npt.ArrayLike, low_mm: float, high_mm: float) -> Mesh:
    """An outline (n, 2) in x, y, counter-clockwise and seen whole from its centre, between two heights."""
    outline = np.asarray(outline_mm, dtype=np.float64)
    rings = np.empty((2, len(outline), 3))
    rings[..., :2], rings[0, :, 2], rings[1, :, 2] = outline, low_mm, high_mm
    center = outline.mean(axis=0)
    return _capped(rings, np.array([*center, low_mm]), np.array([*center, high_mm]))


def box(size_mm: npt.ArrayLike, center_mm: npt.ArrayLike = (0, 0, 0)) -> Mesh:
    """A box along the axes."""
    x, y, z = np.asarray(size_mm, dtype=np.float64) / 2
    mesh = prism([(-x, -y), (x, -y), (x, y), (-x, y)], -z, z)
    return Mesh(mesh.vertices_mm + np.asarray(center_mm), mesh.faces)


def rounded(width_mm: float, height_mm: float, corner_mm: float, steps: int = 16) -> Floats:
    """(4 steps, 2) outline of a rectangle with round corners, for `prism`."""
    angles = np.linspace(0, np.pi / 2, steps)
    arc = corner_mm * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    corner = arc + [width_mm / 2 - corner_mm, height_mm / 2 - corner_mm]
    quarter = np.array([[0, -1], [1, 0]])
    swapped = arc + [height_mm / 2 - corner_mm, width_mm / 2 - corner_mm]
    return np.concatenate([corner, swapped @ quarter.T, -corner, -(swapped @ quarter.T)])


def hexagon(across_flats_mm: float) -> Floats:
    """(6, 2) outline of a hexagon by its width across flats."""
    angles = np.pi / 3 * np.arange(6)
    return across_flats_mm / np.sqrt(3) * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def frames_along(path_mm: Floats) -> tuple[Floats, Floats]:
    """Two unit normals (n, 3) along a path (n, 3), turning as little as possible (parallel transport).

    Source: Bishop, There is more than one way to frame a curve, Amer. Math. Monthly 82 (1975).
    """
    tangents = np.gradient(path_mm, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    normal = np.eye(3)[np.argmin(np.abs(tangents[0]))]
    normals = np.empty_like(path_mm)
    for k, tangent in enumerate(tangents):
        normal = normal - (normal @ tangent) * tangent
        normal = normal / np.linalg.norm(normal)
        normals[k] = normal
    return normals, np.cross(tangents, normals)


def sweep(path_mm: npt.ArrayLike, radius_mm: npt.ArrayLike, sides: int = SIDES) -> Mesh:
    """A round wire along a path (n, 3), of one radius or one for each point; ends flat."""
    path = np.asarray(path_mm, dtype=np.float64)
    first, second = frames_along(path)
    radii = np.broadcast_to(np.asarray(radius_mm, dtype=np.float64), len(path))[:, None, None]
    circle = _circle(sides)
    around = circle[:, :1] * first[:, None] + circle[:, 1:] * second[:, None]
    return _capped(path[:, None] + radii * around, path[0], path[-1])


def helix_ridge(
    low_mm: float, high_mm: float, *, core_mm: float, crest_mm: float, pitch_mm: float, sides: int = 64
) -> Mesh:
    """A screw's thread as a closed ridge to be joined with its core.

    Args:
        low_mm: height where the thread begins.
        high_mm: height where it ends; both ends run out into the core within half a turn.
        core_mm: radius of the core; the ridge's foot lies below it.
        crest_mm: radius of the crest.
        pitch_mm: axial distance between turns.
        sides: sections per turn.
    """
    turns = (high_mm - low_mm) / pitch_mm
    angles = np.linspace(0, 2 * np.pi * turns, max(int(np.ceil(sides * turns)), 8))
    height = low_mm + angles / (2 * np.pi) * pitch_mm
    ease = np.clip(np.minimum(angles, angles[-1] - angles) / np.pi, 0, 1)
    foot = core_mm * 0.95
    crest = foot + (crest_mm - foot) * (0.05 + 0.95 * ease)
    # Asymmetric profile of ISO 5835: the flank towards the head is steep, that towards the tip slants.
    wide, flat = 0.7 * pitch_mm, 0.1 * pitch_mm
    radii = np.stack([np.full_like(crest, foot), crest, crest, np.full_like(crest, foot)], axis=1)
    lifts = np.array([-wide / 2, -wide / 2 + 0.05 * pitch_mm, -wide / 2 + 0.05 * pitch_mm + flat, wide / 2])
    z = height[:, None] + lifts
    around = angles[:, None]
    rings = np.stack([radii * np.cos(around), radii * np.sin(around), z], axis=-1)
    mesh = _capped(rings, rings[0].mean(axis=0), rings[-1].mean(axis=0))
    return mesh if volume_mm3(mesh) > 0 else Mesh(mesh.vertices_mm, mesh.faces[:, ::-1])


def spline(points_mm: npt.ArrayLike, spacing_mm: float = 1.0) -> Floats:
    """A smooth curve (n, 3) through points (k, 3), in equal steps of about `spacing_mm`.

    Centripetal Catmull-Rom: passes through every point, without loops (Yuksel et al., CAD 43, 2011).
    """
    points = np.asarray(points_mm, dtype=np.float64)
    padded = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
    knots = np.cumsum([0, *np.sqrt(np.linalg.norm(np.diff(padded, axis=0), axis=1))])
    dense = np.concatenate([_segment(padded[k : k + 4], knots[k : k + 4]) for k in range(len(points) - 1)])
    curve = np.concatenate([dense, points[-1:]])
    run = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    even = np.linspace(0, run[-1], max(int(np.ceil(run[-1] / spacing_mm)), 2) + 1)
    return np.stack([np.interp(even, run, curve[:, axis]) for axis in range(3)], axis=-1)


def _segment(p: Floats, t: Floats, steps: int = 64) -> Floats:
    """The Catmull-Rom piece from p[1] to p[2] (end excluded) by Barry and Goldman's pyramid."""
    at = np.linspace(t[1], t[2], steps, endpoint=False)[:, None]
    level: list[Any] = list(p)
    for spans in ([(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 3)], [(1, 2)]):
        level = [
            ((t[high] - at) * level[k] + (at - t[low]) * level[k + 1]) / (t[high] - t[low])
            for k, (low, high) in enumerate(spans)
        ]
    return level[0]
