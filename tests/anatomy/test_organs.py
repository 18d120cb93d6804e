import numpy as np
import pytest

from synthray.anatomy import body
from synthray.anatomy.body.lungs import vessel_tree


@pytest.fixture(scope="module")
def people():
    return [body(seed, region="chest", voxel_mm=5) for seed in range(8)]


def _width(mask):
    return np.ptp(np.nonzero(mask.any((1, 2)))[0]) + 1


def test_the_heart_is_as_wide_against_the_chest_as_people_have_it(people):
    ratios = [_width(p.labels.mask("heart")) / _width(p.labels.mask("lung_left", "lung_right")) for p in people]
    assert 0.43 < np.mean(ratios) < 0.52
    assert min(ratios) > 0.36
    assert max(ratios) < 0.60


def test_lungs_hold_between_two_and_nine_litres(people):
    litres = [p.labels.mask("lung_left", "lung_right").sum() * 0.125 / 1000 for p in people]
    assert min(litres) > 2
    assert max(litres) < 9


def test_vessels_follow_murray_and_reach_all_their_ends():
    rng = np.random.default_rng(1)
    ends = rng.uniform(20, 120, (200, 3))
    capsules, radii = vessel_tree(np.zeros(3), ends, 6.0, rng)
    tips = {tuple(at) for at in capsules[:, 1]}
    assert all(tuple(at) in tips for at in ends)
    assert (radii[:, 1] <= radii[:, 0] + 1e-9).all()
    assert radii.max() == pytest.approx(6.0)
    assert (radii.min() * 200 ** (1 / 3) / 6.0) == pytest.approx(0.35)


def test_a_branch_of_one_end_is_a_single_twig():
    capsules, _ = vessel_tree(np.zeros(3), np.array([[10.0, 0, 0]]), 1.0, np.random.default_rng(0))
    assert len(capsules) == 2


def test_organs_of_the_belly_lie_inside_the_skin_and_on_their_sides():
    person = body(4, region="abdomen", voxel_mm=4)
    hu, labels = person.ct.values, person.labels
    assert person.structure_center_mm("spleen")[0] > 40 > 0 > person.structure_center_mm("liver")[0]
    for name in (
        "liver",
        "spleen",
        "kidney_left",
        "kidney_right",
        "colon",
        "small_bowel",
        "stomach",
        "autochthon_left",
    ):
        mask = labels.mask(name)
        assert mask.sum() > 100, name
        rim = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
        assert not rim, name
    assert np.median(hu[labels.mask("kidney_left")]) == pytest.approx(34, abs=25)
