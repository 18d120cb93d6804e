"""Images with truth, from folders and from other people's HDF5 files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.dataset.convert.synthex import DEEPFLUORO_CLASSES
from synthray.errors import InputError, MissingExtraError
from synthray.files import read_json
from synthray.models.image_reader import detector_pixel_mm, read_image

_MASKS = "masks_"
_QATA_PREFIX = "mask_"
_QATA_IMAGES = ("images", "image")
_QATA_MASKS = ("ground-truths", "ground-truth", "ground_truths", "masks")

DEEPFLUORO_LABELS: Mapping[int, str] = {number + 1: name for number, name in enumerate(DEEPFLUORO_CLASSES)}


@dataclass(frozen=True, eq=False)
class Case:
    """One image with its truth.

    Attributes:
        id: name in tables and pictures.
        image: (rows, columns) grey values of any range.
        masks: structure -> (rows, columns) bool; only structures whose truth is known.
        landmarks_px: landmark -> (2,) (column, row) in image pixels; only those in view.
        group: whose image it is; intervals resample groups. None: a person of its own.
        pixel_mm: side of a pixel, where distances in mm are wanted.
    """

    id: str
    image: npt.NDArray[np.floating]
    masks: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    landmarks_px: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    group: str | None = None
    pixel_mm: float | None = None

    def __post_init__(self) -> None:
        for name, mask in self.masks.items():
            if mask.shape != self.image.shape:
                raise InputError(
                    f"{self.id}: mask '{name}' has {mask.shape} pixels, the image {self.image.shape}; they must agree"
                )


@dataclass(frozen=True)
class ImageFolder:
    """The files of a folder with `images/` and `masks_STRUCTURE/`.

    Attributes:
        images: stem -> image file, sorted.
        masks: structure -> stem -> mask file.
        index: stem -> its entry in `index.json`; see `read_folder`.
    """

    images: Mapping[str, Path]
    masks: Mapping[str, Mapping[str, Path]]
    index: Mapping[str, Mapping[str, Any]]

    def cases(self, structures: Collection[str]) -> Iterator[Case]:
        """The images that have a mask of at least one of the structures, read one by one."""
        for stem, file in self.images.items():
            held = {name: self.masks[name][stem] for name in structures if stem in self.masks.get(name, {})}
            if held:
                masks = {name: read_mask(path) for name, path in held.items()}
                said = _said(stem, self.index.get(stem, {}))
                if said["pixel_mm"] is None:
                    said["pixel_mm"] = detector_pixel_mm(file)
                yield Case(stem, read_image(file), masks, **said)


def read_folder(
    data_dir: str | Path,
    *,
    stems: Collection[str] | None = None,
    where: Mapping[str, Any] | None = None,
) -> ImageFolder:
    """List a folder of X-rays with `images/`, `masks_STRUCTURE/` of equal stems, and perhaps `index.json`.

    `index.json` is a list of objects, one per image, with `stem` and anything else. Where given, `patient` is the
    group for intervals, `landmarks_px` are the landmarks in view (name -> [column, row]) and `pixel_mm` is the side of
    a pixel; of DICOM images without it, the spacing at the detector.

    Args:
        data_dir: the folder.
        stems: only these images.
        where: only images whose entry in `index.json` has these values, such as `{"lung_ok": True}`.

    Raises:
        InputError: a folder or file is missing or empty, two images share a stem, or nothing is left.
    """
    folder = Path(data_dir)
    images = _files_by_stem(folder / "images")
    masks = {
        path.name.removeprefix(_MASKS): _files_by_stem(path)
        for path in sorted(folder.glob(f"{_MASKS}*"))
        if path.is_dir()
    }
    if not masks:
        raise InputError(f"{folder}: has no folder masks_STRUCTURE beside images/, so there is nothing to score")
    index = _read_index(folder / "index.json")
    if where and not index:
        raise InputError(f"{folder}: has no index.json to choose images by {', '.join(where)}")
    if stems is not None and (unknown := sorted(set(stems) - set(images))):
        raise InputError(f"{folder / 'images'}: has no image '{unknown[0]}' ({len(unknown)} of the stems are missing)")
    chosen = {
        stem: path
        for stem, path in images.items()
        if (stems is None or stem in stems) and _matches(index.get(stem, {}), where or {})
    }
    if not chosen:
        raise InputError(f"{folder}: no image is left to score after choosing by {', '.join(where or ['stems'])}")
    return ImageFolder(chosen, masks, index)


def read_pairs(
    images: str | Path,
    masks: Mapping[str, str | Path],
    *,
    prefix: str = "",
    group: str | None = None,
) -> ImageFolder:
    """Images and masks from folders of any names.

    Args:
        images: folder of pictures; names that start with a non-empty `prefix` are passed over, so that both kinds may
            lie in one folder.
        masks: structure -> folder of its masks, named as the images with `prefix` in front.
        prefix: of masks.
        group: regular expression, found at the start of a stem, whose first group says whose image it is.

    Raises:
        InputError: a folder is missing or empty, or no image has a mask.
    """
    pictures = {n: p for n, p in _files_by_stem(Path(images)).items() if not (prefix and n.startswith(prefix))}
    held = {
        structure: {
            name.removeprefix(prefix): path
            for name, path in _files_by_stem(Path(folder)).items()
            if name.startswith(prefix)
        }
        for structure, folder in masks.items()
    }
    if not any(stem in of for of in held.values() for stem in pictures):
        raise InputError(f"{images}: none of its {len(pictures)} images has a mask of its name, prefix '{prefix}'")
    people = {stem: found[1] for stem in pictures if group and (found := re.match(group, stem))}
    return ImageFolder(pictures, held, {stem: {"stem": stem, "patient": person} for stem, person in people.items()})


def read_qata(folder: str | Path, structure: str = "opacity") -> ImageFolder:
    """QaTa-COV19: chest X-rays and masks `mask_NAME` of their lesions, in one folder or in two.

    Images without a mask are left out. Where a name says whose image it is (`sub-S01234_…`), people are the groups.

    Args:
        folder: holds the images, or `Images/` and `Ground-truths/`.
        structure: what the lesions are called.

    Raises:
        InputError: no such folder.
    """
    root = Path(folder)
    parts = {path.name.lower(): path for path in root.iterdir() if path.is_dir()} if root.is_dir() else {}
    images = next((parts[name] for name in _QATA_IMAGES if name in parts), root)
    masks = next((parts[name] for name in _QATA_MASKS if name in parts), root)
    if parts and images is root and not any(root.glob(f"{_QATA_PREFIX}*")):
        inner = ", ".join(sorted(path.name for path in parts.values()))
        raise InputError(f"{root}: no QaTa-COV19 images in it; give one of its folders {inner}")
    return read_pairs(images, {structure: masks}, prefix=_QATA_PREFIX, group=r"(sub-[A-Za-z0-9]+)")


def looks_like_qata(folder: Path) -> bool:
    """Whether a folder holds masks named as in QaTa-COV19."""
    inner = (folder / part for part in (".", *(p.name for p in folder.iterdir() if p.is_dir())))
    return any(next(place.glob(f"{_QATA_PREFIX}*"), None) is not None for place in inner)


def _said(stem: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry of `index.json` says of an image, as fields of a case."""
    try:
        marks = {n: np.array(at, dtype=np.float64).reshape(2) for n, at in entry.get("landmarks_px", {}).items()}
        side = entry.get("pixel_mm")
        return {
            "landmarks_px": marks,
            "group": None if entry.get("patient") is None else str(entry["patient"]),
            "pixel_mm": None if side is None else float(side),
        }
    except (AttributeError, TypeError, ValueError):
        raise InputError(
            f"index.json: image '{stem}': landmarks_px must be {{name: [column, row]}} and pixel_mm a number"
        ) from None


