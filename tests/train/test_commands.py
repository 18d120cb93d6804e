"""The commands about learning, one after the other, as a user would give them."""

import json

import numpy as np
import pytest
from PIL import Image

from synthray.cli.app import run
from synthray.models import load_model

RECIPE = """
images: 4
images_per_shard: 2
people: [{body: 1, region: chest, voxel_mm: 8}]
views: [{carm: chest-pa, rows: 32}]
structures: {lung: {of: [lung_left, lung_right], path_above_mm: 4}}
landmarks: []
keep_area_density: true
"""
TRAINING = "data: set\ntraining: {size: 32, batch: 2, steps: 2, augment: {preset: none}, network: {width: 8}}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("commands")
    (path / "recipe.yaml").write_text(RECIPE)
    (path / "train.yaml").write_text(TRAINING)
    (path / "real").mkdir()
    for i in range(3):
        grey = np.random.default_rng(i).integers(0, 255, (40, 50), dtype=np.uint8)
        Image.fromarray(grey).save(path / "real" / f"{i}.png")
    assert run(["generate", str(path / "recipe.yaml"), str(path / "set"), "--workers", "1"]) == 0
    assert run(["train", str(path / "train.yaml"), str(path / "run")]) == 0
    return path


def test_export_and_averaged_prediction(folder, capsys):
    out = folder / "model.pt"
    assert run(["export", str(folder / "run"), str(out), "--format", "torchscript", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["bytes"] == out.stat().st_size
    assert run(["export", str(folder / "run"), str(out), "--format", "coreml"]) == 2
    image = str(folder / "real" / "0.png")
    assert run(["predict", str(folder / "run"), image, "--out", str(folder / "pred"), "--gamma"]) == 0


def test_a_contact_sheet(folder, capsys):
    sheet = ["augment", str(folder / "set"), "--sheet", str(folder / "sheet.png"), "--images", "2", "--draws", "2"]
    assert run([*sheet, "--preset", "regular", "--switch", "clahe=0.5", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (facts["augment"]["preset"], facts["augment"]["clahe"]) == ("regular", 0.5)
    assert run([*sheet, "--switch", "clahe"]) == 2
    assert run([*sheet, "--switch", "clahe=much"]) == 2


@pytest.mark.parametrize("method", ["adabn", "mean-teacher", "adda"])
def test_adaptation(folder, method, capsys):
    out = folder / method
    steps = [] if method == "adabn" else ["--setting", "steps=2"]
    command = ["adapt", str(folder / "run"), str(folder / "real"), "--out", str(out), "--method", method, *steps]
    if method != "adabn":
        assert run(command) == 2
        assert "give the data set" in capsys.readouterr().err.replace("\n", " ")
    assert run([*command, "--data", str(folder / ("train.yaml" if method == "adda" else "set"))]) == 0
    assert load_model(out).spec.recipe["adaptation"]["images"] == 3


def test_translation_serves_a_training(folder):
    sizes = ["size=32", "steps=2", 'translator={"width": 4, "blocks": 1}']
    settings = [word for size in sizes for word in ("--setting", size)]
    command = ["translate", str(folder / "set"), str(folder / "real"), "--out", str(folder / "look"), *settings]
    assert run(command) == 0
    (folder / "translated.yaml").write_text(TRAINING.replace("data: set", "data: set\ntranslator: look"))
    assert run(["train", str(folder / "translated.yaml"), str(folder / "second")]) == 0
    assert load_model(folder / "second").spec.conditions["translator"] == str(folder / "look")
