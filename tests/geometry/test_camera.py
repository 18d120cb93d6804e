import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthray.errors import InputError
from synthray.geometry import VIEWS, Camera, CArm, Spread, ViewSampler, rotation_about

ORIGIN = np.zeros(3)
LEFT, BACK, HEAD = np.array([50.0, 0, 0]), np.array([0, 50.0, 0]), np.array([0, 0, 50.0])
angles = st.floats(-50, 50)


def test_camera_frame_follows_the_contract():
    K = [[1000, 0, 99.5], [0, 1000, 49.5], [0, 0, 1]]
    camera = Camera.from_matrix(K, np.eye(4), rows=100, columns=200)
    assert camera.project([0, 0, 500.0]) == pytest.approx([99.5, 49.5])
    assert camera.project([10, 0, 500.0]) == pytest.approx([119.5, 49.5])
    assert camera.project([0, 10, 500.0]) == pytest.approx([99.5, 69.5])


@pytest.mark.parametrize("view", ["pa", "ap", "inlet", "outlet"])
def test_frontal_pictures_show_left_on_the_right_and_head_up(view):
    camera = CArm.preset("cios-fusion").view(ORIGIN, view=view)
    center, left, head = (camera.project(at) for at in (ORIGIN, LEFT, HEAD))
    assert left[0] > center[0] + 100
    assert head[1] < center[1] - 100


def test_pa_and_ap_look_from_opposite_sides():
    carm = CArm.preset("chest-pa")
    pa, ap = carm.view(ORIGIN, view="pa"), carm.view(ORIGIN, view="ap")
    assert pa.source_mm[1] > 1000
    assert ap.source_mm[1] < -1000
    assert pa.mirrored
    assert not ap.mirrored


def test_lateral_has_the_receptor_at_the_left_and_the_front_on_the_left_of_the_picture():
    camera = CArm.preset("chest-pa").view(ORIGIN, view="lateral")
    assert camera.direction == pytest.approx([1, 0, 0], abs=1e-12)
    assert camera.project(BACK)[0] > camera.project(ORIGIN)[0]


def test_angles_say_where_the_receptor_stands():
    carm = CArm.preset("cios-fusion")
    assert carm.view(ORIGIN, lao_deg=30).direction[0] == pytest.approx(0.5)
    assert carm.view(ORIGIN, lao_deg=-30).direction[0] == pytest.approx(-0.5)
    assert carm.view(ORIGIN, cran_deg=30).direction[2] == pytest.approx(0.5)
    # In a left anterior oblique the spine moves to the right of the picture.
    oblique = carm.view(ORIGIN, lao_deg=30)
    assert oblique.project(BACK)[0] > oblique.project(ORIGIN)[0]


@pytest.mark.parametrize("view", ["pa", "ap"])
def test_roll_turns_the_picture_clockwise(view):
    camera = CArm.preset("cios-fusion").view(ORIGIN, roll_deg=20, view=view)
    assert camera.project(HEAD)[0] > camera.project(ORIGIN)[0]


def test_judet_views_raise_and_lower_the_named_side():
    carm = CArm.preset("cios-fusion")
    assert carm.view(ORIGIN, view="obturator_oblique_left").source_mm[0] > 0
    assert carm.view(ORIGIN, view="iliac_oblique_left").source_mm[0] < 0


@pytest.mark.parametrize("view", VIEWS)
@given(lao=angles, cran=st.floats(-15, 15), roll=st.floats(-180, 180))
def test_every_view_is_rigid_and_centres_its_target(view, lao, cran, roll):
    target = np.array([12.0, -30, 400])
    camera = CArm.preset("generic-300mm").view(target, lao, cran, roll, view=view)
    rotation = camera.camera_from_patient[:3, :3]
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert camera.project(target) == pytest.approx([499.5, 499.5])


@given(lao=angles, roll=st.floats(-180, 180), column=st.integers(0, 79), row=st.integers(0, 59))
def test_rays_and_project_are_inverse(lao, roll, column, row):
    camera = CArm.preset("generic-300mm").resized(60, 80).view([5, 6, 7], lao, 10, roll)
    source, directions = camera.rays()
    assert camera.project(source + 700 * directions[row, column]) == pytest.approx([column, row], abs=1e-9)


