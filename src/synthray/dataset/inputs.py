"""What a set is made from: fingerprints of its files, and whether one person stands on both sides of the split.

Reading every CT at each start would take hours for a thousand of them, so what was found is kept in a hidden file of
the set's folder, and used again for files whose size and time of change are the same.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ValidationError

from synthray.anatomy import Volume
from synthray.anatomy.readers import read_ct
from synthray.dataset.recipe import Person, Recipe
from synthray.dataset.shards import checksum
from synthray.errors import InputError, SynthrayWarning
from synthray.files import read_bytes, write_atomically

CACHE = ".inputs.json"
_MOST_CACHE_BYTES = 1 << 28
_OUTLINE_SIDE = 10
# Root mean square difference of outlines: resampling seven real CTs to 2.5 to 7 mm changes theirs by 0.3 to 11 HU, and
# those of any two of them are 145 to 634 HU apart.
_SAME_OUTLINE_HU = 40.0


class Known(BaseModel):
    """What is known of one file or folder.

    Attributes:
        stamp: of sizes and times of change; while it stays, so does the rest.
        sha256: of its content.
        voxels: of the CT's voxels in patient order, however the file stores them; empty when not read yet.
        outline: mean HU of 10 x 10 x 10 blocks, which a resampled copy shares.
    """

    stamp: str
    sha256: str
    voxels: str = ""
    outline: list[float] = []


class Inputs:
    """Fingerprints of files, remembered beside a set."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: of the set; a damaged memory is forgotten."""
        self._path = folder / CACHE
        self._known: dict[str, Known] = {}
        self._changed = False
        try:
            held = _Cache.model_validate_json(read_bytes(self._path, _MOST_CACHE_BYTES))
            self._known = held.inputs
        except (FileNotFoundError, ValidationError, InputError):
            pass

    def fingerprint(self, recipe: Recipe) -> dict[str, str]:
        """Path as written in the recipe -> SHA-256 of its content, for all that people and tools are made from.

        Raises:
            InputError: a file is missing or can't be read.
        """
        sources = [one for p in recipe.people for one in (p.ct, p.labels, p.label_names, p.landmarks)]
        named = dict.fromkeys([*sources, *(tool.file for tool in recipe.tools)])
        return {source: self._of(source).sha256 for source in named if isinstance(source, str)}

    def check_leaks(self, recipe: Recipe) -> None:
        """Refuse a recipe in which one person is in split `train` and in split `val`; warn of doubles within one.

        Bodies are compared by seed. CTs are read and compared voxel by voxel, in whatever format and orientation they
        are stored, and by an outline that finds copies resampled to another spacing. They are only read when there are
        two or more, and both splits.

        Raises:
            InputError: the same person is in both splits; both names are told.
        """
        _check_bodies(recipe.people)
        splits: dict[str, set[str]] = {}
        for person in recipe.people:
            if person.ct is not None:
                splits.setdefault(person.ct, set()).add(person.split)
        if len(splits) < 2 or len({person.split for person in recipe.people}) < 2:
            return
        for one, other, how in self._doubles(list(splits)):
            if len(splits[one] | splits[other]) > 1:
                raise InputError(
                    f"people: {one} and {other} are the same CT ({how}), in split train and in split val: what is "
                    "learnt from one would be tested on the other; put both in one split"
                )
            message = f"people: {one} and {other} are the same CT ({how})"
            warnings.warn(message, SynthrayWarning, stacklevel=2)

    def save(self) -> None:
        """Remember what was found; a folder that can't be written is told of by whoever needs it."""
        if self._changed:
            write_atomically(self._path, _Cache(inputs=self._known).model_dump_json().encode())

    def _of(self, source: str) -> Known:
        stamp = _stamp(Path(source))
        held = self._known.get(source)
        if held is None or held.stamp != stamp:
            held = Known(stamp=stamp, sha256=_content(Path(source)))
            self._known[source], self._changed = held, True
        return held

    def _doubles(self, sources: list[str]) -> Iterator[tuple[str, str, str]]:
        """Pairs of CTs that are the same, and how that shows."""
        known = [self._with_voxels(source) for source in sources]
        first: dict[str, int] = {}
        for number, one in enumerate(known):
            held = first.setdefault(one.voxels, number)
            if held != number:
                yield sources[held], sources[number], "equal voxels"
        outlines = np.array([one.outline for one in known], dtype=np.float64)
        for number in range(1, len(known)):
            apart = np.sqrt(((outlines[:number] - outlines[number]) ** 2).mean(axis=1))
            for other in np.flatnonzero(apart < _SAME_OUTLINE_HU):
                if known[other].voxels != known[number].voxels:
                    yield sources[other], sources[number], "resampled"

    def _with_voxels(self, source: str) -> Known:
        held = self._of(source)
        if not held.voxels:
            ct = in_patient_order(read_ct(Path(source))[0])
            voxels = hashlib.sha256(f"{ct.shape}".encode())
            voxels.update(np.ascontiguousarray(np.rint(ct), dtype=np.int16).tobytes())
            held = held.model_copy(update={"voxels": voxels.hexdigest(), "outline": outline(ct).ravel().tolist()})
            self._known[source], self._changed = held, True
        return held


