"""From meshes to a `Tool`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from synthray.tools.meshes import Mesh, drill
from synthray.tools.tool import Part, Tool


def part(bodies: Sequence[Mesh], material: str, holes: Sequence[Mesh] = (), density_g_cm3: float | None = None) -> Part:
    """The union of bodies less the holes, of one material."""
    mesh = drill(bodies, holes)
    return Part(mesh.vertices_mm, mesh.faces, material, density_g_cm3, sum(len(body.vertices_mm) for body in bodies))


def tool(
    name: str, parts: Sequence[Part], length_mm: float, landmarks: Mapping[str, npt.ArrayLike] | None = None
) -> Tool:
    """A tool whose landmarks "base" and "tip" lie on its axis at 0 and `length_mm`, unless others are given."""
    ends = {"base": (0.0, 0.0, 0.0), "tip": (0.0, 0.0, length_mm)}
    points = {n: np.asarray(p, dtype=np.float64) for n, p in {**ends, **(landmarks or {})}.items()}
    return Tool(name, tuple(parts), points)


def parts_of(one: Tool, to_from: npt.NDArray[np.float64]) -> list[Part]:
    """A tool's parts carried into the frame of an assembly by a (4, 4) rigid transform."""
    turn, shift = to_from[:3, :3], to_from[:3, 3]
    return [replace(p, vertices_mm=p.vertices_mm @ turn.T + shift) for p in one.parts]
