"""Plates, nails and joint replacements. Tool frame: base at the origin, +z along the long axis to the tip."""

from __future__ import annotations

import numpy as np

from synthray.errors import InputError
from synthray.geometry import compose, rotation_about
from synthray.tools import checks
from synthray.tools.assemble import part, parts_of, tool
from synthray.tools.meshes import Mesh, cylinder, placed, prism, revolve, rounded, shifted, sphere, sweep
from synthray.tools.tool import Tool

# Around the balls and sockets of a joint: chords within 0.1 % of the diameter.
_SIDES = 84


def _across(mesh: Mesh, z_mm: float, about: tuple[float, float, float] = (1.0, 0.0, 0.0)) -> Mesh:
    """Something made about z laid across it, at a height."""
    return shifted(placed(mesh, compose(rotation_about(about, np.pi / 2), np.zeros(3))), z_mm=z_mm)


def plate(
    *,
    holes: int = 8,
    hole_spacing_mm: float = 18.0,
    hole_diameter_mm: float = 5.0,
    width_mm: float = 13.5,
    thickness_mm: float = 4.2,
    material: str = "titanium",
) -> Tool:
    """A straight plate with a row of round screw holes; x is its thickness with -x against the bone.

    The defaults are those of a narrow 4.5/5.0 mm large-fragment compression plate (AO): 13.5 mm wide, 4.2 mm thick,
    holes 18 mm apart. Landmarks: base, tip, and hole_1 to hole_N.

    Raises:
        InputError: a bad size, no holes, or holes that meet.
    """
    sizes = {"hole_spacing_mm": hole_spacing_mm, "hole_diameter_mm": hole_diameter_mm}
    checks.positive("plate", width_mm=width_mm, thickness_mm=thickness_mm, **sizes)
    checks.smaller("plate", "hole_diameter_mm", hole_diameter_mm, "width_mm", width_mm)
    checks.smaller("plate", "hole_diameter_mm", hole_diameter_mm, "hole_spacing_mm", hole_spacing_mm)
    if holes < 1:
        raise InputError(f"plate: holes must be at least 1, got {holes}")
    length = holes * hole_spacing_mm
    outline = rounded(length, width_mm, 0.45 * width_mm)
    # A prism about z with its length along x, turned so that the length lies along z and the thickness along x.
    body = _across(prism(outline, -thickness_mm / 2, thickness_mm / 2), length / 2, (0.0, 1.0, 0.0))
    heights = (np.arange(holes) + 0.5) * hole_spacing_mm
    bore = cylinder(hole_diameter_mm / 2, -0.5 * thickness_mm - 0.01, 0.5 * thickness_mm + 0.01)
    bores = [_across(bore, z, (0.0, 1.0, 0.0)) for z in heights]
    marks = {f"hole_{k + 1}": (0, 0, z) for k, z in enumerate(heights)}
    return tool("plate", [part([body], material, bores)], length, marks)