class _Cache(BaseModel):
    inputs: dict[str, Known]


def in_patient_order(ct: Volume) -> npt.NDArray[np.int16] | npt.NDArray[np.float32]:
    """The voxels with i, j, k running as near to left, back, head as the grid allows."""
    axes = ct.patient_from_voxel[:3, :3] / ct.voxel_mm
    order: list[int] = []
    for row in np.abs(axes):
        order.append(max((axis for axis in range(3) if axis not in order), key=lambda axis: float(row[axis])))
    turned = ct.values.transpose(order)
    flips = tuple(slice(None, None, 1 if axes[world, axis] >= 0 else -1) for world, axis in enumerate(order))
    return turned[flips]


def outline(values: npt.NDArray[np.int16] | npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(10, 10, 10) mean HU of equal parts of the grid, voxels on a border shared by both sides."""
    found: npt.NDArray[np.float64] = np.asarray(values)
    for axis in range(3):
        weights = _shares(values.shape[axis])
        found = np.moveaxis(np.tensordot(weights, found, axes=(1, axis)), 0, axis)
    return found


def _shares(count: int) -> npt.NDArray[np.float64]:
    """(10, count) share of each voxel in each tenth of the length."""
    ends = np.linspace(0, count, _OUTLINE_SIDE + 1)
    voxels = np.arange(count)
    overlap = np.minimum(ends[1:, None], voxels + 1) - np.maximum(ends[:-1, None], voxels)
    shares = np.clip(overlap, 0, None)
    return shares / shares.sum(axis=1, keepdims=True)


def _check_bodies(people: Iterable[Person]) -> None:
    ranges = sorted((p.body, p.body + p.count, p.split) for p in people if p.body is not None)
    reached: Mapping[str, int] = {"train": -1, "val": -1}
    for start, stop, split in ranges:
        other = "val" if split == "train" else "train"
        if start < reached[other]:
            raise InputError(f"people: body {start} is in split train and in split val; give the splits other seeds")
        reached = {**reached, split: max(reached[split], stop)}


def _stamp(path: Path) -> str:
    """Sizes and times of change of a file, or of all files in a folder."""
    found = hashlib.sha256()
    for file in _files(path):
        held = file.stat()
        found.update(f"{file} {held.st_size} {held.st_mtime_ns} {held.st_ctime_ns}\n".encode())
    return found.hexdigest()


def _content(path: Path) -> str:
    if path.is_file():
        return checksum(path)
    whole = hashlib.sha256()
    for file in _files(path):
        whole.update(f"{file.relative_to(path)} {checksum(file)}\n".encode())
    return whole.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    return sorted(item for item in path.rglob("*") if item.is_file())
