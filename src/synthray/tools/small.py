"""Markers, clothing and the working ends of drills."""

from __future__ import annotations

import numpy as np

from synthray.errors import InputError
from synthray.tools import checks
from synthray.tools.assemble import part, tool
from synthray.tools.meshes import Mesh, box, cylinder, revolve, shifted, sphere
from synthray.tools.tool import Tool


def marker(*, diameter_mm: float = 2.0, material: str = "tungsten") -> Tool:
    """A round bead centred at the origin. Steel and tungsten beads of 1 to 5 mm are usual for C-arm calibration.

    Raises:
        InputError: the diameter is not positive.
    """
    checks.positive("marker", diameter_mm=diameter_mm)
    return tool("marker", [part([sphere(diameter_mm / 2, sides=96)], material)], 0.0)


def marker_grid(
    *,
    rows: int = 5,
    columns: int = 5,
    layers: int = 1,
    spacing_mm: float = 20.0,
    diameter_mm: float = 2.0,
    material: str = "steel_316l",
) -> Tool:
    """Beads on a regular grid (2-D with one layer, else 3-D), centred at the origin; the frame is left out.

    Landmarks: bead_ROW_COLUMN_LAYER, counted from 1 along y, x, z; base and tip at the centre.

    Raises:
        InputError: a bad size, counts outside 1 to 20, or more than 400 beads.
    """
    checks.positive("marker_grid", spacing_mm=spacing_mm, diameter_mm=diameter_mm)
    checks.smaller("marker_grid", "diameter_mm", diameter_mm, "spacing_mm", spacing_mm)
    counts = np.array([rows, columns, layers])
    if counts.min() < 1 or counts.prod() > 400:
        raise InputError(f"marker_grid: {rows} x {columns} x {layers} beads; give 1 to 400")
    marks = {}
    for index in np.ndindex(rows, columns, layers):
        row, column, layer = (np.array(index) - (counts - 1) / 2) * spacing_mm
        marks["bead_" + "_".join(str(k + 1) for k in index)] = np.array([column, row, layer])
    sides = 48 if counts.prod() < 40 else 16
    beads = [sphere(diameter_mm / 2, at, sides) for at in marks.values()]
    return tool("marker_grid", [part(beads, material)], 0.0, marks)


def zip_fastener(
    *, length_mm: float = 120.0, tooth_mm: float = 2.4, width_mm: float = 5.0, material: str = "Cu"
) -> Tool:
    """A closed metal zip along z, flat in x: interlocking teeth and a slider at the base.

    A number 5 zip is about 5 mm wide when closed.

    Raises:
        InputError: a bad size, or more than 400 teeth.
    """
    checks.positive("zip_fastener", length_mm=length_mm, tooth_mm=tooth_mm, width_mm=width_mm)
    count = int(length_mm / tooth_mm)
    if not 2 <= count <= 400:
        raise InputError(f"zip_fastener: length_mm / tooth_mm must give 2 to 400 teeth, got {count}")
    size = (1.6, 0.6 * width_mm, 0.8 * tooth_mm)
    teeth = [box(size, (0, (-1) ** k * 0.18 * width_mm, (k + 0.5) * tooth_mm)) for k in range(count)]
    slider = box((4.0, 1.6 * width_mm, 9.0), (0, 0, 4.5))
    pull = box((1.0, 0.8 * width_mm, 22.0), (2.5, 0, -9.0))
    brass = 8.5 if material == "Cu" else None
    return tool("zip_fastener", [part([*teeth, slider, pull], material, density_g_cm3=brass)], length_mm)