def nail(
    *,
    length_mm: float = 340.0,
    diameter_mm: float = 10.0,
    proximal_diameter_mm: float = 15.5,
    proximal_length_mm: float = 80.0,
    bend_deg: float = 5.0,
    bore_mm: float = 4.5,
    lag_angle_deg: float = 125.0,
    lag_diameter_mm: float = 10.5,
    locking_mm: float = 5.0,
    material: str = "titanium",
) -> Tool:
    """A cannulated proximal femoral nail: thick proximal end, bend, shaft, holes for lag and locking screws.

    Sizes as in the Gamma3 long nail: proximal 15.5 mm, lag screw 10.5 mm at 120, 125 or 130 degrees, locking
    screws 5 mm.
    +z is the proximal part's axis; the shaft leans from it towards +x, the side of the femoral head, to which the lag
    screw rises. Landmarks: base (proximal end), tip (distal), lag, lock_1 and lock_2 (on the axis).

    Raises:
        InputError: a bad size, or parts that don't fit into each other.
    """
    checks.positive("nail", length_mm=length_mm, diameter_mm=diameter_mm, proximal_length_mm=proximal_length_mm)
    checks.positive("nail", lag_diameter_mm=lag_diameter_mm, locking_mm=locking_mm, bore_mm=bore_mm)
    checks.smaller("nail", "bore_mm", bore_mm, "diameter_mm", diameter_mm)
    checks.smaller("nail", "locking_mm", locking_mm, "diameter_mm", diameter_mm)
    checks.smaller("nail", "lag_diameter_mm", lag_diameter_mm, "proximal_diameter_mm", proximal_diameter_mm)
    checks.smaller("nail", "proximal_length_mm + 80", proximal_length_mm + 80, "length_mm", length_mm)
    run = np.concatenate(
        [np.linspace(0, proximal_length_mm - 15, 4), np.linspace(proximal_length_mm - 14, proximal_length_mm + 40, 24)]
    )
    run = np.concatenate([run[run < length_mm - 41], [length_mm - 40, length_mm]])
    bend = np.radians(bend_deg) * np.clip((run - proximal_length_mm + 20) / 40, 0, 1)
    steps = np.diff(run)[:, None] * np.stack([np.sin(bend[1:]), 0 * bend[1:], np.cos(bend[1:])], axis=-1)
    axis = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    ease = np.clip((run - proximal_length_mm + 12) / 12, 0, 1)
    radius = proximal_diameter_mm / 2 + ease * (diameter_mm - proximal_diameter_mm) / 2
    far = axis[-1] - axis[-2]
    far /= np.linalg.norm(far)
    lag_turn = rotation_about((0, 1, 0), np.radians(lag_angle_deg))
    lag = placed(
        cylinder(lag_diameter_mm / 2, -2 * proximal_diameter_mm, 2 * proximal_diameter_mm),
        compose(lag_turn, [0, 0, 0.6 * proximal_length_mm]),
    )
    cross = rotation_about((0, 1, 0), np.pi / 2)
    locks = [
        placed(cylinder(locking_mm / 2, -diameter_mm, diameter_mm), compose(cross, axis[-1] - back * far))
        for back in (15.0, 32.0)
    ]
    lumen = sweep(np.concatenate([[[0.0, 0.0, -1.0]], axis, [axis[-1] + far]]), bore_mm / 2, 64)
    marks = {"tip": axis[-1], "lag": (0, 0, 0.6 * proximal_length_mm), "lock_1": axis[-1] - 15 * far}
    marks["lock_2"] = axis[-1] - 32 * far
    return tool("nail", [part([sweep(axis, radius)], material, [lumen, lag, *locks])], length_mm, marks)


def hip_stem(
    *,
    length_mm: float = 145.0,
    neck_angle_deg: float = 131.0,
    neck_length_mm: float = 38.0,
    width_mm: float = 24.0,
    thickness_mm: float = 13.0,
    material: str = "titanium",
) -> Tool:
    """A straight tapered stem with neck and taper for the head; +x is the side of the neck.

    Proportions of straight tapered cementless stems (neck-shaft angle 131 to 135 degrees, length about 130 to 160 mm).
    Landmarks: base (middle of the resection plane), tip (distal end), head (centre of the head).

    Raises:
        InputError: a size is not positive or the neck's angle lies outside 100 to 160 degrees.
    """
    checks.positive("hip_stem", length_mm=length_mm, neck_length_mm=neck_length_mm)
    checks.positive("hip_stem", width_mm=width_mm, thickness_mm=thickness_mm)
    if not 100 <= neck_angle_deg <= 160:
        raise InputError(f"hip_stem: neck_angle_deg must lie within 100 to 160, got {neck_angle_deg}")
    body = _tapered_stem(length_mm, width_mm, thickness_mm)
    lean = np.radians(180 - neck_angle_deg)
    along = np.array([np.sin(lean), 0, -np.cos(lean)])
    start = np.array([0.0, 0.0, 10.0])
    path = start + np.array([0, 0.35, 0.7, 1])[:, None] * (neck_length_mm + 8) * along
    neck = sweep(path, [0.42 * thickness_mm + 1, 6.5, 6.0, 6.0])
    return tool("hip_stem", [part([body, neck], material)], length_mm, {"head": path[-1]})


def _tapered_stem(length_mm: float, width_mm: float, thickness_mm: float) -> Mesh:
    """Rounded rectangles that narrow along z: wide on the side of the neck (+x) at the top."""
    outline = rounded(1.0, 1.0, 0.45, 16)
    rise = np.array([0, 0.05, 0.15, 0.3, 0.45, 0.6, 0.8, 0.95, 0.985, 1.0])
    share = np.interp(rise, [0, 0.15, 0.45, 0.95, 0.985, 1], [0.95, 0.85, 0.58, 0.42, 0.3, 0.1])
    deep = np.interp(rise, [0, 0.45, 0.95, 0.985, 1], [1, 0.85, 0.65, 0.5, 0.15])
    mesh = prism(outline, 0, 1)
    count = len(outline)
    rings = np.empty((len(rise), count, 3))
    rings[..., 0] = outline[:, 0] * (share * width_mm)[:, None] + ((share - 0.42) * width_mm / 2)[:, None]
    rings[..., 1] = outline[:, 1] * (deep * thickness_mm)[:, None]
    rings[..., 2] = (rise * length_mm)[:, None]
    return _stack(rings, mesh)


