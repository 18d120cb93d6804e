"""The march against closed forms, and the fast backend against the reference."""

import concurrent.futures

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthray.anatomy import LabelMap, Patient, basis_densities
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import Camera, CArm, rotation_about
from synthray.projector import prepare, project

BACKENDS = ("reference", "cpu")
AIR = -1000


def affine(voxel_mm, axis=(0, 0, 1), angle=0.0, flips=(1, 1, 1), shift=(0, 0, 0)):
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_about(axis, angle) @ np.diag(np.array(voxel_mm) * flips)
    matrix[:3, 3] = shift
    return matrix


def water_g_cm2(projection):
    """Total area density; water at 0 HU is a mix of both bases."""
    return projection.area_density.sum(axis=1)


def water_density():
    return float(basis_densities(np.zeros((1, 1, 1), dtype=np.int16)).sum())


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    voxel=st.tuples(*[st.floats(0.7, 4)] * 3),
    axis=st.tuples(*[st.floats(0.1, 1)] * 3),
    angle=st.floats(-3, 3),
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    place=st.tuples(*[st.integers(1, 12)] * 3),
    lao=st.floats(-90, 90),
    cran=st.floats(-40, 40),
    offset=st.tuples(*[st.floats(-40, 40)] * 3),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_bright_voxel_lands_on_its_projected_centre(backend, voxel, axis, angle, flips, place, lao, cran, offset):
    hu = np.full((14, 14, 14), AIR, dtype=np.int16)
    hu[place] = 1500
    patient = Patient.from_arrays(hu, affine(voxel, axis, angle, flips, (5, -8, 30)))
    at = patient.ct.patient_from_voxel[:3, :3] @ place + patient.ct.patient_from_voxel[:3, 3]
    # The detector's 96 x 96 pixels around the voxel's shadow, which lies off the central ray.
    camera = CArm.preset("generic-300mm").view(at + offset, lao, cran)
    K = camera.K.copy()
    K[:2, 2] += 47.5 - camera.project(at)
    close = Camera.from_matrix(K, camera.camera_from_patient, 96, 96, source_to_detector_mm=1000)
    image = project(patient, close, backend=backend).area_density[0].sum(axis=0).astype(float)
    row, column = np.indices(image.shape)
    centroid = np.array([(image * column).sum(), (image * row).sum()]) / image.sum()
    assert centroid == pytest.approx([47.5, 47.5], abs=0.05)


@pytest.mark.parametrize("backend", BACKENDS)
def test_left_is_left_and_head_is_up(backend):
    hu = np.full((30, 20, 40), AIR, dtype=np.int16)
    hu[5:25, 5:15, 5:35] = 0
    labels = np.zeros(hu.shape, dtype=np.uint8)
    labels[5:10, 5:15, 5:10] = 1  # low i is the person's left here: the affine flips x
    labels[5:10, 5:15, 30:35] = 2
    matrix = affine((4, 4, 4), flips=(-1, 1, 1), shift=(58, 0, 0))
    patient = Patient.from_arrays(hu, matrix, labels, {1: "left_low", 2: "left_high"})
    for view in ("pa", "ap"):
        camera = CArm.preset("generic-300mm").resized(64).view(patient.center_mm, view=view)
        masks = project(patient, camera, backend=backend).masks
        low, high = (np.argwhere(masks[name][0]).mean(axis=0) for name in ("left_low", "left_high"))
        assert low[1] > 40
        assert high[1] > 40
        assert high[0] < 24 < 40 < low[0]


def ellipsoid(n, radii):
    index = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1) - (n - 1) / 2
    # Soft over one voxel, so that the sampled body is the ellipsoid and not its staircase.
    gradient = np.linalg.norm(index / np.square(radii), axis=-1)
    norm = np.sqrt(((index / radii) ** 2).sum(axis=-1))
    distance = (norm - 1) * norm / np.maximum(gradient, 1e-9)
    return np.clip(0.5 - distance, 0, 1)


def chord(camera, radii, center):
    source, direction = camera.rays()
    o, d = (source - center) / radii, direction / radii
    a, b, c = (d * d).sum(-1), (d * o).sum(-1), (o * o).sum(-1) - 1
    return 2 * np.sqrt(np.maximum(b * b - a * c, 0)) / a


