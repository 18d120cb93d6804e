"""PyTorch data sets: every image once, with any number of workers and ranks; resumed in mid-epoch; other readers."""

import io
import json
import tarfile
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from synthray.dataset import Dataset, generate
from synthray.dataset.torch_data import IndexedDataset, StreamingDataset, batches_given
from synthray.errors import InputError

RECIPE: dict[str, Any] = {
    "name": "streamed",
    "images": 46,
    "images_per_shard": 4,
    "people": [
        {"body": 1, "region": "chest", "voxel_mm": 8},
        {"body": 2, "region": "chest", "voxel_mm": 8, "split": "val"},
    ],
    "views": [{"rows": 16, "lao_deg": {"uniform": [-9, 9]}}],
    "imaging": {"realism": "naive"},
    "structures": {"lung": {"of": ["lung_left", "lung_right"]}},
}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch") / "set"
    generate(RECIPE, folder, workers=1)
    return folder


def keys(loader):
    return [key for batch in loader for key in batch["key"]]


ALL = [f"{number:08d}" for number in range(46)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("seed", [None, 5])
def test_every_image_once(out, workers, ranks, seed):
    found = []
    for rank in range(ranks):
        stream = StreamingDataset(out, shuffle_seed=seed, rank=rank, ranks=ranks)
        mine = keys(DataLoader(stream, batch_size=4, num_workers=workers))
        assert len(mine) == len(stream)
        found += mine
    assert sorted(found) == ALL


def test_order(out):
    assert keys(DataLoader(StreamingDataset(out), batch_size=5)) == ALL
    shuffled = StreamingDataset(out, shuffle_seed=1)
    first, again = keys(DataLoader(shuffled)), keys(DataLoader(shuffled))
    assert first == again != ALL
    shuffled.set_epoch(1)
    assert keys(DataLoader(shuffled)) != first


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batches", [0, 1, 7, 11, 99])
def test_resuming_in_mid_epoch_goes_on_where_it_stopped(out, workers, batches):
    def stream():
        held = StreamingDataset(out, shuffle_seed=3)
        held.set_epoch(2)
        return held

    whole = [batch["key"] for batch in DataLoader(stream(), batch_size=4, num_workers=workers)]
    rest = stream()
    rest.resume(epoch=2, batches=batches, batch_size=4)
    assert [batch["key"] for batch in DataLoader(rest, batch_size=4, num_workers=workers)] == whole[batches:]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(1, 7), st.integers(0, 80))
@settings(deadline=None)
def test_batches_given_by_each_worker(lengths, batch_size, batches):
    counts, turn = batches_given(lengths, batch_size, batches)
    most = [-(-length // batch_size) for length in lengths]
    assert sum(counts) == min(batches, sum(most))
    assert all(count <= limit for count, limit in zip(counts, most, strict=True))
    assert 0 <= turn < len(lengths)
    # Nobody is a turn ahead of another who still has something.
    for count in counts:
        assert all(other >= min(count - 1, limit) for other, limit in zip(counts, most, strict=True))


def test_random_access_gives_the_same_samples(out):
    held = IndexedDataset(out)
    assert len(held) == 46
    for number, sample in enumerate(Dataset.open(out)):
        found = held[number]
        assert found["key"] == sample.key
        np.testing.assert_array_equal(found["image"][0], sample.image)
        np.testing.assert_array_equal(found["masks"][0], sample.masks["lung"])
    assert found["landmarks_px"].shape == (len(sample.landmarks_px), 2)
    assert sorted(keys(DataLoader(held, batch_size=7, shuffle=True, num_workers=2))) == ALL
    with pytest.raises(IndexError):
        held[46]


def test_ranks_of_a_distributed_sampler_share_the_indexed_set(out):
    held = IndexedDataset(out, split="train")
    parts = [
        keys(DataLoader(held, sampler=torch.utils.data.DistributedSampler(held, 2, rank, shuffle=False)))
        for rank in range(2)
    ]
    assert set(parts[0]) | set(parts[1]) == {s.key for s in Dataset.open(out).samples("train")}


def test_splits_and_refusals(out):
    val = keys(DataLoader(StreamingDataset(out, split="val")))
    assert val == [sample.key for sample in Dataset.open(out).samples("val")]
    with pytest.raises(InputError, match="nothing in split 'test'"):
        StreamingDataset(out, split="test")
    with pytest.raises(InputError, match="can't be shared by 40 ranks"):
        StreamingDataset(out, rank=0, ranks=40)
    with pytest.raises(InputError, match="rank 2 of 2"):
        StreamingDataset(out, rank=2, ranks=2)


def test_shards_are_webdataset_tars(out):
    """Grouped as webdataset does (`group_by_keys`: base name up to the first dot), read by tarfile and Pillow."""
    samples: list[dict[str, Any]] = []
    for path in sorted(out.glob("shard-*.tar")):
        with tarfile.open(path) as tar:
            for entry in tar:
                key, _, extension = entry.name.partition(".")
                if not samples or samples[-1]["__key__"] != key:
                    samples.append({"__key__": key})
                samples[-1][extension.lower()] = tar.extractfile(entry).read()
    assert [sample["__key__"] for sample in samples] == ALL
    truth = json.loads(samples[0]["json"])
    stored = np.asarray(Image.open(io.BytesIO(samples[0]["png"])), dtype=np.float64)
    image = stored / truth["image"]["scale"] - truth["image"]["offset"]
    np.testing.assert_allclose(image, next(iter(Dataset.open(out))).image, atol=1e-6)


def test_webdataset_itself_opens_them(out):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed: pip install webdataset")
    names = [str(path) for path in sorted(out.glob("shard-*.tar"))]
    found = list(webdataset.WebDataset(names, shardshuffle=False).decode())
    assert [sample["__key__"] for sample in found] == ALL
    assert found[3]["json"]["index"] == 3
