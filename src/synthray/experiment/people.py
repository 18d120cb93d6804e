"""Who the demo simulates: the real chest CTs at hand, prepared once, and built-in bodies."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from synthray.anatomy import (
    LabelMap,
    Patient,
    below_diaphragm,
    find_label_names,
    load_patient,
    resample_patient,
    save_patient,
    with_lungs,
)
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import apply

VOXEL_MM = 2.0
# Lungs are whole when hardly any of them touches the first or last slice.
MOST_CUT = 0.03
LEAST_LUNG_ML = 800
# The tops of a person's two lungs lie within a centimetre or so; further apart, one of them holds no air up there.
MOST_APEX_DIFFERENCE_MM = 20
LUNGS = ("lung_left", "lung_right")


@dataclass(frozen=True)
class RealPerson:
    """A real chest CT, prepared: coarser, without table, with lungs and what lies under the diaphragm."""

    name: str
    folder: Path


def prepare_people(data: Path, out: Path, on_progress: Callable[[float, float], None]) -> list[RealPerson]:
    """Every CT of `data/ct` that shows whole lungs, prepared under `out`; done before is not done again.

    A CT that can't be used is left out with a warning that says why.
    """
    folders = sorted(folder for folder in (data / "ct").iterdir() if folder.is_dir())
    found = []
    for number, folder in enumerate(folders):
        on_progress(number, len(folders))
        target, refused = out / folder.name, out / f"{folder.name}.skipped"
        if not target.is_dir() and not refused.is_file():
            try:
                save_patient(prepared(folder), target)
            except InputError as error:
                out.mkdir(parents=True, exist_ok=True)
                refused.write_text(f"{error}\n", encoding="utf-8")
                warnings.warn(f"left out: {error}", SynthrayWarning, stacklevel=2)
        if target.is_dir():
            found.append(RealPerson(folder.name, target))
    on_progress(len(folders), len(folders))
    return found


def prepared(folder: Path) -> Patient:
    """A chest CT with lungs and the region under the diaphragm, on 2 mm voxels.

    Raises:
        InputError: it can't be read, or shows no whole lungs that are full of air.
    """
    ct, labels = folder / "ct.nii.gz", folder / "labels.nii.gz"
    source = ct if ct.is_file() else folder
    held = labels if labels.is_file() else None
    names = find_label_names(held) if held is not None else None
    patient = with_lungs(load_patient(source, labels=held, label_names=names, name=folder.name))
    _check_whole(patient)
    patient = patient.with_structure("below_diaphragm", below_diaphragm(patient))
    return resample_patient(keep_structures(patient, (*LUNGS, "below_diaphragm")), VOXEL_MM)


def keep_structures(patient: Patient, names: tuple[str, ...]) -> Patient:
    """The patient with these structures only."""
    if patient.labels is None:
        return patient
    kept = {name: codes for name, codes in patient.labels.structures.items() if name in names}
    return replace(patient, labels=LabelMap(patient.labels.codes, kept))


def _check_whole(patient: Patient) -> None:
    if patient.labels is None:
        raise InputError(f"{patient.name}: no lungs found")
    lungs = patient.labels.mask(*LUNGS)
    volume_ml = lungs.sum() * float(np.prod(patient.ct.voxel_mm)) / 1000
    if volume_ml < LEAST_LUNG_ML:
        raise InputError(f"{patient.name}: only {volume_ml:.0f} ml of lung in it, not a whole chest")
    areas = lungs.sum(axis=(0, 1))
    cut = max(int(areas[0]), int(areas[-1])) / max(int(areas.max()), 1)
    if cut > MOST_CUT:
        raise InputError(f"{patient.name}: the lungs are cut off at the end of the scan ({cut:.0%} of their width)")
    tops = [_top_mm(patient, lung) for lung in LUNGS]
    if abs(tops[0] - tops[1]) > MOST_APEX_DIFFERENCE_MM:
        raise InputError(
            f"{patient.name}: one lung ends {abs(tops[0] - tops[1]):.0f} mm below the other: its upper part is "
            "collapsed or filled, and outlines made from air would leave it out"
        )


def _top_mm(patient: Patient, structure: str) -> float:
    """Height of the highest voxel of a structure."""
    if patient.labels is None:
        return float("nan")
    return float(apply(patient.ct.patient_from_voxel, np.argwhere(patient.labels.mask(structure)))[:, 2].max())
