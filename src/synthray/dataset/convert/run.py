"""`convert`: from a finished data set to a folder or file that appears when it is whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from synthray.dataset.convert.coco import write_coco
from synthray.dataset.convert.dicom import write_dicom
from synthray.dataset.convert.job import Job
from synthray.dataset.convert.nnunet import write_nnunet
from synthray.dataset.convert.pictures import write_pictures
from synthray.dataset.convert.synthex import write_synthex
from synthray.dataset.read import Dataset
from synthray.errors import InputError
from synthray.files import PART_SUFFIX

TARGETS: Mapping[str, Callable[[Job], None]] = MappingProxyType(
    {"coco": write_coco, "nnunet": write_nnunet, "png": write_pictures, "hdf5": write_synthex, "dicom": write_dicom}
)


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        out: the folder, or the file for `hdf5`.
        images: how many.
    """

    out: Path
    images: int


def convert(
    source: str | Path,
    out: str | Path,
    to: str,
    *,
    display: str = "chest-pa",
    split: str | None = None,
    on_progress: Callable[[float, float], None] | None = None,
) -> Converted:
    """Write a data set's images, masks and landmarks in another format.

    - `coco`: `images/`, `annotations.json` with instances (run lengths) and keypoints.
    - `nnunet`: nnU-Net v2 raw: `dataset.json`, `imagesTr/`, `labelsTr/`, `imagesTs/`, `labelsTs/` (split `val`), and
      `splits_final.json` by person. Masks become one label map.
    - `png`: `images/`, `masks_STRUCTURE/`, `index.json`, as `evaluate` reads it.
    - `hdf5`: one file in the layout of preprocessed DeepFluoro and SyntheX, -log images.
    - `dicom`: an X-ray angiographic object for each image in `images/`, -log without loss, with C-arm angles and
      distances; `masks_STRUCTURE/` and `index.json` as for `png`.

    Args:
        source: folder of a finished data set.
        out: a folder, or for `hdf5` a file, that doesn't exist yet.
        to: one of `TARGETS`.
        display: preset of the 8 or 16 bit pictures, see `imaging.display`.
        split: only `train` or `val`; both by default.
        on_progress: called with (images done, images in all).

    Raises:
        InputError: an unknown format, `out` exists, or the data set can't be read.
        MissingExtraError: `hdf5` without h5py.
    """
    if to not in TARGETS:
        raise InputError(f"can't convert to '{to}'; choose one of {', '.join(TARGETS)}")
    target = Path(out)
    dataset = Dataset.open(source)
    with appearing(target) as place:
        job = Job(dataset, place, target.name, display, split, on_progress)
        TARGETS[to](job)
    return Converted(target, job.count)


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A place to write to that gets its name at the end, and is removed after a failure.

    Raises:
        InputError: the target exists, or can't be written.
    """
    if target.exists():
        raise InputError(f"{target}: exists already; choose another name or remove it")
    part = target.with_name(f".{target.name}{PART_SUFFIX}")
    _remove(part)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.rename(target)
    except OSError as error:
        raise InputError(f"{target}: can't be written ({error.strerror or error}); choose another place") from error
    finally:
        _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
