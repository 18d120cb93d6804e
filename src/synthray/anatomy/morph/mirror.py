"""The mirror image of a person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthray.anatomy.patient import LabelMap, Patient, Volume
from synthray.geometry import apply

_MIRRORED = "-mirrored"


def mirrored(patient: Patient) -> Patient:
    """The mirror image of a person in the plane x = centre; left and right swap their names.

    No voxel is resampled; mirrored twice is the person again.
    """
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, 2 * patient.center_mm[0]
    labels = patient.labels
    if labels is not None:
        labels = LabelMap(labels.codes, {swap_sides(name): codes for name, codes in labels.structures.items()})
    name = patient.name
    return replace(
        patient,
        ct=Volume(patient.ct.values, flip @ patient.ct.patient_from_voxel),
        labels=labels,
        landmarks={swap_sides(name): apply(flip, at) for name, at in patient.landmarks.items()},
        name=name.removesuffix(_MIRRORED) if name.endswith(_MIRRORED) else name + _MIRRORED,
    )


def swap_sides(name: str) -> str:
    """`hip_left` -> `hip_right`, `left_lung` -> `right_lung`, `FH-l` -> `FH-r`; other names stay."""
    parts = {"left": "right", "right": "left"}
    words = [parts.get(word, word) for word in name.split("_")]
    swapped = "_".join(words)
    if swapped.endswith("-l"):
        return swapped[:-2] + "-r"
    return swapped[:-2] + "-l" if swapped.endswith("-r") else swapped
