"""The target DICOM: valid, without loss, with its geometry, nobody's."""

import json
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthray.anatomy import read_xray_dicom
from synthray.dataset import Dataset, generate
from synthray.dataset.convert import convert
from synthray.errors import SynthrayWarning
from synthray.geometry import Camera, CArm, apply
from synthray.simulate.dicom_object import Simulated, angiographic_object

RECIPE = {
    "name": "hips of Doe",
    "images": 4,
    "images_per_shard": 2,
    "people": [
        {"body": 1, "region": "pelvis", "voxel_mm": 8},
        {"body": 2, "region": "pelvis", "voxel_mm": 8, "split": "val"},
    ],
    "views": [
        {
            "carm": "cios-fusion", "view": "ap", "rows": 48, "target": "hip_left+hip_right",
            "lao_deg": {"uniform": [-30, 30]}, "cran_deg": {"uniform": [-20, 20]},
        }
    ],
    "imaging": {"tube_kvp": 80, "mas": 2.5},
    "structures": {name: {"of": [name]} for name in ("hip_left", "sacrum")},
    "landmarks": ["FH-l", "FH-r"],
}  # fmt: skip


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    root = tmp_path_factory.mktemp("dicom")
    generate(RECIPE, root / "set", workers=1)
    convert(root / "set", root / "out", "dicom")
    return Dataset.open(root / "set"), root / "out"


def headers(folder):
    return [pydicom.dcmread(path) for path in sorted((folder / "images").iterdir())]


def test_grey_values_come_back_without_loss(converted):
    dataset, folder = converted
    for sample, held in zip(dataset, headers(folder), strict=True):
        signal_log = held.pixel_array * float(held.RescaleSlope) + float(held.RescaleIntercept)
        np.testing.assert_allclose(-signal_log, sample.image, atol=1e-5)  # a stored step is 1.7e-4
        assert held.KVP == 80
        assert held.ExposureInuAs == 2500
        assert (held.Rows, held.Columns) == sample.image.shape


def test_our_reader_sees_the_image_and_the_view(converted):
    dataset, folder = converted
    index = json.loads((folder / "index.json").read_text())
    for sample, entry in zip(dataset, index, strict=True):
        xray = read_xray_dicom(folder / "images" / entry["file"])
        np.testing.assert_allclose(-xray.image, sample.image, atol=1e-5)
        assert xray.dense_is_bright is False
        camera = Camera.from_dict(sample.truth["camera"])
        assert Camera.from_dict(entry["camera"]).to_dict() == camera.to_dict()
        assert xray.spacing.detector_mm == pytest.approx(camera.pixel_mm[::-1])
        # Once it is said where the isocentre lies, the same points fall on the same spots.
        target = camera.source_mm + 700 * camera.direction
        back = xray.view.camera(target, 700)
        points = target + np.random.default_rng(0).normal(0, 60, (30, 3))
        np.testing.assert_allclose(back.project(points), camera.project(points), atol=1e-4)
        assert apply(back.camera_from_patient, target)[2] == pytest.approx(700)


def test_evaluate_reads_the_folder(converted):
    pytest.importorskip("torch")
    from synthray.evaluate import read_folder

    dataset, folder = converted
    for case, sample in zip(read_folder(folder).cases(["hip_left", "sacrum"]), dataset, strict=True):
        np.testing.assert_array_equal(case.masks["sacrum"], sample.masks["sacrum"])
        assert case.group == sample.truth["patient"]
        assert set(case.landmarks_px) == {name for name, seen in sample.visible.items() if seen}


def test_people_are_numbers_and_identifiers_follow_from_the_content(converted, tmp_path):
    dataset, folder = converted
    held = headers(folder)
    assert [str(one.PatientID) for one in held] == ["Person 1", "Person 1", "Person 2", "Person 2"]
    for attribute, different in (("SOPInstanceUID", 4), ("SeriesInstanceUID", 2), ("StudyInstanceUID", 2)):
        assert len({str(getattr(one, attribute)) for one in held}) == different
    for one, path in zip(held, sorted((folder / "images").iterdir()), strict=True):
        assert one.PatientIdentityRemoved == "YES"
        assert b"Doe" not in path.read_bytes()
        assert b"body-1" not in path.read_bytes()
    convert(dataset.folder, tmp_path / "again", "dicom")
    for path in folder.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_views_that_angles_cannot_hold_are_told(tmp_path):
    turned = {**RECIPE, "images": 1, "views": [{**RECIPE["views"][0], "roll_deg": 20}]}
    generate(turned, tmp_path / "set", workers=1)
    with pytest.warns(SynthrayWarning, match="1 of 1 views are turned"):
        convert(tmp_path / "set", tmp_path / "out", "dicom")


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6), frames=st.integers(0, 3), bits=st.sampled_from([12, 16]),
    lao=st.floats(-90, 90), cran=st.floats(-60, 60), view=st.sampled_from(["pa", "ap", "lateral"]),
)  # fmt: skip
def test_any_image_and_view_comes_back(tmp_path_factory, seed, frames, bits, lao, cran, view):
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(8, 24, 2).tolist()
    camera = CArm.preset("generic-300mm").resized(rows, columns).view([5, 6, 700], lao, cran, view=view)
    shape = (frames, rows, columns) if frames else (rows, columns)
    per_unit = float(rng.uniform(300, 6000))
    image = rng.uniform(-0.5, 0.9 * (2**bits - 1) / per_unit - 0.5, shape).astype(np.float32)
    said = Simulated(study="a", series="b", instance="c", number=1, person="Person 1", comment="")
    held = angiographic_object(image, camera, said, per_unit=per_unit, lowest=-0.5, bits=bits)
    path = tmp_path_factory.mktemp("any") / "a.dcm"
    path.write_bytes(held)
    for frame in range(max(frames, 1)):
        xray = read_xray_dicom(path, frame)
        expected = image[frame] if frames else image
        np.testing.assert_allclose(-xray.image, expected, atol=0.51 / per_unit + 1e-5)
        target = camera.source_mm + 600 * camera.direction
        points = target + rng.normal(0, 50, (20, 3))
        np.testing.assert_allclose(xray.view.camera(target, 600).project(points), camera.project(points), atol=1e-4)
    assert angiographic_object(image, camera, said, per_unit=per_unit, lowest=-0.5, bits=bits) == held


def test_a_public_validator_finds_no_error(converted, tmp_path):
    validator = shutil.which("dciodvfy")
    if validator is None:
        pytest.skip("dciodvfy is not installed (apt-get install dicom3tools)")
    camera = CArm.preset("generic-300mm").resized(16).view([0, 0, 0])
    said = Simulated(study="a", series="b", instance="c", number=1, person="Person 1", comment="")
    run = angiographic_object(np.zeros((3, 16, 16), "f4"), camera, said, per_unit=400, lowest=0, bits=12)
    (tmp_path / "run.dcm").write_bytes(run)
    for path in [*sorted((converted[1] / "images").iterdir()), tmp_path / "run.dcm"]:
        said = subprocess.run([validator, str(path)], capture_output=True, text=True, check=False)
        assert "XAImage" in said.stderr
        assert not [line for line in said.stderr.splitlines() if line.startswith("Error")], said.stderr
