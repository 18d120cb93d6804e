"""Compare the texture of tissues in built-in bodies with that in real CTs: `texture.py [DATA] [BODIES] [VOXEL_MM]`.

Per tissue the mean HU and the standard deviation of means over cubes of 3, 6 and 12 mm that lie whole in the tissue.
White noise loses a factor of 2.8 from one cube to the next, a field with the spectrum f^-b a factor of 2^((3 - b) / 2).
Real CTs hold the scanner's noise too, mostly in the smallest cubes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage

import synthray as sr
from synthray.anatomy import Patient, with_lungs

CUBES_MM = (3.0, 6.0, 12.0)
LUNGS = ("lung_left", "lung_right", "lung_lower_lobe_left", "lung_lower_lobe_right", "lung_upper_lobe_left")
VERTEBRAE = tuple(f"vertebrae_{n}" for n in ("T12", "L1", "L2", "L3", "L4", "L5"))
TISSUES = {"lung": LUNGS, "spongy bone of vertebrae": VERTEBRAE, "liver": ("liver",),
           "muscle (psoas)": ("iliopsoas_left", "iliopsoas_right"), "fat under the skin": ()}  # fmt: skip


def masks(patient: Patient) -> dict[str, np.ndarray]:
    """Each tissue's voxels, well inside its borders."""
    voxel = patient.ct.voxel_mm
    held = set(patient.structure_names)
    found = {}
    for tissue, names in TISSUES.items():
        mine = [name for name in names if name in held]
        if tissue.startswith("fat"):
            body = ndimage.uniform_filter(patient.ct.values.astype(np.float32), 3)
            whole, depth = (body > -140) & (body < -60), 3.0
        elif not mine or patient.labels is None:
            continue
        else:
            whole, depth = patient.labels.mask(*mine), 7.0 if tissue.startswith("spongy") else 6.0
        found[tissue] = ndimage.distance_transform_edt(whole, sampling=voxel) > depth
    return found


def cube_means(hu: np.ndarray, mask: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
    """Means over the cubes of `size` voxels that lie whole in the mask."""
    cut = [n // s * s for n, s in zip(hu.shape, size, strict=True)]
    shape = [m for n, s in zip(cut, size, strict=True) for m in (n // s, s)]
    blocks, inside = (a[: cut[0], : cut[1], : cut[2]].reshape(shape) for a in (hu, mask))
    return blocks.mean(axis=(1, 3, 5))[inside.all(axis=(1, 3, 5))]


def spreads(patient: Patient) -> dict[str, list[float]]:
    """Per tissue its mean HU and the spread of cube means per size; NaN where fewer than 20 cubes fit."""
    hu, found = patient.ct.values.astype(np.float32), {}
    for tissue, mask in masks(patient).items():
        if mask.sum() < 200:
            continue
        row = [float(hu[mask].mean())]
        for edge in CUBES_MM:
            size = tuple(max(round(edge / mm), 1) for mm in patient.ct.voxel_mm)
            values = cube_means(hu, mask, size)
            row.append(float(values.std()) if len(values) >= 20 else float("nan"))
        found[tissue] = row
    return found


def real_people(data: Path) -> dict[str, Patient]:
    """The real CTs by name."""
    folder = data / "totalseg_example"
    names = {int(k): v for k, v in json.loads((folder / "labels.json").read_text())["labels"].items()}
    people = {"totalseg_example": sr.load_patient(folder / "ct.nii.gz", labels=folder / "labels.nii.gz",
                                                  label_names=names)}  # fmt: skip
    for name in ("fnndsc_chest", "imlab_chest_id001", "imlab_chest_id003", "onkodicom_thorax"):
        people[name] = with_lungs(sr.load_patient(data / name / "ct.nii.gz"))
    return people


def main() -> None:
    """Print a Markdown table."""
    data = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data") / "ct"
    count, voxel = int(sys.argv[2]) if len(sys.argv) > 2 else 4, float(sys.argv[3]) if len(sys.argv) > 3 else 3.0
    print("| Person | Tissue | Mean HU | SD over 3 mm | 6 mm | 12 mm |\n|---|---|---|---|---|---|")
    people = real_people(data) if data.exists() else {}
    for name, person in people.items():
        report(name, person)
    for seed in range(count):
        report(f"body {seed}", sr.body(seed, voxel_mm=voxel, arms="absent"))


def report(name: str, person: Patient) -> None:
    """Print one person's rows."""
    for tissue, row in spreads(person).items():
        print(f"| {name} | {tissue} | " + " | ".join("" if np.isnan(v) else f"{v:.0f}" for v in row) + " |", flush=True)


if __name__ == "__main__":
    main()