@pytest.mark.parametrize(("lao", "cran"), [(0, 0), (35, 20), (-80, 10)])
def test_ellipsoid_agrees_with_its_chords_and_silhouette(lao, cran):
    n, radii = 256, np.array([100.0, 70.0, 110.0])
    share = ellipsoid(n, radii)
    # Of HU -1000 + 1000 f the density is exactly proportional to f only for lung; take f in {0, 1} and its ramp.
    hu = np.where(share > 0, -1000 + 1000 * share, AIR).astype(np.float32)
    labels = (share > 0.5).astype(np.uint8)
    patient = Patient.from_arrays(hu, affine((1, 1, 1), shift=(7, 8, 9)), labels, {1: "body"})
    camera = CArm.preset("generic-300mm").resized(256).view(patient.center_mm, lao, cran)
    projection = project(patient, camera)
    expected = chord(camera, radii, patient.center_mm) / 10 * water_density()
    error = np.abs(water_g_cm2(projection)[0] - expected).mean()
    assert error < 0.003 * expected.max()
    # The outline: pixels that disagree with the silhouette lie within one pixel of its edge.
    silhouette = expected > 0
    wrong = projection.masks["body"][0] != silhouette
    near = np.zeros_like(silhouette)
    for shift in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
        near |= np.roll(silhouette, shift, axis=(0, 1)) != silhouette
    assert not (wrong & ~near).any()


def test_box_has_exact_slab_lengths():
    hu = np.full((64, 64, 64), AIR, dtype=np.int16)
    hu[12:52, 20:44, 12:52] = 0
    patient = Patient.from_arrays(hu, affine((2, 2, 2)))
    camera = CArm.preset("generic-300mm").resized(101).view(patient.center_mm)
    total = water_g_cm2(project(patient, camera))[0]
    _, direction = camera.rays()
    expected = 4.8 * water_density() / np.abs(direction[..., 1])
    middle = slice(40, 61)
    assert total[middle, middle] == pytest.approx(expected[middle, middle], rel=1e-3)


def random_patient(rng):
    shape = tuple(rng.integers(1, 20, size=3))
    hu = rng.integers(-1000, 1500, size=shape).astype(np.int16)
    labels = rng.integers(0, 80, size=shape).astype(np.uint8)
    flips, shift = rng.choice([-1, 1], 3), rng.uniform(-9, 9, 3)
    matrix = affine(rng.uniform(0.5, 4, 3), rng.uniform(0.1, 1, 3), rng.uniform(-3, 3), flips, shift)
    return Patient.from_arrays(hu, matrix, labels, {})


@pytest.mark.filterwarnings("ignore:.*misses the patient")
@pytest.mark.parametrize("seed", range(12))
def test_cpu_agrees_with_the_reference(seed):
    rng = np.random.default_rng(seed)
    patient = random_patient(rng)
    device = CArm.preset("generic-300mm").resized(48)
    target = patient.center_mm + rng.uniform(-20, 20, 3)
    close = rng.random() < 0.3  # the source inside or near the grid's box
    cameras = [
        device.view(target, *rng.uniform(-60, 60, 2), source_to_target_mm=rng.uniform(2, 30) if close else None)
        for _ in range(2)
    ]
    names = patient.structure_names[:3]
    slow, fast = (project(patient, cameras, paths=names, backend=backend) for backend in BACKENDS)
    scale = max(slow.area_density.max(), 1e-6)
    # A point that falls on a voxel's face may go either way in single and double precision.
    assert np.quantile(np.abs(fast.area_density - slow.area_density), 0.999) < 1e-4 * scale
    assert np.abs(fast.area_density - slow.area_density).max() < 0.02 * scale
    for name in patient.structure_names:
        assert np.mean(fast.masks[name] != slow.masks[name]) < 2e-3
    assert np.mean(np.isnan(fast.depth_mm) != np.isnan(slow.depth_mm)) < 2e-3


def test_mask_bits_are_where_the_path_is_longer_than_nothing():
    patient = random_patient(np.random.default_rng(99))
    camera = CArm.preset("generic-300mm").resized(64).view(patient.center_mm, 30, 20)
    names = patient.structure_names
    projection = project(patient, camera, paths=names)
    assert len(names) > 64
    for name in names:
        np.testing.assert_array_equal(projection.masks[name], projection.paths_mm[name] > 0)


