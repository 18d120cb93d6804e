"""Landmarks from JSON, CSV and 3-D Slicer files, in patient mm (LPS)."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.anatomy.label_files import read_json
from synthray.errors import InputError

Points = dict[str, npt.NDArray[np.float64]]

# Slicer's codes in .fcsv: 0 is RAS, 1 is LPS.
_LPS_SIGNS: Final = {"LPS": (1, 1, 1), "1": (1, 1, 1), "RAS": (-1, -1, 1), "0": (-1, -1, 1)}


def read_landmarks(path: str | Path, frame: str | None = None) -> Points:
    """Landmark name -> (3,) patient mm (LPS).

    Takes JSON ({"FH-l": [x, y, z]} or {"frame": "RAS", "points": {...}}), CSV (header name,x,y,z), and 3-D Slicer's
    .mrk.json and .fcsv. A frame in the file holds for it; our JSON and CSV are LPS without one.

    Args:
        path: the file.
        frame: "LPS" or "RAS", for files that don't say.

    Raises:
        InputError: no such file, not of these forms, a name twice, or a coordinate that is not a finite number.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix.lower() == ".json":
        held_frame, rows = _from_json(read_json(path), path)
    elif path.suffix.lower() in (".csv", ".fcsv"):
        held_frame, rows = _from_table(path)
    else:
        raise InputError(f"{path}: landmarks must be .json, .csv, .mrk.json or .fcsv")
    return _checked(rows, held_frame or frame or "LPS", path)


def _checked(rows: Iterable[tuple[Any, Any]], frame: str, path: Path) -> Points:
    if frame.upper() not in _LPS_SIGNS:
        raise InputError(f"{path}: frame '{frame}' is not known; use LPS or RAS")
    points: Points = {}
    for name, position in rows:
        try:
            # A text would be taken apart into digits.
            point = np.array([float(v) for v in position]) if not isinstance(position, str) else np.empty(0)
        except (TypeError, ValueError):
            point = np.empty(0)
        if point.shape != (3,) or not np.isfinite(point).all():
            raise InputError(f"{path}: landmark '{name}' must be three finite numbers in mm, got {position}")
        if str(name) in points:
            raise InputError(f"{path}: landmark '{name}' is there twice; names must differ")
        points[str(name)] = point * _LPS_SIGNS[frame.upper()]
    return points


def _from_json(held: Any, path: Path) -> tuple[str | None, Iterable[tuple[Any, Any]]]:
    if not isinstance(held, Mapping):
        raise InputError(f'{path}: landmarks must look like {{"FH-l": [x, y, z]}}')
    if "markups" in held:
        return _from_markups(held["markups"], path)
    points = held.get("points", held)
    if not isinstance(points, Mapping):
        raise InputError(f'{path}: "points" must be a mapping of names to [x, y, z]')
    return (str(held["frame"]) if "points" in held and "frame" in held else None), points.items()


def _from_markups(markups: Any, path: Path) -> tuple[str, Iterable[tuple[Any, Any]]]:
    """All control points of Slicer's markups file; they must share one coordinate system."""
    try:
        frames = {str(m.get("coordinateSystem", "LPS")) for m in markups}
        points = [c for m in markups for c in m["controlPoints"]]
        # A point that was named and not yet placed has a status that says so.
        placed = [c for c in points if c.get("positionStatus", "defined") == "defined"]
        rows = [(c.get("label") or c.get("id"), c["position"]) for c in placed]
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a 3-D Slicer markups file with control points") from error
    if len(frames) != 1:
        raise InputError(f"{path}: its markups are in different coordinate systems {sorted(frames)}; save them apart")
    return frames.pop(), rows


def _from_table(path: Path) -> tuple[str | None, Iterable[tuple[Any, Any]]]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file") from error
    comments = "\n".join(line for line in lines if line.startswith("#"))
    rows = [line for line in lines if line.strip() and not line.startswith("#")]
    if path.suffix.lower() == ".fcsv":
        named = re.search(r"CoordinateSystem\s*=\s*(\w+)", comments)
        columns = re.search(r"columns\s*=\s*(\S+)", comments)
        header = columns[1].split(",") if columns else ["id", "x", "y", "z", *"wabcdef", "label"]
        # Slicer versions that wrote no coordinate system wrote RAS.
        return (named[1] if named else "RAS"), _columns(csv.reader(rows), header, "label", path)
    table = csv.reader(rows)
    header = [word.strip().lower() for word in next(table, [])]
    return None, _columns(table, header, "name", path)


def _columns(table: Iterable[list[str]], header: list[str], name: str, path: Path) -> list[tuple[str, list[str]]]:
    if any(column not in header for column in (name, "x", "y", "z")):
        raise InputError(
            f"{path}: the header must name the columns {name}, x, y, z; it has {', '.join(header) or 'none'}"
        )
    places = [header.index(column) for column in (name, "x", "y", "z")]
    try:
        rows = [[row[p].strip() if p < len(row) else "" for p in places] for row in table]
    except csv.Error as error:
        raise InputError(f"{path}: not readable as a table ({error})") from None
    return [(row[0], row[1:]) for row in rows]
