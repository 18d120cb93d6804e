"""`load_patient`: a CT from any supported file or folder, with labels and landmarks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.anatomy.dicom import read_dicom_folder
from synthray.anatomy.label_files import LabelNames, LabelSource, read_labels
from synthray.anatomy.landmark_files import read_landmarks
from synthray.anatomy.patient import Patient, Volume
from synthray.anatomy.segmentation import remove_table as without_table
from synthray.anatomy.volume_files import is_volume_file, read_volume, stem
from synthray.errors import InputError, SynthrayWarning

AIR_HU: Final = -1000
LOWEST_HU: Final = -1024
# The extended scale for metal ends at 30710 (16 bit, offset 1024, step 1).
_HIGHEST_HU: Final = 1e5
_PATIENT_CT: Final = "ct.nii.gz"
_SEGMENTATIONS: Final = "segmentations"


def load_patient(
    path: str | Path,
    *,
    labels: LabelSource | None = None,
    label_names: LabelNames | None = None,
    landmarks: str | Path | Mapping[str, npt.ArrayLike] | None = None,
    remove_table: bool = True,
    name: str | None = None,
    series: str | None = None,
) -> Patient:
    """A patient from a CT file or folder, in patient mm (LPS). Nothing is resampled; any affine is kept.

    Args:
        path: a NIfTI, NRRD or MetaImage file, a folder of DICOM slices, or a folder written by `save_patient`
            (its labels and landmarks come along) or of TotalSegmentator's data (`ct.nii.gz`, `segmentations/`).
        labels: a file of codes, a 3-D Slicer segmentation, a DICOM RT structure set, a folder of one binary file per
            structure, or structure name -> binary file.
        label_names: code -> name, or a JSON file of names.
        landmarks: name -> three mm (LPS), or a file (.json, .csv, .mrk.json, .fcsv).
        remove_table: set everything outside the body to air; where no body is found, warn and leave the CT as it is.
        name: for messages and file names; by default the file's name, for DICOM a hash of the series.
        series: which one where a DICOM folder holds several CT series; see `read_dicom_folder`.

    Raises:
        InputError: something can't be read or used; see the readers of each format. One line.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if (path / _PATIENT_CT).is_file():
        labels, label_names, landmarks = _beside(path, labels, label_names, landmarks)
    volume, own_name = read_ct(path, series)
    if remove_table:
        volume = _without_table(volume, path)
    return Patient(
        ct=volume,
        labels=None if labels is None else read_labels(labels, volume, label_names),
        landmarks=_landmarks(landmarks),
        name=name or own_name,
    )


def read_ct(path: Path, series: str | None = None) -> tuple[Volume, str]:
    """The CT as it is, table and all, in Hounsfield units (int16 where whole, else float32), and a name for it.

    Raises:
        InputError: see `load_patient`.
    """
    if path.is_dir() and not (path / _PATIENT_CT).is_file():
        volume, name = read_dicom_folder(path, series)
    else:
        file = path / _PATIENT_CT if path.is_dir() else path
        if not is_volume_file(file) and is_dicom_file(file):
            raise InputError(f"{file}: one DICOM file; give the folder that holds the whole series")
        volume, name = read_volume(file), stem(file)
        name = file.absolute().parent.name if name == "ct" else name
    return replace(volume, values=_as_hounsfield(volume.values, path)), name


def _without_table(volume: Volume, path: Path) -> Volume:
    try:
        return without_table(volume)
    except InputError as error:
        warnings.warn(f"{path}: {error}; nothing was removed around it", SynthrayWarning, stacklevel=3)
        return volume


def _as_hounsfield(values: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    """Values checked to be Hounsfield units; padding below -1024 becomes -1024."""
    lowest, highest = float(values.min()), float(values.max())
    if lowest >= 0 and 0 < highest <= 1:
        raise InputError(f"{path}: values lie within 0 to 1: normalised, not Hounsfield units; give the original CT")
    if lowest >= 0 and highest > 3000:
        raise InputError(
            f"{path}: values from {lowest:.0f} to {highest:.0f} are not Hounsfield units; were they stored with an "
            "offset of 1024? Subtract it first"
        )
    if highest > _HIGHEST_HU:
        raise InputError(f"{path}: values up to {highest:.3g} are not Hounsfield units; export the CT again")
    if lowest > -200:
        warnings.warn(
            f"{path}: lowest value {lowest:.0f}: no air, lung or fat in it; are these Hounsfield units?",
            SynthrayWarning,
            stacklevel=4,
        )
    if lowest < LOWEST_HU:
        values = np.maximum(values, np.asarray(LOWEST_HU, dtype=values.dtype))
    whole = values.dtype.kind in "iu" and highest <= np.iinfo(np.int16).max
    return values.astype(np.int16 if whole else np.float32, copy=False)


def is_dicom_file(path: Path) -> bool:
    """Whether a file starts as DICOM files do."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _beside(
    folder: Path,
    labels: LabelSource | None,
    label_names: LabelNames | None,
    landmarks: str | Path | Mapping[str, npt.ArrayLike] | None,
) -> tuple[Any, Any, Any]:
    """Labels, names and landmarks, taken from the patient's folder where they weren't given."""
    held = {n: folder / n for n in ("labels.nii.gz", "labels.json", "landmarks.json") if (folder / n).is_file()}
    if labels is None and "labels.nii.gz" in held:
        labels = held["labels.nii.gz"]
        label_names = label_names or held.get("labels.json")
    elif labels is None and (folder / _SEGMENTATIONS).is_dir():
        labels = folder / _SEGMENTATIONS
    return labels, label_names, landmarks if landmarks is not None else held.get("landmarks.json")


def _landmarks(source: str | Path | Mapping[str, npt.ArrayLike] | None) -> dict[str, npt.NDArray[np.float64]]:
    if source is None:
        return {}
    if isinstance(source, Mapping):
        return {n: np.asarray(p, dtype=np.float64) for n, p in source.items()}
    return read_landmarks(source)
