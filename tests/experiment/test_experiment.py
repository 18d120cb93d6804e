"""Experiments: folds without leaks, arms that train on what they say, tables that agree with hand counts."""

import json

import numpy as np
import pytest

from synthray.errors import InputError
from synthray.evaluate import Case, Counts
from synthray.experiment import EXPERIMENTS, SIZES, Arm, run_experiment
from synthray.experiment.compare import Row, compare
from synthray.experiment.curves import BINS, at_sensitivity, bootstrap_f1, pooled_curve, probability_histogram
from synthray.experiment.growth import growth_blocks, power_law
from synthray.experiment.outcomes import Scored, Trial
from synthray.experiment.real import fold_of, real_source
from synthray.experiment.trials import chosen_samples

NO_DATA = "synthray.experiment.run.find_data"


def _case(number, person, shape=(40, 30)):
    image = np.random.default_rng(number).random(shape)
    mask = np.zeros(shape, dtype=bool)
    mask[10:20, 5:15] = True
    return Case(f"image-{number}", image, {"lung": mask}, {"FH-l": np.array([5.0, 10.0])}, group=person)


def test_no_person_is_in_both_folds_and_folds_are_of_equal_size():
    cases = [_case(n, f"person-{n // 3}") for n in range(30)]
    folds = fold_of(cases, 2, seed=4)
    assert sorted(map(folds.count, (0, 1))) == [15, 15]
    for person in {case.group for case in cases}:
        assert len({fold for case, fold in zip(cases, folds, strict=True) if case.group == person}) == 1
    assert folds == fold_of(cases, 2, seed=4)
    assert folds != fold_of(cases, 2, seed=5)


def test_real_images_keep_their_shape_and_masks_fall_on_the_same_place():
    source = real_source([_case(0, "a"), _case(1, "b", (60, 60))], ("lung", "heart"), ("FH-l", "FH-r"), 32, 0, 0)
    images, masks = source.data.images, source.data.masks
    assert images.shape == (2, 40, 40)
    assert masks.shape == (2, 2, 40, 40)
    assert not masks[:, 1].any()
    # 40 x 30 pixels in 40 x 40: five columns of padding, and the mask moved by as many.
    assert np.argwhere(masks[0, 0]).min(axis=0).tolist() == [10, 10]
    assert np.argwhere(masks[0, 0]).max(axis=0).tolist() == [19, 19]
    np.testing.assert_allclose(source.data.landmarks_px[0, 0], [10, 10], atol=1e-6)
    assert source.data.visible.tolist() == [[True, False], [True, False]]
    assert len(real_source([_case(n, "a") for n in range(9)], ("lung",), (), 32, 4, 1).data.images) == 4


def _histogram(rng, pixels=4000):
    truth = rng.random(pixels) < 0.3
    probability = np.clip(rng.normal(0.35 + 0.3 * truth, 0.15), 0, 0.9999).astype(np.float32)
    return probability, truth


def test_the_pooled_curve_is_scikit_like_and_f1_is_read_at_the_sensitivity():
    rng = np.random.default_rng(3)
    parts = [_histogram(rng) for _ in range(3)]
    histograms = [probability_histogram(*part) for part in parts]
    probability = np.concatenate([p for p, _ in parts])
    truth = np.concatenate([t for _, t in parts])
    sensitivity, precision = pooled_curve(histograms)
    for place in (20, 100, 150):
        predicted = probability >= 1 - (place + 1) / BINS
        counted = np.count_nonzero(predicted & truth)
        assert sensitivity[place] == pytest.approx(counted / truth.sum(), abs=0.002)
        assert precision[place] == pytest.approx(counted / max(predicted.sum(), 1), abs=0.005)
    found = at_sensitivity(histograms, 0.8)
    predicted = probability >= found["threshold"]
    assert np.count_nonzero(predicted & truth) / truth.sum() == pytest.approx(0.8, abs=0.01)
    counted = np.count_nonzero(predicted & truth) / predicted.sum()
    assert found["precision"] == pytest.approx(counted, abs=0.01)
    low, high = bootstrap_f1(histograms, ["a", "b", "c"], 0.8)
    assert low <= found["f1"] <= high
    assert high - low < 0.1


def _row(arm, images, dice):
    return Row(arm, "", images, 9, dice, (dice, dice), (dice,), {}, None, None, None, {}, 1.0)


