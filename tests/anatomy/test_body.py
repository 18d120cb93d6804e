import numpy as np
import pytest
from scipy import ndimage

from synthray.anatomy import body
from synthray.errors import InputError

FEMALE_SHORT = {"sex": "female", "age": 80, "height_cm": 150, "weight_kg": 48}
MALE_TALL = {"sex": "male", "age": 30, "height_cm": 195, "weight_kg": 120}
HIP_POINTS = [f"{name}-{side}" for name in ("FH", "GSN", "IOF", "MOF", "SPS", "IPS", "ASIS") for side in "lr"]


@pytest.fixture(scope="module")
def trunk():
    return body(3, voxel_mm=4)


def test_same_seed_same_body_and_neighbours_differ():
    first, again, other = (body(seed, region="chest", voxel_mm=6) for seed in (1, 1, 2))
    assert first.ct.values.tobytes() == again.ct.values.tobytes()
    assert first.labels.codes.tobytes() == again.labels.codes.tobytes()
    assert first.ct.shape != other.ct.shape or np.abs(first.ct.values - other.ct.values).mean() > 20


def test_left_structures_are_on_the_left(trunk):
    for name in trunk.structure_names:
        if "left" in name:
            other = name.replace("left", "right")
            if other in trunk.structure_names:
                assert trunk.structure_center_mm(name)[0] > trunk.structure_center_mm(other)[0] + 20, name


def test_the_hip_landmarks_are_there_and_on_bone(trunk):
    assert set(HIP_POINTS) <= set(trunk.landmarks)
    inverse = np.linalg.inv(trunk.ct.patient_from_voxel)
    for name in HIP_POINTS:
        side = "left" if name.endswith("l") else "right"
        bone = np.argwhere(trunk.labels.mask(f"femur_{side}" if name.startswith("FH") else f"hip_{side}"))
        at = inverse[:3, :3] @ trunk.landmarks[name] + inverse[:3, 3]
        assert np.linalg.norm(bone - at, axis=1).min() * 4 < 2.0 + (4 if name.startswith("FH") else 0), name
        assert (trunk.landmarks[name][0] > 0) == (side == "left"), name


def test_tissues_have_their_hounsfield_units(trunk):
    hu, labels = trunk.ct.values, trunk.labels
    assert -920 < np.median(hu[labels.mask("lung_left")]) < -700
    assert 20 < np.median(hu[labels.mask("liver")]) < 90
    assert np.percentile(hu[labels.mask("femur_left")], 80) > 300
    assert np.median(hu[0]) < -900


def test_the_diaphragm_bounds_the_lungs_from_below(trunk):
    below, lungs = trunk.labels.mask("below_diaphragm"), trunk.labels.mask("lung_left", "lung_right")
    assert not (below & lungs).any()
    assert np.argwhere(below)[:, 2].mean() < np.argwhere(lungs)[:, 2].mean()
    assert trunk.labels.mask("below_diaphragm")[labels_of(trunk, "liver")].mean() > 0.8


def labels_of(patient, name):
    return patient.labels.mask(name)


@pytest.mark.parametrize("seed", range(20, 32))
def test_many_seeds_make_plausible_bodies(seed):
    person = body(seed, region="chest", voxel_mm=6)
    litres = person.labels.mask("lung_left", "lung_right").sum() * 0.6**3 / 1000
    assert 2.0 < litres < 9.0
    assert np.isfinite(person.ct.values).all()


@pytest.mark.parametrize("region", ["trunk", "chest", "abdomen", "pelvis", "head"])
def test_every_region_shows_what_it_is_called_after(region):
    person = body(7, region=region, voxel_mm=6)
    expected = {"trunk": ("skull", "patella_left"), "chest": ("lung_left", "rib_left_1"), "abdomen": ("vertebrae_L3",),
                "pelvis": ("hip_left", "femur_right"), "head": ("skull", "vertebrae_C3")}[region]  # fmt: skip
    assert set(expected) <= set(person.structure_names)
    assert np.isfinite(person.ct.values).all()


