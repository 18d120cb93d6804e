"""`generate`: carry a recipe out, resumably. What is on disk is either whole or not there."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthray.dataset.inputs import CACHE, Inputs
from synthray.dataset.layout import (
    FORMAT,
    LOCK,
    MANIFEST,
    RECIPE,
    ShardInfo,
    complete_manifest,
    read_manifest,
    read_recipe,
    shard_name,
    shard_range,
)
from synthray.dataset.lock import folder_lock, sweep
from synthray.dataset.plan import shard_count
from synthray.dataset.recipe import Recipe, load_recipe, parse
from synthray.dataset.shards import checksum, encode_json, unpack
from synthray.errors import InputError, SynthrayWarning
from synthray.files import PART_SUFFIX, write_atomically

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class GenerateResult:
    """What a job did.

    Attributes:
        folder: where the set lies.
        images: number of images in the set.
        made: how many of them this call made.
        seconds: wall-clock time of this call.
        shares: stage -> share of the workers' time while they were there: `people` (loading or building them),
            `projection`, `physics`, `encoding`, `writing`, and `waiting` (starting up and running out of work).
    """

    folder: Path
    images: int
    made: int
    seconds: float
    shares: Mapping[str, float] = field(default_factory=dict)


def generate(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    out: str | Path,
    *,
    workers: int | None = None,
    images: int | None = None,
    ray: str | None = None,
    on_progress: Progress | None = None,
) -> GenerateResult:
    """Make a data set, or finish one that was interrupted; the bytes are the same for any number of workers.

    Args:
        recipe: a YAML file, a mapping, or a recipe.
        out: the set's folder; new, empty, or holding a set of the same recipe.
        workers: processes; all cores by default. 1 works in this process.
        images: overrides the recipe's number of images; a larger number extends a finished set.
        ray: address of a Ray cluster, `auto` for the one that this machine belongs to, or `local` to start one here;
            the bytes are those of a local job. Needs the extra `ray`.
        on_progress: called with (images done, images in all).

    Raises:
        InputError: the recipe is wrong, the folder holds something else or is in use, or it can't be written.
    """
    started = time.monotonic()
    checked = load_recipe(recipe)
    if images is not None:
        checked = parse(Recipe, {**checked.model_dump(mode="json"), "images": images}, "recipe")
    folder = Path(out)
    _make_folder(folder)
    with folder_lock(folder):
        # Read before a raised number of images makes it outdated: what it lists needn't be examined again.
        known = {info.file: info for info in read_manifest(folder) or ()}
        _claim(folder, checked)
        sweep(folder)
        done = _finished_shards(folder, checked, known)
        missing = [shard for shard in range(shard_count(checked)) if shard not in done]
        already = sum(info.samples for info in done.values())
        report = on_progress or (lambda finished, total: None)
        report(already, checked.images)
        run = _run(checked, folder, missing, workers, lambda count: report(already + count, checked.images), ray)
        shards = done | run.made
        _write_manifest(folder, checked, [shards[number] for number in sorted(shards)])
    count = sum(info.samples for info in run.made.values())
    return GenerateResult(folder, checked.images, count, time.monotonic() - started, run.shares())


def remake(folder: Path, shards: Sequence[int], *, workers: int | None = None) -> int:
    """Make some shards of a finished set again, whatever lies there; the others are not touched.

    Returns:
        The number of images made.

    Raises:
        InputError: the set is not finished, in use, or what it was made from has changed.
    """
    with folder_lock(folder):
        recipe, record = read_recipe(folder)
        listed = complete_manifest(folder, recipe)
        if listed is None:
            raise InputError(f"{folder}: not finished; run synthray generate again with its recipe")
        difference = _difference({"inputs": record.get("inputs")}, {"inputs": Inputs(folder).fingerprint(recipe)})
        if difference:
            raise InputError(f"{folder}: can't be mended: what it was made from has changed ({difference})")
        made = _run(recipe, folder, list(shards), workers, lambda count: None, None).made
        for number, info in made.items():
            if info != listed[number]:
                message = f"{folder / info.file}: made again with other bytes, by another version or kind of machine"
                warnings.warn(message, SynthrayWarning, stacklevel=2)
        _write_manifest(folder, recipe, [made.get(number, info) for number, info in enumerate(listed)])
    return sum(info.samples for info in made.values())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # What a job that was killed before it wrote the recipe left behind is ours, too.
        held = {entry.name for entry in folder.iterdir() if not entry.name.endswith(PART_SUFFIX)} - {LOCK, CACHE}
    except OSError as error:
        raise InputError(f"{folder}: can't be used as output folder ({error.strerror or error})") from None
    if held and RECIPE not in held:
        raise InputError(f"{folder}: not empty and not a data set (it holds {sorted(held)[0]}); choose another folder")


def _claim(folder: Path, recipe: Recipe) -> None:
    """Write the recipe into a new folder; refuse a folder of another recipe, and shrinking."""
    inputs = Inputs(folder)
    record = {"format": FORMAT, "recipe": recipe.model_dump(mode="json"), "inputs": inputs.fingerprint(recipe)}
    if (folder / RECIPE).exists():
        _, held = read_recipe(folder)
        difference = _difference(
            {"recipe": held["recipe"], "inputs": held.get("inputs")}, {k: record[k] for k in ("recipe", "inputs")}
        )
        if difference:
            raise InputError(f"{folder}: holds a set of another recipe ({difference}); choose another folder")
        if recipe.images < held["recipe"]["images"]:
            raise InputError(f"{folder}: holds {held['recipe']['images']} images; it can be extended, not shortened")
        if recipe.images == held["recipe"]["images"]:
            inputs.save()
            return
    inputs.check_leaks(recipe)
    (folder / MANIFEST).unlink(missing_ok=True)
    write_atomically(folder / RECIPE, encode_json(record))
    inputs.save()


def _difference(old: Any, new: Any, key: str = "") -> str:
    """The first place in which two plain values differ, leaving out the number of images; empty if none."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            if (key, name) == ("recipe", "images"):
                continue
            inner = f"{key}.{name}" if key else str(name)
            found = _difference(old.get(name), new.get(name), inner)
            if found:
                return found
        return ""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return next(filter(None, (_difference(a, b, f"{key}[{n}]") for n, (a, b) in pairs)), "")
    return "" if old == new else f"{key.removeprefix('recipe.')}: {old!r} there, {new!r} now"


