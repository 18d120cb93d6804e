"""`verify`: compare a data set with its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthray.dataset.job import ShardInfo, read_manifest, read_recipe, shard_name, shard_range
from synthray.dataset.plan import shard_count
from synthray.dataset.shards import checksum


@dataclass(frozen=True)
class Problem:
    """Something wrong with one file, and how to mend it."""

    file: str
    what: str
    mend: str


@dataclass(frozen=True)
class VerifyReport:
    """The result of a check: number of images that are whole, and what is wrong."""

    images: int
    problems: tuple[Problem, ...]


def verify(folder: str | Path) -> VerifyReport:
    """Check that every shard is there with the content that the manifest promises.

    Raises:
        InputError: the folder holds no data set, or its manifest is damaged.
    """
    path = Path(folder)
    recipe, _ = read_recipe(path)
    manifest = read_manifest(path)
    again = f"run synthray generate on {path} again"
    if manifest is None:
        return VerifyReport(0, (Problem("manifest.json", "missing: the set was not finished", again),))
    listed = {entry["file"]: ShardInfo(**entry) for entry in manifest["shards"]}
    problems, images = [], 0
    for shard in range(shard_count(recipe)):
        name = shard_name(shard)
        what = _fault(path / name, listed.get(name), len(shard_range(recipe, shard)))
        if what:
            problems.append(Problem(name, what, f"delete {name} and manifest.json, then {again}"))
        else:
            images += listed[name].samples
    return VerifyReport(images, tuple(problems))


def _fault(path: Path, info: ShardInfo | None, expected: int) -> str:
    if not path.is_file():
        return "missing"
    if info is None:
        return "not in the manifest"
    if info.samples != expected:
        return f"holds {info.samples} of {expected} images"
    if path.stat().st_size != info.bytes:
        return f"{path.stat().st_size} bytes long, should be {info.bytes}"
    return "" if checksum(path) == info.sha256 else "altered: its SHA-256 is not the manifest's"
