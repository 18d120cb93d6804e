"""The golden suite: scenes on which every backend must agree with the reference."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from synthray.anatomy import Patient
from synthray.geometry import Camera, CArm, rotation_about
from synthray.projector import gpu, project
from synthray.simulate import Scene
from synthray.tools import along, marker_grid, needle

FAST = ("cpu", "gpu")


@dataclass(frozen=True)
class Case:
    scene: Scene
    cameras: tuple[Camera, ...]
    options: dict = field(default_factory=dict)


def affine(voxel_mm=(2, 2, 2), axis=(0, 0, 1), angle=0.0, flips=(1, 1, 1), shift=(0, 0, 0)):
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_about(axis, angle) @ np.diag(np.array(voxel_mm, dtype=float) * flips)
    matrix[:3, 3] = shift
    return matrix


def blobs(shape=(22, 18, 26), matrix=None, seed=0, structures=12):
    """Random smooth tissue with an air border, and random labels in clumps."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-700, 1400, size=[-(-n // 4) for n in shape])
    hu = np.kron(coarse, np.ones((4, 4, 4)))[tuple(slice(n) for n in shape)]
    clumps = rng.integers(0, structures + 1, size=coarse.shape)
    labels = np.kron(clumps, np.ones((4, 4, 4), dtype=int))[tuple(slice(n) for n in shape)]
    hu += rng.normal(0, 30, shape)
    hu[: max(1, shape[0] // 5) if shape[0] > 3 else 0] = -1000
    names = {code: f"s{code}" for code in range(1, structures + 1)}
    return Patient.from_arrays(hu.astype(np.int16), affine() if matrix is None else matrix, labels, names)


def views(patient, *angles, pixels=40, **options):
    device = CArm.preset("generic-300mm").resized(pixels)
    return tuple(device.view(patient.center_mm, lao, cran, **options) for lao, cran in angles)


def turned_away(camera):
    pose = np.diag([1.0, -1.0, -1.0, 1.0]) @ camera.camera_from_patient
    return Camera.from_matrix(camera.K, pose, camera.rows, camera.columns)


def oblique():
    patient = blobs()
    return Case(Scene(patient), views(patient, (0, 0), (33, 21), (-70, -40), (90, 5)))


def along_every_axis():
    patient = blobs()
    cameras = views(patient, (0, 0), (90, 0))
    pose = np.eye(4)  # from the feet to the head
    pose[:3, 3] = [0, 0, 600] - patient.center_mm
    return Case(Scene(patient), (*cameras, Camera.from_matrix(cameras[0].K, pose, 40, 40)))


def anisotropic():
    patient = blobs((30, 24, 9), affine((0.7, 1.1, 4.0)))
    return Case(Scene(patient), views(patient, (10, 30), (80, 0)))


def flipped_and_rotated():
    patient = blobs(matrix=affine((1.5, 2, 2.5), (0.2, 0.5, 1), 0.7, (-1, 1, -1), (30, -10, 400)))
    return Case(Scene(patient), views(patient, (-25, 15), (110, 0)))


def source_inside():
    patient = blobs((30, 30, 30))
    return Case(Scene(patient), views(patient, (20, 10), (95, -30), source_to_target_mm=12))


def looking_away():
    patient = blobs()
    (camera,) = views(patient, (15, 5))
    return Case(Scene(patient), (turned_away(camera), camera))


def partly_outside():
    patient = blobs((40, 36, 30), affine((8, 8, 8)))
    return Case(Scene(patient), views(patient, (20, 0), (70, 30)))


def one_voxel_thin():
    patient = blobs((1, 24, 20))
    return Case(Scene(patient), views(patient, (0, 0), (90, 0), (45, 45)))


def one_voxel():
    patient = Patient.from_arrays(np.full((1, 1, 1), 300), affine((30, 30, 30)), np.ones((1, 1, 1), int), {1: "s1"})
    return Case(Scene(patient), views(patient, (0, 0), (30, 30)))


def very_slanting():
    """A wide fan close to a flat slab: rays at the edge leave the view's axis."""
    patient = blobs((60, 6, 60), affine((3, 3, 3)))
    K = np.array([[8.0, 0, 19.5], [0, 8.0, 19.5], [0, 0, 1]])
    (camera,) = views(patient, (0, 0), source_to_target_mm=40)
    return Case(Scene(patient), (Camera.from_matrix(K, camera.camera_from_patient, 40, 40),))


def many_structures():
    patient = blobs((24, 24, 24), structures=150)
    return Case(Scene(patient), views(patient, (30, 10)))


def coarse_pixels():
    patient = blobs((40, 40, 40))
    return Case(Scene(patient), views(patient, (30, 10), (80, 0), pixels=13))


def mirrored():
    patient = blobs()
    camera = CArm.preset("chest-pa").resized(36).view(patient.center_mm)
    return Case(Scene(patient), (camera,))


def no_labels():
    labelled = blobs()
    patient = Patient.from_arrays(labelled.ct.values, labelled.ct.patient_from_voxel)
    return Case(Scene(patient), views(patient, (20, 20)))


def layered():
    patient = blobs((30, 30, 30))
    insert = blobs((9, 9, 9), affine((1.3, 1.3, 1.3), (1, 1, 0), 0.5, shift=patient.center_mm - 5), seed=1)
    table = blobs((40, 3, 40), affine((2, 2, 2), shift=(-10, 52, -10)), seed=2, structures=2)
    return Case(Scene(patient, volumes=[insert, table]), views(patient, (20, 10), (90, 0)))


def tools():
    """Metal over, in and beside tissue; two tools that overlap, one of two materials."""
    patient = blobs((30, 30, 30))
    center = patient.center_mm
    needle = needle_of(patient)
    beads = marker_grid(rows=2, columns=3, spacing_mm=9, diameter_mm=5).moved(center + [4, 0, 3])
    return Case(Scene(patient, [needle, beads]), views(patient, (20, 10), (90, -15)), {"jacobian": False})


def needle_of(patient):
    low, high = patient.center_mm - [25, 10, 20], patient.center_mm + [20, 8, 15]
    return along(needle(length_mm=60, diameter_mm=4, wall_mm=1), low, high)


CASES = {
    case.__name__: case
    for case in (
        oblique,
        along_every_axis,
        anisotropic,
        flipped_and_rotated,
        source_inside,
        looking_away,
        partly_outside,
        one_voxel_thin,
        one_voxel,
        very_slanting,
        many_structures,
        coarse_pixels,
        mirrored,
        no_labels,
        layered,
        tools,
    )
}


@pytest.mark.filterwarnings("ignore:.*misses the patient")
@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("case", CASES)
def test_backend_agrees_with_the_reference(case, backend, monkeypatch):
    if backend == "gpu":
        pytest.importorskip("warp", reason="the GPU backend needs the extra 'gpu'")
        monkeypatch.setenv(gpu.DEVICE_VARIABLE, "cpu")  # the same kernels on Warp's CPU device
    made = CASES[case]()
    names = made.scene.patient.structure_names[:3]
    asked = {"paths": names, "densities": names[:1], "jacobian": True, **made.options}
    slow, fast = (project(made.scene, made.cameras, backend=b, **asked) for b in ("reference", backend))
    close(fast.area_density, slow.area_density, 1e-4, 2e-3)
    assert fast.materials == slow.materials
    if slow.jacobian is not None:
        close(fast.jacobian, slow.jacobian, 1e-3, 0.05)
    for name in names:
        close(fast.paths_mm[name], slow.paths_mm[name], 1e-4, 0.1)
    for name in names[:1]:
        close(fast.structure_density[name], slow.structure_density[name], 1e-4, 2e-3)
    assert tuple(fast.masks) == tuple(slow.masks)
    for name in slow.masks:
        assert np.mean(fast.masks[name] != slow.masks[name]) < 3e-3, name
    assert np.mean(np.isnan(fast.depth_mm) != np.isnan(slow.depth_mm)) < 3e-3
    both = ~np.isnan(fast.depth_mm) & ~np.isnan(slow.depth_mm)
    assert np.mean(np.abs(fast.depth_mm - slow.depth_mm)[both] > 1e-2) < 3e-3 if both.any() else True


def close(fast, slow, tolerance, worst):
    """All but few values within a tolerance of the largest; a point on a voxel's face may go either way."""
    scale = max(float(np.abs(slow).max()), 1e-6)
    error = np.abs(fast.astype(float) - slow) / scale
    assert np.quantile(error, 0.999) < tolerance
    assert error.max() < worst


def test_the_suite_sees_matter():
    """Every case but the one that looks away has something in every view."""
    for name, make in CASES.items():
        case = make()
        if name != "looking_away":
            assert project(case.scene, case.cameras).area_density.any(axis=(1, 2, 3)).all(), name
