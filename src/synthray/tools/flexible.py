"""Needles, catheters, leads and what hangs on them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synthray.tools import checks
from synthray.tools.assemble import part, tool
from synthray.tools.meshes import box, cylinder, prism, revolve, rounded, shifted, sphere, spline, sweep
from synthray.tools.tool import Tool

_CATHETER = ((0, 0, 0), (5, 0, 60), (-10, 8, 120), (15, 0, 180))
_LEAD = ((0, 8, 25), (-20, 6, 45), (-60, 0, 30), (-75, -10, -40), (-45, -35, -110))
_WIRE = ((0, 0, 4), (30, 15, 3), (80, 10, 4), (140, 40, 5))


def needle(
    *, length_mm: float = 120.0, diameter_mm: float = 1.27, wall_mm: float = 0.2, material: str = "steel_316l"
) -> Tool:
    """A hollow needle with a plastic hub; the default outer diameter is that of 18 gauge, 1.27 mm.

    Raises:
        InputError: a size is not positive or the wall is thicker than the radius.
    """
    checks.positive("needle", length_mm=length_mm, diameter_mm=diameter_mm, wall_mm=wall_mm)
    checks.smaller("needle", "wall_mm", wall_mm, "half of diameter_mm", diameter_mm / 2)
    checks.smaller("needle", "a hub of 20 mm", 20, "length_mm", length_mm)
    outer, inner = diameter_mm / 2, diameter_mm / 2 - wall_mm
    hub = revolve([(4.0, 0), (4.0, 8), (1.0 + outer, 20)], 64)
    tip = length_mm - 2 * diameter_mm
    tube = revolve([(outer, 5), (outer, tip), (inner + 0.02, length_mm)])
    hub_part = part([hub], "polyethylene")
    return tool("needle", [hub_part, part([tube], material, [cylinder(inner, 4, length_mm + 1)])], length_mm)


def catheter(
    *,
    points_mm: npt.ArrayLike = _CATHETER,
    diameter_mm: float = 1.67,
    lumen_mm: float = 1.0,
    wire_mm: float = 0.89,
    wire_beyond_mm: float = 20.0,
    material: str = "polyethylene",
    wire_material: str = "steel_316l",
) -> Tool:
    """A catheter along a smooth curve through points (k, 3), with a guide wire that reaches beyond its tip.

    Defaults: 5 French (1 French = 1/3 mm) over a 0.035 inch (0.89 mm) wire. `wire_mm` 0 leaves the wire out.

    Raises:
        InputError: a bad path or size, or a wire wider than the lumen.
    """
    checks.positive("catheter", diameter_mm=diameter_mm, lumen_mm=lumen_mm)
    checks.smaller("catheter", "lumen_mm", lumen_mm, "diameter_mm", diameter_mm)
    checks.smaller("catheter", "wire_mm", wire_mm, "lumen_mm", lumen_mm)
    curve = spline(checks.path("catheter", points_mm), 2.0)
    start, end = _unit(curve[0] - curve[1]), _unit(curve[-1] - curve[-2])
    through = np.concatenate([[curve[0] + start], curve, [curve[-1] + end]])
    parts = [part([sweep(curve, diameter_mm / 2, 64)], material, [sweep(through, lumen_mm / 2, 64)])]
    if wire_mm:
        checks.positive("catheter", wire_mm=wire_mm, wire_beyond_mm=wire_beyond_mm)
        beyond = curve[-1] + end * np.linspace(0, wire_beyond_mm, 6)[1:, None]
        parts.append(part([sweep(np.concatenate([curve, beyond]), wire_mm / 2, 64)], wire_material))
    return tool("catheter", parts, 0.0, {"base": curve[0], "tip": curve[-1]})


def _unit(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return vector / np.linalg.norm(vector)


def endoscope_tip(
    *, length_mm: float = 120.0, diameter_mm: float = 9.2, channel_mm: float = 2.8, bend_deg: float = 30.0
) -> Tool:
    """The distal end of a flexible gastroscope: polymer sheath, steel coil of the bending section, metal head.

    Adult gastroscopes measure about 9 mm with a working channel of 2.8 mm. Bends in the x, z plane.

    Raises:
        InputError: a bad size.
    """
    checks.positive("endoscope_tip", length_mm=length_mm, diameter_mm=diameter_mm, channel_mm=channel_mm)
    checks.smaller("endoscope_tip", "channel_mm", channel_mm, "half of diameter_mm", diameter_mm / 2)
    run = np.linspace(0, length_mm, max(int(length_mm / 2), 16))
    angle = np.radians(bend_deg) * run / length_mm
    steps = np.diff(run)[:, None] * np.stack([np.sin(angle[1:]), 0 * angle[1:], np.cos(angle[1:])], axis=-1)
    axis = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    radius, end = diameter_mm / 2, max(int(0.88 * len(axis)), 2)
    sheath = part([sweep(axis[: end + 1], radius)], "polyethylene", [sweep(axis[: end + 1], 0.8 * radius)])
    rings = [sweep(axis[k : k + 2], 0.78 * radius) for k in range(end // 3, end - 1, 3)]
    hollow = [sweep(axis[k : k + 2] * 1.0, 0.68 * radius) for k in range(end // 3, end - 1, 3)]
    coils = [part([ring], "steel_316l", [hole]) for ring, hole in zip(rings, hollow, strict=True)]
    last = axis[-1] + (axis[-1] - axis[-2])
    head = part(
        [sweep(axis[end:], radius)], "steel_316l", [sweep(np.concatenate([axis[end - 1 :], [last]]), channel_mm / 2)]
    )
    return tool("endoscope_tip", [sheath, *coils, head], length_mm, {"tip": axis[-1]})


def ecg_electrode(
    *, diameter_mm: float = 45.0, stud_mm: float = 4.0, wire_points_mm: npt.ArrayLike = _WIRE, wire_mm: float = 1.0
) -> Tool:
    """A foam electrode on the skin (z = 0, +z away from it) with its metal snap and a lead wire.

    The stud is the usual 4 mm snap; `wire_points_mm` is the lead's path in the tool frame.

    Raises:
        InputError: a bad path or size.
    """
    checks.positive("ecg_electrode", diameter_mm=diameter_mm, stud_mm=stud_mm, wire_mm=wire_mm)
    checks.smaller("ecg_electrode", "stud_mm", stud_mm, "diameter_mm", diameter_mm / 2)
    foam = part([cylinder(diameter_mm / 2, 0, 1.0)], "polyethylene", [])
    stud = stud_mm / 2
    snap = revolve([(2.2 * stud, 1), (2.2 * stud, 1.4), (stud, 1.5), (stud, 4), (0.6 * stud, 4.4)])
    cap = revolve([(2.4 * stud, 2.5), (2.4 * stud, 5.0)])
    curve = spline(checks.path("ecg_electrode", wire_points_mm), 2.0)
    wire = part([sweep(curve, wire_mm / 2, 64)], "copper")
    return tool("ecg_electrode", [foam, part([cap], "polyethylene"), part([snap], "steel_316l"), wire], 4.4)


def pacemaker(
    *,
    width_mm: float = 45.0,
    height_mm: float = 42.0,
    thickness_mm: float = 7.5,
    lead_points_mm: npt.ArrayLike | None = None,
    lead_mm: float = 2.0,
) -> Tool:
    """A pacemaker: titanium can with battery and circuit, header, and one lead with its electrodes.

    The can lies in x, y with its thickness along z; `lead_points_mm` (k, 3) is the lead's path in the tool frame.
    Present dual-chamber cans measure about 45 x 42 x 7.5 mm and bipolar leads 6 French. Landmarks: base (can's
    centre), tip (the lead's).

    Raises:
        InputError: a bad path or size.
    """
    checks.positive("pacemaker", width_mm=width_mm, height_mm=height_mm, thickness_mm=thickness_mm, lead_mm=lead_mm)
    checks.smaller("pacemaker", "thickness_mm", thickness_mm, "height_mm", height_mm / 2)
    half, low = thickness_mm / 2, 0.12 * height_mm
    can = prism(rounded(width_mm, height_mm, 0.4 * height_mm), -half, half)
    hollow = prism(rounded(width_mm - 1, height_mm - 1, 0.39 * height_mm), -half + 0.4, half - 0.4)
    battery = shifted(
        prism(rounded(0.8 * width_mm, 0.4 * height_mm, 0.15 * height_mm), -half + 0.8, half - 0.8), y_mm=-low
    )
    board = box((0.6 * width_mm, 0.22 * height_mm, 1.5), (0, 0.25 * height_mm, 0))
    header = shifted(prism(rounded(0.6 * width_mm, 12, 4), -half, half), y_mm=height_mm / 2 + 3)
    curve = spline(checks.path("pacemaker", _LEAD if lead_points_mm is None else lead_points_mm), 2.0)
    ring = max(len(curve) - 6, 1)
    parts = [
        part([header], "pmma"),
        part([can], "titanium", [hollow]),
        part([battery], "steel_316l"),
        part([board], "silicone"),
        part([sweep(curve, lead_mm / 2, 64)], "silicone"),
        part([sweep(curve, 0.25 * lead_mm, 64)], "cobalt_chrome"),
        part([sweep(curve[ring - 1 : ring + 1], 0.55 * lead_mm, 64), sphere(0.6 * lead_mm, curve[-1], 64)], "platinum"),
    ]
    return tool("pacemaker", parts, 0.0, {"tip": curve[-1]})
