"""What a found pose puts on the X-ray: masks, landmarks, pictures that show whether it fits, and simulated twins."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.dataset import rle
from synthray.errors import InputError
from synthray.files import write_atomically
from synthray.imaging import ImagingSettings, Level
from synthray.projector import project
from synthray.register.fit import Fit
from synthray.register.fixed import fitted_display, fixed_image
from synthray.register.moving import covered, moving_images
from synthray.simulate import Sample, simulate

Grey = npt.NDArray[np.uint8]
TWIN_LEVELS: tuple[Level, ...] = ("naive", "heuristic", "realistic")
_SQUARES = 8


@dataclass(frozen=True, eq=False)
class Annotation:
    """The CT's truth on one X-ray.

    Attributes:
        masks: structure -> (row, column) bool, for those that touch the picture.
        landmarks_px: landmark -> (2,) column, row; also outside the picture.
        visible: landmark -> it lies in the picture.
        std_px: landmark -> standard deviation of its place in the picture, by the pose's covariance.
        shape: (rows, columns).
    """

    masks: Mapping[str, npt.NDArray[np.bool_]]
    landmarks_px: Mapping[str, npt.NDArray[np.float64]]
    visible: Mapping[str, bool]
    std_px: Mapping[str, float]
    shape: tuple[int, int]


def annotate(patient: Patient, fit: Fit, structures: Sequence[str] | None = None) -> Annotation:
    """Carry the CT's labels and landmarks onto the X-ray.

    Args:
        patient: the CT with labels and landmarks.
        fit: from `register`.
        structures: names of labels; all by default.

    Raises:
        InputError: the patient lacks a structure.
    """
    names = list(patient.structure_names) if structures is None else list(structures)
    for name in names:
        if name not in patient.structure_names:
            raise InputError(
                f"{patient.name}: no structure '{name}' to carry over; there are {', '.join(patient.structure_names)}"
            )
    camera = fit.camera
    masks = project(patient, camera, depth=False).masks if names else {}
    pixels = {name: camera.project(at) for name, at in patient.landmarks.items()}
    return Annotation(
        masks={name: masks[name][0] for name in names if masks[name][0].any()},
        landmarks_px=pixels,
        visible={name: bool(np.isfinite(at).all() and camera.contains(at)) for name, at in pixels.items()},
        std_px={name: _std_px(fit, at) for name, at in patient.landmarks.items()},
        shape=(camera.rows, camera.columns),
    )


def _std_px(fit: Fit, point_mm: npt.NDArray[np.float64]) -> float:
    """Root of both axes' variance, by central differences of the projection along the covariance's main axes."""
    from synthray.register.pose import moved

    worth, axes = np.linalg.eigh(fit.covariance)
    steps = axes * np.sqrt(np.maximum(worth, 0))
    ends = [[moved(fit.camera, sign * step, fit.pivot_mm).project(point_mm) for sign in (1, -1)] for step in steps.T]
    return float(np.sqrt(sum(np.sum((one - other) ** 2) / 4 for one, other in ends)))


def coco(annotations: Mapping[str, Annotation], fits: Mapping[str, Fit]) -> dict[str, Any]:
    """COCO instances and keypoints of the X-rays (https://cocodataset.org/#format-data), to be edited by hand.

    As `convert --to coco` writes data sets: masks as uncompressed run lengths, keypoints counted from a pixel's corner
    with visibility 2, or 0 outside the picture. Each image also carries its camera and quality, each keypoint set the
    landmarks' standard deviations in px.
    """
    structures = sorted({name for one in annotations.values() for name in one.masks})
    landmarks = sorted({name for one in annotations.values() for name in one.landmarks_px})
    images, regions = [], list[dict[str, Any]]()
    for number, (name, one) in enumerate(annotations.items(), 1):
        rows, columns = one.shape
        images.append(
            {
                "id": number,
                "file_name": name,
                "height": rows,
                "width": columns,
                "camera": fits[name].camera.to_dict(),
                "quality": fits[name].quality.to_dict(),
            }
        )
        for structure, mask in one.masks.items():
            regions.append(
                {"category_id": structures.index(structure) + 1, "image_id": number, **rle.coco_region(mask)}
            )
        if landmarks:
            regions.append({"category_id": len(structures) + 1, "image_id": number, **_keypoints(one, landmarks)})
    categories: list[dict[str, Any]] = [
        {"id": place, "name": name, "supercategory": "structure"} for place, name in enumerate(structures, 1)
    ]
    if landmarks:
        kind = {"name": "landmarks", "supercategory": "landmarks", "keypoints": landmarks, "skeleton": []}
        categories.append({"id": len(structures) + 1, **kind})
    return {
        "info": {"description": "annotated by synthray register", "version": "1"},
        "images": images,
        "annotations": [{"id": place, **one} for place, one in enumerate(regions, 1)],
        "categories": categories,
    }


def _keypoints(one: Annotation, names: Sequence[str]) -> dict[str, Any]:
    points: list[float] = []
    for name in names:
        if one.visible.get(name, False):
            column, row = one.landmarks_px[name].tolist()
            points += [column + 0.5, row + 0.5, 2]
        else:
            points += [0, 0, 0]
    return {
        "keypoints": points,
        "keypoints_std_px": [one.std_px.get(name) for name in names],
        "num_keypoints": sum(one.visible.get(name, False) for name in names),
        "bbox": [0, 0, one.shape[1], one.shape[0]],
        "area": one.shape[0] * one.shape[1],
        "iscrowd": 0,
    }


@dataclass(frozen=True, eq=False)
class Comparison:
    """Pictures that show whether a pose fits; all (row, column) grey values of 0 to 255, bone bright.

    Attributes:
        xray: the X-ray on the projection's scale, its display undone.
        projection: of the CT at the pose.
        checkerboard: squares of either in turn; bones run on across their borders where the pose is right.
        difference: X-ray less projection; mid grey where they agree, edges in relief where they don't.
    """

    xray: Grey
    projection: Grey
    checkerboard: Grey
    difference: Grey


def compared(
    patient: Patient, xray: npt.NDArray[Any], fit: Fit, mask: npt.NDArray[np.bool_] | None = None
) -> Comparison:
    """The X-ray beside the projection of the CT at the found pose.

    Args:
        patient: the CT.
        xray: (row, column) as it was registered.
        fit: its result.
        mask: pixels that count; all by default.

    Raises:
        InputError: as `register`.
    """
    fixed = fixed_image(xray, mask, fit.camera)
    seen = moving_images(patient, [fit.camera])[0].astype(np.float64)
    counted = fixed.mask & covered(patient, fit.camera)
    counted = counted if counted.any() else np.ones_like(counted)
    shown = fitted_display(fixed.image, seen, counted, 1 if fit.bone_bright else -1)(fixed.image)
    low, high = np.percentile(seen[counted], [0.5, 99.5])
    span = max(float(high - low), 1e-6)
    row, column = np.indices(seen.shape)
    square = max(1, max(seen.shape) // _SQUARES)
    odd = (row // square + column // square) % 2 == 1
    grey = [_grey((image - low) / span) for image in (shown, seen)]
    return Comparison(grey[0], grey[1], np.where(odd, grey[0], grey[1]), _grey(0.5 + (shown - seen) / span))


def _grey(values: npt.NDArray[np.float64]) -> Grey:
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)


def twin(
    patient: Patient, fit: Fit, realism: Level = "realistic", seed: int = 0, settings: ImagingSettings | None = None
) -> Sample:
    """The X-ray simulated at the found pose: the same view of the same person, with truth; see `simulate`."""
    return simulate(patient, fit.camera, realism, seed, settings=settings)


def save_twins(
    patient: Patient,
    fits: Mapping[str, Fit],
    folder: str | Path,
    *,
    seed: int = 0,
    settings: ImagingSettings | None = None,
) -> list[Path]:
    """Write a twin of every X-ray at every level of realism: `folder/LEVEL/STEM.png` with masks and truth beside it.

    Returns:
        The pictures.
    """
    pictures = []
    for level in TWIN_LEVELS:
        for name, fit in fits.items():
            path = Path(folder) / level / f"{Path(name).stem}.png"
            twin(patient, fit, level, seed, settings).save(path)
            pictures.append(path)
    return pictures


def save_coco(path: str | Path, annotations: Mapping[str, Annotation], fits: Mapping[str, Fit]) -> None:
    """Write `coco` as JSON."""
    write_atomically(Path(path), (json.dumps(coco(annotations, fits)) + "\n").encode())


def save_posed_list(path: str | Path, files: Mapping[str, str], fits: Mapping[str, Fit], patient: str) -> None:
    """Write the list of X-rays with known views that `evaluate.posed_from_list` and the experiments read.

    Args:
        path: of the list.
        files: X-ray's name -> its file, as seen from the list's folder.
        fits: X-ray's name -> its fit; those that failed are left out.
        patient: the CT's file, as seen from the list's folder.
    """
    entries = [
        {"image": files[name], "camera": fit.camera.to_dict(), "patient": patient, "name": Path(name).stem}
        for name, fit in fits.items()
        if fit.quality.state != "failed"
    ]
    write_atomically(Path(path), (json.dumps(entries, indent=1) + "\n").encode())
