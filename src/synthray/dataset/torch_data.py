"""Data sets for PyTorch: one that streams shards and one with random access. Iterating without PyTorch: `Dataset`.

Both are safe with several DataLoader workers and several ranks: every image is given once in an epoch, wherever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from synthray.dataset.layout import shard_range
from synthray.dataset.read import Dataset, StoredSample, decode_sample, stack_masks
from synthray.dataset.shards import Place, places, read_places
from synthray.errors import InputError, MissingExtraError

try:
    import torch
    from torch.utils import data as torch_data
except ImportError as absent:
    raise MissingExtraError("reading a data set into PyTorch", "learn") from absent

Tensors = dict[str, Any]
Transform = Callable[[StoredSample], Any]
_SHUFFLE_STREAM = 0x5348


class ToTensors:
    """A sample as a dict of tensors, with the same channels for every sample so that batches can be stacked.

    Gives `image` (1, row, column) float32 -log, `masks` (structure, row, column) bool, `landmarks_px` (landmark, 2)
    float32 with NaN where there is none, `visible` (landmark,) bool, and `key`.
    """

    def __init__(self, structures: Sequence[str], landmarks: Sequence[str]) -> None:
        """Args: structures: names of the mask channels. landmarks: names of the points."""
        self.structures, self.landmarks = tuple(structures), tuple(landmarks)

    def __call__(self, sample: StoredSample) -> Tensors:
        """The tensors of a sample."""
        nowhere = np.full(2, np.nan)
        points = [sample.landmarks_px.get(name, nowhere) for name in self.landmarks]
        return {
            "image": torch.from_numpy(sample.image[None]),
            "masks": torch.from_numpy(stack_masks(sample, self.structures)),
            "landmarks_px": torch.from_numpy(np.array(points, dtype=np.float32).reshape(-1, 2)),
            "visible": torch.tensor([sample.visible.get(name, False) for name in self.landmarks], dtype=torch.bool),
            "key": sample.key,
        }


class IndexedDataset(torch_data.Dataset[Any]):
    """Random access by number; use it with any sampler, `DistributedSampler` among them."""

    def __init__(self, folder: str | Path, *, split: str | None = None, transform: Transform | None = None) -> None:
        """Open a finished set; shards are indexed when they are first needed.

        Args:
            folder: the set's.
            split: only `train` or `val`.
            transform: from a sample to what is given; tensors named as in the first sample by default.

        Raises:
            InputError: there is no finished set, or nothing in this split.
        """
        self._set = Dataset.open(folder)
        self._shards = _shards_of(self._set, split)
        self._numbers = np.concatenate([list(shard_range(self._set.recipe, shard)) for shard in self._shards])
        self._transform = transform or _default(self._set, self._shards)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, number: int) -> Any:
        shard, place = divmod(int(self._numbers[number]), self._set.recipe.images_per_shard)
        path = self._set.folder / self._set.shards[shard].file
        key, wanted = _places(path)[place]
        return self._transform(decode_sample(path, key, read_places(path, wanted)))


@lru_cache(maxsize=4096)
def _places(path: Path) -> list[tuple[str, list[Place]]]:
    return places(path)


class StreamingDataset(torch_data.IterableDataset[Any]):
    """Shards one after the other: the fastest way through a large set. Ranks and workers share the shards.

    Call `set_epoch` before each epoch. To go on in the middle of one, call `resume` with what the training had taken.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        split: str | None = None,
        shuffle_seed: int | None = None,
        rank: int | None = None,
        ranks: int | None = None,
        transform: Transform | None = None,
    ) -> None:
        """Open a finished set.

        Args:
            folder: the set's.
            split: only `train` or `val`.
            shuffle_seed: of the order of the shards and of the images within each, another one in each epoch; None
                keeps the set's order.
            rank: number of this process; from `torch.distributed` by default.
            ranks: number of processes.
            transform: from a sample to what is given; tensors named as in the first sample by default.

        Raises:
            InputError: there is no finished set, nothing in this split, or fewer shards than ranks.
        """
        self._set = Dataset.open(folder)
        self._shards = _shards_of(self._set, split)
        self._seed = shuffle_seed
        self._rank, self._ranks = _ranks(rank, ranks)
        if len(self._shards) < self._ranks:
            raise InputError(f"{folder}: {len(self._shards)} shards can't be shared by {self._ranks} ranks")
        self._transform = transform or _default(self._set, self._shards)
        self._epoch, self._batches, self._batch_size = 0, 0, 1

    def __len__(self) -> int:
        """Images of this rank."""
        return sum(len(shard_range(self._set.recipe, shard)) for shard in self._mine(0, 1))

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch: another order where there is one."""
        self._epoch, self._batches = epoch, 0

    def resume(self, epoch: int, batches: int, batch_size: int) -> None:
        """Go on within an epoch, after some batches that this rank's DataLoader had given.

        The number of workers must be the same as before, and the loader must not drop or reorder anything.
        """
        self._epoch, self._batches, self._batch_size = epoch, batches, batch_size

    def __iter__(self) -> Iterator[Any]:
        info = torch_data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        lengths = [
            sum(len(shard_range(self._set.recipe, shard)) for shard in self._mine(other, workers))
            for other in range(workers)
        ]
        given, first = batches_given(lengths, self._batch_size, self._batches)
        # A loader begins with its worker 0, which therefore takes the part of the one whose turn it was.
        part = (worker + first) % workers
        skip = given[part] * self._batch_size
        for shard in self._mine(part, workers):
            count = len(shard_range(self._set.recipe, shard))
            if skip >= count:
                skip -= count
                continue
            yield from self._of_shard(shard, skip)
            skip = 0

    def _mine(self, worker: int, workers: int) -> list[int]:
        """Shards of this rank and a worker in order: by turns among ranks, then among the rank's workers."""
        order = self._shards
        if self._seed is not None:
            rng = np.random.default_rng([_SHUFFLE_STREAM, self._seed, self._epoch])
            order = [order[place] for place in rng.permutation(len(order))]
        return order[self._rank :: self._ranks][worker::workers]

    def _of_shard(self, shard: int, skip: int) -> Iterator[Any]:
        if self._seed is None:
            samples: Sequence[StoredSample] | Iterator[StoredSample] = self._set.shard(shard)
        else:
            held = list(self._set.shard(shard))
            rng = np.random.default_rng([_SHUFFLE_STREAM, self._seed, self._epoch, shard])
            samples = [held[place] for place in rng.permutation(len(held))]
        for place, sample in enumerate(samples):
            if place >= skip:
                yield self._transform(sample)


