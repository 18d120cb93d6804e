"""More people from one: deformations that can be undone, bones that keep their shape, mirror images, other tissues."""

import numpy as np
import pytest

from synthray.anatomy import Deformation, Patient, jittered, mirrored, random_deformation, turned_legs
from synthray.errors import InputError
from synthray.geometry import apply, rotation_about

SIZE = 48


def person(voxel=3.0, tilt_deg=0.0):
    """A block of flesh with two thigh bones, a hip bone each, a lung, and landmarks."""
    i, j, k = np.indices((SIZE, SIZE, SIZE))
    hu = np.where((i > 3) & (i < 44) & (j > 5) & (j < 42), 40, -1000).astype(np.int16)
    labels = np.zeros(hu.shape, dtype=np.uint8)
    for code, (center, name) in enumerate(zip((32, 15), ("left", "right"), strict=True)):
        bone = ((i - center) ** 2 + (j - 24) ** 2 < 12) & (k > 4) & (k < 26)
        socket = (i - center) ** 2 + (j - 24) ** 2 + (k - 33) ** 2 < 25
        labels[bone], labels[socket] = 1 + code, 3 + code
        hu[bone | socket] = 700
        assert name
    labels[18:29, 10:18, 36:46], hu[18:29, 10:18, 36:46] = 5, -820
    names = {1: "femur_left", 2: "femur_right", 3: "hip_left", 4: "hip_right", 5: "lung_left"}
    affine = np.eye(4)
    affine[:3, :3] = rotation_about((1.0, 1.0, 0.0), np.deg2rad(tilt_deg)) * voxel
    affine[:3, 3] = (-70, -60, -50)
    points = {
        "FH-l": apply(affine, [32, 24, 26]),
        "FH-r": apply(affine, [15, 24, 26]),
        "tip-l": apply(affine, [32, 24, 6]),
    }
    return Patient.from_arrays(hu, affine, labels, names, points)


def mean_place(patient, name):
    return patient.structure_center_mm(name)


def shape_of(patient, name):
    """Principal standard deviations of a structure, mm: its size and shape whatever its pose."""
    points = apply(patient.ct.patient_from_voxel, np.argwhere(patient.labels.mask(name)).astype(float))
    return np.sqrt(np.linalg.eigvalsh(np.cov(points.T)))


@pytest.mark.parametrize("tilt", [0.0, 25.0])
def test_a_deformation_carries_labels_and_landmarks_with_the_image(tilt):
    one = person(tilt_deg=tilt)
    bend = random_deformation(one, 3, amplitude_mm=7, smoothness_mm=60)
    new = bend.apply(one)
    for name in ("femur_left", "hip_right", "lung_left"):
        at = mean_place(one, name)
        assert np.linalg.norm(bend.deformed_from_original(at) - mean_place(new, name)) < 2.5
        assert np.linalg.norm(mean_place(new, name) - at) > 1
        assert np.median(new.ct.values[new.labels.mask(name)]) == pytest.approx(
            np.median(one.ct.values[one.labels.mask(name)]), abs=60
        )
    moved = np.linalg.norm(new.landmarks["tip-l"] - one.landmarks["tip-l"])
    assert moved > 1
    assert np.linalg.norm(new.landmarks["tip-l"] - mean_place(new, "femur_left")) == pytest.approx(
        np.linalg.norm(one.landmarks["tip-l"] - mean_place(one, "femur_left")), abs=1.5
    )


def test_points_go_there_and_back():
    one = person()
    bend = random_deformation(one, 1, amplitude_mm=6, smoothness_mm=60)
    points = np.random.default_rng(0).uniform(-40, 40, (50, 3))
    assert np.allclose(bend.original_from_deformed(bend.deformed_from_original(points)), points, atol=0.02)


def test_bones_keep_their_shape_and_flesh_does_not():
    one = person()
    stiff = random_deformation(one, 5, amplitude_mm=4, smoothness_mm=40).apply(one)
    soft = random_deformation(one, 5, amplitude_mm=4, smoothness_mm=40, rigid_bones=False)
    bent = soft.apply(one) if soft.smallest_jacobian > 0 else None
    kept = [np.abs(shape_of(stiff, b) / shape_of(one, b) - 1).max() for b in ("femur_left", "femur_right")]
    assert max(kept) < 0.06
    assert bent is None or max(
        np.abs(shape_of(bent, b) / shape_of(one, b) - 1).max() for b in ("femur_left", "femur_right")
    ) > max(kept)


