"""What is in a data set, in numbers: counts per person, views, labels, landmarks, exposure."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from synthray.dataset.job import Progress
from synthray.dataset.metadata import SampleMetadata, check_metadata
from synthray.dataset.read import Dataset, decode_sample
from synthray.dataset.shards import unpack
from synthray.errors import InputError
from synthray.files import parse_json
from synthray.imaging import display

SHEET_IMAGES = 24
_THUMBNAIL_PX = 256


@dataclass
class LabelCount:
    """How often a structure is in the picture, and how much of it: pixels as shares of the image."""

    images: int = 0
    shares: list[float] = field(default_factory=list)


@dataclass
class LandmarkCount:
    """How often a landmark is named, in front of the source, and in the picture."""

    images: int = 0
    projected: int = 0
    visible: int = 0


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A picture of the contact sheet: grey PNG, and what it shows."""

    png: bytes
    caption: str


@dataclass(eq=False)
class SetStatistics:
    """Everything that is counted.

    Attributes:
        images: number of images.
        people: (name, split) -> images.
        angles_deg: (LAO, CRAN) of each image: where the detector stands as seen from the person, 0, 0 in front (PA).
        labels: structure or tool -> how often and how large.
        landmarks: landmark -> how often it can be seen.
        tube_kvp: of each image.
        mas: of each image, whether given or found by automatic control.
        detector_ugy: air kerma at the detector of each image.
        levels: level of realism -> images.
        sizes: (rows, columns) -> images.
        sheet: pictures spread evenly over the set.
    """

    images: int = 0
    people: Counter[tuple[str, str]] = field(default_factory=Counter)
    angles_deg: list[tuple[float, float]] = field(default_factory=list)
    labels: dict[str, LabelCount] = field(default_factory=dict)
    landmarks: dict[str, LandmarkCount] = field(default_factory=dict)
    tube_kvp: list[float] = field(default_factory=list)
    mas: list[float] = field(default_factory=list)
    detector_ugy: list[float] = field(default_factory=list)
    levels: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    sheet: list[Thumbnail] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain values for JSON."""
        return {
            "images": self.images,
            "people": [{"name": n, "split": s, "images": c} for (n, s), c in sorted(self.people.items())],
            "labels": {
                name: {"images": one.images, "mean_share": float(np.mean(one.shares)) if one.shares else 0.0}
                for name, one in self.labels.items()
            },
            "landmarks": {name: vars(one) for name, one in self.landmarks.items()},
            "lao_deg": _spread([lao for lao, _ in self.angles_deg]),
            "cran_deg": _spread([cran for _, cran in self.angles_deg]),
            "tube_kvp": _spread(self.tube_kvp),
            "mas": _spread(self.mas),
            "detector_ugy": _spread(self.detector_ugy),
            "levels": dict(self.levels),
            "sizes": {f"{rows} x {columns}": count for (rows, columns), count in self.sizes.items()},
        }


def count(folder: str | Path, *, sheet: int = SHEET_IMAGES, on_progress: Progress | None = None) -> SetStatistics:
    """Count a finished set; only the pictures of the contact sheet are unpacked.

    Args:
        folder: the set's.
        sheet: number of pictures on the contact sheet.
        on_progress: called with (shards done, shards in all).

    Raises:
        InputError: there is no finished set, or a shard is damaged.
    """
    dataset = Dataset.open(folder)
    shown = set(np.linspace(0, len(dataset) - 1, min(sheet, len(dataset))).round().astype(int).tolist())
    found = SetStatistics()
    for number, shard in enumerate(dataset.shards):
        path = dataset.folder / shard.file
        for key, files in unpack(path):
            truth = _truth(path, key, files)
            if found.images in shown:
                image = decode_sample(path, key, files).image
                found.sheet.append(Thumbnail(thumbnail(image), f"{key} {truth.patient} ({truth.split})"))
            add(found, truth)
        if on_progress is not None:
            on_progress(number + 1, len(dataset.shards))
    return found


def add(found: SetStatistics, truth: SampleMetadata) -> None:
    """Count one image."""
    found.images += 1
    found.people[truth.patient, truth.split] += 1
    found.levels[truth.realism] += 1
    found.sizes[truth.camera.rows, truth.camera.columns] += 1
    found.angles_deg.append(angles_deg(truth.camera.camera_from_patient))
    dose = truth.dose or {}
    for values, value in (
        (found.tube_kvp, dose.get("tube_kvp", truth.settings.get("tube_kvp"))),
        (found.mas, dose.get("mas", truth.settings.get("mas"))),
        (found.detector_ugy, dose.get("detector_kerma_ugy")),
    ):
        if isinstance(value, int | float):
            values.append(float(value))
    for name, mask in truth.masks.items():
        one = found.labels.setdefault(name, LabelCount())
        pixels = sum(itertools.islice(mask.counts, 1, None, 2))
        if pixels:
            one.images += 1
            one.shares.append(pixels / (truth.camera.rows * truth.camera.columns))
    for name, mark in truth.landmarks.items():
        landmark = found.landmarks.setdefault(name, LandmarkCount())
        landmark.images += 1
        landmark.projected += mark.px is not None
        landmark.visible += mark.visible


def angles_deg(camera_from_patient: list[list[float]]) -> tuple[float, float]:
    """(LAO, CRAN) of the detector as seen from the person: 0, 0 in front of it, 90, 0 on its left, 0, 90 at its head.

    The beam's direction in the patient frame (LPS) is the third row of the rotation.
    """
    x, y, z = camera_from_patient[2][:3]
    return float(np.degrees(np.arctan2(x, -y))), float(np.degrees(np.arcsin(np.clip(z, -1, 1))))


def thumbnail(image: npt.NDArray[np.float32]) -> bytes:
    """A small grey PNG of a -log image."""
    grey = Image.fromarray(np.asarray(display(image), dtype=np.uint8))
    grey.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    buffer = io.BytesIO()
    grey.save(buffer, format="PNG")
    return buffer.getvalue()


def _truth(path: Path, key: str, files: dict[str, bytes]) -> SampleMetadata:
    try:
        return check_metadata(parse_json(files["json"], f"{key}.json"))
    except (KeyError, InputError) as error:
        raise InputError(f"{path}: sample {key} is damaged ({error}); run synthray verify --mend") from None


def _spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"least": min(values), "mean": float(np.mean(values)), "most": max(values)}


def histogram(values: list[float], bins: int = 24) -> Iterator[tuple[float, int]]:
    """(middle of a bin, values in it)."""
    counts, edges = np.histogram(values, bins=bins)
    yield from zip(((edges[1:] + edges[:-1]) / 2).tolist(), counts.tolist(), strict=True)
