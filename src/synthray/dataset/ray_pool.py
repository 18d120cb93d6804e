"""Shards made on a Ray cluster: the same plan, the same bytes; Ray only says where they are computed.

Actors compute shards and hand them back through Ray's object store; this process writes them, so nodes need no common
folder for the set, only the CTs under the paths of the recipe. An actor that is lost with its node costs the shard it
was making, which is made again elsewhere.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthray.dataset.make import ShardMaker
from synthray.dataset.pool import ATTEMPTS, Finished, described
from synthray.dataset.recipe import Recipe
from synthray.dataset.work import Work
from synthray.errors import InputError, MissingExtraError, SynthrayError, SynthrayWarning
from synthray.files import write_atomically


class ShardActor:
    """A worker on some node; keeps its person between shards, as local workers do."""

    def __init__(self, recipe: str) -> None:
        """Args: recipe: as JSON; its files are read on the actor's node."""
        self._maker = ShardMaker(Recipe.model_validate_json(recipe), Path("ray"), threads=1)

    def ready(self) -> None:
        """Answers once the actor runs."""

    def make(self, shard: int) -> tuple[str, Any, bytes, list[str]]:
        """What happened ("done", "wrong" or "fault"), its description, the shard's bytes, and warnings."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SynthrayWarning)
            kind, content, data = self._made(shard)
        told = [str(one.message) for one in caught if issubclass(one.category, SynthrayWarning)]
        return kind, content, data, told

    def _made(self, shard: int) -> tuple[str, Any, bytes]:
        try:
            data, facts = self._maker.packed(shard)
        except InputError as error:
            return "wrong", str(error), b""
        except Exception as error:  # a fault of ours or of a library, told in one line
            return "fault", f"shard {shard}: {described(error)}", b""
        return "done", facts, data


def run_on_ray(recipe: Recipe, folder: Path, shards: list[int], address: str, workers: int | None) -> Finished:
    """Make shards on a cluster; yields each as it is finished, in any order.

    Args:
        recipe: the set's.
        folder: where this process writes.
        shards: to be made.
        address: of the cluster, `auto` for the one this machine belongs to, `local` to start one here.
        workers: actors; by default one for each CPU of the cluster, or for each GPU when it has some.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: no cluster there, or a worker met wrong input.
        SynthrayError: a shard's actor died several times, or the cluster was lost.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtraError("generating on a Ray cluster", "ray") from None
    started = not ray.is_initialized()
    if started:
        _connect(ray, address, workers)
    try:
        yield from _Crew(ray, recipe, folder, shards, workers).run()
    except ray.exceptions.RayError as error:
        raise SynthrayError(f"the Ray cluster failed ({type(error).__name__}); what was finished is kept") from None
    finally:
        if started:
            ray.shutdown()


def _connect(ray: Any, address: str, workers: int | None) -> None:
    own = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"no Ray cluster at '{address}' ({reason}); start one with ray start --head, or leave --ray out"
        ) from None


class _Crew:
    """Actors, what each is doing, and what is left."""

    def __init__(self, ray: Any, recipe: Recipe, folder: Path, shards: list[int], workers: int | None) -> None:
        self._ray, self._folder, self._count = ray, folder, len(shards)
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        self._size = min(workers or gpus or int(resources.get("CPU", 1)), self._count)
        self._actor = ray.remote(num_cpus=1, num_gpus=1 if gpus else 0, max_restarts=0)(ShardActor)
        self._recipe = recipe.model_dump_json()
        self._work = Work(recipe, shards)
        # Reference -> (actor, the shard it makes, or None while it starts, and the one before).
        self._doing: dict[Any, tuple[Any, int | None, int | None]] = {}
        self._attempts: dict[int, int] = {}
        self._idle: list[tuple[Any, int | None]] = []
        self._told = set[str]()

    def run(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for _ in range(self._size):
            self._hire()
        done = 0
        while done < self._count:
            (reference,), _ = self._ray.wait(list(self._doing), num_returns=1)
            actor, shard, last = self._doing.pop(reference)
            try:
                answer = self._ray.get(reference)
            except self._ray.exceptions.RayActorError:
                self._lost(shard)
                continue
            if shard is not None:
                done += 1
                yield shard, self._taken(answer)
            self._next(actor, shard if shard is not None else last)
        for actor, _, _ in self._doing.values():
            with contextlib.suppress(Exception):
                self._ray.kill(actor)

    def _hire(self) -> None:
        """Start an actor; it is given work once it runs, which may be when a node comes back."""
        actor = self._actor.remote(self._recipe)
        self._doing[actor.ready.remote()] = (actor, None, None)

    def _next(self, actor: Any, last: int | None) -> None:
        shard = self._work.take(last)
        if shard is None:
            self._idle.append((actor, last))
        else:
            self._doing[actor.make.remote(shard)] = (actor, shard, last)

    def _lost(self, shard: int | None) -> None:
        """An actor died: its shard is made again, by an idle actor or by a new one."""
        if shard is not None:
            self._attempts[shard] = self._attempts.get(shard, 0) + 1
            if self._attempts[shard] >= ATTEMPTS:
                raise SynthrayError(
                    f"a Ray worker died {ATTEMPTS} times over shard {shard}; it may have run out of memory: try fewer "
                    "--workers; what was finished is kept"
                )
            self._work.give_back(shard)
        self._hire()
        if self._idle:
            self._next(*self._idle.pop())

    def _taken(self, answer: tuple[str, Any, bytes, list[str]]) -> dict[str, Any]:
        """Write what an actor made, and pass on what it said."""
        kind, content, data, told = answer
        for message in told:
            if message not in self._told:
                self._told.add(message)
                warnings.warn(message, SynthrayWarning, stacklevel=2)
        if kind != "done":
            raise (InputError if kind == "wrong" else SynthrayError)(content)
        write_atomically(self._folder / content["file"], data)
        return dict(content)