def test_resized_keeps_the_field():
    camera = CArm.preset("cios-fusion").view(ORIGIN)
    small = camera.resized(768, 512)
    at = camera.project(LEFT + HEAD)
    assert small.project(LEFT + HEAD) == pytest.approx([(at[0] + 0.5) / 3 - 0.5, (at[1] + 0.5) / 2 - 0.5])
    assert small.pixel_mm == pytest.approx((0.194 * 3, 0.194 * 2))


def test_points_behind_the_source_are_nan():
    camera = CArm.preset("cios-fusion").view(ORIGIN)
    assert np.isnan(camera.project(camera.source_mm - camera.direction)).all()
    assert not camera.contains(camera.project(camera.source_mm - camera.direction))


def test_json_round_trip_is_exact(tmp_path):
    camera = CArm.preset("chest-pa").view([1.1, 2.2, 3.3], lao_deg=17.123, cran_deg=-3.3)
    camera.save(tmp_path / "camera.json")
    back = Camera.load(tmp_path / "camera.json")
    assert json.dumps(back.to_dict()) == json.dumps(camera.to_dict())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.view(ORIGIN, lao_deg=101), "beyond its travel"),
        (lambda c: c.view(ORIGIN, cran_deg=-61), "beyond its travel"),
        (lambda c: c.view(ORIGIN, cran_deg=-25, view="inlet"), "beyond its travel"),
        (lambda c: c.view(ORIGIN, lao_deg=float("nan")), "beyond its travel"),
        (lambda c: c.view(ORIGIN, source_to_target_mm=2000), "between 0 and the detector"),
        (lambda c: c.view([0, 0]), "three finite numbers"),
        (lambda c: c.view(ORIGIN, view="skyline"), "unknown view"),
        (lambda c: CArm.preset("x"), "unknown C-arm preset"),
    ],
)
def test_impossible_views_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call(CArm.preset("cios-fusion"))


@pytest.mark.parametrize(
    ("K", "pose", "message"),
    [
        (np.eye(2), np.eye(4), "3 x 3"),
        (np.diag([0.0, 1, 1]), np.eye(4), "focal length"),
        (np.diag([1.0, 1, 2]), np.eye(4), "upper triangular"),
        (np.eye(3), np.diag([1.0, 1, -1, 1]), "mirror image"),
        (np.eye(3), np.diag([2.0, 2, 2, 1]), "not rigid"),
        (np.eye(3), np.full((4, 4), np.nan), "NaN"),
    ],
)
def test_malformed_cameras_are_refused(K, pose, message):
    with pytest.raises(InputError, match=message):
        Camera.from_matrix(K, pose, 10, 10)


def test_damaged_camera_files_are_refused(tmp_path):
    path = tmp_path / "camera.json"
    path.write_text("{}")
    with pytest.raises(InputError, match="missing fields"):
        Camera.load(path)
    path.write_text("[")
    with pytest.raises(InputError, match="not a readable camera"):
        Camera.load(path)


def test_sampler_is_a_function_of_its_seed_and_stays_in_range():
    sampler = ViewSampler(
        carm=CArm.preset("cios-fusion"),
        lao_deg=Spread("uniform", -20, 20),
        cran_deg=Spread("normal", 5, 3),
        distance_mm=Spread("log_uniform", 1, 50),
        offset_mm=(Spread(), Spread("uniform", 10, 20), Spread("fixed", 3)),
    )
    drawn = [sampler.draw(np.random.default_rng(seed)) for seed in range(200)]
    assert drawn[7] == sampler.draw(np.random.default_rng(7))
    assert max(abs(view.lao_deg) for view in drawn) <= 20
    assert max(abs(view.cran_deg - 5) for view in drawn) <= 6
    assert len({view.lao_deg for view in drawn}) == 200
    camera = sampler.camera(ORIGIN, drawn[0])
    x, y, z = drawn[0].offset_mm
    assert camera.project([x, y, z]) == pytest.approx([767.5, 767.5])


def test_backward_spreads_are_refused():
    with pytest.raises(InputError, match="swapped"):
        Spread("uniform", 2, 1)
    with pytest.raises(InputError, match="must be positive"):
        Spread("log_uniform", 0, 1)


def test_rotation_is_right_handed():
    assert rotation_about([0, 0, 1], np.pi / 2) @ [1, 0, 0] == pytest.approx([0, 1, 0], abs=1e-12)
