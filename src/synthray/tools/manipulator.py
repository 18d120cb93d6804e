"""The continuum manipulator of the SyntheX paper: a notched nitinol tube on a rigid shaft."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.tools import checks
from synthray.tools.assemble import part, tool
from synthray.tools.kinematics import Bend, frame_at, joint_angles
from synthray.tools.meshes import Mesh, box, cylinder, placed, sweep
from synthray.tools.small import burr
from synthray.tools.tool import Part, Tool

# Nitinol's usual mass density.
_NITINOL_G_CM3 = 6.45
# Chords within 0.08 % of the diameter, for half the triangles of the usual number.
_SIDES = 64


def continuum_manipulator(
    *,
    control_deg: npt.ArrayLike = (0.0,),
    length_mm: float = 35.0,
    diameter_mm: float = 6.0,
    lumen_mm: float = 4.6,
    joints: int = 26,
    notch_share: float = 0.45,
    limit_deg: float = 7.5,
    shaft_length_mm: float = 120.0,
    end_effector: str = "none",
) -> Tool:
    """A tube with notches on alternating sides that bends in its x, z plane, on a rigid shaft along -z.

    Outer diameter about 6 mm and bending length 35 mm as in Gao et al., Nat Mach Intell 2023 (SyntheX). Landmarks: base
    (origin, where the bending part begins) and tip (end of the centre line).

    Args:
        control_deg: (k,) angles per joint from base to tip in degrees, positive towards +x; see
            `kinematics.joint_angles`. `random_bend` draws them.
        length_mm: of the bending part along its centre line.
        diameter_mm: outer.
        lumen_mm: inner diameter.
        joints: number of notches.
        notch_share: height of a notch as a share of the distance between notches.
        limit_deg: largest angle of a joint.
        shaft_length_mm: of the rigid shaft.
        end_effector: "none", "cutter" (a burr on its drive cable) or "drill".

    Raises:
        InputError: a bad size, an angle beyond the limit, or an unknown end effector.
    """
    checks.positive("continuum manipulator", length_mm=length_mm, diameter_mm=diameter_mm, lumen_mm=lumen_mm)
    checks.positive("continuum manipulator", joints=joints, notch_share=notch_share, limit_deg=limit_deg)
    if joints != int(joints):
        raise InputError(f"continuum manipulator: joints must be a whole number, got {joints}")
    checks.positive("continuum manipulator", shaft_length_mm=shaft_length_mm)
    checks.smaller("continuum manipulator", "lumen_mm", lumen_mm, "diameter_mm", diameter_mm)
    checks.smaller("continuum manipulator", "notch_share", notch_share, "0.8", 0.8)
    if end_effector not in ("none", "cutter", "drill"):
        raise InputError(f"continuum manipulator: end_effector must be none, cutter or drill, got '{end_effector}'")
    bend = Bend(joint_angles(control_deg, joints, limit_deg), length_mm)
    if np.abs(bend.joint_rad).max() * diameter_mm / 2 > length_mm / joints:
        raise InputError("continuum manipulator: the tube would fold into itself; give fewer joints or smaller angles")
    line = bend.center_line_mm(3)
    tube = sweep_planar(line, bend, diameter_mm / 2)
    lumen = sweep_planar(line, bend, lumen_mm / 2, beyond_mm=1.0)
    holes = [lumen, *_notches(bend, diameter_mm, notch_share)]
    parts = [
        part(
            [cylinder(diameter_mm / 2 + 0.5, -shaft_length_mm, -0.01)], "steel_316l", [_bore(lumen_mm, shaft_length_mm)]
        ),
        part([tube], "NiTi", holes, _NITINOL_G_CM3),
    ]
    if end_effector != "none":
        parts.append(_effector(end_effector, bend, line, lumen_mm))
    return tool("continuum_manipulator", parts, length_mm, {"tip": line[-1]})


def _bore(lumen_mm: float, length_mm: float) -> Mesh:
    return cylinder(lumen_mm / 2, -length_mm - 1, 1, 64)


def sweep_planar(line_mm: npt.NDArray[np.float64], bend: Bend, radius_mm: float, beyond_mm: float = 0.0) -> Mesh:
    """A round tube along the centre line, longer at both ends by `beyond_mm`; sections stand on the exact axis."""
    if beyond_mm > 0:
        first, last = frame_at(bend, 0.0), bend.tip_from
        ends = [first[:3, 3] - beyond_mm * first[:3, 2], last[:3, 3] + beyond_mm * last[:3, 2]]
        line_mm = np.concatenate([ends[:1], line_mm, ends[1:]])
    return sweep(line_mm, radius_mm, _SIDES)


def _notches(bend: Bend, diameter_mm: float, share: float) -> list[Mesh]:
    """Gaps in the wall, alternating between both sides; a flexure of a third of the diameter stays."""
    step = bend.length_mm / len(bend.joint_rad)
    deep = diameter_mm * 2 / 3
    gaps = []
    for joint in range(len(bend.joint_rad)):
        side = 1 if joint % 2 else -1
        gap = box((deep, diameter_mm + 1, share * step), (side * (diameter_mm / 2 + 0.5 - deep / 2 + 0.25), 0, 0))
        gaps.append(placed(gap, frame_at(bend, (joint + 0.5) * step)))
    return gaps


def _effector(kind: str, bend: Bend, line_mm: npt.NDArray[np.float64], lumen_mm: float) -> Part:
    """A burr or drill that sticks out of the tip, on a cable through the lumen."""
    cable = sweep(line_mm, 0.25 * lumen_mm, 48)
    if kind == "cutter":
        head = [*burr(6.0, 0.95 * lumen_mm, 0.5 * lumen_mm, -0.5)]
    else:
        from synthray.tools.small import drill_tip

        bit = drill_tip(length_mm=5 * lumen_mm, diameter_mm=0.7 * lumen_mm).parts[0]
        head = [Mesh(bit.vertices_mm - [0, 0, 3 * lumen_mm], bit.faces)]
    return part([cable, *(placed(mesh, bend.tip_from) for mesh in head)], "steel_316l")
