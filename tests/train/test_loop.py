import csv
import itertools
import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import save_file

from synthray.augment import AugmentConfig
from synthray.errors import InputError, SynthrayError
from synthray.models import NetworkConfig, TransUNetConfig, load_model, predict
from synthray.train import ArraySource, Batch, TrainConfig, fit

NONE = AugmentConfig(preset="none")
QUICK = {
    "size": 64,
    "batch": 8,
    "steps": 6,
    "network": NetworkConfig(width=4, levels=3),
    "augment": AugmentConfig(preset="strong", flip=0.5, elastic=0.3, lines=0.3, collimation=0.3),
    "validate_every": 4,
    "validation_batches": 1,
    "checkpoint_every": 3,
    "threads": 1,
}


class StopError(Exception):
    """Stands for an interruption."""


def weights(run_dir):
    return load_model(run_dir).network.state_dict()


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_a_tiny_training_learns_what_is_there_and_not_what_is_not(discs, tmp_path):
    config = TrainConfig(**{**QUICK, "steps": 120, "batch": 16, "augment": NONE, "network": NetworkConfig(width=8)})
    unseen = discs(24, seed=99)
    result = fit(discs(160, seed=0), unseen, config, tmp_path / "true")
    control = fit(discs(160, seed=0, shuffled=True), unseen, config, tmp_path / "shuffled")
    assert result.validation.mean_dice > 0.9
    assert control.validation.mean_dice < 0.85
    assert max(result.validation.landmark_px.values()) < 1.0
    assert min(control.validation.landmark_px.values()) > 2.0

    (found,) = predict(load_model(tmp_path / "true"), unseen.data.images[:1])
    truth = unseen.data.masks[0, 1].astype(bool)
    mask = found.masks["disc_right"]
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9
    assert np.abs(found.landmarks_px["center-l"] - unseen.data.landmarks_px[0, 0]).max() < 1.5


def test_the_same_seed_gives_the_same_weights_and_another_does_not(discs, tmp_path):
    config = TrainConfig(**QUICK)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        fit(discs(20, seed=0), None, config, tmp_path / name, seed=seed)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def without_time(result):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result.history]


def interrupt_at(step):
    def interrupt(progress):
        if progress.step == step:
            raise StopError

    return interrupt


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_an_interrupted_training_goes_on_as_if_it_had_not_stopped(discs, tmp_path, stop_at):
    config = TrainConfig(**QUICK)
    source, held_out = discs(20, seed=0), discs(8, seed=1)
    whole = fit(source, held_out, config, tmp_path / "whole")
    with pytest.raises(StopError):
        fit(source, held_out, config, tmp_path / "parts", on_progress=interrupt_at(stop_at))
    steps = []
    if stop_at < 3:
        # Nothing was saved yet, so the folder is still empty.
        assert not (tmp_path / "parts").exists()
    parts = fit(source, held_out, config, tmp_path / "parts", on_progress=lambda p: steps.append(p.step))
    assert steps[0] == stop_at // 3 * 3 + 1
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert without_time(whole) == without_time(parts)


MINIATURE = TransUNetConfig(
    width=8, units=(1, 1, 1), hidden=24, mlp=40, heads=3, layers=2, decoder=(8, 8, 8, 8), grid=4
)
OTHER_KINDS = {
    "resunet": {"network": NetworkConfig(kind="resunet", width=4, levels=3, deep_supervision=True)},
    "transunet": {"network": NetworkConfig(kind="transunet", transunet=MINIATURE)},
    "focal, mse": {"mask_loss": "focal", "landmark_loss": "mse"},
    "dice, soft argmax": {
        "mask_loss": "dice",
        "landmark_loss": "soft_argmax",
        "network": NetworkConfig(width=4, levels=3, heatmap="softmax"),
    },
}


@pytest.mark.parametrize("changes", OTHER_KINDS.values(), ids=OTHER_KINDS.keys())
def test_every_network_and_loss_resumes_as_if_it_had_not_stopped(discs, tmp_path, changes):
    config = TrainConfig(**{**QUICK, "batch": 4, **changes})
    source = discs(12, seed=0)
    whole = fit(source, source, config, tmp_path / "whole")
    with pytest.raises(StopError):
        fit(source, source, config, tmp_path / "parts", on_progress=interrupt_at(5))
    # Whatever else drew random numbers in between.
    torch.rand(7)
    parts = fit(source, source, config, tmp_path / "parts")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert without_time(whole) == without_time(parts)