def _stack(rings: np.ndarray, pattern: Mesh) -> Mesh:
    """Rings (n, k, 3) closed at both ends, with a two-ring prism's faces as the pattern of one step."""
    n, count = rings.shape[:2]
    here = np.arange(n * count).reshape(n, count)
    side = pattern.faces[: 2 * count]
    faces = np.concatenate([side + step * count for step in range(n - 1)])
    caps = pattern.faces[2 * count :].copy()
    table = np.concatenate([here[0], here[-1], [n * count, n * count + 1]])
    ends = np.stack([rings[0].mean(axis=0), rings[-1].mean(axis=0)])
    return Mesh(np.concatenate([rings.reshape(-1, 3), ends]), np.concatenate([faces, table[caps]]).astype(np.int32))


def cup(
    *,
    outer_diameter_mm: float = 52.0,
    head_diameter_mm: float = 32.0,
    shell_mm: float = 4.0,
    material: str = "titanium",
    liner: str = "polyethylene",
) -> Tool:
    """An acetabular cup: metal shell with a polyethylene liner, open towards -z; the tip is the dome's pole.

    Usual outer diameters are 44 to 66 mm, heads 28 to 36 mm, shells 3 to 5 mm. Landmarks: base and center (both the
    centre of the head), tip.

    Raises:
        InputError: a bad size, or no room for the liner.
    """
    checks.positive("cup", outer_diameter_mm=outer_diameter_mm, head_diameter_mm=head_diameter_mm, shell_mm=shell_mm)
    outer, head = outer_diameter_mm / 2, head_diameter_mm / 2
    inner = outer - shell_mm
    checks.smaller("cup", "head_diameter_mm / 2 + 2", head + 2, "the shell's inner radius", inner)
    shell = part([_hemisphere(outer, 0)], material, [_hemisphere(inner, -0.01)])
    insert = part([_hemisphere(inner - 0.05, 0)], liner, [_hemisphere(head, -0.01)])
    return tool("cup", [shell, insert], outer, {"center": (0, 0, 0)})


def _hemisphere(radius_mm: float, low_mm: float) -> Mesh:
    """The upper half of a ball, extended down to `low_mm` by a cylinder."""
    angles = np.linspace(0, np.pi / 2, _SIDES // 4)[:-1]
    arc = np.stack([radius_mm * np.cos(angles), radius_mm * np.sin(angles)], axis=-1)
    foot = [(radius_mm, low_mm)] if low_mm < 0 else []
    return revolve([*foot, *arc, (1e-3 * radius_mm, radius_mm)], _SIDES)


def hip_replacement(
    *,
    stem_length_mm: float = 145.0,
    head_diameter_mm: float = 32.0,
    cup_diameter_mm: float = 52.0,
    neck_angle_deg: float = 131.0,
    head_material: str = "cobalt_chrome",
    inclination_deg: float = 45.0,
) -> Tool:
    """Stem, head and cup as one tool; +z runs down the femur's shaft, +x to the midline.

    The cup opens towards the stem at `inclination_deg` to the horizontal; 30 to 50 degrees is Lewinnek's safe zone
    (J Bone Joint Surg Am 60, 1978). Landmarks: base and tip of the stem, head.

    Raises:
        InputError: as in `hip_stem` and `cup`.
    """
    stem = hip_stem(length_mm=stem_length_mm, neck_angle_deg=neck_angle_deg)
    socket = cup(outer_diameter_mm=cup_diameter_mm, head_diameter_mm=head_diameter_mm)
    center = stem.landmarks["head"]
    # +z of the cup is its pole: up (-z) and towards the midline (+x).
    turn = rotation_about((0, 1, 0), np.pi - np.radians(inclination_deg))
    ball = part([sphere(head_diameter_mm / 2 - 0.02, center, _SIDES)], head_material)
    parts = [*parts_of(socket, compose(turn, center)), *stem.parts, ball]
    return tool("hip_replacement", parts, stem_length_mm, {"head": center})