def test_a_power_law_through_the_arms_tells_what_more_images_are_worth():
    rows = [_row(f"people-{n}", 12 * n, 1 - 0.8 * (12 * n) ** -0.3) for n in (2, 4, 8, 16)]
    rows.append(_row("all", 480, 1 - 0.8 * 480**-0.3))
    factor, exponent = power_law([row.trained_on for row in rows], [row.dice for row in rows])
    assert (factor, exponent) == pytest.approx((0.8, 0.3))
    chart, told = growth_blocks(rows)
    assert [series.name for series in chart.series] == ["more people", "more people, fitted"]
    np.testing.assert_allclose(chart.series[1].y[-1], rows[-1].dice)
    assert "twice the images leave 81%" in told.text
    assert growth_blocks([_row("sim", 10, 0.9), _row("all", 20, 0.9)]) == []


def _trial(arm, seed, dice_of, fold=0):
    def scored(name, dice):
        counts = Counts(round(100 * dice), round(100 * (1 - dice)), round(100 * (1 - dice)), 500)
        return Scored(name, name[0], {"lung": counts}, {"FH-l": 10 * dice}, {"FH-l": dice})

    images = tuple(scored(name, dice) for name, dice in dice_of.items())
    return Trial(arm, seed, fold, 10, 60.0, 7, {"real": images}, None)


def test_arms_are_compared_image_by_image_over_seeds_and_folds():
    experiment = EXPERIMENTS["lungs"]
    arms = [Arm("sim", "simulated"), Arm("real", "real", real=0)]
    trials = [
        _trial("sim", 0, {"a1": 0.9, "b1": 0.8}),
        _trial("sim", 1, {"a1": 0.7, "b1": 0.8}),
        _trial("real", 0, {"a1": 0.9}, fold=0),
        _trial("real", 0, {"b1": 0.9}, fold=1),
    ]
    sim, real = compare(experiment, arms, trials, "real")
    assert sim.dice == pytest.approx(0.8)
    assert sim.seed_dice == pytest.approx((0.85, 0.75))
    assert sim.difference == pytest.approx(-0.1)
    assert sim.difference_ci95 == pytest.approx((-0.1, -0.1))
    assert real.dice == pytest.approx(0.9)
    assert real.difference is None
    assert real.structures == {"lung": pytest.approx(0.9)}
    assert sim.landmarks["mean"] == pytest.approx(8.0)
    assert sim.landmarks["detected"] == pytest.approx(0.25)
    assert sim.landmarks["mean_of_detected"] == pytest.approx(9.0)
    assert compare(experiment, arms, trials, "real", {"b1"})[0].n == 1
    assert compare(experiment, arms, trials, "simulated") == []


@pytest.fixture(scope="module")
def lungs_without_data(tmp_path_factory):
    out = tmp_path_factory.mktemp("experiments")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NO_DATA, lambda given: None)
        return out, run_experiment("lungs", out, size="tiny")


@pytest.fixture
def without_data(monkeypatch):
    monkeypatch.setattr(NO_DATA, lambda given: None)


@pytest.mark.usefixtures("without_data")
def test_an_experiment_runs_on_built_in_bodies_alone_and_goes_on_where_it_stopped(lungs_without_data):
    out, found = lungs_without_data
    assert found.tables["real"] == []
    assert [row.arm for row in found.tables["simulated"]] == ["sim", "sim-bodies"]
    assert found.report.read_text(encoding="utf-8").startswith("<!doctype html>")
    weights = out / "tiny" / "lungs" / "trials" / "sim" / "seed-0-fold-0" / "run" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = run_experiment("lungs", out, size="tiny")
    assert weights.stat().st_mtime_ns == before
    assert again.scores == found.scores


def test_arms_train_on_the_people_and_views_they_name(lungs_without_data):
    from synthray.dataset import Dataset
    from synthray.train.pool import load_pool

    dataset = Dataset.open(lungs_without_data[0] / "tiny" / "chest")
    pool = load_pool(dataset, "train", None)
    size = SIZES["tiny"]
    assert chosen_samples(dataset, pool, Arm("a", "")).sum() == size.bodies * size.views
    assert chosen_samples(dataset, pool, Arm("a", "", people="ct")).sum() == 0
    one = chosen_samples(dataset, pool, Arm("a", "", most_people=1))
    assert len(np.unique(pool.people[one])) == 1
    assert chosen_samples(dataset, pool, Arm("a", "", share_of_views=0.34)).sum() == size.bodies
    assert len(pool.subset(one).batch(0, 5, 0).images) == 5
    with pytest.raises(InputError, match="no simulated image is left"):
        pool.subset(np.zeros(len(pool.people), dtype=bool))


