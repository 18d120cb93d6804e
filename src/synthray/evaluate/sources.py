"""Whatever holds images with truth, told by its looks: as cases, and as a plain folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from synthray.dataset.convert.run import Converted, appearing
from synthray.errors import InputError
from synthray.evaluate.cases import Case, looks_like_qata, read_deepfluoro, read_folder, read_qata
from synthray.evaluate.coco import open_coco, read_coco
from synthray.evaluate.deepfluoro import is_full_resolution, posed_from_deepfluoro

HDF5 = (".h5", ".hdf5")


@dataclass(frozen=True)
class Source:
    """Images with truth.

    Attributes:
        name: what they are called in reports.
        cases: reads them one by one, with the masks of these structures, or of all.
        total: how many there are at most, when known before reading.
    """

    name: str
    cases: Callable[[tuple[str, ...] | None], Iterator[Case]]
    total: int | None = None


def open_source(path: str | Path, where: Mapping[str, Any] | None = None) -> Source:
    """Other people's images with truth, by their looks.

    Takes COCO annotations (.json), HDF5 files (DeepFluoro preprocessed or at full resolution, SyntheX), folders of
    QaTa-COV19, and folders with `images/` and `masks_STRUCTURE/`.

    Args:
        path: what to read.
        where: of a folder with `index.json`: values that an image's entry must have.

    Raises:
        InputError: it can't be read, or is none of these.
    """
    source = Path(path)
    if source.suffix.lower() == ".json":
        images = len(open_coco(source).images)
        return Source(source.name, lambda _: read_coco(source), images)
    if source.suffix.lower() in HDF5:
        return Source(source.name, lambda _: _hdf5(source))
    folder = read_qata(source) if source.is_dir() and looks_like_qata(source) else read_folder(source, where=where)
    return Source(source.resolve().name, lambda names: folder.cases(names or tuple(folder.masks)), len(folder.images))


def _hdf5(path: Path) -> Iterator[Case]:
    if not is_full_resolution(path):
        yield from read_deepfluoro(path)
        return
    for person in posed_from_deepfluoro(path):
        yield from (image.case(person.name) for image in person.images())


def unpack_source(
    path: str | Path, out: str | Path, *, on_progress: Callable[[float, float], None] | None = None
) -> Converted:
    """Write other people's images with truth as a folder: `images/`, `masks_STRUCTURE/`, `index.json`.

    `read_folder` gives the same cases back; whole grey values from 0 to 65535 are kept, others are stretched to them.

    Args:
        path: see `open_source`.
        out: a folder that doesn't exist yet; it appears when it is whole.
        on_progress: called with (images done, images in all) when these are known.

    Raises:
        InputError: the source can't be read, holds no images, or `out` exists or can't be written.
    """
    source, target = open_source(path), Path(out)
    index: list[dict[str, Any]] = []
    with appearing(target) as place:
        for number, case in enumerate(source.cases(None), start=1):
            stem = f"{number:06d}-{case.id.replace('/', '-')}"
            _save(_whole(case.image), place / "images" / f"{stem}.png")
            for structure, mask in case.masks.items():
                _save(mask.astype(np.uint8) * 255, place / f"masks_{structure}" / f"{stem}.png")
            index.append(_entry(case, stem))
            if on_progress and source.total:
                on_progress(number, source.total)
        if not index:
            raise InputError(f"{path}: holds no images with truth")
        (place / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return Converted(target, len(index))


def _entry(case: Case, stem: str) -> dict[str, Any]:
    return {
        "stem": stem,
        "file": f"{stem}.png",
        "patient": case.group,
        "pixel_mm": case.pixel_mm,
        "landmarks_px": {name: at.tolist() for name, at in case.landmarks_px.items()},
    }


def _whole(image: npt.NDArray[np.floating]) -> npt.NDArray[Any]:
    """Grey values as 8 or 16 bits."""
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 65535 or not np.array_equal(image, np.rint(image)):
        image = (image - low) * (65535 / max(high - low, 1e-30))
        high = 65535
    return np.rint(image).astype(np.uint8 if high < 256 else np.uint16)


def _save(pixels: npt.NDArray[Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
