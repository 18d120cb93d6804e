"""The endless set: batches are those of the same set on disk, and interruptions leave no trace."""

from contextlib import closing

import numpy as np
import pytest
from safetensors.torch import load_file

from synthray.dataset import Dataset, generate, load_recipe
from synthray.errors import InputError
from synthray.train import train
from synthray.train.pool import load_pool
from synthray.train.stream import Stream, StreamSource

PEOPLE = {"region": "chest", "voxel_mm": 10}
RECIPE = {
    "name": "endless",
    "images": 8,
    "images_per_shard": 2,
    "people": [
        {"body": 1, "count": 2, **PEOPLE},
        {"body": 9, "split": "val", **PEOPLE},
        {"body": 3, **PEOPLE},
    ],
    "views": [{"carm": "chest-pa", "view": "pa", "rows": 32, "target": "lung_left+lung_right"}],
    "structures": {"lung": {"of": ["lung_left", "lung_right"]}},
    "landmarks": [],
    "keep_area_density": True,
}
WINDOW = {"shards": 3, "steps_per_shard": 2, "validation_shards": 1}


def _source(**changes):
    settings = Stream.model_validate({"recipe": RECIPE, **WINDOW, **changes})
    return StreamSource(load_recipe(RECIPE), settings, None)


def _same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("images", "masks", "landmarks_px", "visible")
    )


def test_the_first_window_is_the_data_set_on_disk(tmp_path):
    generate(RECIPE, tmp_path / "set", workers=1)
    dataset = Dataset.open(tmp_path / "set")
    with closing(_source()) as source:
        assert source.structures == ("lung",)
        assert _same(source.batch(1, 6, 0), load_pool(dataset, "train", None).batch(1, 6, 0))
        held = source.held_out()
        assert _same(held.batch(0, 6, 0), load_pool(dataset, "val", None).batch(0, 6, 0))
        assert set(held.people) == {2}


def test_the_window_moves_to_images_that_no_step_saw_before():
    with closing(_source()) as source:
        early, late = source.batch(0, 40, 0), source.batch(7, 40, 0)
        seen = {image.tobytes() for image in early.images}
        fresh = {image.tobytes() for image in late.images}
        assert len(seen) == len(fresh) == 6
        assert not seen & fresh


def test_a_step_sees_the_same_whatever_came_before_and_however_many_threads():
    with closing(_source()) as source:
        walked = [source.batch(step, 5, 3) for step in range(6)]
    with closing(_source(workers=3)) as source:
        assert _same(source.batch(5, 5, 3), walked[5])
        assert _same(source.batch(2, 5, 3), walked[2])


def test_an_interrupted_training_on_a_stream_ends_with_the_same_weights(tmp_path):
    def recipe(out, stop=None):
        def watch(at):
            if at.step == stop:
                raise KeyboardInterrupt

        train(
            {
                "stream": {"recipe": RECIPE, **WINDOW},
                "redraw": {},
                "training": {
                    "size": 32, "batch": 3, "steps": 5, "checkpoint_every": 2, "threads": 1,
                    "network": {"width": 4, "levels": 3},
                },
            },
            out,
            on_progress=watch,
        )  # fmt: skip

    recipe(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        recipe(tmp_path / "halves", stop=4)
    recipe(tmp_path / "halves")
    whole, halves = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    assert all(np.array_equal(whole[name].numpy(), halves[name].numpy()) for name in whole)


def test_what_cannot_stream_is_refused_in_one_line():
    nobody = {**RECIPE, "people": [{"body": 9, "split": "val", **PEOPLE}]}
    with pytest.raises(InputError, match="nobody is in split 'train'"):
        StreamSource(load_recipe(nobody), Stream.model_validate({"recipe": nobody}), None)
    with pytest.raises(InputError, match="give either 'data'"):
        train({"data": "set", "stream": {"recipe": RECIPE}}, "run")
    settings = Stream.model_validate({"recipe": RECIPE, **WINDOW})
    with pytest.raises(InputError, match="no structure 'heart'"):
        StreamSource(load_recipe(RECIPE), settings, None, ("heart",))
