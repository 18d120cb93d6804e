import numpy as np
import pytest

from synthray.errors import InputError
from synthray.geometry import CArm, apply
from synthray.register import Fit, Quality, register_parts
from synthray.register.moving import moving_images
from synthray.register.parts import REST, _composed, _moved_apart, separated
from synthray.register.pose import motion_between, moved
from synthray.register.search import Stage

QUALITY = Quality(
    state="ok", reason="", score=1, ncc=0.95, fine_ncc=1, detail_ncc=0.8, agreement=1, counted=1, mistaken_view="",
    mistaken_ncc=0.8,
)  # fmt: skip
PARTS = {"femur_left": ["femur_left"]}
MOTIONS = ([0.01, -0.02, 0.01, 1.0, -2, 4], [0.02, 0.12, 0.08, 3, 1, 0])


@pytest.fixture(scope="module")
def hip(person):
    """A view of the left hip, and the pieces."""
    camera = CArm.preset("cios-fusion").resized(128).view(person.landmarks["FH-l"], 5, 3, view="ap")
    return camera, separated(person, PARTS, person.landmarks["FH-l"])


@pytest.fixture(scope="module")
def bent(hip):
    """An X-ray after the femur moved against the pelvis, and the pelvis against the thought pose."""
    camera, split = hip
    poses = tuple(moved(camera, m, pivot) for m, pivot in zip(MOTIONS, split.pivots_mm, strict=True))
    log_image = sum(moving_images(one, [pose])[0] for one, pose in zip(split.people, poses, strict=True))
    noise = np.random.default_rng(0).normal(0, 0.01, log_image.shape)
    return poses, np.rint(255 * np.exp(-0.6 * (log_image + noise)))


def test_the_pieces_add_up_to_the_person(person, hip):
    camera, split = hip
    whole = moving_images(person, [camera])[0]
    together = sum(moving_images(one, [camera])[0] for one in split.people)
    assert np.abs(together - whole).mean() < 0.01 * whole.mean()


def test_each_bone_gets_its_own_pose(person, hip, bent):
    camera, split = hip
    poses, shown = bent
    thought = Fit(camera, np.eye(6), split.pivots_mm[0], False, QUALITY, 1)
    fits = register_parts(person, shown, thought, PARTS)
    assert list(fits) == [REST, *PARTS]
    marks = (("MOF-l", "IOF-l", "FH-l"), ("FH-l", "greater_trochanter_left", "lesser_trochanter_left"))
    for n, (name, fit) in enumerate(fits.items()):
        points = np.array([person.landmarks[mark] for mark in marks[n]])
        ends = [apply(one.camera_from_patient, points)[:, :2] for one in (poses[n], fit.camera, camera)]
        error, before = (np.linalg.norm(ends[0] - one, axis=1).mean() for one in ends[1:])
        assert error < 0.6 < 2 < before, name  # a third of a pixel
        assert fit.quality.state == "ok", (name, fit)
        motion = motion_between(fit.camera, poses[n], fit.pivot_mm)
        assert motion @ np.linalg.solve(fit.covariance, motion) < 22.5, name  # 0.999 quantile for 6 degrees of freedom


def test_derivatives_of_the_sum(person, hip, bent):
    camera, split = hip
    poses, _ = bent
    stage = Stage(None, person, camera, 1.0)
    seen = _composed(stage, split, None, poses)
    assert seen.jacobian.shape == (12, 128, 128)
    for number, step in ((1, 1e-3), (4, 0.5), (8, 1e-3), (10, 0.5)):
        change = np.zeros(12)
        change[number] = step
        ends = [
            _composed(stage, split, None, _moved_apart(poses, sign * change, split.pivots_mm)).image.astype(float)
            for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert np.abs(seen.jacobian[number] - slope).mean() < 0.12 * np.abs(slope).mean(), number


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "needs parts"),
        ({REST: ["femur_left"]}, "may be called"),
        ({"a": ["femur_left"], "b": ["femur_left"]}, "overlaps"),
        ({"a": ["wing"]}, "no structure 'wing'"),
    ],
)
def test_what_is_refused(person, parts, words):
    with pytest.raises(InputError, match=words):
        separated(person, parts, np.zeros(3))
