"""Wires, screws and rods. Tool frame: base (head) at the origin, +z to the tip."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry import compose, rotation_about
from synthray.tools import checks
from synthray.tools.assemble import part, parts_of, tool
from synthray.tools.meshes import (
    box,
    cylinder,
    helix_ridge,
    hexagon,
    prism,
    revolve,
    spline,
    sweep,
)
from synthray.tools.tool import Tool


def k_wire(*, diameter_mm: float = 2.0, length_mm: float = 280.0, material: str = "steel_316l") -> Tool:
    """A Kirschner wire with a pointed tip.

    AO sizes run from 0.6 to 3.0 mm; 2.0 mm is the guide wire of the 7.0 mm cannulated screw (Synthes technique guide).

    Raises:
        InputError: a size is not positive.
    """
    checks.positive("k_wire", diameter_mm=diameter_mm, length_mm=length_mm)
    radius = diameter_mm / 2
    point = min(2.5 * diameter_mm, length_mm / 2)
    body = revolve([(radius, 0), (radius, length_mm - point), (0.05 * radius, length_mm)])
    return tool("k_wire", [part([body], material)], length_mm)


def screw(
    *,
    length_mm: float = 60.0,
    thread_diameter_mm: float = 7.0,
    core_diameter_mm: float = 4.5,
    pitch_mm: float = 2.75,
    thread_length_mm: float | None = 16.0,
    head_diameter_mm: float = 8.0,
    cannulation_mm: float = 2.1,
    material: str = "steel_316l",
) -> Tool:
    """A bone screw with thread, hemispherical head and hexagon socket.

    The default is the 7.0 mm cannulated cancellous screw: shaft 4.5 mm, head 8.0 mm, thread 16 or 32 mm, socket
    3.5 mm, over a 2.0 mm wire (Synthes 7.0 mm Cannulated Screws, technique guide). ISO 5835 shallow thread HA 4.5:
    thread 4.5, core 3.0, pitch 1.75, head 8 mm; deep thread HB 6.5: 6.5, 3.0, 2.75, 8 mm.

    Args:
        length_mm: over all, with the head.
        thread_diameter_mm: outer diameter of the thread.
        core_diameter_mm: of shaft and thread's core.
        pitch_mm: between turns.
        thread_length_mm: measured from the tip; None threads the whole shaft.
        head_diameter_mm: of the head.
        cannulation_mm: diameter of the bore along the axis; 0 makes a solid screw.
        material: its name or formula.

    Raises:
        InputError: a size is not positive, or parts don't fit into each other.
    """
    checks.positive("screw", length_mm=length_mm, thread_diameter_mm=thread_diameter_mm, pitch_mm=pitch_mm)
    checks.positive("screw", core_diameter_mm=core_diameter_mm, head_diameter_mm=head_diameter_mm)
    checks.smaller("screw", "core_diameter_mm", core_diameter_mm, "thread_diameter_mm", thread_diameter_mm)
    checks.smaller("screw", "core_diameter_mm", core_diameter_mm, "head_diameter_mm", head_diameter_mm)
    if cannulation_mm:
        checks.positive("screw", cannulation_mm=cannulation_mm)
    checks.smaller("screw", "cannulation_mm", cannulation_mm, "0.9 x core_diameter_mm", 0.9 * core_diameter_mm)
    head, core = head_diameter_mm / 2, core_diameter_mm / 2
    taper = thread_diameter_mm / 2
    checks.smaller("screw", "head and taper", head + taper + pitch_mm, "length_mm", length_mm)
    start = head + pitch_mm / 2
    if thread_length_mm is not None:
        checks.positive("screw", thread_length_mm=thread_length_mm)
        start = max(start, length_mm - thread_length_mm)
    angles = np.linspace(0, np.arccos(core / head), 16)
    dome = np.stack([head * np.cos(angles), 0.15 * head + 0.85 * head * np.sin(angles)], axis=-1)
    shaft = revolve(
        [(0.9 * head, 0), *dome, (core, length_mm - taper), (max(cannulation_mm / 2 + 0.2, 0.2), length_mm)]
    )
    ridge = helix_ridge(start, length_mm - taper / 2, core_mm=core, crest_mm=thread_diameter_mm / 2, pitch_mm=pitch_mm)
    holes = [prism(hexagon(0.44 * head_diameter_mm), -1, 0.6 * head)]
    if cannulation_mm > 0:
        holes.append(cylinder(cannulation_mm / 2, -1, length_mm + 1, 64))
    return tool("screw", [part([shaft, ridge], material, holes)], length_mm)


def pedicle_screw(
    *,
    length_mm: float = 45.0,
    thread_diameter_mm: float = 6.5,
    core_diameter_mm: float = 4.5,
    pitch_mm: float = 2.7,
    rod_diameter_mm: float = 5.5,
    material: str = "titanium",
) -> Tool:
    """A polyaxial pedicle screw: threaded shank of `length_mm` below a U-shaped tulip that takes a rod along x.

    Sizes usual in lumbar use: 5.5 to 7.5 mm by 35 to 55 mm with a rod of 5.5 mm.

    Landmarks: base (tulip's top), tip, and rod (centre of the rod's seat).

    Raises:
        InputError: a size is not positive, or parts don't fit into each other.
    """
    checks.positive("pedicle_screw", length_mm=length_mm, thread_diameter_mm=thread_diameter_mm, pitch_mm=pitch_mm)
    checks.positive("pedicle_screw", core_diameter_mm=core_diameter_mm, rod_diameter_mm=rod_diameter_mm)
    checks.smaller("pedicle_screw", "core_diameter_mm", core_diameter_mm, "thread_diameter_mm", thread_diameter_mm)
    checks.smaller("pedicle_screw", "thread and pitch", thread_diameter_mm + pitch_mm, "length_mm", length_mm)
    seat, outer = rod_diameter_mm / 2, rod_diameter_mm / 2 + 3.75
    tall, core = 2.6 * rod_diameter_mm, core_diameter_mm / 2
    end, rod_z = tall + length_mm, tall - 4 - seat
    tulip = revolve([(outer, 0), (outer, 0.8 * tall), (core + 1.5, tall)])
    slot = box((2 * outer + 2, 2 * seat + 0.1, rod_z + 1), (0, 0, (rod_z - 1) / 2))
    floor = sweep([(-outer - 1, 0, rod_z), (outer + 1, 0, rod_z)], seat + 0.05, 64)

    shank = revolve([(core, tall - 2), (core, end - thread_diameter_mm), (0.4, end)])
    ridge = helix_ridge(
        tall + 1, end - thread_diameter_mm / 2, core_mm=core, crest_mm=thread_diameter_mm / 2, pitch_mm=pitch_mm
    )
    parts = [part([tulip], material, [slot, floor]), part([shank, ridge], material)]
    return tool("pedicle_screw", parts, end, {"rod": (0, 0, rod_z)})


def rod(
    *,
    points_mm: npt.ArrayLike = ((0, 0, 0), (0, 3, 50), (0, 0, 100)),
    diameter_mm: float = 5.5,
    material: str = "titanium",
) -> Tool:
    """A spinal rod bent smoothly through points (k, 3) of the tool frame; 5.5 and 6.0 mm are the usual diameters.

    Raises:
        InputError: a bad path or diameter.
    """
    checks.positive("rod", diameter_mm=diameter_mm)
    curve = spline(checks.path("rod", points_mm), 2.0)
    body = sweep(curve, diameter_mm / 2)
    return tool("rod", [part([body], material)], 0.0, {"base": curve[0], "tip": curve[-1]})


def pedicle_construct(
    *,
    levels: int = 3,
    level_spacing_mm: float = 36.0,
    width_mm: float = 40.0,
    convergence_deg: float = 12.0,
    screw_length_mm: float = 45.0,
    thread_diameter_mm: float = 6.5,
    rod_diameter_mm: float = 5.5,
    material: str = "titanium",
) -> Tool:
    """Pedicle screws on both sides of the spine with two rods.

    The tool frame: +z from the tulips into the vertebrae (base to tip), x along the spine, y from side to side.
    Spacing of levels and convergence are those of the lumbar spine.

    Raises:
        InputError: a bad size, or fewer than two levels.
    """
    if levels < 2:
        raise InputError(f"pedicle_construct: levels must be at least 2, got {levels}")
    checks.positive("pedicle_construct", level_spacing_mm=level_spacing_mm, width_mm=width_mm)
    one = pedicle_screw(
        length_mm=screw_length_mm,
        thread_diameter_mm=thread_diameter_mm,
        rod_diameter_mm=rod_diameter_mm,
        material=material,
    )
    seat = one.landmarks["rod"]
    parts, landmarks = [], {}
    heights = (np.arange(levels) - (levels - 1) / 2) * level_spacing_mm
    for side in (-1, 1):
        turn = rotation_about((1, 0, 0), side * np.radians(convergence_deg))
        for level, x in enumerate(heights):
            at = compose(turn, [x, side * width_mm / 2, seat[2]] - turn @ seat)
            parts += parts_of(one, at)
            landmarks[f"tip_{level + 1}_{'a' if side < 0 else 'b'}"] = at[:3, :3] @ one.landmarks["tip"] + at[:3, 3]
        ends = heights[[0, -1]] + [-8, 8]
        line = [(x, side * width_mm / 2, seat[2]) for x in ends]
        parts.append(part([sweep(line, rod_diameter_mm / 2)], material))
    return tool("pedicle_construct", parts, one.landmarks["tip"][2], landmarks)