def test_painted_disease_becomes_a_structure_to_learn(lungs_without_data):
    from synthray.dataset import Dataset, Redraw
    from synthray.experiment.chest_experiments import COVID_EXPERIMENT
    from synthray.train.pool import load_pool

    dataset = Dataset.open(lungs_without_data[0] / "tiny" / "chest")
    arm = next(arm for arm in COVID_EXPERIMENT.arms(SIZES["tiny"]) if arm.name == "sim")
    pool = load_pool(dataset, "train", Redraw.model_validate(arm.redraw), ("opacity", "lung"))
    batch = pool.batch(0, 16, 0)
    assert batch.masks.shape[1] == 2
    painted = batch.masks[:, 0]
    assert 0.4 < painted.any(axis=(1, 2)).mean() <= 1
    assert not pool.stored.masks[:, 0].any()


def test_networks_are_carried_over_to_unlabelled_images_after_the_arm_they_come_from(lungs_without_data, monkeypatch):
    from PIL import Image

    out, _ = lungs_without_data
    root = out / "data"
    (root / "xray" / "chest_unlabelled" / "images").mkdir(parents=True)
    (root / "ct").mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        image = Image.fromarray(rng.integers(0, 255, (48, 40), dtype=np.uint8))
        image.save(root / "xray" / "chest_unlabelled" / "images" / f"{number}.png")
    monkeypatch.setattr(NO_DATA, lambda given: root)
    found = run_experiment("lungs", out, size="tiny", arms=["sim-self", "sim-adabn"])
    assert [row.arm for row in found.tables["simulated"]] == ["sim", "sim-self", "sim-adabn"]
    model = out / "tiny" / "lungs" / "trials" / "sim-self" / "seed-0-fold-0" / "run" / "model.json"
    adaptation = json.loads(model.read_text())["recipe"]["adaptation"]
    assert (adaptation["method"], adaptation["images"], adaptation["reads_labels"]) == ("self_training", 6, False)


@pytest.mark.usefixtures("without_data")
def test_the_covid_experiment_scores_simulated_people_with_painted_disease(lungs_without_data):
    out, _ = lungs_without_data
    found = run_experiment("covid", out, size="tiny", arms=["sim-bodies"])
    (row,) = found.tables["simulated"]
    assert row.n == SIZES["tiny"].held_out_bodies * SIZES["tiny"].views
    assert set(row.structures) == {"opacity", "lung"}
    # Something was there to find: a sensitivity needs pixels that are ill.
    assert 0 < row.pooled["f1"] < 1


@pytest.mark.usefixtures("without_data")
def test_what_cannot_run_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="unknown experiment 'lung'"):
        run_experiment("lung", tmp_path)
    with pytest.raises(InputError, match="unknown size"):
        run_experiment("lungs", tmp_path, size="huge")
    with pytest.raises(InputError, match="has no arm 'simm'"):
        run_experiment("lungs", tmp_path, size="tiny", arms=["simm"])
    with pytest.raises(InputError, match="without real data"):
        run_experiment("lungs", tmp_path, size="tiny", arms=["real"])


@pytest.mark.usefixtures("without_data")
def test_a_damaged_trial_is_named(lungs_without_data):
    out, _ = lungs_without_data
    path = out / "tiny" / "lungs" / "trials" / "sim" / "seed-0-fold-0" / "trial.json"
    kept = path.read_text(encoding="utf-8")
    path.write_text(json.dumps({"arm": "sim"}), encoding="utf-8")
    with pytest.raises(InputError, match="remove it to run the trial again"):
        run_experiment("lungs", out, size="tiny")
    path.write_text(kept, encoding="utf-8")


@pytest.mark.usefixtures("without_data")
def test_the_hip_experiment_crosses_people_and_scores_landmarks(tmp_path):
    found = run_experiment("hip", tmp_path, size="tiny", arms=["realistic-strong"])
    row = found.tables["simulated"][0]
    people = SIZES["tiny"].bodies
    assert row.n == people * SIZES["tiny"].views * 2
    assert row.trained_on == row.n // 2
    assert set(row.structures) == {"hip_left", "hip_right", "vertebrae", "sacrum", "femur_left", "femur_right"}
    assert row.landmarks["mean"] > 0
    assert "Landmark" in found.report.read_text(encoding="utf-8") or "landmarks" in found.report.read_text()
    trials = sorted((tmp_path / "tiny" / "hip" / "trials" / "realistic-strong").iterdir())
    scored = [json.loads((trial / "trial.json").read_text())["scored"]["simulated"] for trial in trials]
    shown = [{image["person"] for image in images} for images in scored]
    assert len(shown) == 2
    assert not shown[0] & shown[1]


