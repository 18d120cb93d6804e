"""`synthray register`, as a user meets it."""

import json

import numpy as np
import pytest
from PIL import Image

import synthray as sr
from synthray.anatomy import save_patient
from synthray.cli.app import run
from synthray.geometry import CArm


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A CT, an X-ray of it, its landmarks, and an X-ray of nothing."""
    place = tmp_path_factory.mktemp("register")
    person = sr.body(3, region="pelvis", voxel_mm=4)
    save_patient(person, place / "ct")
    middle = person.structure_center_mm("hip_left", "hip_right")
    camera = CArm.preset("cios-fusion").resized(96).view(middle + [5, 0, -8], 6, -4, view="ap")
    sample = sr.simulate(person, camera, seed=1)
    sample.save(place / "shot.png", masks=False)
    camera.save(place / "true.json")
    marks = {name: at[0].tolist() for name, at in sample.landmarks_px.items() if sample.visible[name][0]}
    (place / "marks.json").write_text(json.dumps({"shot.png": marks}))
    Image.fromarray(np.random.default_rng(0).integers(90, 110, (96, 96)).astype(np.uint8)).save(place / "fog.png")
    return place


def test_poses_annotations_twins_and_report(folder, tmp_path, capsys):
    out = tmp_path / "poses.json"
    line = ["register", str(folder / "ct"), str(folder / "shot.png"), "--init", str(folder / "marks.json")]
    more = ["--annotate", "--structures", "hip_left,sacrum", "--twins", "--out", str(out), "--json"]
    more += ["--parts", "femur_left"]
    assert run([*line, *more]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    held = json.loads(out.read_text())
    assert told["poses"] == held
    assert set(held["shot.png"]["parts"]) == {"rest", "femur_left"}
    true, found = sr.Camera.load(folder / "true.json"), sr.Camera.from_dict(held["shot.png"]["camera"])
    points = sr.load_patient(folder / "ct").structure_center_mm("hip_left")
    assert np.linalg.norm(true.project(points) - found.project(points)) < 1
    assert (tmp_path / "masks" / "shot__hip_left.png").is_file()
    assert len(json.loads((tmp_path / "annotations.json").read_text())["annotations"]) == 3
    assert len(json.loads((tmp_path / "xrays.json").read_text())) == 1
    assert (tmp_path / "twins" / "naive" / "shot.png").is_file()
    assert "squares of both" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_failed_pose_is_exit_code_2_and_one_line_and_still_written(folder, tmp_path, capsys):
    out = tmp_path / "poses.json"
    start = ["--init", str(folder / "true.json"), "--out", str(out), "--annotate"]
    assert run(["register", str(folder / "ct"), str(folder / "fog.png"), *start]) == 2
    errors = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error:")]
    assert len(errors) == 1
    assert "1 of 1 X-rays could not be registered" in errors[0]
    assert json.loads(out.read_text())["fog.png"]["quality"]["state"] == "failed"
    assert json.loads((tmp_path / "xrays.json").read_text()) == []
    assert not (tmp_path / "masks").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--init", "nothing.json"], "nothing.json: not auto"),
        (["--init", "dicom"], "not a readable DICOM"),
        (["--bone", "blue"], "--bone blue"),
        (["--range", "huge"], "small and large"),
        (["--target", "wing"], "wing"),
    ],
)
def test_what_is_refused(folder, tmp_path, capsys, more, words):
    line = ["register", str(folder / "ct"), str(folder / "shot.png"), "--out", str(tmp_path / "p.json"), *more]
    assert run(line) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "p.json").exists()


def test_landmarks_of_another_image_and_double_names(folder, tmp_path, capsys):
    (tmp_path / "marks.json").write_text(json.dumps({"other.png": {}}))
    line = ["register", str(folder / "ct"), str(folder / "shot.png"), "--out", str(tmp_path / "p.json")]
    assert run([*line, str(folder / "fog.png"), "--init", str(tmp_path / "marks.json")]) == 2
    assert "no landmarks for 'shot.png'" in capsys.readouterr().err
    assert run([*line, str(folder / "shot.png")]) == 2
    assert "share a name" in capsys.readouterr().err
