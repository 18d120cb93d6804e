"""Reading a data set back, without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.dataset import rle
from synthray.dataset.job import ShardInfo, read_manifest, read_recipe
from synthray.dataset.recipe import Recipe
from synthray.dataset.shards import decode_png16, unpack
from synthray.errors import InputError


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
        manifest = read_manifest(path)
        if manifest is None:
            raise InputError(f"{path}: this data set is not finished; run synthray generate again")
        return Dataset(path, recipe, tuple(ShardInfo(**entry) for entry in manifest["shards"]))

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
        for number, shard in enumerate(self.shards):
            if split is None or people[number % len(people)].split == split:
                for key, files in unpack(self.folder / shard.file):
                    yield decode_sample(self.folder / shard.file, key, files)


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
        truth = json.loads(files["json"])
        scale, offset = truth["image"]["scale"], truth["image"]["offset"]
        density = truth["area_density"]
        planes = [decode_png16(files[f"{name}.png"], density["scale"]) for name in density["basis"]] if density else []
        marks = truth["landmarks"]
        return StoredSample(
            key=key,
            image=decode_png16(files["png"], scale) - np.float32(offset),
            masks={name: rle.decode(mask) for name, mask in truth["masks"].items()},
            landmarks_px={
                name: np.array(mark["px"] if mark["px"] is not None else [np.nan, np.nan])
                for name, mark in marks.items()
            },
            visible={name: bool(mark["visible"]) for name, mark in marks.items()},
            area_density=np.stack(planes) if planes else None,
            paths_mm={
                name: decode_png16(files[f"{name}.path.png"], truth["paths"]["scale"]) for name in truth["paths"]["of"]
            },
            truth=truth,
        )
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise InputError(
            f"{shard}: sample {key} is damaged ({error}); delete the shard and run generate again"
        ) from None


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
