"""Where a tool goes: along a line, near a target, inside a structure, on the skin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.errors import InputError
from synthray.geometry import apply, compose, rotation_about
from synthray.tools.skin import Skin, find_skin
from synthray.tools.tool import Tool

Floats = npt.NDArray[np.float64]
Point = str | npt.ArrayLike


def along(tool: Tool, from_mm: Point, to_mm: Point, *, patient: Patient | None = None, roll_deg: float = 0.0) -> Tool:
    """The tool with its tip at `to_mm` and its +z along the line from `from_mm` to it.

    Args:
        tool: to be placed.
        from_mm: (3,) patient mm, or the name of one of the patient's landmarks.
        to_mm: likewise.
        patient: whose landmarks the names are.
        roll_deg: turn about the axis.

    Raises:
        InputError: an unknown landmark, or both points coincide.
    """
    start, end = _point(from_mm, patient), _point(to_mm, patient)
    if np.linalg.norm(end - start) < 1e-6:
        raise InputError(f"tool '{tool.name}': along() needs two different points, both are {end.tolist()}")
    return place(tool, end, turned_to(end - start, roll_deg), "tip")


def near(
    tool: Tool,
    target_mm: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    offset_mm: float = 10.0,
    tilt_deg: float = 180.0,
    direction: npt.ArrayLike = (0, 0, 1),
    landmark: str = "tip",
) -> Tool:
    """The tool at a random offset and orientation to a target, as a tracked or robotic tool would lie.

    Args:
        tool: to be placed.
        target_mm: (3,) patient mm.
        rng: source of the random offset, tilt and roll.
        offset_mm: radius of the ball around the target that the landmark lies in, uniformly.
        tilt_deg: largest angle between the tool's axis and `direction`, uniform over the cap; 180 is any orientation.
        direction: (3,) mean direction of +z in the patient.
        landmark: which of the tool's landmarks is put there.

    Raises:
        InputError: a bad point or direction, or an unknown landmark.
    """
    if not (offset_mm >= 0 and 0 <= tilt_deg <= 180):
        raise InputError(f"near: offset_mm must be 0 or more and tilt_deg 0 to 180, got {offset_mm} and {tilt_deg}")
    radius = offset_mm * rng.random() ** (1 / 3)
    at = _point(target_mm, None) + radius * _random_direction(rng)
    cos_tilt = rng.uniform(np.cos(np.radians(tilt_deg)), 1.0)
    azimuth, sin_tilt = rng.uniform(0, 2 * np.pi), np.sqrt(max(1 - cos_tilt**2, 0.0))
    local = np.array([sin_tilt * np.cos(azimuth), sin_tilt * np.sin(azimuth), cos_tilt])
    axis = turned_to(direction, 0.0) @ local
    return place(tool, at, turned_to(axis, rng.uniform(0, 360)), landmark)


def inside(
    tool: Tool,
    patient: Patient,
    structure: str,
    rng: np.random.Generator,
    *,
    direction: npt.ArrayLike | None = None,
    landmark: str = "tip",
) -> Tool:
    """The tool with a landmark (or "center", the middle of its bounds) at a random place within a structure.

    Args:
        tool: to be placed.
        patient: with labels.
        structure: name of a labelled structure.
        rng: source of the place, the direction unless given, and the roll.
        direction: (3,) of +z in the patient; None draws one.
        landmark: what lies inside.

    Raises:
        InputError: no labels, an unknown or empty structure, or an unknown landmark.
    """
    if patient.labels is None:
        raise InputError(f"{patient.name}: no labels, so no structure '{structure}' to put tool '{tool.name}' into")
    voxels = np.flatnonzero(patient.labels.mask(structure))
    if not len(voxels):
        raise InputError(f"{patient.name}: structure '{structure}' is empty: tool '{tool.name}' can't be put into it")
    index = np.array(np.unravel_index(int(rng.choice(voxels)), patient.ct.shape))
    at = apply(patient.ct.patient_from_voxel, index + rng.uniform(-0.5, 0.5, 3))
    axis = _random_direction(rng) if direction is None else direction
    return place(tool, at, turned_to(axis, rng.uniform(0, 360)), landmark)


def on_skin(
    tool: Tool,
    patient: Patient | Skin,
    near_mm: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    patch_mm: float = 12.0,
    direction: npt.ArrayLike | None = None,
) -> Tool:
    """The tool lying on the skin nearest to a point, its back (lowest z) against it and +z outward; the roll is random.

    Args:
        tool: to be placed.
        patient: whose skin is the border of `anatomy.body_mask`, or that skin from `find_skin`, for several tools.
        near_mm: (3,) patient mm.
        rng: source of the roll.
        patch_mm: radius of the skin whose mean slope counts.
        direction: (3,) takes the skin where a line from the point in this direction leaves the body.

    Raises:
        InputError: there is no body in the CT, or no skin.
    """
    skin = patient if isinstance(patient, Skin) else find_skin(patient)
    near = _point(near_mm, None)
    if direction is not None:
        near = skin.exit_mm(near, turned_to(direction, 0.0)[:, 2])
    at, normal = skin.nearest(near, patch_mm)
    turn = turned_to(normal, rng.uniform(0, 360))
    back = min(float(part.outer_mm[:, 2].min()) for part in tool.parts)
    return tool.at(compose(turn, at - turn @ np.array([0.0, 0.0, back])))


def turned_to(direction: npt.ArrayLike, roll_deg: float) -> Floats:
    """(3, 3) rotation that carries +z to a direction, after a roll about z.

    Raises:
        InputError: the direction has no length.
    """
    axis = np.asarray(direction, dtype=np.float64).reshape(-1)
    if axis.shape != (3,) or not np.isfinite(axis).all() or np.linalg.norm(axis) < 1e-9:
        raise InputError(f"a direction must be three finite numbers, not all zero, got {axis.tolist()}")
    z = axis / np.linalg.norm(axis)
    helper = np.array([1.0, 0, 0]) if abs(z[0]) < 0.9 else np.array([0, 1.0, 0])
    y = np.cross(z, helper)
    y /= np.linalg.norm(y)
    return np.stack([np.cross(y, z), y, z], axis=-1) @ rotation_about((0, 0, 1), np.radians(roll_deg))


def _random_direction(rng: np.random.Generator) -> Floats:
    vector = rng.normal(size=3)
    return vector / np.linalg.norm(vector)


def _point(point: Point, patient: Patient | None) -> Floats:
    if isinstance(point, str):
        if patient is None or point not in patient.landmarks:
            has = "no patient was given" if patient is None else f"it has {', '.join(patient.landmarks) or 'none'}"
            raise InputError(f"no landmark '{point}' to place a tool at: {has}")
        return patient.landmarks[point]
    at = np.asarray(point, dtype=np.float64).reshape(-1)
    if at.shape != (3,) or not np.isfinite(at).all():
        raise InputError(f"a point to place a tool at must be three finite numbers in mm, got {at.tolist()}")
    return at


def place(tool: Tool, at_mm: Floats, turn: Floats, landmark: str) -> Tool:
    """The tool turned by (3, 3), with a landmark (or "center", the middle of its bounds) at (3,) patient mm.

    Raises:
        InputError: it has no such landmark.
    """
    if landmark == "center":
        corners = np.concatenate([part.outer_mm for part in tool.parts])
        local = (corners.min(axis=0) + corners.max(axis=0)) / 2
    elif landmark in tool.landmarks:
        local = tool.landmarks[landmark]
    else:
        raise InputError(f"tool '{tool.name}' has no landmark '{landmark}'; it has {', '.join(tool.landmarks)}")
    return tool.at(compose(turn, at_mm - turn @ local))
