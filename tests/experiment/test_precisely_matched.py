"""Twins of real X-rays: the same view under the same name, and an experiment whose folds hold people apart."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthray.anatomy import save_patient
from synthray.errors import InputError
from synthray.evaluate import PosedImage, read_deepfluoro, read_posed_images, read_specimen
from synthray.experiment import run_experiment
from synthray.experiment.twins import LEVELS, twin_projection
from synthray.geometry import CArm
from synthray.projector import project

h5py = pytest.importorskip("h5py")
sys.path.append(str(Path(__file__).parents[1] / "evaluate"))
from deepfluoro_file import write_deepfluoro  # noqa: E402

SPECIMENS = ("17-1882", "17-1905", "18-0725")


@pytest.fixture(autouse=True)
def _without_data(monkeypatch):
    monkeypatch.setattr("synthray.experiment.run.find_data", lambda given: None)


@pytest.fixture(scope="module")
def matched(tmp_path_factory):
    out = tmp_path_factory.mktemp("matched")
    write_deepfluoro(out / "full.h5", SPECIMENS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthray.experiment.run.find_data", lambda given: None)
        return out, run_experiment("precisely-matched", out, size="tiny", real=out / "full.h5")


def test_arms_differ_in_pixels_alone_and_every_image_is_scored_by_a_network_that_has_not_seen_the_person(matched):
    out, found = matched
    rows = found.tables["real"]
    assert [row.arm for row in rows] == ["naive-strong", "realistic-strong", "real-strong"]
    assert [row.n for row in rows] == [6, 6, 6]
    assert {row.trained_on for row in rows} == {3}
    assert set(rows[0].structures) == {"hip_left", "hip_right", "femur_left", "vertebrae", "sacrum", "femur_right"}
    assert rows[0].landmarks is not None
    assert found.scores["simulated_images"] == 18
    assert "twin of each at 3 levels" in found.report.read_text(encoding="utf-8")
    for arm in ("naive-strong", "real-strong"):
        trials = sorted((out / "tiny" / "precisely-matched" / "trials" / arm).iterdir())
        shown = [json.loads((t / "trial.json").read_text())["scored"]["real"] for t in trials]
        people = [{image["person"] for image in images} for images in shown]
        assert len(people) == 2
        assert not people[0] & people[1]
        assert people[0] | people[1] == set(SPECIMENS)


def test_twins_lie_under_the_names_of_the_real_images_and_show_bone_in_the_same_place(matched):
    twins = matched[0] / "tiny" / "precisely-matched" / "twins"
    names = sorted(path.name for path in (twins / "real" / "images").iterdir())
    assert names == sorted(f"{specimen}-{n:03d}.png" for specimen in SPECIMENS for n in range(2))
    real_index = {entry["stem"]: entry for entry in json.loads((twins / "real" / "index.json").read_text())}
    for level in LEVELS:
        assert sorted(path.name for path in (twins / level / "images").iterdir()) == names
        for entry in json.loads((twins / level / "index.json").read_text()):
            real = real_index[entry["stem"]]
            assert entry["camera"] == real["camera"]
            assert entry["patient"] == real["patient"]
            for name, at in real["landmarks_px"].items():
                np.testing.assert_allclose(entry["landmarks_px"][name], at, atol=0.01)
            picture = np.asarray(Image.open(twins / level / "images" / entry["file"]), dtype=float)
            mask = np.asarray(Image.open(twins / level / "masks_hip_right" / entry["file"])) > 0
            truth = np.asarray(Image.open(twins / "real" / "masks_hip_right" / entry["file"])) > 0
            assert (mask & truth).sum() > 0.8 * truth.sum()
            assert picture[truth].mean() > picture[picture.shape[0] // 2].mean()


def test_the_controlled_study_can_be_read_as_the_files_of_synthex_are(matched):
    folder = matched[0] / "tiny" / "precisely-matched" / "twins" / "hdf5"
    assert {path.name for path in folder.iterdir()} == {
        "real.h5", "naive.h5", "heuristic.h5", "realistic.h5", "real_label.h5", "sim_label.h5"
    }  # fmt: skip
    for name in ("real", "heuristic"):
        cases = list(read_deepfluoro(folder / f"{name}.h5"))
        assert [case.id for case in cases] == [f"{n:02d}/{i:03d}" for n in (1, 2, 3) for i in range(2)]
        assert all(case.masks["hip_left"].any() and case.masks["femur_left"].any() for case in cases)
        assert set(cases[0].landmarks_px) == {"FH-l", "FH-r", "SPS-l"}
    with h5py.File(folder / "real_label.h5") as file:
        assert np.isfinite(file["01/lands"][:]).all()
        assert file["land-names/num-lands"][()] == 3
    with h5py.File(folder / "realistic.h5") as file:
        assert file["02"].attrs["patient"] == SPECIMENS[1]
        # The beam behind the body: -ln of what is left of it.
        assert 1 < np.percentile(file["02/projs"][:], 95) < 12


def test_a_moved_femur_is_simulated_where_its_own_pose_puts_it(tmp_path):
    write_deepfluoro(tmp_path / "full.h5", SPECIMENS[:1], 1)
    patient = read_specimen(tmp_path / "full.h5", SPECIMENS[0])
    (image,) = read_posed_images(tmp_path / "full.h5", SPECIMENS[0])
    twin, still = twin_projection(patient, image), project(patient, image.camera, supersample=4)
    moved, stayed = twin.masks["femur_left"][0], still.masks["femur_left"][0]
    center = patient.structure_center_mm("femur_left")
    row, column = np.argwhere(moved).mean(axis=0)
    np.testing.assert_allclose([column, row], image.moved["femur_left"].project(center), atol=0.5)
    bone_there, bone_gone = twin.area_density[0, 1][moved & ~stayed], twin.area_density[0, 1][stayed & ~moved]
    assert bone_there.mean() > still.area_density[0, 1][moved & ~stayed].mean() + 0.2
    assert bone_gone.mean() < still.area_density[0, 1][stayed & ~moved].mean() - 0.2
    # Nothing but the femur moved, and no tissue came or went with it.
    apart = np.abs(twin.area_density[0] - still.area_density[0]).max(axis=0)[~(moved | stayed)]
    assert np.quantile(apart, 0.99) < 1e-4
    assert twin.area_density.sum() == pytest.approx(still.area_density.sum(), rel=0.01)


def test_a_list_of_images_without_truth_takes_it_from_the_ct(tmp_path):
    write_deepfluoro(tmp_path / "full.h5", SPECIMENS[:2])
    entries = []
    for specimen in SPECIMENS[:2]:
        save_patient(read_specimen(tmp_path / "full.h5", specimen), tmp_path / specimen)
        for image in read_posed_images(tmp_path / "full.h5", specimen):
            Image.fromarray(np.uint8(50 * image.image)).save(tmp_path / f"{image.id}.png")
            entries.append({"image": f"{image.id}.png", "camera": image.camera.to_dict(), "patient": specimen})
            entries[-1]["structures"] = ["hip_left", "femur_left", "sacrum_lower", "vertebrae"][: 3 + len(entries) % 2]
    (tmp_path / "list.json").write_text(json.dumps(entries))
    found = run_experiment(
        "precisely-matched", tmp_path, size="tiny", real=tmp_path / "list.json", arms=["heuristic-regular"]
    )
    (row,) = found.tables["real"]
    assert row.n == 4
    assert set(row.structures) == {"hip_left", "femur_left", "sacrum_lower"}
    assert row.landmarks is not None
    entries[0]["structures"] = ["liver"]
    (tmp_path / "list.json").write_text(json.dumps(entries))
    with pytest.raises(InputError, match="the CT of 17-1882 has no 'liver'"):
        run_experiment("precisely-matched", tmp_path / "other", size="tiny", real=tmp_path / "list.json")
    with pytest.raises(InputError, match="holds twins of other images"):
        run_experiment("precisely-matched", tmp_path, size="tiny", real=tmp_path / "full.h5")


def test_what_cannot_be_matched_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="needs real X-rays with known views"):
        run_experiment("precisely-matched", tmp_path, size="tiny")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"DeepFluoro file \(.h5\) or a JSON list"):
        run_experiment("precisely-matched", tmp_path, size="tiny", real=tmp_path / "folder")
    write_deepfluoro(tmp_path / "one.h5", SPECIMENS[:1], 1)
    with pytest.raises(InputError, match="of one person only"):
        run_experiment("precisely-matched", tmp_path, size="tiny", real=tmp_path / "one.h5")
    camera = CArm.preset("cios-fusion").resized(8).view([0, 0, 0])
    with pytest.raises(InputError, match="its camera has"):
        PosedImage("x", np.zeros((4, 8), dtype=np.float32), camera)
