import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthray.geometry import CArm, apply
from synthray.register.pose import (
    left_right_flipped,
    motion_between,
    moved,
    opposite,
    perturbed,
    rotation_matrix,
    rotation_vector,
)

CAMERA = CArm.preset("cios-fusion").view(target_mm=(10, -20, 30), lao_deg=20, cran_deg=-10)
PIVOT = np.array([12.0, -25, 40])
turns = st.tuples(*[st.floats(-1.7, 1.7)] * 3)
shifts = st.tuples(*[st.floats(-300, 300)] * 3)


@given(turn=turns, shift=shifts)
def test_a_pose_moved_and_brought_back(turn, shift):
    motion = np.array([*turn, *shift])
    there = moved(CAMERA, motion, PIVOT)
    np.testing.assert_allclose(motion_between(CAMERA, there, PIVOT), motion, atol=1e-9)
    back = moved(there, motion_between(there, CAMERA, PIVOT), PIVOT)
    np.testing.assert_allclose(back.camera_from_patient, CAMERA.camera_from_patient, atol=1e-9)


@given(shift=shifts, turn=turns)
def test_the_pivot_moves_by_the_shift_alone(shift, turn):
    there = moved(CAMERA, [*turn, *shift], PIVOT)
    gone = apply(there.camera_from_patient, PIVOT) - apply(CAMERA.camera_from_patient, PIVOT)
    np.testing.assert_allclose(gone, shift, atol=1e-9)


@settings(max_examples=200)
@given(axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 1e-3), angle=st.floats(0, np.pi))
def test_rotation_vectors_from_nothing_to_half_a_turn(axis, angle):
    rotation = rotation_matrix(np.array(axis) / np.linalg.norm(axis) * angle)
    np.testing.assert_allclose(rotation_matrix(rotation_vector(rotation)), rotation, atol=1e-9)
    assert np.linalg.norm(rotation_vector(rotation)) == pytest.approx(angle, abs=1e-7)


def test_a_thousand_small_steps_keep_the_rotation_exact():
    camera = CAMERA
    for _ in range(1000):
        camera = moved(camera, [0.01, -0.02, 0.005, 1, 0, -1], PIVOT)
    rotation = camera.camera_from_patient[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-13)


def test_degrees_at_the_surface():
    there = perturbed(CAMERA, (0, 0, 30), (0, 0, 0), PIVOT)
    np.testing.assert_allclose(np.rad2deg(motion_between(CAMERA, there, PIVOT)[:3]), [0, 0, 30], atol=1e-9)


def test_opposite_sides_and_flipped_columns_are_their_own_inverses():
    other = opposite(CAMERA, PIVOT)
    np.testing.assert_allclose(CAMERA.direction[:2], -other.direction[:2], atol=1e-12)
    np.testing.assert_allclose(opposite(other, PIVOT).camera_from_patient, CAMERA.camera_from_patient, atol=1e-9)
    points = np.random.default_rng(0).uniform(-80, 80, (9, 3))
    column, row = CAMERA.project(points).T
    flipped = left_right_flipped(CAMERA).project(points)
    np.testing.assert_allclose(flipped, np.stack([CAMERA.columns - 1 - column, row], axis=1), atol=1e-9)
    np.testing.assert_allclose(left_right_flipped(left_right_flipped(CAMERA)).K, CAMERA.K, atol=1e-9)
