"""The command line as a user meets it: exit codes, one clear line, nothing lost."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from synthray.cli.app import app, run
from synthray.dataset import Dataset

COMMANDS = {"bench", 
    "demo", "doctor", "body", "inspect", "simulate", "generate", "verify", "train", "predict", "evaluate", "data",
    "export", "augment", "adapt", "translate", "experiment", "convert", "register",
    "stats",
}  # fmt: skip
RECIPE = """
name: tiny
images: 6
images_per_shard: 3
people: [{body: 1, region: chest, voxel_mm: 8}, {body: 2, region: chest, voxel_mm: 8, split: val}]
views: [{carm: chest-pa, rows: 32}]
structures: {lung: {of: [lung_left, lung_right], path_above_mm: 4}}
landmarks: []
"""
TRAINING = """
data: set
training: {size: 32, batch: 2, steps: 3, validate_every: 3, augment: {preset: none}, network: {width: 8}}
"""


def lines(text):
    return [line for line in text.splitlines() if line.strip()]


def test_the_list_of_commands_is_the_contract():
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert names | {group.name for group in app.registered_groups} == COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS - {"data"}))
def test_every_command_has_help_with_an_example(command, capsys):
    assert run([command, "--help"]) == 0
    assert "Example: synthray" in capsys.readouterr().out


def test_body_inspect_simulate(tmp_path, capsys):
    assert run(["body", str(tmp_path / "b"), "--seed", "3", "--region", "pelvis", "--voxel-mm", "5"]) == 0
    assert run(["inspect", str(tmp_path / "b"), "--json", "--picture", str(tmp_path / "b.png")]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts["orientation"] == "LPS"
    assert facts["labels"]["hip_left"] > 100
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.size[1] > 100
    out = tmp_path / "shot.png"
    ill = ["--disease", "fracture:hip_left", "--tool", "screw:ASIS-l:GSN-l"]
    assert (
        run(["simulate", str(tmp_path / "b"), "--view", "ap", "--size", "64", "--out", str(out), "--json"] + ill) == 0
    )
    truth = json.loads(capsys.readouterr().out)
    assert {"hip_left", "fracture_hip_left", "screw"} <= set(truth["structures"])
    with Image.open(tmp_path / "shot__hip_left.png") as mask:
        assert np.argwhere(np.asarray(mask))[:, 1].mean() > 32


def test_generate_train_predict_evaluate(tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "train.yaml").write_text(TRAINING)
    data, model = str(tmp_path / "set"), str(tmp_path / "run")
    assert run(["generate", str(tmp_path / "recipe.yaml"), data, "--plan"]) == 0
    assert not (tmp_path / "set").exists()
    planned = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert run(["generate", str(tmp_path / "recipe.yaml"), data, "--workers", "1"]) == 0
    for row, sample in zip(planned, Dataset.open(data), strict=True):
        for key in ("index", "person", "split", "realism", "settings", "noise_seed"):
            assert row[key] == sample.truth[key], key
    assert run(["verify", data]) == 0
    assert run(["train", str(tmp_path / "train.yaml"), model]) == 0
    image = tmp_path / "chest.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)).save(image)
    assert run(["predict", model, str(image), "--out", str(tmp_path / "pred")]) == 0
    with Image.open(tmp_path / "pred" / "chest__lung.png") as mask:
        assert mask.size == (50, 40)
        assert set(np.unique(np.asarray(mask))) <= {0, 255}
    assert run(["evaluate", model, data, "--out", str(tmp_path / "scores"), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 <= scores["structures"]["lung"]["dice"]["mean"] <= 1
    assert (tmp_path / "scores" / "report.html").is_file()


def test_verify_names_damaged_files_and_fails(tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    data = tmp_path / "set"
    assert run(["generate", str(tmp_path / "recipe.yaml"), str(data), "--workers", "1"]) == 0
    shard = data / "shard-000001.tar"
    shard.write_bytes(shard.read_bytes()[:-512])
    assert run(["verify", str(data)]) == 2
    assert "shard-000001.tar" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulate", "nowhere.nii.gz"], "nowhere.nii.gz: no such file"),
        (["simulate", "body:x"], "body:SEED"),
        (["simulate", "body:1", "--view", "sideways"], "unknown view 'sideways'"),
        (["simulate", "body:1", "--size", "big"], "'--size'"),
        (["body", "fresh", "--region", "head", "--voxel-mm", "8", "--disease", "cold"], "--disease cold: there are"),
        (["body", "fresh", "--region", "head", "--voxel-mm", "8", "--disease", "fracture"], "give fracture:STRUCTURE"),
        (["inspect", "empty"], "empty"),
        (["generate", "nowhere.yaml", "out"], "nowhere.yaml: no such file"),
        (["generate", "bad.yaml", "out"], "unknown key 'imagse'"),
        (["generate", "typed.yaml", "out"], "images"),
        (["generate", "good.yaml", "full"], "not empty and not a data set"),
        (["verify", "empty"], "no data set here"),
        (["train", "bad.yaml", "out"], "bad.yaml: "),
        (["predict", "empty", "good.yaml", "--out", "p"], "model.json"),
        (["evaluate", "empty", "empty", "--out", "p"], "model.json"),
        (["demo", "--out", "full"], "full: not empty"),
        (["demo", "--data", "empty", "--out", "fresh"], "no folder ct/"),
        (["nonsense"], "nonsense"),
        (["simulate"], "CT"),
    ],
)
def test_bad_input_gives_exit_code_2_and_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    (tmp_path / "bad.yaml").write_text("imagse: 3\npeople: [{body: 1}]")
    (tmp_path / "typed.yaml").write_text("images: many\npeople: [{body: 1}]")
    (tmp_path / "good.yaml").write_text(RECIPE)
    assert run(arguments) == 2
    told = lines(capsys.readouterr().err)
    assert len(told) == 1
    assert told[0].startswith("error: ")
    assert message in told[0]
    assert (tmp_path / "full" / "thesis.tex").read_text() == "years of work"


def test_debug_shows_the_traceback(capsys):
    assert run(["simulate", "nowhere.nii.gz", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_stopped_by_the_user_is_130(monkeypatch, capsys):
    def interrupt(*_args, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr("synthray.cli.system._facts", interrupt)
    assert run(["doctor"]) == 130
    assert "what was finished is kept" in capsys.readouterr().err


def test_doctor_finds_everything_that_this_environment_has(capsys):
    assert run(["doctor", "--json"]) == 0
    checks = {row["name"]: row["state"] for row in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["projector (cpu)"] == "ok"
    assert checks["numba"] == "ok"


def test_without_torch_the_rest_works_and_learning_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['torch'] = None; from synthray.cli import main; main(sys.argv[1:])"

    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
        )

    assert call("doctor").returncode == 0
    assert call("simulate", "body:1", "--size", "32", "--out", "shot.png").returncode == 0
    for arguments in (["demo"], ["predict", "run", "x.png", "--out", "p"]):
        result = call(*arguments)
        assert result.returncode == 2
        assert "pip install 'synthray[learn]'" in result.stderr


def test_import_stays_light():
    code = "import sys, synthray; print(sorted({'torch', 'numba', 'SimpleITK', 'numpy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
