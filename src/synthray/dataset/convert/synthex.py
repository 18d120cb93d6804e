"""One HDF5 file in the layout of the preprocessed DeepFluoro set, which the SyntheX releases keep."""

from __future__ import annotations

import json
import math

import numpy as np

from synthray.dataset.convert.job import Job
from synthray.dataset.read import StoredSample
from synthray.errors import InputError, MissingExtraError

# Class numbers of the preprocessed DeepFluoro file (Grupp et al. 2020), by the names that synthray uses.
DEEPFLUORO_CLASSES = ("hip_left", "hip_right", "vertebrae", "sacrum", "femur_left", "femur_right")


def write_synthex(job: Job) -> None:
    """Write a group for each person with `projs`, `segs` and `lands`, and `land-names`.

    `projs` are -log images, float32. `segs` holds DeepFluoro's class numbers when all structures are among its six,
    else numbers from 1 on in the order of names; the file's attribute `labels` says which, as JSON. Where structures
    overlap, the later number is kept. `lands` are (image, 2, landmark) as (column, row), infinite when not in view.

    Raises:
        InputError: images of one person differ in size.
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as absent:
        raise MissingExtraError("writing HDF5 files", "hdf5") from absent
    samples: dict[str, list[StoredSample]] = {}
    for sample in job.samples():
        samples.setdefault(sample.truth["patient"], []).append(sample)
    every = [sample for held in samples.values() for sample in held]
    structures = sorted({name for sample in every for name in sample.masks})
    if set(structures) <= set(DEEPFLUORO_CLASSES):
        numbers = {name: n + 1 for n, name in enumerate(DEEPFLUORO_CLASSES) if name in structures}
    else:
        numbers = {name: n + 1 for n, name in enumerate(structures)}
    landmarks = list(dict.fromkeys(name for sample in every for name in sample.landmarks_px))
    with h5py.File(job.place, "w") as file:
        file.attrs["labels"] = json.dumps(numbers)
        names = file.create_group("land-names")
        names["num-lands"] = len(landmarks)
        for number, name in enumerate(landmarks):
            names[f"land-{number:02d}"] = name
        for number, (person, held) in enumerate(sorted(samples.items())):
            if len({sample.image.shape for sample in held}) > 1:
                raise InputError(f"{person}: images of several sizes; this layout needs one size for a person")
            group = file.create_group(f"{number + 1:02d}")
            group.attrs["patient"] = person
            group.create_dataset("projs", data=np.stack([sample.image for sample in held]), compression="gzip")
            group.create_dataset("segs", data=np.stack([_classes(s, numbers) for s in held]), compression="gzip")
            group.create_dataset("lands", data=np.stack([_points(s, landmarks) for s in held]))


def _classes(sample: StoredSample, numbers: dict[str, int]) -> np.ndarray:
    classes = np.zeros(sample.image.shape, dtype=np.uint8)
    for name, number in numbers.items():
        if name in sample.masks:
            classes[sample.masks[name]] = number
    return classes


def _points(sample: StoredSample, names: list[str]) -> np.ndarray:
    absent = (math.inf, math.inf)
    return (
        np.array([sample.landmarks_px[n] if sample.visible.get(n, False) else absent for n in names]).reshape(-1, 2).T
    )