def button(*, diameter_mm: float = 17.0, thickness_mm: float = 3.0, holes: int = 4, material: str = "pmma") -> Tool:
    """A shirt or trouser button lying in x, y (z = 0 its back), with a rim and sewing holes.

    Raises:
        InputError: a bad size, or a number of holes other than 0, 2 or 4.
    """
    checks.positive("button", diameter_mm=diameter_mm, thickness_mm=thickness_mm)
    if holes not in (0, 2, 4):
        raise InputError(f"button: holes must be 0, 2 or 4, got {holes}")
    radius = diameter_mm / 2
    disc = revolve([(0.9 * radius, 0), (radius, 0.3 * thickness_mm), (radius, thickness_mm)])
    dish = cylinder(0.75 * radius, 0.7 * thickness_mm, thickness_mm + 0.01)
    angles = 2 * np.pi * np.arange(holes) / max(holes, 1)
    bore = cylinder(0.1 * radius, -0.01, 0.7 * thickness_mm, 48)
    bores = [shifted(bore, 0.25 * radius * np.cos(a), 0.25 * radius * np.sin(a)) for a in angles]
    return tool("button", [part([disc], material, [dish, *bores])], thickness_mm)


def drill_tip(*, length_mm: float = 80.0, diameter_mm: float = 3.2, material: str = "steel_316l") -> Tool:
    """A twist drill with two helical flutes; 3.2 mm is the AO drill for the 4.5 mm cortex screw.

    Raises:
        InputError: a bad size.
    """
    checks.positive("drill_tip", length_mm=length_mm, diameter_mm=diameter_mm)
    checks.smaller("drill_tip", "six diameters", 6 * diameter_mm, "length_mm", length_mm)
    return tool("drill_tip", [part([_fluted(diameter_mm / 2, length_mm)], material)], length_mm)


def _fluted(radius_mm: float, length_mm: float, sides: int = 64) -> Mesh:
    """A cylinder with two flutes over its last two thirds and a point at the end."""
    mesh = revolve([(1.0, z) for z in np.linspace(0, 1, 241)], sides)
    points = mesh.vertices_mm.copy()
    z = points[:, 2]
    turn = 2 * np.pi * z * length_mm / (10 * radius_mm)
    angle = np.arctan2(points[:, 1], points[:, 0])
    flute = np.clip(np.cos(2 * (angle - turn)), 0, 1) ** 0.7 * np.clip((z - 0.3) * 10, 0, 1)
    point = np.clip((1 - z) * length_mm / (1.2 * radius_mm), 0.02, 1)
    points[:, :2] *= (radius_mm * (1 - 0.55 * flute) * point)[:, None]
    points[:, 2] *= length_mm
    return Mesh(points, mesh.faces)


def cutter(
    *, length_mm: float = 60.0, head_mm: float = 5.0, shaft_mm: float = 2.4, material: str = "steel_316l"
) -> Tool:
    """A round burr with eight flutes on a shaft; burrs of 3 to 6 mm are usual.

    Raises:
        InputError: a bad size.
    """
    checks.positive("cutter", length_mm=length_mm, head_mm=head_mm, shaft_mm=shaft_mm)
    checks.smaller("cutter", "shaft_mm", shaft_mm, "head_mm", head_mm)
    checks.smaller("cutter", "two head_mm", 2 * head_mm, "length_mm", length_mm)
    return tool("cutter", [part(burr(length_mm, head_mm, shaft_mm), material)], length_mm)


def burr(end_mm: float, head_mm: float, shaft_mm: float, start_mm: float = 0.0) -> list[Mesh]:
    """Fluted ball ending at a height and the shaft up to it, about z."""
    ball = sphere(1.0, sides=96)
    points = ball.vertices_mm.copy()
    angle = np.arctan2(points[:, 1], points[:, 0]) + 0.6 * points[:, 2]
    points[:, :2] *= (1 - 0.12 * (0.5 + 0.5 * np.cos(8 * angle)))[:, None]
    points = points * head_mm / 2 + [0, 0, end_mm - head_mm / 2]
    return [Mesh(points, ball.faces), cylinder(shaft_mm / 2, start_mm, end_mm - head_mm / 2)]
