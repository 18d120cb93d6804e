"""The user's own meshes: STL, OBJ, PLY and GLB files, or arrays."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError, SynthrayWarning
from synthray.tools.tool import Part, Tool

_MM_PER = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "inch": 25.4}
_KINDS = (".stl", ".obj", ".ply", ".glb")
_SMALLEST_MM, _LARGEST_MM = 0.5, 1500.0


def load(
    path: str | Path,
    *,
    material: str,
    units: str | None = None,
    repair: bool = False,
    density_g_cm3: float | None = None,
    name: str | None = None,
) -> Tool:
    """A tool from a mesh file, in the file's own frame.

    Args:
        path: STL, OBJ, PLY or GLB.
        material: a material's name or a chemical formula (which needs a density).
        units: "mm", "cm", "m" or "inch"; None takes metres for GLB (glTF 2.0, section 3.4) and millimetres otherwise.
        repair: merge vertices, fill holes and turn faces; a warning says what was done.
        density_g_cm3: mass density; None takes the named material's.
        name: of the mask; None takes the file's.

    Raises:
        InputError: unreadable, empty, NaN, open (without `repair`), of an implausible size, or unknown units.
    """
    file = Path(path)
    if file.suffix.lower() not in _KINDS:
        raise InputError(f"{file}: a mesh must be a file of kind {', '.join(_KINDS)}")
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    mesh = _read(file)
    unit = units or ("m" if file.suffix.lower() == ".glb" else "mm")
    return from_arrays(
        mesh.vertices,
        mesh.faces,
        material=material,
        units=unit,
        repair=repair,
        density_g_cm3=density_g_cm3,
        name=name or file.stem,
        source=str(file),
    )


def from_arrays(
    vertices: npt.ArrayLike,
    faces: npt.ArrayLike,
    *,
    material: str,
    units: str = "mm",
    repair: bool = False,
    density_g_cm3: float | None = None,
    name: str = "tool",
    source: str = "mesh",
) -> Tool:
    """A tool from vertices (V, 3) and triangles (F, 3).

    Arguments and errors as in `load`; `source` names the mesh in messages.
    """
    import trimesh

    if units not in _MM_PER:
        raise InputError(f"{source}: units must be one of {', '.join(_MM_PER)}, got '{units}'")
    try:
        corners, triangles = np.asarray(vertices, dtype=np.float64), np.asarray(faces)
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: vertices and faces must be arrays of numbers") from error
    Part(corners, triangles, material, density_g_cm3)
    mesh = trimesh.Trimesh(corners * _MM_PER[units], triangles.astype(np.int64), process=False)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    mesh.update_faces(mesh.nondegenerate_faces())
    if not len(mesh.faces):
        raise InputError(f"{source}: the mesh has no triangles with an area")
    _check_size(mesh, units, source)
    _close(mesh, repair, source)
    part = Part(np.asarray(mesh.vertices), np.asarray(mesh.faces, dtype=np.int32), material, density_g_cm3)
    low, high = mesh.bounds
    middle = (low + high) / 2
    ends = {"base": [*middle[:2], low[2]], "tip": [*middle[:2], high[2]]}
    return Tool(name, (part,), {n: np.array(p) for n, p in ends.items()})


def _read(file: Path) -> Any:
    import trimesh

    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mesh = trimesh.load_mesh(str(file), process=False)
            if isinstance(mesh, trimesh.Scene):
                mesh = mesh.to_geometry() if mesh.geometry else None
    except Exception as error:  # trimesh's readers raise whatever their parsers raise
        raise InputError(f"{file}: not a readable mesh ({type(error).__name__}); export it again") from error
    if mesh is None or not len(getattr(mesh, "faces", ())):
        raise InputError(f"{file}: the mesh is empty: it has no triangles")
    return mesh


def _check_size(mesh: Any, units: str, source: str) -> None:
    extent = float(np.max(mesh.extents))
    if extent < _SMALLEST_MM:
        raise InputError(
            f"{source}: only {extent:.3g} mm across when read in {units}; if it is in metres pass units='m'"
        )
    if extent > _LARGEST_MM:
        hint = "pass units='mm'" if units != "mm" else "it may be in micrometres: scale it"
        raise InputError(f"{source}: {extent:.4g} mm across when read in {units}, beyond {_LARGEST_MM:g} mm; {hint}")


def _open_edges(mesh: Any) -> int:
    """Edges that don't belong to exactly two triangles."""
    _, counts = np.unique(mesh.edges_sorted, axis=0, return_counts=True)
    return int((counts != 2).sum())


def _close(mesh: Any, repair: bool, source: str) -> None:
    """Make the surface closed and outward, or refuse it."""
    import trimesh

    before = _open_edges(mesh)
    consistent = bool(mesh.is_winding_consistent)
    if (before or not consistent) and not repair:
        wrong = f"{before} open edges" if before else "faces that don't turn the same way"
        raise InputError(f"{source}: the surface is not closed ({wrong}); close it, or pass repair=True")
    if before or not consistent:
        trimesh.repair.fill_holes(mesh)
        trimesh.repair.fix_winding(mesh)
        after = _open_edges(mesh)
        if after or not mesh.is_winding_consistent:
            raise InputError(f"{source}: repair left {after} open edges; close the surface in a mesh editor")
        warnings.warn(
            f"{source}: repaired: {before} open edges closed, faces turned alike", SynthrayWarning, stacklevel=4
        )
    if abs(mesh.volume) < 1e-6 * float(np.prod(mesh.extents)):
        raise InputError(f"{source}: the surface encloses no volume: its shells are flat or turned against each other")
    if mesh.volume < 0:
        mesh.invert()
        warnings.warn(f"{source}: the surface was inside out; its faces were turned", SynthrayWarning, stacklevel=4)
