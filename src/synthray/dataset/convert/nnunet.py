"""nnU-Net v2 raw data (its documentation/dataset_format.md): one label map for each image, PNG."""

from __future__ import annotations

import json
import re
import warnings

import numpy as np

from synthray.dataset.convert.job import Job, save_png, stem
from synthray.dataset.read import StoredSample
from synthray.errors import InputError, SynthrayWarning

_NAME = re.compile(r"Dataset\d{3}_\w+")
_MOST_STRUCTURES = 255
# A label map holds one name a pixel; from this share of shared pixels on, that loses what matters.
_MUCH_OVERLAP = 0.01


def write_nnunet(job: Job) -> None:
    """Write `dataset.json`, `imagesTr/`, `labelsTr/`, `imagesTs/`, `labelsTs/` and `splits_final.json`.

    People of split `val` become test images. Where structures overlap, the one that is smaller on average is kept.
    `splits_final.json` belongs into nnU-Net's preprocessed folder: five folds by person, since nnU-Net's own would put
    one person's images on both sides.

    Raises:
        InputError: the folder isn't named as nnU-Net wants, or there are too many structures.
    """
    if not _NAME.fullmatch(job.name):
        raise InputError(f"{job.name}: nnU-Net wants a folder named like Dataset101_Hip")
    areas, both = _areas(job)
    order = sorted(areas, key=lambda name: (-areas[name], name))
    if len(order) > _MOST_STRUCTURES:
        raise InputError(f"{len(order)} structures don't fit into an 8-bit label map; choose some in the recipe")
    if both > _MUCH_OVERLAP:
        warnings.warn(
            f"{both:.0%} of the labelled pixels lie in several structures; a label map keeps the smaller one only",
            SynthrayWarning,
            stacklevel=3,
        )
    numbers = {name: number + 1 for number, name in enumerate(order)}
    people: dict[str, list[str]] = {}
    for sample in job.samples():
        name, part = stem(sample), "Tr" if sample.truth["split"] == "train" else "Ts"
        job.save_picture(sample, job.place / f"images{part}" / f"{name}_0000.png")
        save_png(_label_map(sample, numbers), job.place / f"labels{part}" / f"{name}.png")
        if part == "Tr":
            people.setdefault(sample.truth["patient"], []).append(name)
    if not people:
        raise InputError(f"{job.dataset.folder}: nobody is in split 'train', and nnU-Net needs training images")
    described = {
        "channel_names": {"0": "X-ray"},
        "labels": {"background": 0, **numbers},
        "numTraining": sum(len(names) for names in people.values()),
        "file_ending": ".png",
        "name": job.name,
    }
    (job.place / "dataset.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    (job.place / "splits_final.json").write_text(json.dumps(_folds(people), indent=1) + "\n", encoding="utf-8")


def _areas(job: Job) -> tuple[dict[str, float], float]:
    """Structure -> pixels in all images, and the share of labelled pixels that lie in several."""
    areas: dict[str, float] = {}
    several = labelled = 0
    for sample in job.dataset.samples(job.split):
        depth = np.zeros(sample.image.shape, dtype=np.int32)
        for name, mask in sample.masks.items():
            areas[name] = areas.get(name, 0.0) + float(mask.sum())
            depth += mask
        several += int((depth > 1).sum())
        labelled += int((depth > 0).sum())
    return areas, several / max(labelled, 1)


def _label_map(sample: StoredSample, numbers: dict[str, int]) -> np.ndarray:
    labels = np.zeros(sample.image.shape, dtype=np.uint8)
    for name, number in numbers.items():
        if name in sample.masks:
            labels[sample.masks[name]] = number
    return labels


def _folds(people: dict[str, list[str]], count: int = 5) -> list[dict[str, list[str]]]:
    """Cross-validation by person; fewer folds when there are fewer people."""
    names = sorted(people)
    held = [names[fold::count] for fold in range(min(count, len(names)))]
    return [
        {
            "train": [stem for person in names if person not in out for stem in people[person]],
            "val": [stem for person in out for stem in people[person]],
        }
        for out in held
    ]
