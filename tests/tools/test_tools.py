"""Every tool is closed and of the right size; kinematics against closed forms; placement puts things where asked."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from synthray import tools
from synthray.anatomy import Patient
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import CArm
from synthray.projector import project
from synthray.simulate import Scene
from synthray.tools.kinematics import Bend, joint_angles
from synthray.tools.meshes import cylinder, drill, sphere, volume_mm3


@pytest.mark.parametrize("kind", sorted(tools.TOOLS))
def test_every_tool_is_closed_and_turned_outwards(kind):
    tool = tools.TOOLS[kind]()
    for part in tool.parts:
        mesh = trimesh.Trimesh(part.vertices_mm, part.faces, process=False)
        mesh.merge_vertices()
        assert mesh.is_winding_consistent
        _, counts = np.unique(mesh.edges_sorted, axis=0, return_counts=True)
        assert (counts % 2 == 0).all()
        assert len(part.faces) < 60_000
    assert sum(len(p.faces) for p in tool.parts) < 80_000
    assert {"base", "tip"} <= set(tool.landmarks)
    assert 1 < np.ptp(tool.bounds_mm, axis=0).max() < 500


def test_round_things_have_the_volume_of_round_things():
    assert volume_mm3(cylinder(3.0, 0, 40)) == pytest.approx(np.pi * 9 * 40, rel=1e-3)
    assert volume_mm3(sphere(5.0)) == pytest.approx(4 / 3 * np.pi * 125, rel=2e-3)
    tube = drill([cylinder(3.0, 0, 40)], [cylinder(2.0, -1, 41)])
    assert volume_mm3(tube) == pytest.approx(np.pi * (9 * 40 - 4 * 42), rel=1e-3)


def test_a_screw_looks_like_a_screw():
    screw = tools.screw(length_mm=60, cannulation_mm=2.0)
    points = screw.parts[0].vertices_mm
    radius = np.hypot(points[:, 0], points[:, 1])
    thread = (points[:, 2] > 48) & (points[:, 2] < 55)
    shaft = (points[:, 2] > 10) & (points[:, 2] < 40)
    assert radius[thread].max() == pytest.approx(3.5, abs=0.05)
    assert radius[shaft].max(initial=2.25) == pytest.approx(2.25, abs=0.05)
    assert np.allclose(screw.landmarks["tip"], [0, 0, 60])


@pytest.mark.parametrize("degrees", [0.0, 0.5, 3.0, -5.0])
def test_a_constant_angle_makes_a_circular_arc(degrees):
    joints, length = 26, 35.0
    bend = Bend(joint_angles((degrees,), joints, 7.5), length)
    line = bend.center_line_mm(3)
    turn = np.deg2rad(degrees) * joints
    if degrees == 0:
        assert np.allclose(line[:, :2], 0)
        assert np.allclose(line[-1], [0, 0, length])
        return
    radius = length / turn
    assert np.allclose(np.hypot(line[:, 0] - radius, line[:, 2]), abs(radius), atol=1e-9)
    assert np.allclose(line[-1], [radius * (1 - np.cos(turn)), 0, radius * np.sin(turn)])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-7.5, 7.5), min_size=1, max_size=6))
def test_bending_keeps_the_length_and_the_limits(control):
    bend = Bend(joint_angles(control, 26, 7.5), 35.0)
    steps = np.linalg.norm(np.diff(bend.center_line_mm(40), axis=0), axis=1)
    assert steps.sum() == pytest.approx(35.0, rel=1e-4)
    assert np.abs(bend.joint_rad).max() <= np.deg2rad(7.5) + 1e-12
    assert np.allclose(bend.tip_from[:3, 3], bend.center_line_mm()[-1])


def person():
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = -80
    hu = np.full((40, 40, 40), -1000, dtype=np.int16)
    hu[4:36, 8:32, 2:38] = 40
    labels = np.zeros(hu.shape, dtype=np.uint8)
    labels[15:25, 15:25, 15:25], hu[15:25, 15:25, 15:25] = 1, 800
    return Patient.from_arrays(hu, affine, labels, {1: "femur_left"}, {"top": [0, 0, 60], "bottom": [0, 0, -40]})


def test_the_projected_tip_is_the_tips_landmark():
    bent = tools.continuum_manipulator(control_deg=(0, 3, 5))
    placed = tools.along(bent, (0.0, 0.0, -20.0), (20.0, 5.0, 10.0))
    assert np.allclose(placed.landmarks_mm["tip"], [20, 5, 10])
    camera = CArm.preset("generic-300mm").resized(512).view(np.zeros(3), lao_deg=20)
    mask = project(Scene(person(), [placed]), camera).masks[placed.name][0]
    column, row = camera.project(placed.landmarks_mm["tip"])
    places = np.argwhere(mask)
    assert np.linalg.norm(places - [row, column], axis=1).min() < 4


def test_placement_puts_tools_where_asked():
    patient, rng = person(), np.random.default_rng(0)
    wire = tools.along(tools.k_wire(length_mm=100), "bottom", "top", patient=patient)
    assert np.allclose(wire.landmarks_mm["tip"], [0, 0, 60])
    assert np.allclose(wire.landmarks_mm["base"], [0, 0, -40])
    bead = tools.inside(tools.marker(), patient, "femur_left", rng, landmark="center")
    assert (np.abs(bead.bounds_mm.mean(axis=0)) < 22).all()
    beside = [tools.near(tools.needle(), (10, 0, 0), rng, offset_mm=5, tilt_deg=20) for _ in range(30)]
    for one in beside:
        assert np.linalg.norm(one.landmarks_mm["tip"] - [10, 0, 0]) <= 5 + 1e-9
        assert one.patient_from_tool[2, 2] >= np.cos(np.deg2rad(20)) - 1e-9
    patch = tools.on_skin(tools.ecg_electrode(), patient, (0, -90, 0), rng)
    assert patch.patient_from_tool[:3, 2] @ [0, -1, 0] > 0.95
    assert abs(patch.patient_from_tool[1, 3] + 50) < 5


def test_collisions_are_reported():
    through = tools.along(tools.k_wire(length_mm=100, diameter_mm=3), (0.0, 0.0, -50.0), (0.0, 0.0, 50.0))
    report = tools.collisions(through, person())
    assert report.overlap_mm3["femur_left"] == pytest.approx(np.pi * 1.5**2 * 40, rel=0.06)
    assert report.overlap_mm3["bone by HU"] == pytest.approx(report.overlap_mm3["femur_left"], rel=0.01)
    clear = tools.collisions(through.moved((60, 0, 0)), person())
    assert "femur_left" not in clear.overlap_mm3


def write_box(path, scale=1.0, open_side=False):
    mesh = trimesh.creation.box((10 * scale, 20 * scale, 30 * scale))
    if open_side:
        mesh.update_faces(np.arange(len(mesh.faces)) > 0)
    mesh.export(path)
    return path


def test_a_glb_file_is_in_metres(tmp_path):
    """glTF 2.0, section 3.4; the axes stay those of the file."""
    box = trimesh.creation.box((0.010, 0.020, 0.030))
    trimesh.Scene({"part": box}).export(tmp_path / "block.glb")
    tool = tools.load(tmp_path / "block.glb", material="titanium")
    assert np.allclose(np.ptp(tool.bounds_mm, axis=0), [10, 20, 30], rtol=1e-5)
    assert tool.parts[0].volume_mm3 == pytest.approx(6000, rel=1e-4)
    with pytest.raises(InputError, match=r"only 0\.03 mm across when read in mm"):
        tools.load(tmp_path / "block.glb", material="titanium", units="mm")


def test_bounds_are_those_of_metal_not_of_holes():
    assert np.ptp(tools.nail(length_mm=340).bounds_mm, axis=0)[1] == pytest.approx(15.5, abs=0.02)
    assert np.ptp(tools.screw(length_mm=60).bounds_mm, axis=0)[2] == pytest.approx(60, abs=0.01)
    assert np.ptp(tools.plate(thickness_mm=4).bounds_mm, axis=0)[0] == pytest.approx(4, abs=0.001)
    assert all(part.body_vertices is not None for part in tools.pedicle_construct().parts)


@pytest.mark.parametrize(("kind", "radius_mm"), [("cup", 26.0), ("hip_replacement", 16 - 0.02)])
def test_round_parts_of_joints_are_round_to_a_thousandth_of_the_diameter(kind, radius_mm):
    """Vertices and middles of faces of the outermost ball lie within 0.1 % of its diameter from a sphere."""
    tool = tools.TOOLS[kind]()
    assert sum(len(part.faces) for part in tool.parts) < 25_000
    part, center = (tool.parts[0], np.zeros(3)) if kind == "cup" else (tool.parts[-1], tool.landmarks["head"])
    corners = part.outer_mm[part.faces[part.faces.max(axis=1) < len(part.outer_mm)]] - center
    middles = corners.mean(axis=1)
    # Without the flat rim of a cup and the fan at its pole.
    ball = np.linalg.norm(corners, axis=2).min(axis=1) > 0.9 * radius_mm
    for points in (corners[ball].reshape(-1, 3), middles[ball]):
        assert np.abs(2 * np.linalg.norm(points, axis=1) - 2 * radius_mm).max() < 2e-3 * radius_mm


def test_tools_lie_where_a_line_leaves_the_body():
    hu = np.full((40, 40, 40), -1000, dtype=np.int16)
    hu[5:35, 10:30, 5:35] = 30
    person = Patient.from_arrays(hu, np.diag([5.0, 5, 5, 1]))
    skin, rng = tools.find_skin(person), np.random.default_rng(0)
    for direction, axis, at in (((0, -1, 0), 1, 47.5), ((0, 2, 0), 1, 147.5), ((1, 0, 0), 0, 172.5)):
        button = tools.on_skin(tools.button(), skin, person.center_mm, rng, direction=direction)
        assert button.landmarks_mm["base"][axis] == pytest.approx(at, abs=3)
        assert button.patient_from_tool[axis, 2] * np.sign(sum(direction)) > 0.99
    away = skin.exit_mm(np.array([500.0, 0, 0]), np.array([1.0, 0, 0]))
    assert np.allclose(away, [500, 0, 0])


@pytest.mark.parametrize("kind", ["stl", "obj", "ply"])
def test_meshes_are_read_in_their_units(tmp_path, kind):
    tool = tools.load(write_box(tmp_path / f"block.{kind}"), material="titanium")
    assert np.allclose(np.ptp(tool.bounds_mm, axis=0), [10, 20, 30])
    assert tool.name == "block"
    small = tools.load(write_box(tmp_path / f"small.{kind}", 0.001), material="titanium", units="m")
    assert np.allclose(np.ptp(small.bounds_mm, axis=0), [10, 20, 30], rtol=1e-4)


def test_meshes_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(InputError, match="pass units='m'"):
        tools.load(write_box(tmp_path / "metres.stl", 0.001), material="titanium")
    with pytest.raises(InputError, match="3 open edges"):
        tools.load(write_box(tmp_path / "open.stl", open_side=True), material="titanium")
    with pytest.warns(SynthrayWarning, match="repaired"):
        mended = tools.load(tmp_path / "open.stl", material="titanium", repair=True)
    assert mended.parts[0].volume_mm3 == pytest.approx(6000)
    (tmp_path / "noise.stl").write_bytes(b"\x00\x01hello" * 30)
    with pytest.raises(InputError, match=r"noise\.stl"):
        tools.load(tmp_path / "noise.stl", material="titanium")
    with pytest.raises(InputError, match="no such file"):
        tools.load(tmp_path / "none.stl", material="titanium")
    with pytest.raises(InputError, match="units must be one of"):
        tools.load(write_box(tmp_path / "box.stl"), material="titanium", units="parsec")


def test_impossible_sizes_are_refused():
    with pytest.raises(InputError):
        tools.screw(length_mm=-5)
    with pytest.raises(InputError, match=r"bends by 7\.5 deg at most"):
        tools.continuum_manipulator(control_deg=(9.0,))
    with pytest.raises(InputError, match="two different points"):
        tools.along(tools.needle(), (0, 0, 0), (0, 0, 0))
    with pytest.raises(InputError, match="no landmark 'moon'"):
        tools.along(tools.needle(), "moon", (0, 0, 0), patient=person())
    with pytest.raises(InputError):
        tools.needle().at(np.diag([2.0, 1, 1, 1]))


def test_random_tools_can_be_projected_and_repeat_with_their_seed():
    first, again = (tools.random_tool(np.random.default_rng(n)) for n in (4, 4))
    assert np.array_equal(first.parts[0].vertices_mm, again.parts[0].vertices_mm)
    kinds = {tools.random_tool(np.random.default_rng(n)).name for n in range(12)}
    assert len(kinds) > 4
