"""`generate`: carry a recipe out, resumably. What is on disk is either whole or not there."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthray.dataset.people import fingerprint
from synthray.dataset.plan import shard_count
from synthray.dataset.recipe import Recipe, load_recipe, parse
from synthray.dataset.shards import checksum, encode_json, unpack
from synthray.errors import InputError, SynthrayWarning
from synthray.files import PART_SUFFIX, write_atomically

FORMAT = "synthray-dataset-1"
LOCK_WAIT_S = 10.0
RECIPE, MANIFEST, LOCK = "recipe.json", "manifest.json", ".lock"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ShardInfo:
    """One finished shard: file name, number of samples, size, SHA-256."""

    file: str
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class GenerateResult:
    """What a job did.

    Attributes:
        folder: where the set lies.
        images: number of images in the set.
        made: how many of them this call made.
        seconds: wall-clock time of this call.
    """

    folder: Path
    images: int
    made: int
    seconds: float


def generate(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    out: str | Path,
    *,
    workers: int | None = None,
    images: int | None = None,
    on_progress: Progress | None = None,
) -> GenerateResult:
    """Make a data set, or finish one that was interrupted; the bytes are the same for any number of workers.

    Args:
        recipe: a YAML file, a mapping, or a recipe.
        out: the set's folder; new, empty, or holding a set of the same recipe.
        workers: processes; all cores by default. 1 works in this process.
        images: overrides the recipe's number of images; a larger number extends a finished set.
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
    with _lock(folder):
        _claim(folder, checked)
        _sweep(folder)
        done = _finished_shards(folder, checked)
        missing = [shard for shard in range(shard_count(checked)) if shard not in done]
        already = sum(info.samples for info in done.values())
        report = on_progress or (lambda finished, total: None)
        report(already, checked.images)
        made = _run(checked, folder, missing, workers, lambda count: report(already + count, checked.images))
        shards = done | made
        _write_manifest(folder, checked, [shards[number] for number in sorted(shards)])
    count = sum(info.samples for info in made.values())
    return GenerateResult(folder, checked.images, count, time.monotonic() - started)


def shard_name(shard: int) -> str:
    """File name of a shard."""
    return f"shard-{shard:06d}.tar"


def shard_range(recipe: Recipe, shard: int) -> range:
    """Indices of the images in a shard."""
    first = shard * recipe.images_per_shard
    return range(first, min(first + recipe.images_per_shard, recipe.images))


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a finished set, or None.

    Raises:
        InputError: the manifest is there but damaged.
    """
    try:
        data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise InputError(f"{folder / MANIFEST}: format '{data['format']}' is not {FORMAT}")
        _ = [ShardInfo(**entry) for entry in data["shards"]]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / MANIFEST}: damaged ({error}); delete it and run generate again") from None
    return data


def read_recipe(folder: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a set and the record it is part of.

    Raises:
        InputError: the folder holds no data set, or its recipe is damaged.
    """
    try:
        record = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
        return parse(Recipe, record["recipe"], str(folder / RECIPE)), record
    except FileNotFoundError:
        raise InputError(f"{folder}: no data set here (no {RECIPE}); make one with synthray generate") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / RECIPE}: damaged ({error})") from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = {entry.name for entry in folder.iterdir()} - {LOCK}
    except OSError as error:
        raise InputError(f"{folder}: can't be used as output folder ({error.strerror or error})") from None
    if held and RECIPE not in held:
        raise InputError(f"{folder}: not empty and not a data set (it holds {sorted(held)[0]}); choose another folder")


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keep the folder to this process. The kernel frees the lock when the process ends, however it ends."""
    path = folder / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(f"{folder}: can't be written ({error.strerror or error})") from None
    try:
        _acquire(handle, folder)
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, folder: Path) -> None:
    """Take the lock, or refuse with its holder's name.

    A worker that a killed job was just starting holds the lock until it has become its own program, some milliseconds
    after that job's death: a lock whose holder is gone is worth waiting for.
    """
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
            if not _is_gone(holder) or time.monotonic() > deadline:
                raise InputError(f"{folder}: in use by {holder}; wait for it or stop it first") from None
        time.sleep(0.02)


def _is_gone(holder: str) -> bool:
    """Whether the process that a lock file names has ended, as far as this machine can tell."""
    words = holder.split()
    known = len(words) == 4 and words[1].isdigit() and words[3] == socket.gethostname()
    return known and _has_ended(int(words[1]))


def _has_ended(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return isinstance(error, ProcessLookupError)
    return False


def _sweep(folder: Path) -> None:
    """Remove what killed processes left half-written; an orphaned worker may still be finishing its own."""
    for part in folder.glob(f".*{PART_SUFFIX}"):
        owner = part.name.removesuffix(PART_SUFFIX).rpartition(".")[2]
        if owner.isdigit() and _has_ended(int(owner)):
            part.unlink(missing_ok=True)


def _claim(folder: Path, recipe: Recipe) -> None:
    """Write the recipe into a new folder; refuse a folder of another recipe, and shrinking."""
    record = {"format": FORMAT, "recipe": recipe.model_dump(mode="json"), "inputs": fingerprint(recipe)}
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
            return
    (folder / MANIFEST).unlink(missing_ok=True)
    write_atomically(folder / RECIPE, encode_json(record))


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


def _finished_shards(folder: Path, recipe: Recipe) -> dict[int, ShardInfo]:
    """Shards that are already there and whole. With a manifest only sizes are compared; without, all is read."""
    manifest = read_manifest(folder)
    known = {entry["file"]: ShardInfo(**entry) for entry in manifest["shards"]} if manifest else {}
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


def _run(
    recipe: Recipe, folder: Path, missing: list[int], workers: int | None, report: Callable[[int], None]
) -> dict[int, ShardInfo]:
    from synthray.dataset.pool import run_here, run_in_processes

    count = min(workers if workers is not None else len(os.sched_getaffinity(0)), max(len(missing), 1))
    if count < 1:
        raise InputError(f"workers={workers}: at least 1 is needed")
    made: dict[int, ShardInfo] = {}
    run = run_here(recipe, folder, missing) if count == 1 else run_in_processes(folder, missing, count)
    for shard, info in run:
        made[shard] = ShardInfo(**info)
        report(sum(done.samples for done in made.values()))
    return made


def _write_manifest(folder: Path, recipe: Recipe, shards: list[ShardInfo]) -> None:
    data = {
        "format": FORMAT,
        "name": recipe.name,
        "images": sum(shard.samples for shard in shards),
        "shards": [vars(shard) for shard in shards],
    }
    content = encode_json(data)
    if not (folder / MANIFEST).exists() or (folder / MANIFEST).read_bytes() != content:
        write_atomically(folder / MANIFEST, content)
