"""What can be asked of `project`: shares, buffers, Jacobian, supersampling, several volumes; and that it holds up."""

import multiprocessing
import resource

import numpy as np
import pytest
from test_golden import blobs, views

from synthray.anatomy import Patient
from synthray.errors import InputError
from synthray.geometry import Camera, CArm
from synthray.projector import prepare, project
from synthray.projector.binning import binned
from synthray.projector.rays import bundle, needed_supersampling
from synthray.projector.reference import march_rays
from synthray.projector.result import Wanted
from synthray.simulate import Scene


def exponential(twist):
    """exp(ξ) to second order, made rigid."""
    w = twist[:3]
    skew = np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])
    left, _, right = np.linalg.svd(np.eye(3) + skew + skew @ skew / 2)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = left @ right, twist[3:]
    return matrix


def exact_density(patient, camera):
    """The reference before it is rounded to single precision."""
    volume = prepare(patient)
    rays = bundle([camera], volume)
    rays_alone = march_rays(volume, rays, Wanted(masks=False, depth=False), 0)
    return binned(rays_alone, int(rays.supersample[0])).density[0]


@pytest.mark.parametrize("pixels", [48, 5])
def test_jacobian_is_the_slope_of_the_image(pixels):
    patient = blobs()
    (camera,) = views(patient, (25, 10), pixels=pixels)
    jacobian = project(patient, camera, jacobian=True).jacobian[0]
    for parameter, step in enumerate([1e-6] * 3 + [1e-4] * 3):
        images = []
        for sign in (1, -1):
            twist = np.zeros(6)
            twist[parameter] = sign * step
            moved = Camera.from_matrix(camera.K, exponential(twist) @ camera.camera_from_patient, pixels, pixels)
            images.append(exact_density(patient, moved))
        slope = (images[0] - images[1]) / (2 * step)
        # Rays through the edge of a cell, where the slope jumps, are few.
        assert np.quantile(np.abs(jacobian[:, parameter] - slope), 0.98) < 1e-4 * np.abs(slope).max(), parameter


