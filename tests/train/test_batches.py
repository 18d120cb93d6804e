import numpy as np
import pytest
import torch

from synthray.errors import InputError
from synthray.models import Preprocessing
from synthray.train import ArraySource, Batch
from synthray.train.batches import batches_ahead, to_tensors


def numbered(count):
    images = np.arange(count, dtype=np.float32)[:, None, None] * np.ones((1, 4, 4), dtype=np.float32)
    none = np.zeros((count, 0, 2), dtype=np.float32), np.zeros((count, 0), dtype=bool)
    return ArraySource(Batch(images, np.zeros((count, 1, 4, 4), np.uint8), *none), ("a",))


def test_batches_are_functions_of_their_arguments():
    source = numbered(10)
    assert np.array_equal(source.batch(3, 4, 0).images, source.batch(3, 4, 0).images)
    assert not np.array_equal(source.batch(3, 4, 0).images, source.batch(3, 4, 1).images)


def test_every_image_comes_once_before_any_comes_again():
    source = numbered(10)
    seen = np.concatenate([source.batch(step, 4, 5).images[:, 0, 0] for step in range(5)])
    assert np.array_equal(np.sort(seen[:10]), np.arange(10))
    assert np.array_equal(np.sort(seen[10:]), np.arange(10))


def test_a_small_set_is_given_whole():
    assert len(numbered(3).batch(7, 16, 0).images) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"masks": np.zeros((2, 2, 4, 4), np.uint8)},
        {"masks": np.zeros((2, 1, 4, 5), np.uint8)},
        {"landmarks_px": np.zeros((2, 1, 2), np.float32)},
        {"visible": np.zeros((3, 0), bool)},
        {"images": np.full((2, 4, 4), np.nan, np.float32)},
        {"images": np.zeros((0, 4, 4), np.float32)},
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(change):
    good = {
        "images": np.zeros((2, 4, 4), np.float32),
        "masks": np.zeros((2, 1, 4, 4), np.uint8),
        "landmarks_px": np.zeros((2, 0, 2), np.float32),
        "visible": np.zeros((2, 0), bool),
    }
    with pytest.raises(InputError):
        ArraySource(Batch(**{**good, **change}), ("a",))


def test_batches_come_in_order_and_their_errors_come_through():
    source = numbered(10)
    got = list(batches_ahead(source, range(2, 7), 4, 0))
    assert len(got) == 5
    for step, batch in zip(range(2, 7), got, strict=True):
        assert np.array_equal(batch.images, source.batch(step, 4, 0).images)

    class Broken(ArraySource):
        def batch(self, step, size, seed):
            raise InputError(f"shard {step} is damaged")

    with pytest.raises(InputError, match="shard 0"):
        next(batches_ahead(Broken(source.data, ("a",)), range(3), 4, 0))


def test_tensors_carry_landmarks_and_masks_to_the_networks_grid():
    images = np.zeros((1, 64, 128), np.float32)
    images[0, 20:30, 40:60] = 1
    masks = (images[:, None] > 0).astype(np.uint8)
    points = np.array([[[49.5, 24.5], [np.nan, np.nan]]], np.float32)
    tensors = to_tensors(
        Batch(images, masks, points, np.ones((1, 2), bool)), Preprocessing(size=64), torch.device("cpu")
    )
    rows, columns = np.nonzero(tensors.masks[0, 0].numpy())
    assert tensors.landmarks_px[0, 0].tolist() == pytest.approx([columns.mean(), rows.mean()], abs=0.3)
    assert tensors.visible.tolist() == [[True, False]]
