import numpy as np
import pytest

from synthray.anatomy import body
from synthray.errors import InputError

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
        bone = np.argwhere(trunk.labels.mask(f"hip_{side}", f"femur_{side}"))
        at = inverse[:3, :3] @ trunk.landmarks[name] + inverse[:3, 3]
        assert np.linalg.norm(bone - at, axis=1).min() * 4 < 12, name


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "whole numbers"),
        ({"seed": 1, "region": "tail"}, "region"),
        ({"seed": 1, "voxel_mm": 50}, "voxel_mm"),
    ],
)
def test_impossible_bodies_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        body(**arguments)
