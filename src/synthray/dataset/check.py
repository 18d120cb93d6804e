"""`verify`: compare a data set with its manifest, and make again what is not as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthray.dataset.job import Progress, remake
from synthray.dataset.layout import (
    LOCK,
    MANIFEST,
    RECIPE,
    STATS,
    ShardInfo,
    complete_manifest,
    read_recipe,
    shard_name,
    shard_range,
)
from synthray.dataset.plan import plan, shard_count
from synthray.dataset.read import decode_sample
from synthray.dataset.recipe import Recipe
from synthray.dataset.shards import checksum, unpack
from synthray.errors import InputError


@dataclass(frozen=True)
class Problem:
    """Something wrong with one file, and how to mend it."""

    file: str
    what: str
    mend: str


@dataclass(frozen=True)
class VerifyReport:
    """The result of a check: number of images that are whole, what is wrong, and files that were made again."""

    images: int
    problems: tuple[Problem, ...]
    mended: tuple[str, ...] = ()


def verify(folder: str | Path, *, deep: bool = False, on_progress: Progress | None = None) -> VerifyReport:
    """Check that every shard is there with the content that the manifest promises.

    Args:
        folder: the set's.
        deep: also unpack every image and mask, check the metadata field by field, compare it with the plan, and name
            files that don't belong to the set.
        on_progress: called with (shards done, shards in all).

    Raises:
        InputError: the folder holds no data set, or its recipe or manifest is damaged.
    """
    path = Path(folder)
    recipe, _ = read_recipe(path)
    listed = complete_manifest(path, recipe)
    if listed is None:
        what = "missing: the set was not finished"
        return VerifyReport(0, (Problem(MANIFEST, what, "run synthray generate again with its recipe"),))
    problems, images = [], 0
    report = on_progress or (lambda done, total: None)
    for number, info in enumerate(listed):
        what = _fault(path / info.file, info) or (_deep_fault(path, recipe, number) if deep else "")
        if what:
            problems.append(Problem(info.file, what, f"run synthray verify {path} --mend"))
        else:
            images += info.samples
        report(number + 1, len(listed))
    strangers = _strangers(path, len(listed)) if deep else ()
    return VerifyReport(images, (*problems, *strangers))


def mend(
    folder: str | Path,
    *,
    deep: bool = False,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> VerifyReport:
    """Check a set, make the damaged and missing shards again, and only those, and check these.

    Args:
        folder: the set's.
        deep: as for `verify`.
        workers: as for `generate`.
        on_progress: called with (shards checked, shards in all).

    Returns:
        What is still wrong: files that don't belong are left alone.

    Raises:
        InputError: as for `verify` and `generate`; the set was not finished; or a shard made again is not what the
            manifest promises, since it was made by another version or on another kind of machine.
    """
    path = Path(folder)
    before = verify(path, deep=deep, on_progress=on_progress)
    if any(problem.file == MANIFEST for problem in before.problems):
        raise InputError(f"{path}: the set was not finished; run synthray generate again with its recipe")
    recipe, _ = read_recipe(path)
    numbers = {shard_name(number): number for number in range(shard_count(recipe))}
    bad = [numbers[problem.file] for problem in before.problems if problem.file in numbers]
    made = remake(path, bad, workers=workers)
    left = tuple(problem for problem in before.problems if problem.file not in numbers)
    return VerifyReport(before.images + made, left, tuple(map(shard_name, bad)))


def _fault(path: Path, info: ShardInfo) -> str:
    try:
        if not path.is_file():
            return "not a plain file" if path.exists() else "missing"
        if path.stat().st_size != info.bytes:
            return f"{path.stat().st_size} bytes long, should be {info.bytes}"
        return "" if checksum(path) == info.sha256 else "altered: its SHA-256 is not the manifest's"
    except OSError as error:
        return f"can't be read ({error.strerror or error})"


def _deep_fault(folder: Path, recipe: Recipe, number: int) -> str:
    """What is wrong inside a shard, or nothing."""
    path = folder / shard_name(number)
    everyone = recipe.everyone()
    try:
        keys = []
        for index, (key, files) in zip(shard_range(recipe, number), unpack(path), strict=True):
            truth = decode_sample(path, key, files).truth
            planned = plan(recipe, index)
            expected = {
                "index": index,
                "person": planned.person,
                "split": everyone[planned.person].split,
                "noise_seed": planned.noise_seed,
            }
            wrong = next((name for name, value in expected.items() if truth[name] != value), None)
            if wrong:
                return f"sample {key}: '{wrong}' is {truth[wrong]}, by the recipe it should be {expected[wrong]}"
            keys.append(key)
    except InputError as error:
        return str(error).removeprefix(f"{path}: ").partition("; run")[0]
    except ValueError:
        return f"holds another number of images than {len(shard_range(recipe, number))}"
    return ""


def _strangers(folder: Path, shards: int) -> Iterator[Problem]:
    known = {RECIPE, MANIFEST, LOCK, STATS, *map(shard_name, range(shards))}
    for entry in sorted(folder.iterdir()):
        if entry.name not in known and not entry.name.startswith("."):
            yield Problem(entry.name, "does not belong to the set", "move it elsewhere")
