"""The people of a recipe, loaded or built, and a fingerprint of what they are made from."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from synthray.anatomy import LabelMap, Patient, Volume, below_diaphragm, load_patient, resample_patient, with_lungs
from synthray.anatomy.body import body
from synthray.dataset.recipe import Person, Recipe
from synthray.dataset.shards import checksum
from synthray.errors import InputError
from synthray.geometry import apply

BODY_VOXEL_MM = 2.0


def load_person(person: Person) -> Patient:
    """The patient that a recipe's entry describes.

    Raises:
        InputError: a file can't be read, or lungs are asked for and can't be found.
    """
    if person.body is not None:
        patient = body(person.body, region=person.region, voxel_mm=person.voxel_mm or BODY_VOXEL_MM)
    else:
        patient = load_patient(
            str(person.ct),
            labels=person.labels,
            label_names=person.label_names,
            landmarks=person.landmarks,
            remove_table=person.remove_table,
            name=person.name,
        )
        if person.find_lungs:
            patient = with_lungs(patient)
            patient = patient.with_structure("below_diaphragm", below_diaphragm(patient))
        if person.voxel_mm is not None:
            patient = resample_patient(patient, person.voxel_mm)
    return mirrored(patient) if person.mirror else patient


def mirrored(patient: Patient) -> Patient:
    """The mirror image of a person in the plane x = centre; left and right swap their names."""
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, 2 * patient.center_mm[0]
    labels = patient.labels
    if labels is not None:
        labels = LabelMap(labels.codes, {swap_sides(name): codes for name, codes in labels.structures.items()})
    return replace(
        patient,
        ct=Volume(patient.ct.values, flip @ patient.ct.patient_from_voxel),
        labels=labels,
        landmarks={swap_sides(name): apply(flip, at) for name, at in patient.landmarks.items()},
        name=f"{patient.name}-mirrored",
    )


def swap_sides(name: str) -> str:
    """`hip_left` -> `hip_right`, `left_lung` -> `right_lung`, `FH-l` -> `FH-r`; other names stay."""
    parts = {"left": "right", "right": "left"}
    words = [parts.get(word, word) for word in name.split("_")]
    swapped = "_".join(words)
    if swapped.endswith("-l"):
        return swapped[:-2] + "-r"
    return swapped[:-2] + "-l" if swapped.endswith("-r") else swapped


def fingerprint(recipe: Recipe) -> dict[str, str]:
    """Path as written in the recipe -> SHA-256 of its content, for every file that people are made from.

    Raises:
        InputError: a file is missing.
    """
    found = {}
    for person in recipe.people:
        for source in (person.ct, person.labels, person.label_names, person.landmarks):
            if isinstance(source, str) and source not in found:
                found[source] = _content(Path(source))
    return found


def _content(path: Path) -> str:
    if path.is_file():
        return checksum(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    whole = hashlib.sha256()
    for file in sorted(item for item in path.rglob("*") if item.is_file()):
        whole.update(f"{file.relative_to(path)} {checksum(file)}\n".encode())
    return whole.hexdigest()
