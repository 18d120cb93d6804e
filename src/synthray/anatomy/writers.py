"""Writing a patient as plain files that `load_patient` reads back."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from synthray.anatomy.nifti import write_nifti
from synthray.anatomy.patient import Patient, Volume
from synthray.errors import InputError


def save_patient(patient: Patient, folder: str | Path) -> Path:
    """Write `ct.nii.gz` and, where there are any, `labels.nii.gz`, `labels.json` and `landmarks.json`.

    `load_patient(folder, remove_table=False)` gives the same patient back (affine to single precision). Everything is
    written beside the folder under a temporary name, which is then renamed: the folder is complete or not there.

    Returns:
        The folder.

    Raises:
        InputError: the folder exists and is not empty, or can't be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: already there and not empty; choose another folder")
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
    except OSError as error:
        raise InputError(f"{folder}: can't be written ({error.strerror})") from error
    try:
        _write(patient, part)
        part.chmod(0o755)
        os.replace(part, folder)
    except OSError as error:
        raise InputError(f"{folder}: can't be written ({error.strerror})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _write(patient: Patient, folder: Path) -> None:
    write_nifti(patient.ct, folder / "ct.nii.gz")
    if patient.labels is not None:
        write_nifti(Volume(patient.labels.codes, patient.ct.patient_from_voxel), folder / "labels.nii.gz")
        structures = patient.labels.structures
        # "labels" is what other programs look for: a code's name; where structures overlap, the last one's.
        names = {str(code): name for name, codes in structures.items() for code in codes}
        _write_json(
            {"labels": names, "structures": {n: list(c) for n, c in structures.items()}}, folder / "labels.json"
        )
    if patient.landmarks:
        points = {name: point.tolist() for name, point in patient.landmarks.items()}
        _write_json({"frame": "LPS", "points": points}, folder / "landmarks.json")


def _write_json(content: Any, path: Path) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
