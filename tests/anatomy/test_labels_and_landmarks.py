"""Labels and landmarks from every supported file, and a saved patient read back."""

import json

import numpy as np
import pytest

from synthray.anatomy import (
    LabelMap,
    Patient,
    Volume,
    find_label_names,
    load_patient,
    read_labels,
    read_landmarks,
    save_patient,
    totalsegmentator_names,
)
from synthray.anatomy.nifti import write_nifti
from synthray.errors import InputError, SynthrayWarning


@pytest.fixture
def ct(phantom) -> Volume:
    return Volume(phantom.values, phantom.patient_from_voxel)


@pytest.fixture
def codes(ct) -> np.ndarray:
    codes = np.zeros(ct.shape, dtype=np.uint8)
    codes[2:5, 3:6, 1:4] = 1
    codes[6:9, 1:8, 4:7] = 7
    return codes


@pytest.fixture
def label_file(ct, codes, tmp_path):
    path = tmp_path / "seg.nii.gz"
    write_nifti(Volume(codes, ct.patient_from_voxel), path)
    return path


def test_names_from_a_mapping_and_from_files(ct, codes, label_file, tmp_path):
    np.testing.assert_array_equal(read_labels(label_file, ct, {1: "lung"}).mask("lung"), codes == 1)
    assert read_labels(label_file, ct, {1: "lung"}).names == ("lung", "label_7")
    assert find_label_names(label_file) is None
    for held in (
        {"1": "lung"},
        {"labels": {"1": "lung"}, "source": "x"},
        {"labels": {"background": 0, "lung": 1}},
        {"structures": {"lung": [1]}},
    ):
        (tmp_path / "labels.json").write_text(json.dumps(held))
        found = read_labels(label_file, ct, find_label_names(label_file))
        assert found.names == ("lung", "label_7")
        np.testing.assert_array_equal(found.mask("lung"), codes == 1)
    (tmp_path / "seg.json").write_text("{}")
    assert find_label_names(label_file) == tmp_path / "seg.json"
    with pytest.raises(InputError, match="no label names"):
        read_labels(label_file, ct, tmp_path / "seg.json")
    (tmp_path / "seg.json").write_text("[1, 2")
    with pytest.raises(InputError, match="JSON"):
        read_labels(label_file, ct, tmp_path / "seg.json")


def test_one_file_per_structure_with_overlap(ct, tmp_path):
    rng = np.random.default_rng(4)
    masks = {name: rng.random(ct.shape) < 0.4 for name in ("liver", "tumour", "rib_left_1", "empty")}
    masks["empty"][:] = False
    folder = tmp_path / "segmentations"
    folder.mkdir()
    for name, mask in masks.items():
        write_nifti(Volume(mask.astype(np.uint8), ct.patient_from_voxel), folder / f"{name}.nii.gz")
    for source in (folder, {name: folder / f"{name}.nii.gz" for name in masks}):
        found = read_labels(source, ct)
        assert set(found.names) == set(masks)
        for name, mask in masks.items():
            np.testing.assert_array_equal(found.mask(name), mask, err_msg=name)


def test_labels_on_another_grid_are_moved(ct, codes, tmp_path):
    # Every second voxel along i, flipped along k: the nearest neighbour is known exactly.
    coarse = codes[::2, :, ::-1]
    matrix = ct.patient_from_voxel @ np.array([[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, ct.shape[2] - 1], [0, 0, 0, 1.0]])
    path = tmp_path / "coarse.nii.gz"
    write_nifti(Volume(np.ascontiguousarray(coarse), matrix), path)
    with pytest.warns(SynthrayWarning, match="nearest neighbour"):
        found = read_labels(path, ct, {1: "lung"})
    np.testing.assert_array_equal(found.codes[::2], codes[::2])


def test_labels_elsewhere_are_refused(ct, codes, tmp_path):
    matrix = ct.patient_from_voxel.copy()
    matrix[:3, 3] += 1000
    write_nifti(Volume(codes, matrix), tmp_path / "far.nii.gz")
    with pytest.raises(InputError, match="don't overlap"):
        read_labels(tmp_path / "far.nii.gz", ct)
    write_nifti(Volume(codes + np.float32(0.5), ct.patient_from_voxel), tmp_path / "soft.nii.gz")
    with pytest.raises(InputError, match=r"soft\.nii\.gz.*whole numbers"):
        read_labels(tmp_path / "soft.nii.gz", ct)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="no label files"):
        read_labels(tmp_path / "nothing", ct)


def test_totalsegmentator_names(shared_data):
    names = totalsegmentator_names()
    assert sorted(names) == list(range(1, 118))
    assert len(set(names.values())) == 117
    assert (names[1], names[51], names[91], names[117]) == ("spleen", "heart", "skull", "costal_cartilages")
    shipped = json.loads((shared_data / "ct" / "totalseg_example" / "labels.json").read_text())["labels"]
    assert {int(code): name for code, name in shipped.items()}.items() <= names.items()