def _matches(entry: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    return all(key in entry and entry[key] == value for key, value in where.items())


def _files_by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; data to score has images/ and masks_STRUCTURE/")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.stem in found:
            raise InputError(f"{folder}: {found[path.stem].name} and {path.name} share a stem; rename one")
        found[path.stem] = path
    if not found:
        raise InputError(f"{folder}: is empty")
    return found


def _read_index(path: Path) -> dict[str, dict[str, Any]]:
    try:
        entries = read_json(path)
        return {str(entry["stem"]): dict(entry) for entry in entries}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: must be a JSON list of objects with a 'stem' each ({error})") from error


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """(rows, columns) bool: pixels brighter than half the brightest."""
    values = read_image(path)
    # 0/1 and 0/255 files alike, and grey edges of a resampled mask.
    return values > values.max() / 2


def read_deepfluoro(
    path: str | Path,
    *,
    specimens: Sequence[str] | None = None,
    labels: Mapping[int, str] = DEEPFLUORO_LABELS,
    pixel_mm: float | None = None,
) -> Iterator[Case]:
    """Images of the preprocessed DeepFluoro layout: per specimen `projs`, `segs` and `lands`, plus `land-names`.

    Also the files of the SyntheX releases, which keep images and labels apart: the labels of `NAME.h5` are looked up in
    `NAME_label.h5` or, as those of all simulated images there, in `sim_label.h5` beside it. Landmarks that are
    infinite, NaN or outside the image are left out.

    Args:
        path: the HDF5 file.
        specimens: only these groups, such as `["01"]`; each is one person.
        labels: class number in `segs` -> structure.
        pixel_mm: side of a pixel after the file's downsampling, when known.

    Raises:
        MissingExtraError: h5py is not installed.
        InputError: not such a file, or a specimen is missing.
    """
    try:
        import h5py
    except ImportError as absent:
        raise MissingExtraError("reading HDF5 files", "hdf5") from absent
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: is missing or not a readable HDF5 file") from error
    with ExitStack() as opened:
        opened.enter_context(file)
        people = sorted(name for name, group in file.items() if isinstance(group, h5py.Group) and "projs" in group)
        if not people:
            raise InputError(f"{path}: has no group with 'projs'; the preprocessed DeepFluoro layout is expected")
        for person in specimens or people:
            if person not in people:
                raise InputError(f"{path}: has no specimen '{person}'; it has {', '.join(people)}")
        beside = None if any("segs" in file[person] for person in people) else _label_file(Path(path))
        truth = file if beside is None else opened.enter_context(h5py.File(beside, "r"))
        names = _landmark_names(truth)
        for person in specimens or people:
            if person not in truth:
                raise InputError(f"{beside}: has no specimen '{person}', which {path} has")
            yield from _specimen_cases(file[person], truth[person], person, names, labels, pixel_mm)


def _label_file(path: Path) -> Path | None:
    """The file of labels that belongs to a SyntheX file of images."""
    named = [path.with_name(f"{path.stem}_label{path.suffix}")]
    if not re.fullmatch(r"real(_.*)?", path.stem):  # real images have labels of their own
        named.append(path.with_name(f"sim_label{path.suffix}"))
    return next((file for file in named if file.is_file()), None)


def _landmark_names(file: Any) -> list[str]:
    if "land-names" not in file:
        return []
    group = file["land-names"]
    stored = [group[key][()] for key in sorted(group) if key.startswith("land-")]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in stored]


def _specimen_cases(
    group: Any, truth: Any, person: str, names: Sequence[str], labels: Mapping[int, str], pixel_mm: float | None
) -> Iterator[Case]:
    count = len(group["projs"])
    for key in ("segs", "lands"):
        if key in truth and len(truth[key]) != count:
            raise InputError(f"{truth.file.filename}: {person}/{key} has {len(truth[key])} entries for {count} images")
    for i in range(count):
        image = np.asarray(group["projs"][i], dtype=np.float32)
        classes = np.asarray(truth["segs"][i]) if "segs" in truth else None
        masks = {} if classes is None else {name: classes == number for number, name in labels.items()}
        points = np.asarray(truth["lands"][i], dtype=np.float64) if "lands" in truth else np.empty((2, 0))
        rows, columns = image.shape
        landmarks = {
            name: point
            for name, point in zip(names, points.T, strict=False)
            if np.isfinite(point).all() and (point > -0.5).all() and point[0] < columns - 0.5 and point[1] < rows - 0.5
        }
        yield Case(f"{person}/{i:03d}", image, masks, landmarks, group=person, pixel_mm=pixel_mm)
