"""Compare HU of bones, muscles and organs in a real CT with built-in bodies: `hounsfield.py [DATA] [BODIES]`.

The CT is TotalSegmentator's example (one old man, voxels of 3 mm, automatic labels); the bodies are men of 70 years at
the same voxels. "Rim" are the voxels at a structure's surface, "deep" those more than 6 mm below it. Prints mean ± SD
over voxels, for the bodies averaged over persons.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage

import synthray as sr
from synthray.anatomy import Patient

STRUCTURES = {
    "vertebrae L1-L4": ("vertebrae_L1", "vertebrae_L2", "vertebrae_L3", "vertebrae_L4"),
    "sacrum": ("sacrum",), "hip bones": ("hip_left", "hip_right"),
    "ribs 8-10": tuple(f"rib_{side}_{n}" for side in ("left", "right") for n in (8, 9, 10)),
    "aorta": ("aorta",), "liver": ("liver",), "spleen": ("spleen",), "kidneys": ("kidney_left", "kidney_right"),
    "bladder": ("urinary_bladder",), "psoas": ("iliopsoas_left", "iliopsoas_right"),
    "back muscle": ("autochthon_left", "autochthon_right"),
    "gluteus maximus": ("gluteus_maximus_left", "gluteus_maximus_right"), "colon": ("colon",),
}  # fmt: skip


def measures(patient: Patient) -> dict[str, list[float]]:
    """Per structure the mean and SD of all voxels, the mean of its rim, mean and SD of its deep part."""
    found = {}
    for row, names in STRUCTURES.items():
        rows = []
        for name in set(names) & set(patient.structure_names):
            mask, hu = patient.labels.mask(name) if patient.labels else np.zeros(0), patient.ct.values
            depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=patient.ct.voxel_mm)[1:-1, 1:-1, 1:-1]
            deep, rim = hu[depth >= 6], hu[(depth > 0) & (depth < 3.1)]
            if mask.sum() > 100:
                spread = (deep.mean(), deep.std()) if len(deep) > 30 else (np.nan, np.nan)
                rows.append([hu[mask].mean(), hu[mask].std(), rim.mean(), *spread])
        if rows:
            found[row] = [float(v) for v in np.mean(rows, axis=0)]
    return found


def main() -> None:
    """Print a Markdown table."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data") / "ct" / "totalseg_example"
    names = {int(k): v for k, v in json.loads((folder / "labels.json").read_text())["labels"].items()}
    real = measures(sr.load_patient(folder / "ct.nii.gz", labels=folder / "labels.nii.gz", label_names=names))
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    people = [measures(sr.body(seed, sex="male", age=70, voxel_mm=3, arms="absent")) for seed in range(count)]
    print("| | real: all | rim | deep | bodies: all | rim | deep |\n|---|---|---|---|---|---|---|")
    for row, values in real.items():
        mine = np.mean([person[row] for person in people], axis=0)
        print(f"| {row} | {cells(values)} | {cells(mine)} |")


def cells(values: list[float] | np.ndarray) -> str:
    """Three cells of the table."""
    whole, spread, rim, deep, deep_spread = values
    return f"{whole:.0f} ± {spread:.0f} | {rim:.0f} | " + ("" if np.isnan(deep) else f"{deep:.0f} ± {deep_spread:.0f}")


if __name__ == "__main__":
    main()