def batches_given(lengths: Sequence[int], batch_size: int, batches: int) -> tuple[list[int], int]:
    """How many of a DataLoader's first batches came from each of its workers, and whose turn is next.

    A loader takes one batch from each worker in turn and passes over those that have nothing left.

    Args:
        lengths: images of each worker.
        batch_size: of the loader.
        batches: given so far.
    """
    left = [-(-length // batch_size) for length in lengths]
    given, turn = [0] * len(lengths), 0
    for _ in range(min(batches, sum(left))):
        while not left[turn]:
            turn = (turn + 1) % len(left)
        left[turn] -= 1
        given[turn] += 1
        turn = (turn + 1) % len(left)
    return given, turn


def _ranks(rank: int | None, ranks: int | None) -> tuple[int, int]:
    if rank is None and ranks is None and torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    found = rank or 0, ranks or 1
    if not 0 <= found[0] < found[1]:
        raise InputError(f"rank {found[0]} of {found[1]} ranks: give 0 to {found[1] - 1}")
    return found


def _shards_of(held: Dataset, split: str | None) -> list[int]:
    people = held.recipe.everyone()
    shards = [n for n in range(len(held.shards)) if split is None or people[n % len(people)].split == split]
    if not shards:
        raise InputError(f"{held.folder}: nothing in split '{split}'")
    return shards


def _default(held: Dataset, shards: Sequence[int]) -> ToTensors:
    first = next(held.shard(shards[0]))
    return ToTensors(tuple(first.masks), tuple(first.landmarks_px))
