"""The report names what is there, and the picture is the right way round."""

import dataclasses
import json

import numpy as np
import pytest

from synthray.anatomy import LabelMap, Patient, Volume, draw_ct, inspect_ct, save_patient
from synthray.anatomy.inspection import faces_cut, orientation
from synthray.geometry import rotation_about

TURN = np.eye(4)
TURN[:3, :3] = rotation_about([1, 2, 3], 0.3) * [0.9, 1.3, 2.5]
AFFINES = {
    "lps": np.diag([1.5, 2.0, 3.0, 1.0]),
    "ras": np.diag([-1.5, -2.0, 3.0, 1.0]),
    "mirrored": np.diag([0.7, -0.7, 5.0, 1.0]),
    "swapped": np.array([[0, 0, 3.0, 5], [1, 0, 0, 6], [0, -2, 0, 7], [0, 0, 0, 1]]),
    "oblique": TURN,
}


@pytest.mark.parametrize(
    ("name", "expected"), [("lps", "LPS"), ("ras", "RAS"), ("mirrored", "LAS"), ("swapped", "PIL"), ("oblique", "LPS~")]
)
def test_orientation(name, expected):
    assert orientation(Volume(np.zeros((2, 2, 2), dtype=np.int16), AFFINES[name])) == expected


def test_report(phantom, tmp_path):
    codes = np.zeros(phantom.values.shape, dtype=np.uint8)
    codes[:2] = 3
    values = phantom.values
    values[5, 5, 5] = 2900
    patient = Patient(
        Volume(values, phantom.patient_from_voxel), LabelMap(codes, {"hip_left": (3,)}), {"FH-l": np.array([1, 2, 3])}
    )
    report, read = inspect_ct(save_patient(patient, tmp_path / "p"))
    assert (report.format, report.shape, report.metal_voxels) == ("NIfTI", (12, 10, 8), 1)
    np.testing.assert_allclose(report.voxel_mm, patient.ct.voxel_mm, atol=1e-5)
    assert report.labels == {"hip_left": 160}
    assert report.landmarks == {"FH-l": (1, 2, 3)}
    assert report.hu_percentiles[100.0] == 2900
    assert report.hu_percentiles[50.0] == -1000
    assert sum(report.hu_histogram.values()) == pytest.approx(1)
    assert any("no body" in note for note in report.warnings)
    assert json.dumps(dataclasses.asdict(report))
    np.testing.assert_array_equal(read.ct.values, values)


def test_dicom_is_named(upright, dicom):
    dicom.write(upright)
    assert inspect_ct(dicom.folder)[0].format == "DICOM"


@pytest.mark.parametrize("name", ["lps", "ras", "swapped"])
def test_faces_are_named_by_the_patient(name):
    volume = Volume(np.zeros((12, 10, 8), dtype=np.int16), AFFINES[name])
    left = np.argmax(AFFINES[name][0, :3] != 0)
    body = np.zeros(volume.shape, dtype=bool)
    end = -1 if AFFINES[name][0, left] > 0 else 0
    body[tuple(end if a == left else slice(None) for a in range(3))] = True
    cut = faces_cut(body, volume)
    assert list(cut) == ["right", "left", "front", "back", "feet", "head"]
    assert cut["left"] == 1
    assert cut["right"] == 0


@pytest.mark.parametrize("name", sorted(AFFINES))
def test_picture_shows_left_on_the_right_front_and_head_on_top(name):
    shape = (41, 41, 41)
    values = np.full(shape, -1000, dtype=np.int16)
    volume = Volume(values, AFFINES[name])
    points = np.moveaxis(np.indices(shape), 0, -1) @ AFFINES[name][:3, :3].T + AFFINES[name][:3, 3]
    away = points - volume.center_mm
    reach = np.abs(away).max(axis=(0, 1, 2)) / 3
    slab = np.abs(away) < reach / 3
    # A bright block to the left, one to the front and one to the head of the centre.
    values[(away[..., 0] > reach[0]) & slab[..., 1] & slab[..., 2]] = 600
    values[(away[..., 1] < -reach[1]) & slab[..., 0] & slab[..., 2]] = 600
    values[(away[..., 2] > reach[2]) & slab[..., 0] & slab[..., 1]] = 600
    picture = draw_ct(Patient(volume), height_px=300)
    assert picture.shape == (300, 900, 3)
    axial, coronal, sagittal = (np.asarray(p[..., 2], dtype=float) for p in np.split(picture, 3, axis=1))
    for panel in (axial, coronal, sagittal):
        rows, columns = np.nonzero(panel > 200)
        if panel is not sagittal:
            assert columns.mean() > 155
        else:
            assert columns.mean() < 145
        assert rows.mean() < 145


def test_picture_of_a_real_patient(shared_data):
    report, patient = inspect_ct(shared_data / "ct" / "imlab_chest_id001")
    assert report.orientation == "LAS"
    assert report.labels["lung"] > 10_000
    assert report.cut_off["feet"] > 0.2
    assert report.cut_off["front"] == 0
    assert draw_ct(patient).std() > 20
