"""Draw docs/gallery: simulated X-rays of freely licensed CTs (Apache-2.0) and of built-in bodies.

Usage: python scripts/make_gallery.py [DATA]   (DATA holds ct/; built-in bodies alone without it)
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import synthray as sr
from synthray.anatomy import Patient, with_lungs
from synthray.models import Layer, overlay

OUT = Path(__file__).resolve().parents[1] / "docs" / "gallery"
SIZE, SMALL = 480, 300
COLOURS = ((86, 180, 233), (240, 80, 60), (240, 228, 66), (0, 190, 140), (230, 120, 190), (230, 159, 0))


def shot(
    patient: Patient, carm: str, view: str, target: np.ndarray, structures: tuple[str, ...] = (), size: int = SIZE
) -> np.ndarray:
    """A displayed X-ray, with the outlines of some structures and the landmarks in view when there are any."""
    camera = sr.CArm.preset(carm).resized(size).view(target, view=view)
    sample = sr.simulate(patient, camera, seed=1)
    grey = sample.display("chest-pa" if view == "pa" else "bone")[0].astype(np.float32)
    layers = [Layer(c, mask=sample.masks[s][0]) for c, s in zip(COLOURS, structures, strict=False)]
    if structures and patient.landmarks:
        marks = [at[0] for name, at in sample.landmarks_px.items() if sample.visible[name][0] and "-" in name]
        layers.append(Layer((255, 255, 255), points_px=np.array(marks)))
    return overlay(grey, layers)


def row(*pictures: np.ndarray) -> np.ndarray:
    """Pictures side by side."""
    return np.concatenate(pictures, axis=1)


def bodies() -> np.ndarray:
    """Chest PA and pelvis AP of two people, plain and with their masks."""
    rows = []
    for seed in (3, 8):
        person = sr.body(seed, voxel_mm=1.5)
        chest = person.structure_center_mm("lung_left", "lung_right")
        hips = (person.landmarks["FH-l"] + person.landmarks["FH-r"]) / 2 + [0, 0, 30]
        hip_parts = ("hip_left", "hip_right", "femur_left", "femur_right", "sacrum")
        rows.append(
            row(
                shot(person, "chest-pa", "pa", chest),
                shot(person, "chest-pa", "pa", chest, ("lung_left", "lung_right", "heart", "aorta")),
                shot(person, "bucky-table", "ap", hips),
                shot(person, "bucky-table", "ap", hips, hip_parts),
            )
        )
    return np.concatenate(rows)


def ten_bodies() -> np.ndarray:
    """Chest PA, pelvis AP and lateral lumbar spine of ten neighbouring seeds, one person a column."""
    columns = []
    for seed in range(1, 11):
        person = sr.body(seed, voxel_mm=1.5, arms="up")
        chest = person.structure_center_mm("lung_left", "lung_right")
        hips = (person.landmarks["FH-l"] + person.landmarks["FH-r"]) / 2 + [0, 0, 30]
        spine = person.structure_center_mm("vertebrae_L3")
        columns.append(
            np.concatenate(
                [
                    shot(person, "chest-pa", "pa", chest, size=SMALL),
                    shot(person, "bucky-table", "ap", hips, size=SMALL),
                    shot(person, "bucky-table", "lateral", spine, size=SMALL),
                ]
            )
        )
    return row(*columns)


def free_cts(data: Path) -> tuple[Patient, Patient]:
    """The chest and the trunk CT whose licence lets pictures be shown."""
    chest = with_lungs(sr.load_patient(data / "ct/fnndsc_chest/ct.nii.gz"))
    folder = data / "ct/totalseg_example"
    names = {"label_names": folder / "labels.json", "labels": folder / "labels.nii.gz"}
    return chest, sr.load_patient(folder / "ct.nii.gz", **names)


def same_views_of_real_cts(data: Path) -> np.ndarray:
    """The same three views of the freely licensed CTs, as far as they reach."""
    chest, trunk = free_cts(data)
    lungs = chest.structure_center_mm("lung_left", "lung_right")
    hips = trunk.structure_center_mm("sacrum") + [0, -20, 0]
    return np.concatenate(
        [
            shot(chest, "chest-pa", "pa", lungs, size=SMALL),
            shot(trunk, "bucky-table", "ap", hips, size=SMALL),
            shot(trunk, "bucky-table", "lateral", trunk.structure_center_mm("vertebrae_L3"), size=SMALL),
        ]
    )


def real_cts(data: Path) -> np.ndarray:
    """Chest PA of one CT and pelvis AP of another, plain and with their masks."""
    chest, trunk = free_cts(data)
    lungs = chest.structure_center_mm("lung_left", "lung_right")
    hips = trunk.structure_center_mm("sacrum") + [0, -20, 40]
    parts = ("hip_left", "hip_right", "sacrum", "vertebrae_L5", "vertebrae_L3", "kidney_left")
    return row(
        shot(chest, "chest-pa", "pa", lungs),
        shot(chest, "chest-pa", "pa", lungs, ("lung_left", "lung_right")),
        shot(trunk, "bucky-table", "ap", hips),
        shot(trunk, "bucky-table", "ap", hips, parts),
    )


def main() -> None:
    """Draw and save."""
    OUT.mkdir(parents=True, exist_ok=True)
    pictures = {"bodies": bodies(), "ten-bodies": ten_bodies()}
    if len(sys.argv) > 1:
        pictures["real-cts"] = real_cts(Path(sys.argv[1]))
        pictures["ten-bodies"] = row(same_views_of_real_cts(Path(sys.argv[1])), pictures["ten-bodies"])
    for name, picture in pictures.items():
        path = OUT / f"{name}.jpg"
        Image.fromarray(picture).save(path, quality=88)
        print(path)


if __name__ == "__main__":
    main()
