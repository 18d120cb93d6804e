"""Training images that are simulated while the network trains: a window that slides over an endless data set.

A recipe's sample is a pure function of (recipe, seed, index), so the set has no end. At a step the window holds a
number of its shards, one person each; after some steps the oldest goes and the next comes. Batches are drawn from the
window, each image under fresh physics. What a step sees depends on the recipe and the step alone, whatever was
interrupted.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import Field

from synthray.dataset import Recipe, Redraw, StoredSample, load_recipe
from synthray.dataset.draws import Strict
from synthray.dataset.make import ShardMaker
from synthray.dataset.read import decode_sample
from synthray.errors import InputError
from synthray.train.batches import Batch
from synthray.train.pool import PoolSource, pool_of

_ENDLESS = 100_000_000
_NOWHERE = Path("stream")


class Stream(Strict):
    """What is simulated, and how fast the window moves."""

    recipe: str | dict[str, Any] = Field(description="the data set's recipe: a file beside this one, or written out")
    shards: int = Field(32, ge=1, le=100_000, description="of the window; each shows one person")
    steps_per_shard: int = Field(10, ge=1, description="steps until the oldest shard goes and the next comes")
    validation_shards: int = Field(4, ge=1, description="of people in split val, made once and kept")
    workers: int = Field(1, ge=1, le=256, description="threads that simulate")


class StreamSource:
    """Batches from the window; see the module. Close it to stop its threads."""

    def __init__(
        self,
        recipe: Recipe,
        settings: Stream,
        redraw: Redraw | None,
        structures: tuple[str, ...] | None = None,
        landmarks: tuple[str, ...] | None = None,
    ) -> None:
        """Start simulating the people of split `train`.

        Args:
            recipe: of the data set; its number of images is ignored.
            settings: of the window.
            redraw: fresh physics for each use; needs `keep_area_density` in the recipe.
            structures: names of the masks; those of the first window by default.
            landmarks: names of the landmarks; those of the first window by default.

        Raises:
            InputError: nobody is in split `train`, or the first window can't be made or lacks a name.
        """
        self._recipe = recipe.model_copy(update={"images": _ENDLESS})
        self._settings, self._redraw = settings, redraw
        self._pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="simulate")
        self._maker = threading.local()
        self._coming: dict[int, Future[list[StoredSample]]] = {}
        self._window: tuple[int, PoolSource] | None = None
        if not self._people("train"):
            raise InputError(f"{recipe.name}: nobody is in split 'train', so there is nothing to learn from")
        if structures is None or landmarks is None:
            try:
                held = pool_of(self._samples("train", 0, settings.shards), recipe.name, redraw, structures, landmarks)
            except BaseException:
                self.close()
                raise
            structures, landmarks = held.structures, held.landmarks
            self._window = 0, held
        self._structures, self._landmarks = structures, landmarks

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of the masks' channels."""
        return self._structures

    @property
    def landmarks(self) -> tuple[str, ...]:
        """Names of the landmarks."""
        return self._landmarks

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """`size` images of the step's window, drawn with replacement."""
        return self._at(step // self._settings.steps_per_shard).batch(step, size, seed)

    def held_out(self) -> PoolSource | None:
        """The first shards of people in split `val`; None when nobody is."""
        if not self._people("val"):
            return None
        samples = self._samples("val", 0, self._settings.validation_shards)
        names = self._structures, self._landmarks
        return pool_of(samples, self._recipe.name, self._redraw, *names, complete=False)

    def close(self) -> None:
        """Stop simulating."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _at(self, first: int) -> PoolSource:
        if self._window is None or self._window[0] != first:
            samples = self._samples("train", first, self._settings.shards)
            names = self._structures, self._landmarks
            self._window = first, pool_of(samples, self._recipe.name, self._redraw, *names, complete=False)
        return self._window[1]

    def _people(self, split: str) -> list[int]:
        return [number for number, person in enumerate(self._recipe.everyone()) if person.split == split]

    def _samples(self, split: str, first: int, count: int) -> list[StoredSample]:
        """The images of some turns of a split's people; of split `train` the next turns are begun as well."""
        people, everyone = self._people(split), len(self._recipe.everyone())
        ahead = self._settings.workers + 1 if split == "train" else 0
        turns = range(first, first + count + ahead)
        shards = [turn // len(people) * everyone + people[turn % len(people)] for turn in turns]
        for shard in shards:
            if shard not in self._coming:
                self._coming[shard] = self._pool.submit(self._made, shard)
        found = [sample for shard in shards[:count] for sample in self._coming[shard].result()]
        # Shards of the window and those after it are kept; held-out people are asked for once.
        if split == "train":
            self._coming = {shard: self._coming[shard] for shard in shards}
        return found

    def _made(self, shard: int) -> list[StoredSample]:
        if not hasattr(self._maker, "held"):
            self._maker.held = ShardMaker(self._recipe, _NOWHERE, threads=1)
        maker: ShardMaker = self._maker.held
        return [decode_sample(_NOWHERE / str(shard), key, dict(files)) for key, files in maker.samples(shard)]


def open_stream(
    settings: Stream,
    redraw: Redraw | None,
    structures: tuple[str, ...] | None = None,
    landmarks: tuple[str, ...] | None = None,
) -> tuple[StreamSource, Mapping[str, Any]]:
    """A stream of a training recipe, and what `model.json` says of it.

    Raises:
        InputError: the recipe is unusable, or see `StreamSource`.
    """
    recipe = load_recipe(settings.recipe)
    source = StreamSource(recipe, settings, redraw, structures, landmarks)
    facts = {
        "dataset": recipe.name,
        "people": len(recipe.everyone()),
        "realism": recipe.imaging.levels,
        "stream": {**settings.model_dump(mode="json"), "recipe": recipe.model_dump(mode="json")},
    }
    return source, facts
