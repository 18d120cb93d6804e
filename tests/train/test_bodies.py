"""Learning carries over to people it has not seen; with shuffled labels it does not."""

from dataclasses import replace

import numpy as np
import pytest

from synthray.dataset import Dataset, Redraw, generate
from synthray.errors import InputError
from synthray.train import Batch, TrainConfig, fit, train
from synthray.train.pool import load_pool

RECIPE = {
    "images": 120,
    "images_per_shard": 20,
    "people": [
        {"body": 1, "count": 4, "region": "chest", "voxel_mm": 6},
        {"body": 50, "count": 2, "region": "chest", "voxel_mm": 6, "split": "val"},
    ],
    "views": [
        {
            "carm": "chest-pa",
            "rows": 48,
            "target": "lung_left+lung_right",
            # Far off centre and turned: a mean shape alone scores low.
            "roll_deg": {"uniform": [-40, 40]},
            "offset_mm": [{"uniform": [-110, 110]}, 0, {"uniform": [-110, 110]}],
        }
    ],
    "structures": {"lung": {"of": ["lung_left", "lung_right"], "minus": ["below_diaphragm"], "path_above_mm": 4}},
    "landmarks": [],
    "keep_area_density": True,
    "keep_paths": ["lung"],
}
CONFIG = TrainConfig.model_validate(
    {
        "size": 64,
        "batch": 8,
        "steps": 160,
        "validate_every": 160,
        "validation_batches": 5,
        "augment": {"preset": "none"},
        "network": {"width": 8},
    }
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bodies") / "set"
    generate(RECIPE, folder, workers=1)
    return Dataset.open(folder)


@pytest.mark.slow
def test_a_tiny_training_reaches_people_it_has_not_seen(dataset, tmp_path):
    source, held_out = (load_pool(dataset, split, Redraw()) for split in ("train", "val"))
    result = fit(source, held_out, CONFIG, tmp_path / "run", seed=1)
    assert result.validation.dice["lung"] > 0.85


@pytest.mark.slow
def test_with_shuffled_labels_it_does_not(dataset, tmp_path):
    source, held_out = (load_pool(dataset, split, Redraw()) for split in ("train", "val"))
    order = np.random.default_rng(0).permutation(len(source.stored.images))
    held = source.stored
    shuffled = replace(source, stored=Batch(held.images, held.masks[order], held.landmarks_px, held.visible))
    result = fit(shuffled, held_out, CONFIG, tmp_path / "run", seed=1)
    assert result.validation.dice["lung"] < 0.7


def test_a_pool_is_a_function_of_step_and_seed(dataset):
    pool = load_pool(dataset, "train", Redraw.model_validate({"opacities": {}}))
    first, again, other = pool.batch(3, 4, 1), pool.batch(3, 4, 1), pool.batch(4, 4, 1)
    np.testing.assert_array_equal(first.images, again.images)
    assert first.images.shape == (4, 48, 48)
    assert not np.array_equal(first.images, other.images)


def test_wrong_training_recipes_are_refused(dataset, tmp_path):
    folder = str(dataset.folder)
    with pytest.raises(InputError, match="no structure 'heart'"):
        train({"data": folder, "structures": ["heart"]}, tmp_path / "a")
    with pytest.raises(InputError, match="unknown key 'trainig'; did you mean 'training'"):
        train({"data": folder, "trainig": {}}, tmp_path / "b")
    with pytest.raises(InputError, match="keeps no paths"):
        load_pool(dataset, "train", Redraw.model_validate({"opacities": {"structure": "heart"}}))
    with pytest.raises(InputError, match="no data set here"):
        train({"data": str(tmp_path)}, tmp_path / "c")
