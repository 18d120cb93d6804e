"""The main job, small: everything that the demo promises is there at the end."""

import json

import numpy as np
import pytest

from synthray.anatomy import load_patient
from synthray.dataset.public import find_data
from synthray.demo import run_demo
from synthray.errors import InputError
from synthray.experiment.people import prepared


def test_without_any_data_the_demo_runs_on_built_in_bodies(tmp_path, monkeypatch):
    monkeypatch.setattr("synthray.demo.run.find_data", lambda given: None)
    out = tmp_path / "demo"
    result = run_demo(out, minutes=0.2, views_per_person=3)
    assert result.report == out / "report.html"
    assert result.report.read_text().startswith("<!doctype html>")
    scores = json.loads((out / "scores.json").read_text())
    assert scores["real"] is None
    assert 0 < scores["simulated_held_out"]["lung"]["dice"] <= 1
    assert scores["training"]["on"] == "simulated X-rays only"
    assert (out / "dataset" / "manifest.json").is_file()
    assert (out / "run" / "model.safetensors").is_file()
    assert any("no real X-rays" in line for line in result.lines)
    # A second call finishes at once with the same figures; other settings are refused.
    again = run_demo(out, minutes=0.2, views_per_person=3)
    assert again.scores["simulated_held_out"] == scores["simulated_held_out"]
    with pytest.raises(InputError, match="demo with minutes"):
        run_demo(out, minutes=3)


def test_real_people_are_prepared_with_whole_lungs_only(shared_data):
    person = prepared(shared_data / "ct" / "imlab_chest_id001")
    assert set(person.structure_names) == {"lung_left", "lung_right", "below_diaphragm"}
    assert person.ct.voxel_mm == pytest.approx([2, 2, 2], rel=0.02)
    lungs, below = person.labels.mask("lung_left", "lung_right"), person.labels.mask("below_diaphragm")
    assert np.argwhere(lungs)[:, 2].mean() > np.argwhere(below)[:, 2].mean()
    with pytest.raises(InputError, match=r"cut off|not a whole chest"):
        prepared(shared_data / "ct" / "totalseg_example")
    # Its right upper lobe holds no air; outlines made from air would leave it out.
    with pytest.raises(InputError, match="collapsed or filled"):
        prepared(shared_data / "ct" / "fnndsc_chest")


def test_the_data_folder_is_found_or_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no folder ct/"):
        find_data(tmp_path)
    (tmp_path / "ct").mkdir()
    monkeypatch.setenv("SYNTHRAY_DATA", str(tmp_path))
    assert find_data(None) == tmp_path


def test_a_saved_person_comes_back_with_overlapping_structures(shared_data, tmp_path):
    from synthray.anatomy import save_patient

    person = prepared(shared_data / "ct" / "imlab_chest_id002")
    save_patient(person, tmp_path / "person")
    back = load_patient(tmp_path / "person")
    for name in person.structure_names:
        np.testing.assert_array_equal(person.labels.mask(name), back.labels.mask(name))
