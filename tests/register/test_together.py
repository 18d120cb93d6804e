import numpy as np
import pytest
from registration_shots import shoot

from synthray.errors import InputError
from synthray.geometry import CArm
from synthray.imaging import display
from synthray.register import Range, register_together
from synthray.register.pose import moved
from synthray.register.together import _moved_together, carried, turned

NEAR = Range(rotation_deg=12, in_plane_mm=22, depth_mm=50, starts=24, followed=3)
MOTION = np.array([0.1, -0.08, 0.12, 10, -14, 35])


@pytest.fixture(scope="module")
def pair(person):
    """Two X-rays 60° apart, and where their cameras were thought to be."""
    middle = person.structure_center_mm("hip_left", "hip_right")
    device = CArm.preset("cios-fusion").resized(128)
    rig = tuple(device.view(middle, lao_deg=angle, view="ap") for angle in (-25, 35))
    shown = [display(shoot(person, camera, seed), "c-arm") for seed, camera in enumerate(rig)]
    return rig, shown, _moved_together(rig, MOTION, middle), middle


def test_two_views_make_up_for_each_others_depth(person, pair, taken):
    rig, shown, thought, middle = pair
    fits = register_together(person, shown, thought, reach=NEAR, pivot_mm=middle)
    points = taken.points_mm
    for fit, camera in zip(fits, rig, strict=True):
        ends = [c.camera_from_patient[:3] @ np.c_[points, np.ones(len(points))].T for c in (fit.camera, camera)]
        assert np.linalg.norm(ends[0] - ends[1], axis=0).mean() < 0.5  # a third of a pixel, depth and all
        assert fit.quality.state == "ok", fit
        assert fit.depth_std_mm < 2 * fit.in_plane_std_mm.max()
    # They lie to one another as before.
    relative = [b.camera_from_patient @ a.patient_from_camera for a, b in (rig, [fit.camera for fit in fits])]
    np.testing.assert_allclose(relative[0], relative[1], atol=1e-6)
    # One pose, one covariance: that of a point is the same from either side.
    spread = [fit.camera.camera_from_patient[:3, :3].T @ fit.covariance[3:, 3:] @ fit.camera.camera_from_patient[:3, :3]
              for fit in fits]  # fmt: skip
    np.testing.assert_allclose(spread[0], spread[1], rtol=1e-6)


def test_a_motion_along_other_axes_is_the_same_motion_of_the_person(pair):
    rig, _, thought, middle = pair
    np.testing.assert_allclose(carried(rig, 1, thought[1], middle)[0].camera_from_patient,
                               thought[0].camera_from_patient, atol=1e-9)  # fmt: skip
    step = np.array([0.2, 0.1, -0.3, 5, 6, 7])
    persons = [
        camera.patient_from_camera @ moved(camera, turned(rig[0], camera) @ step, middle).camera_from_patient
        for camera in rig
    ]
    np.testing.assert_allclose(persons[0], persons[1], atol=1e-9)


def test_counts_must_agree(person, pair):
    rig, shown, _, _ = pair
    with pytest.raises(InputError, match="2 X-rays, 1 cameras"):
        register_together(person, shown, rig[:1])
    with pytest.raises(InputError, match="0 X-rays"):
        register_together(person, [], [])
