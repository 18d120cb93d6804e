"""Reading a data set back, without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.dataset import rle
from synthray.dataset.layout import ShardInfo, complete_manifest, read_recipe, shard_range
from synthray.dataset.metadata import check_metadata
from synthray.dataset.recipe import Recipe
from synthray.dataset.shards import MEND, decode_png16, unpack
from synthray.errors import InputError
from synthray.files import parse_json


@dataclass(frozen=True, eq=False)
class StoredSample:
    """One sample of a data set.

    Attributes:
        key: unique in the set.
        image: float32 (row, column), -ln(signal / open-field signal).
        masks: structure or tool -> bool (row, column).
        landmarks_px: landmark -> (column, row), NaN when behind the source or not in this person.
        visible: landmark -> whether it lies in the picture.
        area_density: float32 (basis, row, column) g/cm², or None when the recipe doesn't keep it; after the two bases
            the materials of this image's tools, as `truth["area_density"]["basis"]` names them.
        paths_mm: 2-D structure -> float32 (row, column) path length, for those the recipe keeps.
        truth: all of the sample's metadata; see docs/dataset-format.md.
    """

    key: str
    image: npt.NDArray[np.float32]
    masks: dict[str, npt.NDArray[np.bool_]]
    landmarks_px: dict[str, npt.NDArray[np.float64]]
    visible: dict[str, bool]
    area_density: npt.NDArray[np.float32] | None
    paths_mm: dict[str, npt.NDArray[np.float32]]
    truth: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A finished data set on disk; iterate over it for its samples in order.

    Attributes:
        folder: where it lies.
        recipe: what it was made from.
        shards: its shards in order.
    """

    folder: Path
    recipe: Recipe
    shards: tuple[ShardInfo, ...]

    @staticmethod
    def open(folder: str | Path) -> Dataset:
        """Open a finished set.

        Raises:
            InputError: there is no set, or it is not finished.
        """
        path = Path(folder)
        recipe, _ = read_recipe(path)
        shards = complete_manifest(path, recipe)
        if shards is None:
            raise InputError(f"{path}: this data set is not finished; run synthray generate again")
        return Dataset(path, recipe, shards)

    def __len__(self) -> int:
        return sum(shard.samples for shard in self.shards)

    def __iter__(self) -> Iterator[StoredSample]:
        return self.samples()

    def samples(self, split: str | None = None) -> Iterator[StoredSample]:
        """The samples in order; only those of one split (`train`, `val`) when named.

        Raises:
            InputError: a shard is missing or damaged.
        """
        people = self.recipe.everyone()
        for number in range(len(self.shards)):
            if split is None or people[number % len(people)].split == split:
                yield from self.shard(number)

    def shard(self, number: int) -> Iterator[StoredSample]:
        """The samples of one shard in order.

        Raises:
            InputError: the shard is missing or damaged.
        """
        path = self.folder / self.shards[number].file
        expected = shard_range(self.recipe, number)
        count = 0
        for key, files in unpack(path):
            sample = decode_sample(path, key, files)
            if count == len(expected) or sample.truth["index"] != expected[count]:
                raise _damaged(path, key, f"image {sample.truth['index']} does not belong there")
            count += 1
            yield sample
        if count < len(expected):
            raise InputError(f"{path}: holds {count} of {len(expected)} images; {MEND}")


def decode_sample(shard: Path, key: str, files: Mapping[str, bytes]) -> StoredSample:
    """A sample from its files by extension.

    Args:
        shard: where they are from, for errors.
        key: of the sample.
        files: its files.

    Raises:
        InputError: a file is missing or damaged.
    """
    try:
        truth = parse_json(files["json"], f"{key}.json")
        held = check_metadata(truth)
        size = held.camera.rows, held.camera.columns
        density = held.area_density
        planes = [decode_png16(files[f"{name}.png"], density.scale, size) for name in density.basis] if density else []
        return StoredSample(
            key=key,
            image=decode_png16(files["png"], held.image.scale, size) - np.float32(held.image.offset),
            masks={name: rle.decode(mask) for name, mask in truth["masks"].items()},
            landmarks_px={
                name: np.array(mark.px if mark.px is not None else [np.nan, np.nan])
                for name, mark in held.landmarks.items()
            },
            visible={name: mark.visible for name, mark in held.landmarks.items()},
            area_density=np.stack(planes) if planes else None,
            paths_mm={name: decode_png16(files[f"{name}.path.png"], held.paths.scale, size) for name in held.paths.of},
            truth=truth,
        )
    except KeyError as error:
        raise _damaged(shard, key, f"no file {error}") from None
    except InputError as error:
        raise _damaged(shard, key, str(error)) from None


def _damaged(shard: Path, key: str, what: str) -> InputError:
    return InputError(f"{shard}: sample {key} is damaged ({what}); {MEND}")


def stack_masks(sample: StoredSample, structures: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(structure, row, column) bool; a structure that a person doesn't have is empty."""
    empty = np.zeros(sample.image.shape, dtype=bool)
    return np.stack([sample.masks.get(name, empty) for name in structures]) if structures else empty[None][:0]


def stack_density(samples: Sequence[StoredSample]) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    """Area densities of samples whose recipe keeps them, with the same channels for all.

    Returns:
        (n, 2 + M, row, column) g/cm², zero where an image lacks a material, and the M materials' names.

    Raises:
        InputError: a sample has none.
    """
    bases = [sample.truth["area_density"]["basis"] if sample.area_density is not None else [] for sample in samples]
    if not all(bases):
        raise InputError("these samples hold no area densities; make the data set with keep_area_density: true")
    materials = tuple(sorted({name for basis in bases for name in basis[2:]}))
    stacked = np.zeros((len(samples), 2 + len(materials), *samples[0].image.shape), dtype=np.float32)
    for row, sample, basis in zip(stacked, samples, bases, strict=True):
        for plane, name in zip(sample.area_density if sample.area_density is not None else (), basis, strict=True):
            row[materials.index(name) + 2 if name in materials else basis.index(name)] = plane
    return stacked, materials
