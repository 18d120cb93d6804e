"""What lies in a data set's folder: names, the recipe's record and the manifest."""

from __future__ import annotations

import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthray.dataset.plan import shard_count
from synthray.dataset.recipe import Recipe, parse
from synthray.errors import InputError
from synthray.files import read_json

FORMAT = "synthray-dataset-1"
RECIPE, MANIFEST, LOCK, STATS = "recipe.json", "manifest.json", ".lock", "stats.html"
# A hundred million images in shards of 32 are listed in about half of this.
_MOST_MANIFEST_BYTES = 1 << 30
_HEX = frozenset(string.hexdigits.lower())


@dataclass(frozen=True)
class ShardInfo:
    """One finished shard: file name, number of samples, size, SHA-256."""

    file: str
    samples: int
    bytes: int
    sha256: str


def shard_name(shard: int) -> str:
    """File name of a shard."""
    return f"shard-{shard:06d}.tar"


def shard_range(recipe: Recipe, shard: int) -> range:
    """Indices of the images in a shard."""
    first = shard * recipe.images_per_shard
    return range(first, min(first + recipe.images_per_shard, recipe.images))


def read_manifest(folder: Path) -> tuple[ShardInfo, ...] | None:
    """The shards that the manifest of a finished set lists, in order, or None without a manifest.

    Raises:
        InputError: the manifest is there but damaged, or of another format.
    """
    path = folder / MANIFEST
    mend = "delete it and run generate again"
    try:
        data = read_json(path, _MOST_MANIFEST_BYTES)
        if data["format"] != FORMAT:
            raise InputError(f"{path}: format '{data['format']}' is not {FORMAT}")
        shards = tuple(_shard_info(entry, number) for number, entry in enumerate(data["shards"]))
        if data["images"] != sum(shard.samples for shard in shards):
            raise ValueError("its number of images is not that of its shards")
    except FileNotFoundError:
        return None
    except InputError as error:
        raise InputError(f"{error}; {mend}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({_short(error)}); {mend}") from None
    return shards


def complete_manifest(folder: Path, recipe: Recipe) -> tuple[ShardInfo, ...] | None:
    """The shards of a finished set, all that the recipe asks for; None without a manifest.

    Raises:
        InputError: the manifest is damaged or lists other shards than the recipe's.
    """
    shards = read_manifest(folder)
    if shards is None:
        return None
    expected = [len(shard_range(recipe, number)) for number in range(shard_count(recipe))]
    if [shard.samples for shard in shards] != expected:
        raise InputError(
            f"{folder / MANIFEST}: damaged (its shards are not those of the recipe); delete it and run generate again"
        )
    return shards


def read_recipe(folder: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a set and the record it is part of.

    Raises:
        InputError: the folder holds no data set, or its recipe is damaged.
    """
    path = folder / RECIPE
    try:
        record = read_json(path)
        return parse(Recipe, record["recipe"], str(path)), record
    except FileNotFoundError:
        raise InputError(f"{folder}: no data set here (no {RECIPE}); make one with synthray generate") from None
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({_short(error)}); put the recipe back as it was") from None


def _shard_info(entry: dict[str, Any], number: int) -> ShardInfo:
    info = ShardInfo(**entry)
    counts = type(info.samples) is int and type(info.bytes) is int and min(info.samples, info.bytes) > 0
    named = info.file == shard_name(number)
    if not (counts and named and isinstance(info.sha256, str) and len(info.sha256) == 64 and set(info.sha256) <= _HEX):
        raise ValueError(f"entry {number} of its shards makes no sense")
    return info


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