FH, ASIS = [10.5, -20.0, 30.25], [-1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps({"FH-l": FH, "ASIS-r": ASIS})),
        ("b.json", json.dumps({"frame": "RAS", "points": {"FH-l": [-10.5, 20.0, 30.25], "ASIS-r": [1, -2, 3]}})),
        ("c.csv", "name,x,y,z\nFH-l,10.5,-20,30.25\nASIS-r,-1,2,3\n"),
        ("d.csv", "\ufeffx,y,z,Name\n10.5,-20,30.25,FH-l\n-1,2,3,ASIS-r\n\n"),
        (
            "e.mrk.json",
            json.dumps(
                {
                    "markups": [
                        {
                            "coordinateSystem": "RAS",
                            "controlPoints": [
                                {"label": "FH-l", "position": [-10.5, 20.0, 30.25]},
                                {"label": "ASIS-r", "position": [1, -2, 3]},
                            ],
                        }
                    ]
                }
            ),
        ),
        (
            "f.fcsv",
            "# Markups fiducial file version = 4.10\n# CoordinateSystem = 0\n"
            "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
            "1,-10.5,20,30.25,0,0,0,1,1,1,0,FH-l,,\n2,1,-2,3,0,0,0,1,1,1,0,ASIS-r,,\n",
        ),
        (
            "g.fcsv",
            "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n"
            "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
            "1,10.5,-20,30.25,0,0,0,1,1,1,0,FH-l,,,2,0\n2,-1,2,3,0,0,0,1,1,1,0,ASIS-r,,,2,0\n",
        ),
    ],
)
def test_landmarks_come_out_in_lps(tmp_path, name, text):
    (tmp_path / name).write_text(text, "utf-8")
    found = read_landmarks(tmp_path / name)
    assert list(found) == ["FH-l", "ASIS-r"]
    np.testing.assert_allclose(found["FH-l"], FH)
    np.testing.assert_allclose(found["ASIS-r"], ASIS)


def test_frame_for_files_that_do_not_say(tmp_path):
    (tmp_path / "a.csv").write_text("name,x,y,z\nA,1,2,3\n")
    np.testing.assert_allclose(read_landmarks(tmp_path / "a.csv", frame="RAS")["A"], [-1, -2, 3])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "[]", "look like"),
        ("a.json", "{", "JSON"),
        ("a.json", '{"A": [1, 2]}', "three finite"),
        ("a.json", '{"A": [1, 2, NaN]}', "three finite"),
        ("a.json", '{"frame": "XYZ", "points": {"A": [1, 2, 3]}}', "XYZ"),
        ("a.csv", "A,1,2,3\n", "header must name"),
        ("a.csv", "name,x,y,z\nA,1,2,three\n", "three finite"),
        ("a.csv", "name,x,y,z\nA,1,2,3\nA,4,5,6\n", "twice"),
        ("a.csv", "name,x,y,z\nA,1\n", "three finite"),
        ("a.txt", "", "must be"),
        ("a.mrk.json", '{"markups": [{"coordinateSystem": "LPS"}]}', "Slicer"),
    ],
)
def test_bad_landmarks(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words) as raised:
        read_landmarks(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_a_saved_patient_comes_back(ct, codes, tmp_path):
    labels = LabelMap(codes, {"liver": (1,), "hip_left": (7,)}).with_structure("tumour", codes > 0)
    patient = Patient(ct, labels, {"FH-l": np.array(FH)}, "somebody")
    folder = save_patient(patient, tmp_path / "deep" / "out")
    found = load_patient(folder, remove_table=False)
    np.testing.assert_array_equal(found.ct.values, ct.values)
    np.testing.assert_allclose(found.ct.patient_from_voxel, ct.patient_from_voxel, atol=1e-4)
    assert found.labels is not None
    assert dict(found.labels.structures) == dict(labels.structures)
    np.testing.assert_array_equal(found.labels.codes, labels.codes)
    np.testing.assert_array_equal(found.landmarks["FH-l"], FH)
    assert sorted(p.name for p in folder.iterdir()) == ["ct.nii.gz", "labels.json", "labels.nii.gz", "landmarks.json"]
    again = save_patient(patient, tmp_path / "again")
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_saving_never_overwrites_and_leaves_nothing_half_done(ct, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not empty"):
        save_patient(Patient(ct), tmp_path / "out")
    (tmp_path / "file").write_text("keep")
    with pytest.raises(InputError, match="not empty"):
        save_patient(Patient(ct), tmp_path / "file")
    with pytest.raises(InputError, match="can't be written"):
        save_patient(Patient(ct), tmp_path / "file" / "out")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("synthray.anatomy.writers.write_nifti", full_disk)
    with pytest.raises(InputError, match="No space left"):
        save_patient(Patient(ct), tmp_path / "other")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "out"]
