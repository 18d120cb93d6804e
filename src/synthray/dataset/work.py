"""Which shard a worker makes next: one of the person it holds, since loading a person can cost more than a shard."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from synthray.dataset.plan import person_of_shard
from synthray.dataset.recipe import Recipe


class Work:
    """Shards that are still to be made, handed out to workers; safe for threads.

    A worker goes on with the person it holds. When that person has nothing left, it takes the one with most left for
    each worker that is already there, so that few people are shared and many are divided.
    """

    def __init__(self, recipe: Recipe, shards: Iterable[int]) -> None:
        """Args: recipe: says who is in which shard. shards: to be made."""
        self._recipe = recipe
        self._lock = threading.Lock()
        self._left: dict[int, deque[int]] = {}
        self._workers: dict[int, int] = {}
        for shard in shards:
            self._left.setdefault(person_of_shard(recipe, shard), deque()).append(shard)

    def take(self, last: int | None) -> int | None:
        """The next shard for a worker, or None when there is none.

        Args:
            last: the shard that the worker made before, None at its start.
        """
        with self._lock:
            held = None if last is None else person_of_shard(self._recipe, last)
            if held is not None and held not in self._left:
                self._workers[held] = self._workers.get(held, 1) - 1
                held = None
            if held is None:
                held = max(self._left, key=self._share, default=None)
                if held is None:
                    return None
                self._workers[held] = self._workers.get(held, 0) + 1
            shard = self._left[held].popleft()
            if not self._left[held]:
                del self._left[held]
            return shard

    def _share(self, person: int) -> tuple[float, int]:
        """What is left of a person for one more worker; of equals the first comes first."""
        return len(self._left[person]) / (1 + self._workers.get(person, 0)), -person

    def give_back(self, shard: int) -> None:
        """A shard that its worker could not make; it comes next."""
        with self._lock:
            self._left.setdefault(person_of_shard(self._recipe, shard), deque()).appendleft(shard)
