"""Lesion labels from a file of their own, beside the organs'."""

from __future__ import annotations

from dataclasses import replace

from synthray.anatomy.label_files import LabelNames, LabelSource, read_labels
from synthray.anatomy.patient import Patient
from synthray.errors import InputError


def with_labels(patient: Patient, labels: LabelSource, names: LabelNames | None = None) -> Patient:
    """A patient with the structures of a further label file; they may overlap those already there.

    Args:
        patient: who.
        labels: as in `load_patient`: a file of codes, a folder, or structure name -> binary file.
        names: code -> name, or a JSON file of names.

    Raises:
        InputError: the file can't be read or doesn't overlap the CT, or a name is taken.
    """
    more = read_labels(labels, patient.ct, names)
    taken = set(more.names) & set(patient.structure_names)
    if taken:
        raise InputError(f"{patient.name}: structure '{min(taken)}' already exists; give it another name in `names`")
    if patient.labels is None:
        return replace(patient, labels=more)
    for name in more.names:
        patient = patient.with_structure(name, more.mask(name))
    return patient
