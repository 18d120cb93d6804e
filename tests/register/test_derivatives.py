"""The derivatives that registration follows, against central differences of the reference in double precision."""

from dataclasses import replace

import numpy as np
import pytest

from synthray.geometry import Camera, CArm
from synthray.projector import prepare, project
from synthray.projector.pose import pose_jacobian
from synthray.projector.rays import bundle
from synthray.projector.reference import march_rays
from synthray.projector.result import Wanted
from synthray.register import intrinsics_jacobian
from synthray.register.moving import moving_image
from synthray.register.pose import at_pivot, moved, pivot_in_camera

STEPS = np.array([1e-6] * 3 + [1e-3] * 3)
INTRINSICS = ((0, 0), (1, 1), (0, 2), (1, 2))


@pytest.fixture(scope="module")
def scene():
    """A smooth lopsided body of few voxels, and a view of it with one ray per pixel."""
    from synthray.anatomy import Patient

    grid = np.stack(np.meshgrid(*[np.arange(20.0)] * 3, indexing="ij"), axis=-1)
    rng = np.random.default_rng(2)
    hu = np.full(grid.shape[:3], -1000.0)
    for _ in range(8):
        gap = (grid - rng.uniform(6, 14, 3)) / rng.uniform(1.5, 3.5, 3)
        hu += rng.uniform(600, 1300) * np.exp(-0.5 * (gap**2).sum(axis=-1))
    affine = np.diag([6.0, 5, 7, 1])
    affine[:3, 3] = [-60, -50, -70]
    patient = Patient.from_arrays(hu.clip(-1000, 3000), affine)
    camera = CArm.preset("cios-fusion").resized(40).view(patient.center_mm, lao_deg=25, cran_deg=10, view="ap")
    K = camera.K.copy()
    K[0, 1] = 3.0
    return patient, replace(camera, K=K), patient.center_mm + [10, 0, -20]


def exact(patient, camera, gradient=False):
    """(2, row, column) area density and (2, 6, row, column) its Jacobian, not rounded to single precision."""
    volume = prepare(patient)
    rays = bundle([camera], volume, 1)
    marched = march_rays(volume, rays, Wanted(masks=False, depth=False, gradient=gradient), 0)
    density = marched.density.reshape(2, camera.rows, camera.columns)
    if not gradient:
        return density, None
    shaped = marched.gradient.reshape(1, 2, 6, camera.rows, camera.columns)
    return density, pose_jacobian(shaped, rays, [camera], volume)[0]


def slopes(patient, cameras_of, steps):
    """Central differences (2, parameter, row, column)."""
    out = []
    for number, step in enumerate(steps):
        plus, minus = (exact(patient, cameras_of(number, sign * step))[0] for sign in (1, -1))
        out.append((plus - minus) / (2 * step))
    return np.stack(out, axis=1)


def relative(found, expected):
    """Deviation over the largest slope, parameter by parameter, for the 95 % of rays that cross no edge of a cell."""
    gap = np.abs(found - expected)
    return np.quantile(gap, 0.95, axis=(0, 2, 3)) / np.abs(expected).max(axis=(0, 2, 3))


def pose_of(camera, pivot):
    def cameras_of(number, step):
        motion = np.zeros(6)
        motion[number] = step
        return moved(camera, motion, pivot)

    return cameras_of


def test_in_double_precision_about_a_pivot(scene):
    patient, camera, pivot = scene
    _, jacobian = exact(patient, camera, gradient=True)
    about = at_pivot(jacobian, pivot_in_camera(camera, pivot))
    expected = slopes(patient, pose_of(camera, pivot), STEPS)
    assert relative(about, expected).max() < 1e-6


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_in_single_precision_about_a_pivot(scene, backend):
    patient, camera, pivot = scene
    jacobian = project(patient, camera, jacobian=True, backend=backend, supersample=1).jacobian[0]
    about = at_pivot(jacobian, pivot_in_camera(camera, pivot))
    assert relative(about, slopes(patient, pose_of(camera, pivot), STEPS)).max() < 1e-3


def test_of_the_intrinsics(scene):
    patient, camera, _ = scene

    def cameras_of(number, step):
        K = camera.K.copy()
        K[INTRINSICS[number]] += step
        return replace(camera, K=K)

    _, jacobian = exact(patient, camera, gradient=True)
    expected = slopes(patient, cameras_of, [1e-3] * 4)
    assert relative(intrinsics_jacobian(jacobian, camera), expected).max() < 1e-6


def test_of_the_moving_image(scene):
    """The one number per pixel that is compared: attenuation times area density."""
    patient, camera, pivot = scene
    seen = moving_image(patient, camera, pivot)
    for number, step in enumerate([1e-3] * 3 + [0.5] * 3):
        ends = [moving_image(patient, pose_of(camera, pivot)(number, s * step), pivot).image for s in (1, -1)]
        slope = (ends[0].astype(float) - ends[1]) / (2 * step)
        assert np.abs(seen.jacobian[number] - slope).mean() < 0.02 * np.abs(slope).mean(), number


def test_mirrored_detectors_too(scene):
    patient, camera, pivot = scene
    K = camera.K.copy()
    K[0, 0] *= -1
    mirrored = Camera.from_matrix(K, camera.camera_from_patient, camera.rows, camera.columns)
    _, jacobian = exact(patient, mirrored, gradient=True)
    expected = slopes(patient, pose_of(mirrored, pivot), STEPS)
    assert relative(at_pivot(jacobian, pivot_in_camera(mirrored, pivot)), expected).max() < 1e-6
