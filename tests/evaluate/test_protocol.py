import csv
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from synthray.errors import InputError
from synthray.evaluate import (
    Case,
    Section,
    evaluate_cases,
    evaluate_folder,
    evaluate_hdf5,
    read_deepfluoro,
    read_folder,
)
from synthray.models import Model, ModelSpec, NetworkConfig, NetworkOutput, Preprocessing, load_model


class BrightIsLung(nn.Module):
    """Calls what is brighter than the middle grey 'lung'; its landmark is the brightest spot."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return NetworkOutput(images * 40, images)


@pytest.fixture
def model():
    spec = ModelSpec(
        structures=("lung",),
        landmarks=("tip",),
        preprocessing=Preprocessing(size=64, low_percentile=0, high_percentile=100),
        network=NetworkConfig(width=4, levels=3),
    )
    return Model(spec, BrightIsLung().eval())


def block(rows, columns, top, left, height, width):
    mask = np.zeros((rows, columns), dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def cases(count=9):
    """Case i: the truth is the predicted block, moved down by i rows."""
    for i in range(count):
        seen = block(64, 64, 8, 16, 20, 32)
        truth = block(64, 64, 8 + i, 16, 20, 32)
        tip = np.array([30.0, 20.0 + i])
        yield Case(f"case{i}", seen.astype(np.float32), {"lung": truth}, {"tip": tip}, group=f"p{i // 3}", pixel_mm=0.5)


def test_scores_are_the_known_ones(model, tmp_path):
    result = evaluate_cases(cases(), model, tmp_path / "out", name="blocks")
    expected = [(20 - i) / 20 for i in range(9)]
    assert [image.counts["lung"].dice for image in result.images] == pytest.approx(expected)
    lung = result.scores["structures"]["lung"]
    assert lung["dice"]["mean"] == pytest.approx(np.mean(expected))
    assert lung["dice"]["sd"] == pytest.approx(np.std(expected, ddof=1))
    assert lung["dice"]["median"] == pytest.approx(np.median(expected))
    low, high = lung["dice"]["ci95"]
    assert low < np.mean(expected) < high
    assert lung["n"] == lung["dice"]["n"] == 9
    assert lung["hausdorff95_mm"]["mean"] == pytest.approx(lung["hausdorff95_px"]["mean"] / 2)
    assert result.scores["data"] == {"name": "blocks", "images": 9, "groups": 3}
    tip = result.scores["landmarks"]["tip"]
    assert tip["error_mm"]["mean"] == pytest.approx(tip["error_px"]["mean"] / 2)
    assert tip["n"] == 9


def test_files_are_written_and_agree(model, tmp_path):
    result = evaluate_cases(cases(), model, tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert stored["structures"]["lung"]["dice"]["mean"] == pytest.approx(
        result.scores["structures"]["lung"]["dice"]["mean"]
    )
    with (tmp_path / "out" / "per_image.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [f"case{i}" for i in range(9)]
    assert float(rows[4]["lung_dice"]) == pytest.approx(0.8)
    assert {"lung_hausdorff95_px", "lung_sensitivity", "tip_error_px", "tip_error_mm", "tip_confidence"} <= set(rows[0])
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<img ") == 9
    assert "<script" not in page


def test_what_is_undefined_is_null_and_left_out(model, tmp_path):
    empty = Case("empty", np.eye(64, dtype=np.float32), {"lung": np.zeros((64, 64), bool)})
    result = evaluate_cases([empty], model, tmp_path / "out")
    assert result.scores["structures"]["lung"]["sensitivity"]["n"] == 0
    stored = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert stored["structures"]["lung"]["sensitivity"]["mean"] is None
    assert stored["structures"]["lung"]["hausdorff95_px"]["ci95"] == [None, None]


def test_cases_without_anything_to_score_are_refused(model, tmp_path):
    other = Case("a", np.eye(8, dtype=np.float32), {"heart": np.zeros((8, 8), bool)})
    with pytest.raises(InputError, match="no image has truth"):
        evaluate_cases([other], model, tmp_path)
    with pytest.raises(InputError, match="agree"):
        Case("a", np.eye(8), {"lung": np.zeros((4, 4), bool)})


def test_sections_come_first_and_progress_counts(model, tmp_path):
    seen = []
    evaluate_cases(
        cases(3), model, tmp_path, total=3, sections=[Section("Before", [])], on_progress=lambda *p: seen.append(p)
    )
    page = (tmp_path / "report.html").read_text()
    assert page.index("Before") < page.index("Scores")
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    for name in ("images", "masks_lung", "masks_heart"):
        (data / name).mkdir(parents=True)
    index = []
    for i in range(6):
        shape = (64 + i, 80)
        mask = block(*shape, 10, 20, 30, 40)
        Image.fromarray((mask * 200).astype(np.uint8)).save(data / "images" / f"x{i}.png")
        if i != 5:
            Image.fromarray((mask * (255 if i else 1)).astype(np.uint8)).save(data / "masks_lung" / f"x{i}.png")
        index.append({"stem": f"x{i}", "patient": f"p{i // 2}", "ok": i != 2})
    Image.fromarray(np.zeros((65, 80), np.uint8)).save(data / "masks_heart" / "x1.png")
    (data / "index.json").write_text(json.dumps(index))
    return data


def test_a_folder_is_scored_over_the_masks_it_has(model, folder, tmp_path):
    result = evaluate_folder(model, folder, tmp_path / "out")
    assert [image.id for image in result.images] == [f"x{i}" for i in range(5)]
    assert [image.group for image in result.images] == ["p0", "p0", "p1", "p1", "p2"]
    assert result.scores["structures"]["lung"]["dice"]["mean"] > 0.95
    assert list(result.scores["structures"]) == ["lung"]


def test_images_can_be_chosen(model, folder, tmp_path):
    chosen = evaluate_folder(model, folder, tmp_path / "a", where={"ok": True})
    assert [image.id for image in chosen.images] == ["x0", "x1", "x3", "x4"]
    chosen = evaluate_folder(model, folder, tmp_path / "b", stems=["x1", "x3"])
    assert [image.id for image in chosen.images] == ["x1", "x3"]


def test_unusable_folders_give_one_line(model, folder, tmp_path):
    def refused(match, **options):
        with pytest.raises(InputError, match=match) as caught:
            evaluate_folder(model, folder, tmp_path / "out", **options)
        assert "\n" not in str(caught.value)

    refused("no image 'zz'", stems=["zz"])
    refused("no image is left", where={"ok": "maybe"})
    liver = Model(model.spec.model_copy(update={"structures": ("liver",)}), model.network)
    with pytest.raises(InputError, match="nothing to compare"):
        evaluate_folder(liver, folder, tmp_path / "out")
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(folder / "masks_lung" / "x1.png")
    refused("mask 'lung'")
    (folder / "index.json").write_text('{"a": ')
    refused("index.json")
    (folder / "index.json").unlink()
    refused("no index.json", where={"ok": True})
    (folder / "images" / "x1.jpg").write_bytes(b"")
    refused("share a stem")
    with pytest.raises(InputError, match="no such folder"):
        read_folder(tmp_path / "nowhere")


@pytest.fixture
def deepfluoro(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "real.h5"
    with h5py.File(path, "w") as file:
        names = file.create_group("land-names")
        names["num-lands"] = 2
        names["land-00"], names["land-01"] = "FH-l", "tip"
        for person, count in (("01", 2), ("02", 1)):
            group = file.create_group(person)
            segs = np.zeros((count, 64, 64), np.uint8)
            segs[:, 8:28, 16:48] = 2
            group["segs"], group["projs"] = segs, (segs > 0).astype(np.float32)
            group["lands"] = np.tile([[[np.inf, 20.0], [np.inf, 10.0]]], (count, 1, 1))
    return path


def test_deepfluoro_files(model, deepfluoro, tmp_path):
    read = list(read_deepfluoro(deepfluoro, labels={2: "lung", 3: "sacrum"}, pixel_mm=1.5))
    assert [case.id for case in read] == ["01/000", "01/001", "02/000"]
    assert [case.group for case in read] == ["01", "01", "02"]
    assert read[0].masks["lung"].sum() == 20 * 32
    assert not read[0].masks["sacrum"].any()
    assert {name: point.tolist() for name, point in read[0].landmarks_px.items()} == {"tip": [20.0, 10.0]}
    result = evaluate_hdf5(model, deepfluoro, tmp_path / "out", specimens=["02"], pixel_mm=2)
    assert result.scores["data"] == {"name": "real.h5", "images": 1, "groups": 1}
    assert math.isfinite(result.scores["all_landmarks"]["error_mm"]["mean"])


def test_unusable_hdf5_files(deepfluoro, tmp_path):
    with pytest.raises(InputError, match="no specimen '07'"):
        list(read_deepfluoro(deepfluoro, specimens=["07"]))
    (tmp_path / "bad.h5").write_bytes(b"nothing")
    for name in ("bad.h5", "absent.h5"):
        with pytest.raises(InputError, match=name):
            list(read_deepfluoro(tmp_path / name))


def test_the_real_folder_can_be_read(shared_data):
    data = shared_data / "xray" / "chest_lungs"
    folder = read_folder(data, where={"lung_ok": True})
    assert len(folder.images) > 40
    case = next(folder.cases(["lung", "left_lung"]))
    assert set(case.masks) == {"lung", "left_lung"}
    assert case.group is not None


def test_a_run_folder_is_accepted_in_place_of_a_model(tmp_path):
    with pytest.raises(InputError, match=r"model\.json"):
        evaluate_cases([], tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match=r"model\.json"):
        load_model(tmp_path)
