"""Real and simulated images of the same views as HDF5, in the layout of SyntheX's controlled study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.dataset.convert.synthex import DEEPFLUORO_CLASSES
from synthray.errors import InputError, MissingExtraError
from synthray.evaluate import Case

REAL, LABELLED = "real", "realistic"


def write_controlled_study(
    folder: Path, structures: Sequence[str], landmarks: Sequence[str], sets: Mapping[str, Sequence[Case]]
) -> None:
    """Write `NAME.h5` for each set, and the labels of the real and of all simulated images.

    `NAME.h5` holds `projs` (image, row, column) for each person `01`, `02`, …; `real_label.h5` and `sim_label.h5` hold
    `segs`, `lands` (image, 2, landmark) as (column, row), and `land-names`. Landmarks are finite, as SyntheX's loader
    asks: those that are not in view lie at (-1, -1). Class numbers are DeepFluoro's when all structures are among its
    six, else from 1 on in order; the attribute `labels` says which. Where structures overlap, the later one is kept.

    Args:
        folder: of the files; made.
        structures: names of the classes, in order.
        landmarks: names of the landmarks, in order.
        sets: `real`, `realistic` and others -> images, in the same order in all.

    Raises:
        MissingExtraError: h5py is not installed.
        InputError: a person's images differ in size.
    """
    try:
        import h5py
    except ImportError as absent:
        raise MissingExtraError("writing HDF5 files", "hdf5") from absent
    grouped = {name: _by_person(cases) for name, cases in sets.items()}
    for person, cases in grouped[REAL].items():
        if len({case.image.shape for case in cases}) > 1:
            raise InputError(f"{person}: images of several sizes; this layout needs one size for a person")
    folder.mkdir(parents=True, exist_ok=True)
    for name, people in grouped.items():
        with h5py.File(folder / f"{name}.h5", "w") as file:
            for group, cases in _groups(file, people):
                group.create_dataset("projs", data=np.stack([case.image for case in cases]), compression="gzip")
    for name, label in ((REAL, "real_label"), (LABELLED, "sim_label")):
        with h5py.File(folder / f"{label}.h5", "w") as file:
            _write_labels(file, structures, landmarks, grouped[name])


def _by_person(cases: Sequence[Case]) -> dict[str, list[Case]]:
    people: dict[str, list[Case]] = {}
    for case in cases:
        people.setdefault(str(case.group), []).append(case)
    return people


def _groups(file: Any, people: Mapping[str, list[Case]]) -> list[tuple[Any, list[Case]]]:
    """A new group for each person, and their images."""
    found = []
    for number, (person, cases) in enumerate(people.items()):
        group = file.create_group(f"{number + 1:02d}")
        group.attrs["patient"] = person
        found.append((group, cases))
    return found


def _write_labels(
    file: Any, structures: Sequence[str], landmarks: Sequence[str], people: Mapping[str, list[Case]]
) -> None:
    order = list(DEEPFLUORO_CLASSES if set(structures) <= set(DEEPFLUORO_CLASSES) else structures)
    numbers = {name: order.index(name) + 1 for name in structures}
    file.attrs["labels"] = json.dumps(numbers)
    names = file.create_group("land-names")
    names["num-lands"] = len(landmarks)
    for number, landmark in enumerate(landmarks):
        names[f"land-{number:02d}"] = landmark
    absent = np.full(2, -1.0)
    for group, cases in _groups(file, people):
        points = np.array([[case.landmarks_px.get(n, absent) for n in landmarks] for case in cases])
        classes = np.stack([_classes(case, numbers) for case in cases])
        group.create_dataset("segs", data=classes, compression="gzip")
        group.create_dataset("lands", data=points.reshape(len(cases), -1, 2).transpose(0, 2, 1))


def _classes(case: Case, numbers: Mapping[str, int]) -> npt.NDArray[np.uint8]:
    classes = np.zeros(case.image.shape, dtype=np.uint8)
    for name, number in numbers.items():
        if name in case.masks:
            classes[case.masks[name]] = number
    return classes
