"""Simulated twins of real X-rays: the same view of the same person at each level of realism, under the same name."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.anatomy.hounsfield import TISSUES
from synthray.dataset.convert.synthex import DEEPFLUORO_CLASSES
from synthray.dataset.imaging_recipe import Imaging
from synthray.dataset.shards import encode_png16
from synthray.errors import InputError, SynthrayWarning
from synthray.evaluate import Case, PosedImage, PosedPerson, posed_from_deepfluoro, posed_from_list, read_folder
from synthray.evaluate.cases import ImageFolder
from synthray.experiment.controlled_study import REAL, write_controlled_study
from synthray.files import write_atomically
from synthray.imaging import ImagingSettings, Level
from synthray.projector import Projection, project
from synthray.simulate import Sample, expose, plain_settings

LEVELS: tuple[Level, ...] = ("naive", "heuristic", "realistic")
_INDEX = "index.json"
# What codes without a name are called.
_NAMELESS = "label_"
# Stored value = (grey + offset) x scale, 16 bit, as in data sets.
_SCALE, _OFFSET = 6000.0, 0.5


@dataclass(frozen=True, eq=False)
class Twins:
    """Real X-rays and their simulated twins; equal ids show the same view of the same person.

    Attributes:
        structures, landmarks: what is known of the real images and of the twins alike.
        sets: `real`, `naive`, `heuristic`, `realistic` -> images with truth.
    """

    structures: tuple[str, ...]
    landmarks: tuple[str, ...]
    sets: Mapping[str, Sequence[Case]]


def posed_people(path: Path) -> list[PosedPerson]:
    """The people of a full-resolution DeepFluoro file or of a JSON list; see `evaluate.posed_from_list`.

    Raises:
        InputError: it is neither.
    """
    if path.suffix.lower() in (".h5", ".hdf5"):
        return posed_from_deepfluoro(path)
    if path.suffix.lower() == ".json":
        return posed_from_list(path)
    raise InputError(f"{path}: X-rays with known views come as a full-resolution DeepFluoro file (.h5) or a JSON list")


def make_twins(source: Path, folder: Path, side: int, settings: Imaging, on_progress: Callable[..., None]) -> Twins:
    """The twins in a folder; made when it is not there. It appears when it is whole.

    `real/` and each level hold `images/`, `masks_STRUCTURE/` and `index.json` (person, landmarks, camera, pixel size,
    exposure), as `convert --to png` writes them; `hdf5/` holds the same in the layout of SyntheX's controlled study.

    What an image lacks of truth, all masks or all landmarks, is taken from the CT's projection, as it is in DeepFluoro.

    Args:
        source: the real X-rays; see `posed_people`.
        folder: of the twins.
        side: images are averaged down as long as they keep so many pixels on the shorter side.
        settings: the exposures are drawn from.
        on_progress: called with (people done, people).

    Raises:
        InputError: the source can't be used, or the folder holds twins of another source.
    """
    told = {"source": str(source.resolve()), "side": side}
    marker = folder / "twins.json"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _make(posed_people(source), part, side, settings, on_progress)
            write_atomically(part / marker.name, (json.dumps(told) + "\n").encode())
            part.chmod(0o755)
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    elif not marker.is_file() or json.loads(marker.read_text(encoding="utf-8")) != told:
        raise InputError(f"{folder}: holds twins of other images than {source}; remove it or choose another --out")
    return read_twins(folder)


def read_twins(folder: Path) -> Twins:
    """Twins that were made before.

    Raises:
        InputError: no structure is known in every image.
    """
    folders = {name: read_folder(folder / name) for name in (REAL, *LEVELS)}
    # A structure that an image doesn't tell of would be learnt as empty there.
    shared = set.intersection(*(_known_everywhere(held) for held in folders.values()))
    if not shared:
        raise InputError("no structure is known in every real image and in its CT; give all images masks alike")
    known = [name for name in DEEPFLUORO_CLASSES if name in shared]
    structures = tuple(known + sorted(shared - set(known)))
    sets = {name: [_grey(case, held) for case in held.cases(structures)] for name, held in folders.items()}
    landmarks = sorted({name for case in sets[REAL] for name in case.landmarks_px})
    return Twins(structures, tuple(landmarks), sets)


def _known_everywhere(held: ImageFolder) -> set[str]:
    return {name for name, files in held.masks.items() if set(files) >= set(held.images)}


def _grey(case: Case, held: ImageFolder) -> Case:
    """With the grey values that were stored."""
    said = held.index[case.id]
    return replace(case, image=case.image / np.float32(said["scale"]) - np.float32(said["offset"]))


def _make(
    people: Sequence[PosedPerson], folder: Path, side: int, settings: Imaging, on_progress: Callable[..., None]
) -> None:
    index: dict[str, list[dict[str, Any]]] = {name: [] for name in (REAL, *LEVELS)}
    number = 0
    for done, person in enumerate(people):
        on_progress(done, len(people))
        patient = person.patient()
        for whole in person.images():
            image = whole.reduced(max(1, min(whole.image.shape) // side))
            projection = twin_projection(patient, image)
            rng = np.random.default_rng([number, 0x7713])
            exposure = settings.draw(rng)
            twins = {level: expose(projection, patient, level, number, settings=exposure) for level in LEVELS}
            real = _with_truth(image, twins["realistic"])
            index[REAL].append(_write_real(real, person.name, folder / REAL))
            for level, sample in twins.items():
                index[level].append(_write_twin(real, sample, exposure, person.name, folder / level))
            number += 1
    if not number:
        raise InputError("no X-ray to simulate a twin of")
    for name, entries in index.items():
        write_atomically(folder / name / _INDEX, (json.dumps(entries, indent=1) + "\n").encode())
    _add_controlled_study(folder)
    on_progress(len(people), len(people))


def twin_projection(patient: Patient, image: PosedImage) -> Projection:
    """The march of a real image's view, with the bones that moved since the CT where the image has them.

    Area densities add up along a ray: a moved bone's excess over muscle is taken out of the CT's view and put in as
    its own camera sees it; muscle fills the place that it left.
    """
    bones = [name for name in image.moved if name in patient.structure_names]
    # A bone's share ends at whole voxels: several rays a pixel keep the seam from showing.
    rays = 4 if bones else None
    still = project(patient, image.camera, paths=bones, densities=bones, supersample=rays)
    density, masks = still.area_density.copy(), dict(still.masks)
    for bone in bones:
        there = project(patient, image.moved[bone], depth=False, paths=[bone], densities=[bone], supersample=rays)
        density += _beyond_muscle(there, bone) - _beyond_muscle(still, bone)
        masks[bone] = there.masks[bone]
    return replace(still, area_density=np.maximum(density, 0), masks=masks)


def _beyond_muscle(projection: Projection, bone: str) -> npt.NDArray[np.float32]:
    """(view, basis, row, column) g/cm² of a bone less that of muscle in its place."""
    density, *shares = TISSUES["muscle"]
    muscle = np.array(shares, dtype=np.float32) * np.float32(0.1 * density)
    return projection.structure_density[bone] - projection.paths_mm[bone][:, None] * muscle[:, None, None]


def _with_truth(image: PosedImage, twin: Sample) -> PosedImage:
    """The image with what it lacks of truth: masks altogether, or landmarks altogether."""
    wanted = image.structures or tuple(name for name in twin.masks if not name.startswith(_NAMELESS))
    if missing := [name for name in wanted if name not in twin.masks and not image.masks]:
        raise InputError(f"{image.id}: structures: the CT of {twin.patient_name} has no '{missing[0]}'")
    masks = image.masks or {name: twin.masks[name][0] for name in wanted}
    if not masks:
        raise InputError(f"{image.id}: no truth: give masks, or label the CT of {twin.patient_name}")
    marks = image.landmarks_px or {n: at[0] for n, at in twin.landmarks_px.items() if np.isfinite(at[0]).all()}
    return replace(image, masks=masks, landmarks_px=marks)


def _write_real(image: PosedImage, person: str, folder: Path) -> dict[str, Any]:
    low, high = float(image.image.min()), float(image.image.max())
    return _write(image.case(person), image, 65535 / max(high - low, 1e-6), -low, folder)


def _write_twin(
    real: PosedImage, sample: Sample, exposure: ImagingSettings, person: str, folder: Path
) -> dict[str, Any]:
    twin = replace(
        real,
        image=sample.image[0],
        masks={name: sample.masks[name][0] for name in real.masks if name in sample.masks},
        landmarks_px={name: sample.landmarks_px[name][0] for name in real.landmarks_px if name in sample.landmarks_px},
    )
    entry = _write(twin.case(person), twin, _SCALE, _OFFSET, folder)
    return {**entry, "realism": sample.realism, "noise_seed": sample.seed, "settings": plain_settings(exposure)}


def _write(case: Case, image: PosedImage, scale: float, offset: float, folder: Path) -> dict[str, Any]:
    """One image with its masks; returns its entry of the index."""
    write_atomically(folder / "images" / f"{case.id}.png", encode_png16(case.image + np.float32(offset), scale))
    for name, mask in case.masks.items():
        write_atomically(folder / f"masks_{name}" / f"{case.id}.png", encode_png16(mask.astype(np.float32), 65535))
    return {
        "stem": case.id,
        "file": f"{case.id}.png",
        "patient": case.group,
        "pixel_mm": case.pixel_mm,
        "landmarks_px": {name: [round(float(v), 3) for v in at] for name, at in case.landmarks_px.items()},
        "camera": image.camera.to_dict(),
        "scale": scale,
        "offset": offset,
    }


def _add_controlled_study(folder: Path) -> None:
    """The same as HDF5; without h5py, or where a person's images differ in size, a warning says why there is none."""
    twins = read_twins(folder)
    try:
        write_controlled_study(folder / "hdf5", twins.structures, twins.landmarks, twins.sets)
    except InputError as error:
        warnings.warn(f"no HDF5 copies beside the folders: {error}", SynthrayWarning, stacklevel=2)