def test_overlapping_structures_are_both_seen():
    hu = np.zeros((10, 10, 10), dtype=np.int16)
    labels = LabelMap.from_names(np.ones(hu.shape, dtype=np.uint8), {1: "lung"})
    spot = np.zeros(hu.shape, dtype=bool)
    spot[4:6, 4:6, 4:6] = True
    patient = Patient.from_arrays(hu, np.diag([3, 3, 3, 1]))
    patient = Patient(patient.ct, labels.with_structure("lesion", spot))
    camera = CArm.preset("generic-300mm").resized(100).view(patient.center_mm)
    projection = project(patient, camera, paths=("lung", "lesion"))
    assert projection.masks["lesion"].sum() < projection.masks["lung"].sum()
    assert (projection.masks["lung"] | ~projection.masks["lesion"]).all()
    assert projection.paths_mm["lesion"].max() == pytest.approx(6, rel=0.02)
    assert projection.paths_mm["lung"].max() == pytest.approx(30, rel=0.02)


def test_depth_is_the_body_surface():
    hu = np.full((40, 40, 40), AIR, dtype=np.int16)
    hu[10:30, 10:30, 10:30] = 0
    patient = Patient.from_arrays(hu, affine((2, 2, 2)))
    camera = CArm.preset("generic-300mm").resized(51).view(patient.center_mm)
    depth = project(patient, camera).depth_mm[0]
    # The source is behind; the box's back face lies 20 mm before its centre, half a voxel of ramp aside.
    assert depth[25, 25] == pytest.approx(600 - 20, abs=2)
    assert np.isnan(depth[0, 0])


def test_threads_and_batches_change_no_bit():
    patient = random_patient(np.random.default_rng(5))
    device = CArm.preset("generic-300mm").resized(70)
    cameras = [device.view(patient.center_mm, lao) for lao in (-40, 0, 40)]
    whole = project(patient, cameras, threads=1)
    for threads in (2, 5):
        np.testing.assert_array_equal(whole.area_density, project(patient, cameras, threads=threads).area_density)
    for view, camera in enumerate(cameras):
        alone = project(patient, camera)
        np.testing.assert_array_equal(whole.area_density[view], alone.area_density[0])
        np.testing.assert_array_equal(whole.masks.words[view], alone.masks.words[0])


def test_two_python_threads_at_once_are_right():
    patient = random_patient(np.random.default_rng(6))
    camera = CArm.preset("generic-300mm").resized(80).view(patient.center_mm)
    alone = project(patient, camera).area_density
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: project(patient, camera).area_density, range(12)):
            np.testing.assert_array_equal(result, alone)


def test_translation_of_patient_and_rig_together_changes_nothing():
    rng = np.random.default_rng(8)
    hu = rng.integers(-1000, 500, size=(12, 13, 14)).astype(np.int16)
    device = CArm.preset("generic-300mm").resized(40)
    here = Patient.from_arrays(hu, affine((3, 3, 3)))
    there = Patient.from_arrays(hu, affine((3, 3, 3), shift=(100, -50, 25)))
    first = project(here, device.view(here.center_mm, 20, 10)).area_density
    second = project(there, device.view(there.center_mm, 20, 10)).area_density
    assert second == pytest.approx(first, abs=1e-4 * float(first.max()))


def test_an_empty_border_is_cropped_away():
    hu = np.full((60, 60, 60), AIR, dtype=np.int16)
    hu[25:35, 25:35, 25:35] = 100
    assert prepare(Patient.from_arrays(hu, np.eye(4))).packed.shape[:3] == (12, 12, 12)


def test_a_view_that_misses_is_warned_about():
    patient = Patient.from_arrays(np.zeros((5, 5, 5), dtype=np.int16), np.eye(4))
    camera = CArm.preset("generic-300mm").resized(20).view([0, 0, 900])
    with pytest.warns(SynthrayWarning, match="misses the patient"):
        assert not project(patient, camera).area_density.any()


def test_wrong_requests_are_refused():
    patient = Patient.from_arrays(np.zeros((5, 5, 5), dtype=np.int16), np.eye(4))
    device = CArm.preset("generic-300mm").resized(20)
    with pytest.raises(InputError, match="unknown backend"):
        project(patient, device.view([2, 2, 2]), backend="opengl")
    with pytest.raises(InputError, match="same size"):
        project(patient, [device.view([2, 2, 2]), device.resized(21).view([2, 2, 2])])
    with pytest.raises(InputError, match="at least one camera"):
        project(patient, [])
    with pytest.raises(InputError, match="no structure 'heart'"):
        project(patient, device.view([2, 2, 2]), paths=("heart",))
    with pytest.raises(InputError, match="NaN or infinity"):
        Patient.from_arrays(np.full((2, 2, 2), np.nan), np.eye(4))
