"""What every format's writer gets, and the parts they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from synthray.dataset.read import Dataset, StoredSample
from synthray.errors import InputError
from synthray.imaging import display


@dataclass(frozen=True, eq=False)
class Job:
    """One conversion.

    Attributes:
        dataset: to read.
        place: folder or file to write.
        name: the final name of `place`.
        preset: display preset of pictures.
        split: only this one, or None.
        on_progress: called with (done, all).
    """

    dataset: Dataset
    place: Path
    name: str
    preset: str
    split: str | None
    on_progress: Callable[[float, float], None] | None

    @property
    def count(self) -> int:
        """Images in all."""
        people = self.dataset.recipe.everyone()
        return sum(
            shard.samples
            for number, shard in enumerate(self.dataset.shards)
            if self.split is None or people[number % len(people)].split == self.split
        )

    def samples(self) -> Iterator[StoredSample]:
        """The images in order.

        Raises:
            InputError: there are none.
        """
        total = self.count
        if not total:
            raise InputError(f"{self.dataset.folder}: nobody is in split '{self.split}'")
        for number, sample in enumerate(self.dataset.samples(self.split)):
            yield sample
            if self.on_progress:
                self.on_progress(number + 1, total)

    def save_picture(self, sample: StoredSample, path: Path) -> None:
        """The image as people see it, as PNG."""
        save_png(display(sample.image, self.preset), path)


def save_png(pixels: npt.NDArray[Any], path: Path) -> None:
    """Grey values as PNG; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_masks(job: Job, sample: StoredSample) -> None:
    """A sample's masks as `masks_STRUCTURE/KEY.png`, 0 and 255."""
    for structure, mask in sample.masks.items():
        save_png(mask.astype(np.uint8) * 255, job.place / f"masks_{structure}" / f"{stem(sample)}.png")


def index_entry(sample: StoredSample, file: str) -> dict[str, Any]:
    """What `index.json` says of a sample, as `evaluate` reads it."""
    return {
        "stem": stem(sample),
        "file": file,
        "patient": sample.truth["patient"],
        "split": sample.truth["split"],
        "pixel_mm": pixel_mm(sample),
        "landmarks_px": landmarks_in_view(sample),
        "camera": sample.truth["camera"],
    }


def pixel_mm(sample: StoredSample) -> float | None:
    """Side of a pixel at the detector; None when the camera's distance isn't known."""
    camera = sample.truth["camera"]
    distance = camera["source_to_detector_mm"]
    return None if distance is None else float(distance / abs(camera["K"][1][1]))


def stem(sample: StoredSample) -> str:
    """File name of a sample, unique in the set and sorted as it is."""
    return str(sample.key)


def landmarks_in_view(sample: StoredSample) -> dict[str, list[float]]:
    """Landmark -> (column, row), of those in the picture."""
    return {
        name: [round(float(v), 3) for v in at]
        for name, at in sample.landmarks_px.items()
        if sample.visible.get(name, False) and np.isfinite(at).all()
    }
