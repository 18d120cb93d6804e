"""DICOM: an X-ray angiographic object for each image, with its geometry and nobody's identity."""

from __future__ import annotations

import hashlib
import json
import warnings

import numpy as np

from synthray.dataset.convert.job import Job, index_entry, save_masks, stem
from synthray.dataset.read import StoredSample
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import Camera, DicomView
from synthray.simulate.dicom_object import Simulated, angiographic_object

_BITS = 16
# A view that DICOM's angles can't hold: its rays meet the detector this far elsewhere.
_MOST_OFF_PX = 0.5


def write_dicom(job: Job) -> None:
    """Write `images/KEY.dcm`, `masks_STRUCTURE/KEY.png` and `index.json`.

    Grey values are the stored -log image without loss: `-(value * RescaleSlope + RescaleIntercept)`. Angles, distance
    and spacing are in the header; `index.json` has the whole camera, landmarks, and the people's names in the set,
    which the DICOM files leave out: there people are numbers.
    """
    held = hashlib.sha256(job.dataset.recipe.model_dump_json().encode()).hexdigest()
    index, beyond = [], 0
    for number, sample in enumerate(job.samples(), start=1):
        camera = Camera.from_dict(sample.truth["camera"])
        name = f"{stem(sample)}.dcm"
        path = job.place / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_object(sample, camera, number, held))
        save_masks(job, sample)
        index.append(index_entry(sample, name))
        beyond += not _held_by_angles(camera)
    if beyond:
        warnings.warn(
            f"{beyond} of {len(index)} views are turned or shifted in the detector's plane, which C-arm angles don't "
            "hold; index.json has their whole cameras",
            SynthrayWarning,
            stacklevel=3,
        )
    (job.place / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _object(sample: StoredSample, camera: Camera, number: int, held: str) -> bytes:
    scale, offset = (float(sample.truth["image"][key]) for key in ("scale", "offset"))
    settings = sample.truth.get("settings") or {}
    person = f"Person {int(sample.truth['person']) + 1}"
    said = Simulated(
        study=f"{held} {person}",
        series="images",
        instance=stem(sample),
        number=number,
        person=person,
        comment=f"simulated by synthray, realism {sample.truth['realism']}",
        tube_kvp=_number(settings.get("tube_kvp")),
        mas=_number((sample.truth.get("dose") or {}).get("mas", settings.get("mas"))),
    )
    return angiographic_object(sample.image, camera, said, per_unit=scale, lowest=-offset, bits=_BITS)


def _held_by_angles(camera: Camera) -> bool:
    """Whether DICOM's angles give this camera back, once the isocentre is known."""
    if camera.source_to_detector_mm is None:
        return False
    middle = np.array([(camera.columns - 1) / 2, (camera.rows - 1) / 2])
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5]]) * middle * 2
    _, rays = camera.rays()
    column, row = np.rint(corners).astype(int).T
    points = camera.source_mm + 0.7 * camera.source_to_detector_mm * rays[row, column]
    target = camera.source_mm + 0.7 * camera.source_to_detector_mm * camera.direction
    try:
        back = DicomView.of(camera, target).camera(target)
    except InputError:
        return False
    return bool(np.abs(back.project(points) - camera.project(points)).max() <= _MOST_OFF_PX)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