def test_measures_asked_for_are_honoured():
    small, tall = (body(4, voxel_mm=6, **person) for person in (FEMALE_SHORT, MALE_TALL))
    heights = [person.landmarks["vertex"][2] for person in (small, tall)]
    # From the hip centres to the vertex is a little under half of the stature.
    assert heights[0] == pytest.approx(0.48 * 1500, rel=0.05)
    assert heights[1] == pytest.approx(0.48 * 1950, rel=0.05)
    masses = [(np.clip(person.ct.values, -1000, None) / 1000.0 + 1).sum() * 0.6**3 / 1000 for person in (small, tall)]
    assert masses[1] > 1.7 * masses[0]


def test_a_given_measure_leaves_the_other_draws_alone():
    free, given = body(6, region="pelvis", voxel_mm=6), body(6, region="pelvis", voxel_mm=6, age=30)
    again = body(6, region="pelvis", voxel_mm=6, age=30)
    assert given.ct.values.tobytes() == again.ct.values.tobytes()
    assert abs(free.landmarks["ASIS-l"][0] - given.landmarks["ASIS-l"][0]) < 6


@pytest.mark.parametrize("person", [{"sex": "male", "height_cm": 180, "weight_kg": 54}, FEMALE_SHORT])
def test_bones_stay_under_the_thinnest_skin(person):
    thin = body(9, voxel_mm=3, arms="absent", **person)
    air, _ = ndimage.label((thin.ct.values < -950) & (thin.labels.codes == 0))
    assert air[0, 0, 0] > 0
    bones = [n for n in thin.structure_names if n.startswith(("hip", "rib", "vert", "sacrum", "scapula", "clavicula"))]
    bone = thin.labels.mask(*bones, "sternum")
    bare = ndimage.binary_dilation(air == air[0, 0, 0]) & bone
    assert bare.sum() < 5e-4 * bone.sum(), sorted(n for n in bones if (bare & thin.labels.mask(n)).any())


SHOWN = {
    "trunk": {"hip_left", "skull", "sacrum", "lung_left", "heart", "liver", "femur_right", "colon"},
    "chest": {"lung_left", "lung_right", "lung_vessels", "heart", "aorta", "trachea", "rib_left_5", "scapula_right"},
    "abdomen": {"liver", "spleen", "kidney_left", "stomach", "colon", "small_bowel", "vertebrae_L3", "aorta"},
    "pelvis": {"hip_left", "hip_right", "sacrum", "femur_left", "urinary_bladder", "vertebrae_L5"},
}


def test_two_hundred_seeds_paint_without_a_failure():
    hips = []
    for seed in range(200):
        region = ("trunk", "chest", "pelvis", "abdomen")[seed % 4]
        person = body(seed, voxel_mm=10, region=region)
        assert set(person.structure_names) >= SHOWN[region], (seed, set(person.structure_names) ^ SHOWN[region])
        if region in ("trunk", "pelvis"):
            assert set(HIP_POINTS) <= set(person.landmarks), seed
            hips.append(person.landmarks["FH-l"][0])
        corners = person.ct.corners_mm
        points = np.array(list(person.landmarks.values()))
        assert ((points > corners.min(axis=0)) & (points < corners.max(axis=0))).all(), seed
        assert (person.ct.values[person.labels.codes > 0] > -1000).mean() > 0.9, seed
    assert len(hips) == 100
    assert np.std(hips) > 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "whole numbers"),
        ({"seed": 1, "region": "tail"}, "region"),
        ({"seed": 1, "voxel_mm": 50}, "voxel_mm"),
        ({"seed": 1, "voxel_mm": float("nan")}, "voxel_mm"),
        ({"seed": 1, "sex": "woman"}, "female or male"),
        ({"seed": 1, "age": 12}, "age=12"),
        ({"seed": 1, "height_cm": 15}, "height_cm=15"),
        ({"seed": 1, "height_cm": 1.75}, "height_cm=1.75"),
        ({"seed": 1, "weight_kg": float("nan")}, "weight_kg"),
        ({"seed": 1, "height_cm": 190, "weight_kg": 35}, "body mass index"),
        ({"seed": 1, "height_cm": 130, "weight_kg": 200}, "body mass index"),
        ({"seed": 1, "arms": "crossed"}, "arms"),
    ],
)
def test_impossible_bodies_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        body(**arguments)
