from functools import partial

import numpy as np
import pytest

from synthray.geometry import CArm
from synthray.register.optimise import LONGEST_STEP, System, bounded, minimise, solve
from synthray.register.pose import motion_between, moved

CAMERA = CArm.preset("cios-fusion").view(target_mm=(0, 0, 0))
PIVOT = np.zeros(3)
MOVE = partial(moved, pivot_mm=PIVOT)


def bowl(target, scales, flat=False):
    """Squared distance of the motion from the target, with scales as unlike as radians and depth."""

    def system_at(camera):
        residual = scales * (motion_between(target, camera, PIVOT))
        matrix = np.diag(scales**2)
        if flat:
            matrix[5] = 0
            residual[5] = 0
        return System(0.5 * residual @ residual, scales * residual, matrix)

    return system_at


@pytest.mark.parametrize("scales", [np.ones(6), np.array([500.0, 500, 200, 1, 1, 0.01])])
def test_scales_do_not_matter(scales):
    target = moved(CAMERA, [0.2, -0.1, 0.3, 15, -20, 70], PIVOT)
    best = minimise(bowl(target, scales), CAMERA, MOVE, tolerance=1e-12)
    np.testing.assert_allclose(motion_between(target, best.poses, PIVOT), 0, atol=1e-3)
    assert best.steps < 20


def test_directions_that_the_image_does_not_show_are_left():
    target = moved(CAMERA, [0.1, 0, 0, 5, 5, 40], PIVOT)
    best = minimise(bowl(target, np.ones(6), flat=True), CAMERA, MOVE, tolerance=1e-12)
    assert motion_between(CAMERA, best.poses, PIVOT)[5] == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(solve(System(1.0, np.zeros(6), np.zeros((6, 6))), 1e-3), 0)


def test_a_wrong_matrix_is_damped_until_the_cost_falls():
    target = moved(CAMERA, [0.05, 0, 0, 3, 0, 0], PIVOT)
    true = bowl(target, np.ones(6))

    def overshooting(camera):
        system = true(camera)
        return System(system.cost, system.gradient, system.matrix / 30)

    best = minimise(overshooting, CAMERA, MOVE, most_steps=200, tolerance=1e-12)
    np.testing.assert_allclose(motion_between(target, best.poses, PIVOT), 0, atol=1e-3)


def test_steps_are_bounded_as_a_whole():
    step = np.array([1.0, 0, 0, 5, 0, 0])
    short = bounded(step)
    assert short[0] == pytest.approx(LONGEST_STEP[0])
    assert short[3] / short[0] == pytest.approx(5)


def test_nothing_to_gain_ends_at_once():
    assert minimise(bowl(CAMERA, np.ones(6)), CAMERA, MOVE).steps == 1
