"""Real X-rays whose view of a person's CT is known, from 2-D/3-D registration: images with cameras, and the people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient, load_patient
from synthray.errors import InputError
from synthray.evaluate.cases import Case, read_mask
from synthray.files import read_json
from synthray.geometry import Camera
from synthray.models.image_reader import read_image

_KEYS = {"image", "camera", "patient", "masks", "structures", "landmarks_px", "name"}


@dataclass(frozen=True, eq=False)
class PosedImage:
    """One real X-ray and its view.

    Attributes:
        id: unique among all images, fit for a file name.
        image: (rows, columns) float32 grey values, bone bright.
        camera: of the person's CT frame (LPS).
        masks: structure -> (rows, columns) bool, where known.
        landmarks_px: landmark -> (2,) (column, row), in view or not.
        moved: structure -> its own camera, for bones that moved against the rest since the CT.
        structures: of the CT, whose shadows count as truth where there are no masks; None for all that have a name.
    """

    id: str
    image: npt.NDArray[np.float32]
    camera: Camera
    masks: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    landmarks_px: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    moved: Mapping[str, Camera] = field(default_factory=dict)
    structures: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.image.shape != (self.camera.rows, self.camera.columns):
            raise InputError(
                f"{self.id}: {self.image.shape} pixels, its camera has {(self.camera.rows, self.camera.columns)}"
            )

    def case(self, person: str) -> Case:
        """As an image with truth, for scoring."""
        known = self.camera.source_to_detector_mm is not None
        return Case(
            id=self.id,
            image=self.image,
            masks=self.masks,
            landmarks_px={name: at for name, at in self.landmarks_px.items() if self.camera.contains(at)},
            group=person,
            pixel_mm=self.camera.pixel_mm[1] if known else None,
        )

    def trimmed(self, border_px: int) -> PosedImage:
        """Without so many pixels on each side."""
        if not border_px:
            return self
        if 2 * border_px >= min(self.image.shape):
            raise InputError(f"{self.id}: {self.image.shape} pixels leave nothing without {border_px} on each side")
        inner = slice(border_px, -border_px)
        return replace(
            self,
            image=self.image[inner, inner],
            camera=_trimmed(self.camera, border_px),
            masks={name: mask[inner, inner] for name, mask in self.masks.items()},
            landmarks_px={name: at - border_px for name, at in self.landmarks_px.items()},
            moved={name: _trimmed(camera, border_px) for name, camera in self.moved.items()},
        )

    def reduced(self, factor: int) -> PosedImage:
        """Averaged over squares of pixels; what the factor doesn't divide is cut off at the right and the bottom."""
        if factor == 1:
            return self
        rows, columns = (side // factor for side in self.image.shape)
        if min(rows, columns) < 1:
            raise InputError(f"{self.id}: {self.image.shape} pixels can't be reduced {factor} times")

        def smaller(camera: Camera) -> Camera:
            return replace(camera, rows=rows * factor, columns=columns * factor).resized(rows, columns)

        def mean(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
            squares = values[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
            return squares.mean(axis=(1, 3), dtype=np.float32)

        return replace(
            self,
            image=mean(self.image),
            camera=smaller(self.camera),
            masks={name: mean(mask) > 0.5 for name, mask in self.masks.items()},
            landmarks_px={name: (at + 0.5) / factor - 0.5 for name, at in self.landmarks_px.items()},
            moved={name: smaller(camera) for name, camera in self.moved.items()},
        )

    def upright(self) -> PosedImage:
        """Turned by half a turn in its plane."""
        last = np.array(self.image.shape[::-1]) - 1.0
        return replace(
            self,
            image=self.image[::-1, ::-1],
            camera=_half_turned(self.camera),
            masks={name: mask[::-1, ::-1] for name, mask in self.masks.items()},
            landmarks_px={name: last - at for name, at in self.landmarks_px.items()},
            moved={name: _half_turned(camera) for name, camera in self.moved.items()},
        )


@dataclass(frozen=True, eq=False)
class PosedPerson:
    """A person of whom there are real X-rays with known views.

    Attributes:
        name: who.
        patient: loads the CT with its labels and landmarks.
        images: reads the X-rays one by one.
    """

    name: str
    patient: Callable[[], Patient]
    images: Callable[[], Iterator[PosedImage]]


def posed_from_list(path: str | Path) -> list[PosedPerson]:
    """The people of a JSON list of real X-rays with their views.

    Each entry holds `image` (a file), `camera` (a file of `Camera.save`, or its fields) and `patient` (a CT file or a
    folder of `save_patient`); where known `masks` (structure -> file), else perhaps `structures` (names in the CT whose
    shadows are the truth); where known `landmarks_px` (landmark -> [column, row]); and `name`, by default the image's
    stem. Files are looked up beside the list. Images are read when asked for.

    Raises:
        InputError: the list can't be read, a key is missing or unknown, or two images share a name.
    """
    source = Path(path)
    try:
        entries = read_json(source)
    except FileNotFoundError:
        raise InputError(f"{source}: no such file; a JSON list of images is expected") from None
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{source}: must be a JSON list of objects with image, camera and patient")
    people: dict[Path, list[dict[str, Any]]] = {}
    names: set[str] = set()
    for number, entry in enumerate(entries):
        checked = _checked(entry, f"{source}: entry {number}")
        if checked["name"] in names:
            raise InputError(f"{source}: entry {number}: a second image '{checked['name']}'; give it another 'name'")
        names.add(checked["name"])
        people.setdefault((source.parent / checked["patient"]).resolve(), []).append(checked)
    short = [_short(path) for path in people]
    return [
        _person(source.parent, path, name if short.count(name) == 1 else "-".join(path.parts[1:]), held)
        for name, (path, held) in zip(short, people.items(), strict=True)
    ]


def _checked(entry: Any, where: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: must be an object with image, camera and patient")
    unknown, missing = sorted(set(entry) - _KEYS), [k for k in ("image", "camera", "patient") if k not in entry]
    if unknown or missing:
        raise InputError(f"{where}: " + (f"unknown key '{unknown[0]}'" if unknown else f"missing key '{missing[0]}'"))
    name = str(entry.get("name", Path(str(entry["image"])).stem))
    if not name or name != Path(name).name:
        raise InputError(f"{where}: name '{name}' can't be a file name")
    return {"masks": {}, "landmarks_px": {}, **entry, "name": name, "patient": str(entry["patient"])}


def _short(path: Path) -> str:
    """A person's name: the file's, or that of the folder where the file is just called `ct`."""
    name = path.name.split(".")[0]
    return path.parent.name if name == "ct" else name


def _person(folder: Path, patient: Path, name: str, entries: list[dict[str, Any]]) -> PosedPerson:
    return PosedPerson(
        name,
        lambda: load_patient(patient, name=name),
        lambda: (_image(folder, entry) for entry in entries),
    )


def _image(folder: Path, entry: dict[str, Any]) -> PosedImage:
    camera, name = entry["camera"], entry["name"]
    try:
        marks = {mark: np.array(at, dtype=np.float64).reshape(2) for mark, at in entry["landmarks_px"].items()}
        masks = {structure: read_mask(folder / str(file)) for structure, file in entry["masks"].items()}
        structures = None if entry.get("structures") is None else tuple(map(str, entry["structures"]))
    except (AttributeError, TypeError, ValueError):
        raise InputError(
            f"{name}: masks must be {{structure: file}}, structures [name], landmarks_px {{name: [column, row]}}"
        ) from None
    return PosedImage(
        id=name,
        image=read_image(folder / str(entry["image"])),
        camera=Camera.from_dict(camera) if isinstance(camera, dict) else Camera.load(folder / str(camera)),
        masks=masks,
        landmarks_px=marks,
        structures=structures,
    )


def _trimmed(camera: Camera, border_px: int) -> Camera:
    K = camera.K.copy()
    K[:2, 2] -= border_px
    return replace(camera, K=K, rows=camera.rows - 2 * border_px, columns=camera.columns - 2 * border_px)


def _half_turned(camera: Camera) -> Camera:
    """Pixels are counted from the opposite corner: the camera turns about its axis, the principal point moves."""
    K = camera.K.copy()
    K[:2, 2] = [camera.columns - 1 - K[0, 2], camera.rows - 1 - K[1, 2]]
    return replace(camera, K=K, camera_from_patient=np.diag([-1.0, -1, 1, 1]) @ camera.camera_from_patient)
