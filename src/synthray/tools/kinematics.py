"""Forward kinematics of a planar continuum manipulator: joint angles -> centre line and frames.

Each notch's share of the tube bends as an arc of constant curvature, so that a constant angle gives one circular arc,
and the arc length never changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry import compose, rotation_about

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bend:
    """A manipulator's shape in its own frame: base at the origin, straight along +z, bending towards +x.

    Attributes:
        joint_rad: (n,) angle of each notch.
        length_mm: of the bending part.
    """

    joint_rad: Floats
    length_mm: float

    @property
    def tip_from(self) -> Floats:
        """(4, 4) tool_from_tip: the frame at the end of the bending part, +z along its axis."""
        return frame_at(self, self.length_mm)

    def center_line_mm(self, per_joint: int = 4) -> Floats:
        """(n * per_joint + 1, 3) points in equal steps of arc length from base to tip."""
        count = len(self.joint_rad) * per_joint
        return positions(self, np.linspace(0, self.length_mm, count + 1))


def joint_angles(control_deg: npt.ArrayLike, joints: int, limit_deg: float) -> Floats:
    """Angles (joints,) in radians along the notches from a few control angles, by a Bezier curve.

    The curve stays within the range of its control points, so limits on these hold for every joint.

    Args:
        control_deg: (k,) degrees per joint, from base to tip.
        joints: number of notches.
        limit_deg: largest angle of a joint either way.

    Raises:
        InputError: no control angles, one beyond the limit, or not finite.
    """
    control = np.asarray(control_deg, dtype=np.float64).reshape(-1)
    if not len(control) or len(control) > 16 or not np.isfinite(control).all():
        raise InputError(f"continuum manipulator: control_deg needs 1 to 16 finite angles, got {control.tolist()}")
    if np.abs(control).max() > limit_deg:
        raise InputError(
            f"continuum manipulator: a joint bends by {limit_deg:g} deg at most, control_deg reaches "
            f"{np.abs(control).max():g}"
        )
    at, order = (np.arange(joints) + 0.5) / joints, len(control) - 1
    basis = [comb(order, k) * at**k * (1 - at) ** (order - k) for k in range(order + 1)]
    return np.radians(control @ np.array(basis))


def random_bend(
    rng: np.random.Generator, joints: int = 26, limit_deg: float = 7.5, controls: int = 4, spread: float = 1.0
) -> Floats:
    """Random control angles (controls,) in degrees: a common bend plus variation along the tube, within limits."""
    common = rng.uniform(-0.7, 0.7)
    varied = common + rng.uniform(-0.3, 0.3, controls)
    return np.clip(spread * varied, -1, 1) * min(limit_deg, 200.0 / joints)


def heading(bend: Bend, run_mm: Floats) -> Floats:
    """Angle of the axis to +z in radians at arc lengths (m,)."""
    step = bend.length_mm / len(bend.joint_rad)
    total = np.concatenate([[0.0], np.cumsum(bend.joint_rad)])
    return np.interp(run_mm, step * np.arange(len(total)), total)


def positions(bend: Bend, run_mm: npt.ArrayLike) -> Floats:
    """(m, 3) points of the centre line at arc lengths (m,) between 0 and the length."""
    run, angles = np.asarray(run_mm, dtype=np.float64), bend.joint_rad
    step = bend.length_mm / len(angles)
    starts = np.concatenate([[0.0], np.cumsum(angles)])
    ends = np.concatenate([np.zeros((1, 2)), np.cumsum(_chord(starts[:-1], angles, step), axis=0)])
    joint = np.clip((run / step).astype(int), 0, len(angles) - 1)
    share = run / step - joint
    flat = ends[joint] + _chord(starts[joint], share * angles[joint], share * step)
    return np.stack([flat[:, 0], np.zeros(len(flat)), flat[:, 1]], axis=-1)


def _chord(start_rad: Floats, turn_rad: Floats, length_mm: Floats | float) -> Floats:
    """(m, 2) x, z from the start to the end of arcs: length * sinc(turn / 2) along the mean heading."""
    reach = length_mm * np.sinc(turn_rad / (2 * np.pi))
    middle = start_rad + turn_rad / 2
    return np.stack([reach * np.sin(middle), reach * np.cos(middle)], axis=-1)


def frame_at(bend: Bend, run_mm: float) -> Floats:
    """(4, 4) tool_from_section at an arc length: +z along the axis, +y across the plane of bending."""
    at = np.array([run_mm])
    return compose(rotation_about((0, 1, 0), float(heading(bend, at)[0])), positions(bend, at)[0])
