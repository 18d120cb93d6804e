"""Jobs on a Ray cluster: the bytes of a local job, whatever is lost on the way.

The crew's logic is tested on a stand-in for Ray that runs actors in this process and loses them on demand; with Ray
installed (extra `ray`) the same is done on a real cluster of two workers.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from synthray.dataset import generate
from synthray.dataset.recipe import load_recipe
from synthray.dataset.work import Work
from synthray.errors import InputError, MissingExtraError, SynthrayError

RECIPE: dict[str, Any] = {
    "name": "on ray",
    "images": 24,
    "images_per_shard": 2,
    "people": [{"body": 1, "count": 2, "region": "chest", "voxel_mm": 8}],
    "views": [{"rows": 24, "lao_deg": {"uniform": [-9, 9]}}],
    "imaging": {"realism": "naive"},
}


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "set"
    generate(RECIPE, folder, workers=1)
    return content(folder)


class RayError(Exception):
    pass


class RayActorError(RayError):
    pass


def stand_in(lose=(), cpus=2):
    """A module that behaves like Ray; the calls of `make` whose numbers are in `lose` end with their actor's death."""
    ray: Any = ModuleType("ray")
    calls = iter(range(10_000))

    class Handle:
        def __init__(self, cls, arguments):
            self._held = cls(*arguments)
            self.dead = False

        def __getattr__(self, name):
            return SimpleNamespace(remote=lambda *given: (self, name, given, next(calls) if name == "make" else -1))

    def get(reference):
        actor, name, given, number = reference
        if number in lose or actor.dead:
            actor.dead = True
            raise RayActorError
        return getattr(actor._held, name)(*given)

    ray.exceptions = SimpleNamespace(RayError=RayError, RayActorError=RayActorError)
    ray.is_initialized = lambda: False
    ray.init = lambda **_: None
    ray.shutdown = lambda: None
    ray.kill = lambda actor: None
    ray.cluster_resources = lambda: {"CPU": float(cpus)}
    ray.remote = lambda **_: lambda cls: SimpleNamespace(remote=lambda *given: Handle(cls, given))
    # The one that has waited longest is done first.
    ray.wait = lambda references, num_returns: (references[:1], references[1:])
    ray.get = get
    return ray


@pytest.mark.parametrize("lose", [(), (0,), (3, 4), (0, 2, 5, 7, 9)])
def test_lost_actors_cost_only_their_shards(tmp_path, whole, monkeypatch, lose):
    monkeypatch.setitem(sys.modules, "ray", stand_in(lose))
    result = generate(RECIPE, tmp_path / "set", ray="auto")
    assert result.made == 24
    assert content(tmp_path / "set") == whole


def test_a_shard_that_kills_every_actor_is_given_up(tmp_path, whole, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", stand_in(range(4, 10_000)))
    with pytest.raises(SynthrayError, match=r"died 3 times over shard \d+; .* what was finished is kept"):
        generate(RECIPE, tmp_path / "set", ray="auto")
    assert len(list((tmp_path / "set").glob("shard-*.tar"))) >= 2
    generate(RECIPE, tmp_path / "set", workers=1)
    assert content(tmp_path / "set") == whole


def test_wrong_input_on_a_node_is_told_by_the_caller(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", stand_in())
    with pytest.raises(InputError, match="no landmark or structure 'tail'"):
        generate({**RECIPE, "views": [{"rows": 24, "target": "tail"}]}, tmp_path / "set", ray="auto")


def test_a_cluster_that_is_not_there(tmp_path, monkeypatch):
    ray = stand_in()

    def refuse(**_):
        raise ConnectionError("Could not find any running Ray instance.\nPlease specify one")

    ray.init = refuse
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(InputError, match=r"^no Ray cluster at 'auto' \(Could not find any"):
        generate(RECIPE, tmp_path / "set", ray="auto")


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"synthray\[ray\]"):
        generate(RECIPE, tmp_path / "set", ray="auto")


def test_workers_stay_with_their_person():
    recipe = load_recipe({**RECIPE, "people": [{"body": 1, "count": 4}], "images": 48})
    work = Work(recipe, range(24))
    first, second = work.take(None), work.take(None)
    assert {first % 4, second % 4} == {0, 1}
    made = [first]
    while len(made) < 6:
        made.append(work.take(made[-1]))
    assert {shard % 4 for shard in made} == {0}
    # The next person is one that nobody works on.
    assert work.take(made[-1]) % 4 == 2
    rest, last = [], second
    while (last := work.take(last)) is not None:
        rest.append(last)
    assert len({*made, second, *rest}) == 23
    work.give_back(5)
    assert work.take(None) == 5
    assert work.take(5) is None


def test_on_a_real_cluster_with_a_worker_killed(tmp_path, whole, monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'synthray[ray]'")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    killed: list[int] = []

    def kill_one():
        """End the first actor that is found once two shards are there."""
        until = time.monotonic() + 120
        while not killed and time.monotonic() < until:
            if len(list((tmp_path / "set").glob("shard-*.tar"))) >= 2:
                for entry in Path("/proc").iterdir():
                    line = (
                        (entry / "cmdline").read_bytes()
                        if entry.name.isdigit() and (entry / "cmdline").exists()
                        else b""
                    )
                    if line.startswith(b"ray::ShardActor"):
                        os.kill(int(entry.name), signal.SIGKILL)
                        killed.append(int(entry.name))
                        return
            time.sleep(0.01)

    watch = threading.Thread(target=kill_one)
    watch.start()
    generate({**RECIPE, "images": 24}, tmp_path / "set", ray="local", workers=2)
    watch.join()
    assert not ray.is_initialized()
    assert killed
    assert content(tmp_path / "set") == whole
