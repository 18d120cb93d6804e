"""COCO annotations (https://cocodataset.org/#format-data), Perphix's among them, as images with truth.

Masks may be run lengths, compressed or not, or polygons; pycocotools is not needed. Coordinates count from a pixel's
corner there and from its centre here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.dataset import rle
from synthray.errors import InputError, SynthrayWarning
from synthray.evaluate.cases import Case
from synthray.files import read_json
from synthray.geometry import polygon_mask
from synthray.models.image_reader import read_image

Mask = npt.NDArray[np.bool_]

# Perphix's keypoints (Killeen et al. 2023) by DeepFluoro's names, which synthray uses.
PERPHIX_LANDMARKS: Final[Mapping[str, str]] = MappingProxyType(
    {f"{s}_{m.lower()}": f"{m}-{s}" for m in ("SPS", "IPS", "IOF", "GSN", "MOF", "ASIS") for s in "lr"}
)
# Ten thousand images with twenty masks each are some hundred MiB.
_MOST_BYTES: Final = 2 << 30
_PLACES: Final = ("images", ".", "../images", "../{stem}")


@dataclass(frozen=True, eq=False)
class CocoFile:
    """A checked annotation file.

    Attributes:
        path: the file.
        images: its entries for images, with `id`, `file_name`, `height` and `width`.
        annotations: image id -> its annotations.
        structures: category id -> name, of categories with masks.
        keypoints: category id -> names of its keypoints.
        folder: where the pictures lie.
        first_frames: id of an image -> id of its sequence's first image, in files with sequences.
    """

    path: Path
    images: Sequence[Mapping[str, Any]]
    annotations: Mapping[Any, Sequence[Mapping[str, Any]]]
    structures: Mapping[Any, str]
    keypoints: Mapping[Any, Sequence[str]]
    folder: Path
    first_frames: Mapping[Any, Any]


def read_coco(
    annotations: str | Path, images: str | Path | None = None, *, landmark_names: Mapping[str, str] = PERPHIX_LANDMARKS
) -> Iterator[Case]:
    """The images of a COCO file with their truth.

    A structure's mask is the union of its instances; a structure that an image has no instance of is empty there.
    People, whom intervals resample, are told by an image's `patient`, Perphix's `case_name`, or its sequence.

    Args:
        annotations: the JSON file.
        images: folder of the pictures; looked for beside the file by default.
        landmark_names: keypoint -> landmark; others keep their names.

    Raises:
        InputError: not such a file, a picture is missing or has another size, or a mask is malformed.
    """
    coco = open_coco(annotations, images)
    for entry in coco.images:
        yield _case(coco, entry, landmark_names)


def open_coco(annotations: str | Path, images: str | Path | None = None) -> CocoFile:
    """The annotations, checked, without any picture; see `read_coco`.

    Raises:
        InputError: not such a file, or the pictures aren't found.
    """
    path = Path(annotations)
    try:
        held = read_json(path, _MOST_BYTES)
        entries = [{**one, "file_name": str(one["file_name"])} for one in held["images"]]
        categories = {one["id"]: one for one in held["categories"]}
        of_image: dict[Any, list[Mapping[str, Any]]] = {one["id"]: [] for one in entries}
        for annotation in held["annotations"]:
            of_image[annotation["image_id"]].append(annotation)
            _ = categories[annotation["category_id"]]
        # Categories that this file never draws are not known to be absent.
        drawn = {a["category_id"] for held_by in of_image.values() for a in held_by if a.get("segmentation")}
        names = {key: str(categories[key]["name"]) for key in categories if key in drawn}
        keypoints = {key: list(map(str, one["keypoints"])) for key, one in categories.items() if one.get("keypoints")}
        frames = {
            one["id"]: one["first_frame_id"] for one in entries if one.get("first_frame_id") is not None
        } or _frames(entries, held.get("sequences") or ())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a COCO annotation file ({type(error).__name__}: {error})") from None
    if not entries:
        raise InputError(f"{path}: lists no images")
    folder = _pictures(path, entries[0]["file_name"]) if images is None else Path(images)
    return CocoFile(path, entries, of_image, names, keypoints, folder, frames)


def _frames(entries: Sequence[Mapping[str, Any]], sequences: Sequence[Mapping[str, Any]]) -> dict[Any, Any]:
    """Image id -> first image of the longest sequence that holds it; sequences are runs in the order of images."""
    order = {one["id"]: place for place, one in enumerate(entries)}
    found: dict[Any, Any] = {}
    for sequence in sorted(sequences, key=lambda one: int(one["seq_length"])):
        first = order.get(sequence["first_frame_id"])
        if first is not None:
            run = entries[first : first + int(sequence["seq_length"])]
            found.update({one["id"]: sequence["first_frame_id"] for one in run})
    return found


def _pictures(path: Path, name: str) -> Path:
    places = [path.parent / place.format(stem=path.stem) for place in _PLACES]
    for place in places:
        if (place / name).is_file():
            return place
    raise InputError(f"{path}: the picture {name} is not beside it; give the folder of the images")


def _case(coco: CocoFile, entry: Mapping[str, Any], landmark_names: Mapping[str, str]) -> Case:
    where, name = f"{coco.path}: image {entry['id']}", entry["file_name"]
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(f"{where}: '{name}' leads out of the folder of images")
    image = read_image(coco.folder / name)
    rows, columns = image.shape
    if (rows, columns) != (entry.get("height"), entry.get("width")):
        said = f"{entry.get('height')} x {entry.get('width')}"
        raise InputError(f"{where}: {name} has {rows} x {columns} pixels, the file says {said}")
    masks = {structure: np.zeros((rows, columns), dtype=bool) for structure in coco.structures.values()}
    marks: dict[str, npt.NDArray[np.float64]] = {}
    for annotation in coco.annotations[entry["id"]]:
        kind = annotation["category_id"]
        try:
            if annotation.get("segmentation"):
                masks[coco.structures[kind]] |= segmentation_mask(annotation["segmentation"], (rows, columns))
            found = _keypoints(annotation.get("keypoints") or (), coco.keypoints.get(kind, ()), (rows, columns))
        except (InputError, TypeError, ValueError) as error:
            raise InputError(f"{where}: annotation {annotation.get('id')}: {error}") from None
        for mark, at in found.items():
            known = marks.setdefault(landmark_names.get(mark, mark), at)
            if np.abs(known - at).max() > 1:
                message = f"{where}: keypoint '{mark}' is there twice in different places; the first is kept"
                warnings.warn(message, SynthrayWarning, stacklevel=3)
    person = entry.get("patient") or entry.get("case_name") or coco.first_frames.get(entry["id"])
    side = entry.get("pixel_mm")
    return Case(
        id=Path(name).with_suffix("").as_posix().replace("/", "-"),
        image=image,
        masks=masks,
        landmarks_px=marks,
        group=None if person is None else str(person),
        pixel_mm=None if side is None else float(side),
    )


def segmentation_mask(segmentation: Any, shape: tuple[int, int]) -> Mask:
    """The (rows, columns) mask of a COCO segmentation: run lengths (lists or compressed text) or polygons.

    Raises:
        InputError: none of these, or not of that size.
    """
    if isinstance(segmentation, Mapping):
        if tuple(segmentation.get("size", ())) != tuple(shape):
            raise InputError(f"a mask of size {segmentation.get('size')} on an image of {list(shape)}")
        counts = segmentation.get("counts")
        held = _decompressed(counts) if isinstance(counts, str | bytes) else counts
        return rle.decode({"size": list(shape), "counts": held})
    if not isinstance(segmentation, list | tuple):
        raise InputError("a segmentation is run lengths or a list of polygons")
    mask = np.zeros(shape, dtype=bool)
    for polygon in segmentation:
        points = np.asarray(polygon, dtype=np.float64)
        if points.ndim != 1 or points.size % 2:
            raise InputError("a polygon is a flat list x, y, x, y, …")
        mask |= polygon_mask(points.reshape(-1, 2)[:, ::-1] - 0.5, shape)
    return mask


def _decompressed(text: str | bytes) -> list[int]:
    """Run lengths from COCO's compressed text: signed base-32 numbers, from the fourth on less the last but one."""
    counts: list[int] = []
    number = shift = 0
    for code in map(ord, text) if isinstance(text, str) else text:
        digit = code - 48
        if not 0 <= digit < 64 or shift > 40:
            raise InputError("compressed run lengths hold characters that don't belong there")
        number |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            number -= (1 << shift) if digit & 16 else 0
            counts.append(number + (counts[-2] if len(counts) > 2 else 0))
            number = shift = 0
    if shift:
        raise InputError("compressed run lengths are cut off")
    return counts


def _keypoints(
    numbers: Sequence[float], names: Sequence[str], shape: tuple[int, int]
) -> dict[str, npt.NDArray[np.float64]]:
    """Landmark -> (column, row) of those that are labelled and in the picture."""
    if not numbers:
        return {}
    if len(numbers) != 3 * len(names):
        raise InputError(f"{len(numbers)} numbers for {len(names)} keypoints; three each are needed")
    rows, columns = shape
    points = np.asarray(numbers, dtype=np.float64).reshape(-1, 3)
    return {
        name: np.array([x - 0.5, y - 0.5])
        for name, (x, y, seen) in zip(names, points, strict=True)
        if seen > 0 and 0 <= x < columns and 0 <= y < rows
    }