def _finished_shards(folder: Path, recipe: Recipe, known: Mapping[str, ShardInfo]) -> dict[int, ShardInfo]:
    """Shards that are already there and whole. Of known ones only sizes are compared; all others are read."""
    found = {}
    for shard in range(shard_count(recipe)):
        path, expected = folder / shard_name(shard), len(shard_range(recipe, shard))
        if not path.is_file():
            continue
        info = known.get(path.name)
        if info is None or info.bytes != path.stat().st_size:
            info = _examine(path)
        if info is not None and info.samples == expected:
            found[shard] = info
    return found


def _examine(path: Path) -> ShardInfo | None:
    try:
        samples = sum(1 for _ in unpack(path))
    except InputError:
        warnings.warn(f"{path}: damaged, made again", SynthrayWarning, stacklevel=2)
        return None
    return ShardInfo(path.name, samples, path.stat().st_size, checksum(path))


@dataclass
class _Run:
    """What workers made and how long each stage took them."""

    workers: int
    started: float = field(default_factory=time.monotonic)
    made: dict[int, ShardInfo] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)

    def take(self, shard: int, answer: dict[str, Any]) -> None:
        """Note a finished shard."""
        for stage, seconds in answer.pop("stages").items():
            self.stages[stage] = self.stages.get(stage, 0.0) + seconds
        self.made[shard] = ShardInfo(**answer)

    def shares(self) -> dict[str, float]:
        """Stage -> share of the workers' time; empty when nothing was made."""
        if not self.made:
            return {}
        busy = sum(self.stages.values())
        whole = max(self.workers * (time.monotonic() - self.started), busy)
        return {**{stage: seconds / whole for stage, seconds in self.stages.items()}, "waiting": 1 - busy / whole}


def _run(
    recipe: Recipe,
    folder: Path,
    missing: list[int],
    workers: int | None,
    report: Callable[[int], None],
    ray: str | None,
) -> _Run:
    from synthray.dataset.pool import run_here, run_in_processes

    count = min(workers if workers is not None else len(os.sched_getaffinity(0)), max(len(missing), 1))
    if count < 1:
        raise InputError(f"workers={workers}: at least 1 is needed")
    run, images = _Run(count), 0
    if ray is not None and missing:
        from synthray.dataset.ray_pool import run_on_ray

        finished = run_on_ray(recipe, folder, missing, ray, workers)
    elif count == 1:
        finished = run_here(recipe, folder, missing)
    else:
        finished = run_in_processes(recipe, folder, missing, count)
    for shard, answer in finished:
        run.take(shard, answer)
        images += run.made[shard].samples
        report(images)
    return run


def _write_manifest(folder: Path, recipe: Recipe, shards: list[ShardInfo]) -> None:
    """Write the manifest, once all that it lists is there.

    Raises:
        InputError: something was removed or altered while the job ran, or the folder can't be written.
    """
    for info in shards:
        path = folder / info.file
        if not path.is_file() or path.stat().st_size != info.bytes:
            raise InputError(f"{path}: was removed or altered while the job ran; run the same command again")
    data = {
        "format": FORMAT,
        "name": recipe.name,
        "images": sum(shard.samples for shard in shards),
        "shards": [vars(shard) for shard in shards],
    }
    content = encode_json(data)
    if not (folder / MANIFEST).exists() or (folder / MANIFEST).read_bytes() != content:
        write_atomically(folder / MANIFEST, content)