def test_equal_seeds_make_equal_people_and_others_differ():
    one = person()
    first, again, other = (random_deformation(one, seed).apply(one) for seed in (1, 1, 2))
    assert first.ct.values.tobytes() == again.ct.values.tobytes()
    assert (first.ct.values != other.ct.values).mean() > 0.02


def test_folding_is_refused():
    one = person()
    field = np.zeros((3, 3, 3, 3))
    field[1, ..., 0] = 200.0
    with pytest.raises(InputError, match="folds space"):
        Deformation(field, np.diag([48.0, 48, 48, 1])).apply(one)
    with pytest.raises(InputError, match="amplitude_mm"):
        random_deformation(one, 0, amplitude_mm=-1)


def test_legs_turn_about_the_heads_of_their_femurs():
    one = person()
    turn = turned_legs(one, abduction_deg={"left": 12.0}, flexion_deg={"right": 10.0})
    new = turn.apply(one)
    assert np.allclose(new.landmarks["FH-l"], one.landmarks["FH-l"], atol=0.5)
    assert new.landmarks["tip-l"][0] - one.landmarks["tip-l"][0] == pytest.approx(60 * np.sin(np.deg2rad(12)), abs=1.5)
    knee = mean_place(new, "femur_right") - mean_place(one, "femur_right")
    assert knee[1] < -2
    assert abs(knee[0]) < 1
    for hip in ("hip_left", "hip_right"):
        assert np.linalg.norm(mean_place(new, hip) - mean_place(one, hip)) < 0.7


@pytest.mark.parametrize(
    ("options", "message"), [({"flexion_deg": 40.0}, "up to 30"), ({"abduction_deg": {"left": -31.0}}, "up to 30")]
)
def test_impossible_postures_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        turned_legs(person(), **options)
    bare = Patient.from_arrays(np.zeros((4, 4, 4), dtype=np.int16), np.eye(4))
    with pytest.raises(InputError, match="needs labels femur_left"):
        turned_legs(bare, flexion_deg=5)


def test_a_mirror_image_swaps_sides_and_mirrored_twice_is_the_same():
    one = person()
    other = mirrored(one)
    center = one.center_mm[0]
    for left, right in (("femur_left", "femur_right"), ("hip_left", "hip_right")):
        assert mean_place(other, left)[0] - center == pytest.approx(center - mean_place(one, right)[0])
    assert other.landmarks["FH-l"][0] - center == pytest.approx(center - one.landmarks["FH-r"][0])
    back = mirrored(other)
    assert np.allclose(back.ct.patient_from_voxel, one.ct.patient_from_voxel)
    assert back.labels.structures == one.labels.structures
    assert back.name == one.name


def test_other_tissues_keep_shape_and_order():
    one = person()
    new = jittered(one, 4, bone=0.2, soft_hu=20, lung_hu=50, texture_hu=0)
    hu, old = new.ct.values, one.ct.values
    assert (hu[old == -1000] == -1000).all()
    medians = [np.median(hu[one.labels.mask(n)]) for n in ("lung_left", "femur_left")]
    assert medians[0] != -820
    assert medians[1] != 700
    assert medians[0] < np.median(hu[old == 40]) < medians[1]
    assert hu.dtype == one.ct.values.dtype
    textured = jittered(one, 4, bone=0, soft_hu=0, lung_hu=0, texture_hu=15).ct.values
    assert np.std(textured[old == 40]) == pytest.approx(15, rel=0.25)
    with pytest.raises(InputError, match="lung_hu"):
        jittered(one, 0, lung_hu=-3)


def test_a_real_ct_deforms(shared_data):
    from synthray.anatomy import load_patient

    folder = shared_data / "ct/totalseg_example"
    one = load_patient(folder / "ct.nii.gz", labels=folder / "labels.nii.gz", label_names=folder / "labels.json")
    bend = random_deformation(one, 2)
    new = bend.apply(one)
    assert bend.smallest_jacobian > 0.1
    for name in ("hip_left", "sacrum", "vertebrae_L3", "kidney_left"):
        place = bend.deformed_from_original(mean_place(one, name))
        assert np.linalg.norm(place - mean_place(new, name)) < 3, name
        size = one.labels.mask(name).sum()
        assert new.labels.mask(name).sum() == pytest.approx(size, rel=0.25), name