LEARNERS = {
    "resunet": (90, {"network": NetworkConfig(kind="resunet", width=8, levels=4, deep_supervision=True)}),
    "transunet": (60, OTHER_KINDS["transunet"]),
    "focal, mse": (90, {"mask_loss": "focal", "landmark_loss": "mse", "network": NetworkConfig(width=8)}),
    # Dice alone starts slowly.
    "dice, soft argmax": (
        140,
        {"mask_loss": "dice", "landmark_loss": "soft_argmax", "network": NetworkConfig(width=8, heatmap="softmax")},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "changes"), LEARNERS.values(), ids=LEARNERS.keys())
def test_every_network_and_loss_learns(discs, tmp_path, steps, changes):
    config = TrainConfig(**{**QUICK, "steps": steps, "augment": NONE, "validate_every": steps, **changes})
    result = fit(discs(160, seed=0), discs(16, seed=99), config, tmp_path / "run")
    # The mean shape in the mean place has less than 0.85, and its landmarks are over 2 px off (control above).
    assert result.validation.mean_dice > 0.87
    assert max(result.validation.landmark_px.values()) < 1.0


def test_a_run_of_an_earlier_version_goes_on(discs, tmp_path):
    """Settings that came later have their defaults in it."""
    config = TrainConfig(**QUICK)
    fit(discs(12, seed=0), None, config, tmp_path / "run")
    state = tmp_path / "run" / "training.safetensors"
    with safe_open(state, framework="pt") as file:
        facts = json.loads(file.metadata()["synthray"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    for name in ("mask_loss", "landmark_loss", "initial"):
        del facts["settings"][name]
    del facts["settings"]["network"]["transunet"]
    save_file(tensors, state, metadata={"synthray": json.dumps(facts)})
    assert fit(discs(12, seed=0), None, config, tmp_path / "run").steps == 6


def test_a_training_starts_from_another_runs_weights(discs, tmp_path):
    config = TrainConfig(**{**QUICK, "steps": 1, "lr": 1e-9})
    first = fit(discs(12, seed=0), None, config, tmp_path / "first", seed=1)
    second = config.model_copy(update={"initial": str(first.run_dir)})
    fit(discs(12, seed=0), None, second, tmp_path / "second", seed=2)
    before, after = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert torch.allclose(before["head.weight"], after["head.weight"], atol=1e-5)
    other = ArraySource(discs(12, seed=0).data, ("a", "b"), ("center-l", "center-r"))
    plain = second.model_copy(update={"augment": NONE})
    with pytest.raises(InputError, match="structures of its own"):
        fit(other, None, plain, tmp_path / "third")
    with pytest.raises(InputError, match="can't be read"):
        fit(discs(12, seed=0), None, config.model_copy(update={"initial": str(tmp_path / "no")}), tmp_path / "fourth")


def test_soft_argmax_and_softmax_heatmaps_go_together():
    with pytest.raises(ValidationError, match="go together"):
        TrainConfig(landmark_loss="soft_argmax")
    with pytest.raises(ValidationError, match="go together"):
        TrainConfig(network=NetworkConfig(heatmap="softmax"))


def test_a_finished_training_is_not_repeated(discs, tmp_path):
    config = TrainConfig(**QUICK)
    first = fit(discs(20, seed=0), discs(8, seed=1), config, tmp_path / "run")
    steps = []
    again = fit(discs(20, seed=0), discs(8, seed=1), config, tmp_path / "run", on_progress=steps.append)
    assert steps == []
    assert again.history == first.history
    assert again.validation == first.validation


def test_other_settings_in_the_same_folder_are_refused_by_name(discs, tmp_path):
    fit(discs(20, seed=0), None, TrainConfig(**QUICK), tmp_path / "run")
    with pytest.raises(InputError, match=r"other settings \(lr\)"):
        fit(discs(20, seed=0), None, TrainConfig(**QUICK, lr=1e-3), tmp_path / "run")
    with pytest.raises(InputError, match="seed"):
        fit(discs(20, seed=0), None, TrainConfig(**QUICK), tmp_path / "run", seed=5)


def test_a_folder_with_something_else_and_a_damaged_state_are_refused(discs, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="not an empty folder"):
        fit(discs(20, seed=0), None, TrainConfig(**QUICK), tmp_path / "run")
    fit(discs(20, seed=0), None, TrainConfig(**QUICK), tmp_path / "other")
    state = tmp_path / "other" / "training.safetensors"
    state.write_bytes(state.read_bytes()[:5000])
    with pytest.raises(InputError, match="damaged"):
        fit(discs(20, seed=0), None, TrainConfig(**QUICK), tmp_path / "other")


def test_a_time_cap_ends_the_training_with_a_low_learning_rate(discs, tmp_path, monkeypatch):
    clock = itertools.count(step=0.025)
    monkeypatch.setattr("synthray.train.loop.time.monotonic", lambda: next(clock))
    config = TrainConfig(**{**QUICK, "steps": 100_000, "max_seconds": 4, "validate_every": 100_000})
    seen = []
    result = fit(discs(20, seed=0), None, config, tmp_path / "run", on_progress=seen.append)
    assert result.capped
    assert 30 < result.steps < 50
    assert 0.95 < seen[-1].fraction <= 1
    assert result.history[-1]["lr"] < 0.01 * config.lr
    assert load_model(tmp_path / "run").spec.recipe["capped"] is True
    again = fit(discs(20, seed=0), None, config, tmp_path / "run")
    assert (again.steps, again.capped) == (result.steps, True)


def test_history_and_model_are_written(discs, tmp_path):
    result = fit(discs(20, seed=0), discs(8, seed=1), TrainConfig(**QUICK), tmp_path / "run", conditions={"people": 3})
    with (tmp_path / "run" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [4, 6]
    assert {"loss", "val_loss", "dice_disc_left", "landmark_px_center-r", "lr", "seconds"} <= set(rows[0])
    spec = load_model(tmp_path / "run").spec
    assert spec.conditions == {"people": 3}
    assert spec.structures == ("disc_left", "disc_right")
    assert spec.recipe["steps_done"] == 6
    assert spec.recipe["capped"] is False
    assert not result.capped


def test_masks_only_landmarks_only_and_images_of_another_size(discs, tmp_path):
    config = TrainConfig(**{**QUICK, "steps": 2})
    masks_only = discs(10, seed=0, size=50, landmarks=False)
    fit(masks_only, masks_only, config, tmp_path / "masks")
    assert load_model(tmp_path / "masks").landmarks == ()
    whole = discs(10, seed=0).data
    empty = np.zeros((10, 0, 64, 64), np.uint8)
    points = ArraySource(Batch(whole.images, empty, whole.landmarks_px, whole.visible), (), ("center-l", "center-r"))
    result = fit(points, points, config, tmp_path / "points")
    assert load_model(tmp_path / "points").structures == ()
    assert np.isnan(result.validation.mean_dice)


def test_absent_landmarks_do_not_matter(discs, tmp_path):
    whole = discs(10, seed=0)
    points, visible = whole.data.landmarks_px.copy(), whole.data.visible.copy()
    points[:, 0], visible[:, 0] = np.nan, False
    absent = ArraySource(Batch(whole.data.images, whole.data.masks, points, visible), whole.structures, whole.landmarks)
    result = fit(absent, absent, TrainConfig(**{**QUICK, "steps": 2}), tmp_path / "run")
    assert np.isfinite(result.history[-1]["loss"])
    assert np.isnan(result.validation.landmark_px["center-l"])
    assert np.isfinite(result.validation.landmark_px["center-r"])


def test_a_loss_that_is_not_finite_stops_the_training(discs, tmp_path):
    with pytest.raises(SynthrayError, match="lower lr"):
        fit(discs(8, seed=0), None, TrainConfig(**QUICK, landmark_weight=1e39), tmp_path / "run")


def test_sources_must_agree_and_flips_need_partners(discs, tmp_path):
    whole = discs(8, seed=0)
    renamed = ArraySource(whole.data, ("a", "b"), whole.landmarks)
    with pytest.raises(InputError, match="different structures"):
        fit(whole, renamed, TrainConfig(**QUICK), tmp_path / "run")
    lonely = ArraySource(whole.data, ("disc_left", "b"), whole.landmarks)
    with pytest.raises(InputError, match="partner"):
        fit(lonely, None, TrainConfig(**QUICK), tmp_path / "run")
    hidden = ArraySource(whole.data, ("disc_left", "../b"), whole.landmarks)
    with pytest.raises(InputError, match="file name"):
        fit(hidden, None, TrainConfig(**QUICK), tmp_path / "run")


@pytest.mark.parametrize("bad", [{"size": 100}, {"steps": 0}, {"learning_rate": 1}, {"augment": {"preset": "x"}}])
def test_unusable_settings_are_refused(bad):
    with pytest.raises(ValidationError):
        TrainConfig.model_validate(bad)


def test_the_callers_random_numbers_are_left_alone(discs, tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    fit(discs(8, seed=0), None, TrainConfig(**{**QUICK, "steps": 1}), tmp_path / "run")
    assert torch.equal(torch.rand(4), expected)