def test_a_request_for_the_jacobian_changes_nothing_else():
    patient = blobs()
    cameras = views(patient, (25, 10), (80, 0))
    plain, more = project(patient, cameras), project(patient, cameras, jacobian=True)
    np.testing.assert_allclose(plain.area_density, more.area_density, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(plain.masks.words, more.masks.words)
    np.testing.assert_array_equal(plain.depth_mm, more.depth_mm)


def test_shares_of_structures_add_up_to_the_whole():
    patient = blobs()
    hu = patient.ct.values.copy()
    hu[patient.labels.codes == 0] = -1000
    labelled_only = Patient(type(patient.ct)(hu, patient.ct.patient_from_voxel), patient.labels)
    for pixels in (40, 9):
        cameras = views(patient, (25, 10), (80, 0), pixels=pixels)
        projection = project(labelled_only, cameras, densities=patient.structure_names)
        total = sum(projection.structure_density.values())
        np.testing.assert_allclose(total, projection.area_density, atol=1e-4 * projection.area_density.max())


def test_out_is_overwritten_and_returned():
    patient = blobs()
    first, second = views(patient, (0, 0)), views(patient, (60, 20))
    held = project(patient, first, paths=("s1",))
    again = project(patient, second, paths=("s1",), out=held)
    fresh = project(patient, second, paths=("s1",))
    assert again.area_density is held.area_density
    np.testing.assert_array_equal(again.area_density, fresh.area_density)
    np.testing.assert_array_equal(again.masks.words, fresh.masks.words)
    np.testing.assert_array_equal(again.depth_mm, fresh.depth_mm)
    np.testing.assert_array_equal(again.paths_mm["s1"], fresh.paths_mm["s1"])
    with pytest.raises(InputError, match="'out' must come from"):
        project(patient, second, out=held)


def test_thin_things_are_not_lost_between_coarse_pixels():
    hu = np.full((64, 64, 64), -1000, dtype=np.int16)
    hu[10:54, 32, 10:54:6] = 1500
    labels = (hu > 0).astype(np.uint8)
    patient = Patient.from_arrays(hu, np.eye(4), labels, {1: "wires"})
    fine, coarse = (CArm.preset("generic-300mm").resized(n).view(patient.center_mm, 3, 2) for n in (720, 180))
    assert needed_supersampling(coarse, prepare(patient)) == 1
    coarse = CArm.preset("generic-300mm").resized(60).view(patient.center_mm, 3, 2)
    assert needed_supersampling(coarse, prepare(patient)) == 4
    sharp, binned = project(patient, fine).area_density[0].sum(axis=0), project(patient, coarse)
    mean = sharp.reshape(60, 12, 60, 12).mean(axis=(1, 3))
    assert np.abs(binned.area_density[0].sum(axis=0) - mean).max() < 0.2 * mean.max()
    single = project(patient, coarse, supersample=1)
    assert np.abs(single.area_density[0].sum(axis=0) - mean).max() > 0.5 * mean.max()
    # Masks are the union of the pixel's rays, depth their smallest.
    assert (binned.masks["wires"] & ~single.masks["wires"]).any()
    paths = project(patient, coarse, paths=("wires",)).paths_mm["wires"]
    np.testing.assert_array_equal(binned.masks["wires"], paths > 0)
    with pytest.raises(InputError, match="supersample must be"):
        project(patient, coarse, supersample=3)


def test_a_volume_over_another_replaces_it():
    hu = np.zeros((40, 40, 40), dtype=np.int16)
    patient = Patient.from_arrays(hu, np.diag([2, 2, 2, 1.0]), np.ones(hu.shape, int), {1: "body"})
    steel = Patient.from_arrays(
        np.full((10, 10, 10), 3000), np.array([[2, 0, 0, 30], [0, 2, 0, 30], [0, 0, 2, 30], [0, 0, 0, 1]]),
        np.ones((10, 10, 10), int), {1: "insert"},
    )  # fmt: skip
    (camera,) = views(patient, (0, 0), pixels=101)
    alone, both = project(patient, camera), project(Scene(patient, volumes=[steel]), camera, paths=("body", "insert"))
    middle = (0, slice(None), 50, 50)
    insert = project(steel, camera).area_density[middle]
    expected = alone.area_density[middle] * 6 / 8 + insert
    np.testing.assert_allclose(both.area_density[middle], expected, rtol=0.03)
    assert both.paths_mm["body"][0, 50, 50] == pytest.approx(60, rel=0.01)
    assert both.paths_mm["insert"][0, 50, 50] == pytest.approx(20, rel=0.01)
    assert tuple(both.masks) == ("body", "insert")
    outside = ~project(steel, camera).area_density.any(axis=1)
    np.testing.assert_array_equal(both.area_density[:, 0][outside], alone.area_density[:, 0][outside])


def test_memory_is_returned():
    patient = blobs((30, 30, 30))
    cameras = views(patient, (20, 10), pixels=32)
    for _ in range(20):
        project(patient, cameras, paths=("s1",))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(1000):
        project(patient, cameras, paths=("s1",))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024


def density_of(seed):
    patient = blobs(seed=seed)
    return project(patient, views(patient, (20, 10))).area_density


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_forked_and_spawned_workers_are_right(method):
    here = density_of(3)  # threads have run in this process before it forks
    with multiprocessing.get_context(method).Pool(2) as pool:
        for there in pool.map(density_of, [3, 3]):
            np.testing.assert_array_equal(here, there)


def test_large_codes_and_sides_are_refused_or_right():
    labels = np.zeros((4, 4, 4), dtype=np.uint16)
    labels[1, 1, 1] = 40000
    patient = Patient.from_arrays(np.zeros((4, 4, 4)), np.diag([9, 9, 9, 1.0]), labels, {40000: "far"})
    assert project(patient, views(patient, (0, 0))[0]).masks["far"].any()
    long = Patient.from_arrays(np.zeros((4200, 1, 1), dtype=np.int16), np.eye(4))
    with pytest.raises(InputError, match="at most 4094 a side"):
        project(long, views(long, (0, 0))[0])