@pytest.mark.usefixtures("without_data")
def test_the_tool_experiment_finds_mask_base_and_tip_in_people_with_metal(tmp_path):
    found = run_experiment("tool", tmp_path, size="tiny", arms=["realistic-strong"])
    row = found.tables["simulated"][0]
    assert row.n == SIZES["tiny"].bodies * SIZES["tiny"].views * 2
    assert set(row.structures) == {"tool"}
    assert row.landmarks["mean"] > 0
    report = found.report.read_text(encoding="utf-8")
    assert "1.10 ± 0.88 mm" in report
    assert "detected fraction" in report
    assert "development images" not in report


@pytest.mark.usefixtures("without_data")
def test_the_tool_experiment_takes_a_folder_with_masks_and_an_index_of_landmarks(tmp_path):
    from PIL import Image

    rng, folder, index = np.random.default_rng(0), tmp_path / "real", []
    for name in ("images", "masks_tool"):
        (folder / name).mkdir(parents=True)
    for number in range(4):
        mask = np.zeros((40, 40), dtype=np.uint8)
        mask[10:30, 15 + number : 20 + number] = 255
        Image.fromarray(mask).save(folder / "masks_tool" / f"{number}.png")
        Image.fromarray(mask // 2 + rng.integers(0, 60, (40, 40), dtype=np.uint8)).save(folder / f"images/{number}.png")
        marks = {"tool_base": [17, 10], "tool_tip": [17, 29]}
        index.append({"stem": f"{number}", "patient": f"p{number // 2}", "pixel_mm": 0.5, "landmarks_px": marks})
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    found = run_experiment("tool", tmp_path, size="tiny", real=folder, arms=["real"])
    (row,) = found.tables["real"]
    assert row.n == 4
    # Errors are in mm: a picture is 20 mm wide.
    assert 0 < row.landmarks["mean"] < 29
    index[0]["landmarks_px"] = {"tool_tip": [1, 2, 3]}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(InputError, match="image '0': landmarks_px must be"):
        run_experiment("tool", tmp_path, size="tiny", real=folder, arms=["real"])


@pytest.mark.usefixtures("without_data")
def test_the_hip_experiment_takes_a_deepfluoro_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "real.h5", "w") as file:
        names = file.create_group("land-names")
        for number, name in enumerate(("FH-l", "FH-r")):
            names[f"land-{number:02d}"] = name
        for specimen in ("01", "02", "03"):
            group = file.create_group(specimen)
            group["projs"] = rng.random((2, 36, 36)).astype(np.float32)
            group["segs"] = rng.integers(0, 7, (2, 36, 36)).astype(np.uint8)
            group["lands"] = np.tile([[10.0, 20.0], [15.0, 25.0]], (2, 1, 1))
    found = run_experiment("hip", tmp_path, size="tiny", real=tmp_path / "real.h5", arms=["realistic-regular", "real"])
    assert [(row.arm, row.n) for row in found.tables["real"]] == [("realistic-regular", 6), ("real", 6)]
    assert 0 < found.tables["real"][1].landmarks["mean"] < 1436 * 0.194 * 1.5
    with pytest.raises(InputError, match="no such file or folder of real X-rays"):
        run_experiment("hip", tmp_path, size="tiny", real=tmp_path / "none.h5")


def test_real_images_are_scored_by_networks_that_have_not_seen_them(shared_data, tmp_path):
    (tmp_path / "data" / "ct").mkdir(parents=True)
    (tmp_path / "data" / "ct" / "one").symlink_to(shared_data / "ct" / "imlab_chest_id001")
    (tmp_path / "data" / "xray").symlink_to(shared_data / "xray")
    found = run_experiment("lungs", tmp_path / "out", size="tiny", data=tmp_path / "data", arms=["real"])
    assert [row.n for row in found.tables["real"]] == [49]
    assert [row.n for row in found.tables["real_without_development"]] == [39]
