"""What a PA chest film of a built-in body must show, measured on the voxels."""

import numpy as np
import pytest
from scipy import ndimage

from synthray.anatomy import body

VOXEL_MM = 3.0


@pytest.fixture(scope="module")
def people():
    return [body(seed, region="chest", voxel_mm=VOXEL_MM) for seed in range(6)]


def points_mm(person, *names):
    affine = person.ct.patient_from_voxel
    return np.argwhere(person.labels.mask(*names)) @ affine[:3, :3].T + affine[:3, 3]


def left_edge_mm(person, z_mm):
    """How far left of the vertebrae the mediastinum's shadow reaches: where lung first fills half of the chest."""
    affine = person.ct.patient_from_voxel
    k = round((z_mm - affine[2, 3]) / affine[2, 2])
    depth = person.labels.mask("lung_left")[:, :, k].sum(axis=1)
    first = np.flatnonzero(depth > 0.5 * depth.max())[0]
    return affine[0, 0] * first + affine[0, 3] - person.structure_center_mm("vertebrae_T5")[0]


def test_vessels_belong_to_their_lungs_and_to_themselves(people):
    for person in people:
        vessels, lungs = (person.labels.mask(*n) for n in (("lung_vessels",), ("lung_left", "lung_right")))
        assert 0.005 < vessels.sum() / lungs.sum() < 0.1
        assert not (vessels & ~lungs).any()
        assert np.median(person.ct.values[vessels]) > -250 > np.median(person.ct.values[lungs & ~vessels])


def test_vessels_thin_out_towards_the_pleura(people):
    for person in people:
        lungs, vessels = person.labels.mask("lung_left", "lung_right"), person.labels.mask("lung_vessels")
        depth = ndimage.distance_transform_edt(lungs, sampling=VOXEL_MM)
        # The hilum's own vessels lie at the rim of the lung too, on its inner side.
        middle = person.structure_center_mm("heart")[0]
        x = person.ct.patient_from_voxel[0, 0] * np.arange(lungs.shape[0]) + person.ct.patient_from_voxel[0, 3]
        outer = lungs & (np.abs(x - middle) > 75)[:, None, None]
        rim, core = (vessels[outer & shell].mean() for shell in (depth < 10, depth > 25))
        assert rim < 0.5 * core


def test_the_airway_is_one_piece_down_to_both_hila(people):
    for person in people:
        _, pieces = ndimage.label(person.labels.mask("trachea"), structure=np.ones((3, 3, 3)))
        assert pieces == 1
        x = points_mm(person, "trachea")[:, 0] - person.structure_center_mm("vertebrae_T5")[0]
        assert x.min() < -24
        assert x.max() > 30


def test_the_aortic_knob_stands_out_to_the_left(people):
    out = []
    for person in people:
        aorta = points_mm(person, "aorta")
        knob = aorta[:, 2].max() - 14
        out.append(left_edge_mm(person, knob) - left_edge_mm(person, knob + 36))
    assert np.mean(out) > 5
    assert min(out) > 0


def test_the_right_atrium_makes_the_right_heart_border(people):
    for person in people:
        spine = points_mm(person, "vertebrae_T9")
        body_edge = person.structure_center_mm("vertebrae_T9")[0] - 16
        assert points_mm(person, "heart")[:, 0].min() < body_edge - 8
        assert len(spine) > 0


def test_clavicles_rise_outwards_and_start_thick(people):
    slopes = []
    for person in people:
        for side in ("left", "right"):
            at = points_mm(person, f"clavicula_{side}")
            out = np.abs(at[:, 0])
            inner, outer = at[out < np.quantile(out, 0.15)], at[out > np.quantile(out, 0.85)]
            run = np.abs(outer[:, 0]).mean() - np.abs(inner[:, 0]).mean()
            slopes.append(np.rad2deg(np.arctan2(outer[:, 2].mean() - inner[:, 2].mean(), run)))
            # Voxels per mm of length: the cross-section where it meets the sternum and at mid length.
            start, middle = (np.sum(np.abs(out - x) < 8) for x in (out.min() + 9, np.median(out)))
            assert start > 1.3 * middle
    assert 6 < np.mean(slopes) < 24


def test_spongy_bone_of_vertebrae_follows_age_as_published():
    for age in (25, 60, 90):
        values = []
        for seed in range(3):
            person = body(seed, age=age, region="abdomen", voxel_mm=4)
            inside = ndimage.distance_transform_edt(person.labels.mask("vertebrae_L1"), sampling=4) > 7
            values.append(np.mean(person.ct.values[inside]))
        # Jang et al., Radiology 2019;291:360: 226 HU below 30 years, then 2.5 HU less a year; SD about 40.
        assert np.mean(values) == pytest.approx(226 - 2.5 * (age - 27), abs=45)


def test_finer_voxels_show_the_same_person():
    coarse, fine = (body(9, region="chest", voxel_mm=mm) for mm in (5.0, 2.5))
    for name in ("heart", "lung_left", "lung_right", "aorta", "trachea", "scapula_left"):
        litres = [p.labels.mask(name).sum() * p.ct.voxel_mm.prod() / 1e6 for p in (coarse, fine)]
        assert litres[0] == pytest.approx(litres[1], rel=0.15 if name != "scapula_left" else 0.6), name
        away = coarse.structure_center_mm(name) - fine.structure_center_mm(name)
        assert np.linalg.norm(away) < 4, name
