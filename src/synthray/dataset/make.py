"""Making one shard: load its person once, march and expose each planned view, pack."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import synthray
from synthray.anatomy import Patient
from synthray.dataset import rle
from synthray.dataset.job import shard_name, shard_range
from synthray.dataset.people import load_person
from synthray.dataset.plan import Planned, person_of_shard, plan
from synthray.dataset.recipe import Recipe
from synthray.dataset.shards import encode_json, encode_png16, pack
from synthray.dataset.structures import flat_mask, middle_column, needed_paths, path_mm
from synthray.errors import InputError
from synthray.files import write_atomically
from synthray.geometry import Camera
from synthray.simulate import Sample, plain_settings, simulate

# Stored value = (image + offset) x scale, 16 bit; steps far below the noise (-log), the density of paper, 0.01 mm.
IMAGE_SCALE, IMAGE_OFFSET = 6000.0, 0.5
DENSITY_SCALE = 600.0
PATH_SCALE = 100.0
BASIS_FILES = ("adipose", "bone")


class ShardMaker:
    """Makes shards of one recipe; keeps the last person, since neighbouring work often shows the same one."""

    def __init__(self, recipe: Recipe, folder: Path, threads: int | None) -> None:
        """Args: recipe: the set's. folder: where shards go. threads: of the march, None for all cores."""
        self._recipe, self._folder, self._threads = recipe, folder, threads
        self._everyone = recipe.everyone()
        self._held: tuple[int, Patient] | None = None

    def make(self, shard: int) -> dict[str, Any]:
        """Make a shard and put it in place; returns its file name, number of samples, bytes and SHA-256.

        Raises:
            InputError: its person can't be loaded, a view is impossible, or the shard can't be written.
        """
        person = person_of_shard(self._recipe, shard)
        if self._held is None or self._held[0] != person:
            self._held = person, load_person(self._everyone[person])
        patient = self._held[1]
        indices = shard_range(self._recipe, shard)
        split = self._everyone[person].split
        data = pack(make_sample(self._recipe, plan(self._recipe, i), patient, split, self._threads) for i in indices)
        name = shard_name(shard)
        write_atomically(self._folder / name, data)
        return {
            "file": name,
            "samples": len(indices),
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }


def make_sample(
    recipe: Recipe, planned: Planned, patient: Patient, split: str, threads: int | None = None
) -> tuple[str, Mapping[str, bytes]]:
    """One sample as its key and files; see docs/dataset-format.md."""
    views = recipe.views[planned.view]
    camera = views.sampler.camera(target_mm(patient, views.target), planned.parameters)
    needed = needed_paths(recipe.structures, patient.structure_names, patient.name)
    sample = simulate(
        patient,
        camera,
        planned.realism,
        planned.noise_seed,
        settings=planned.settings,
        paths=needed,
        threads=threads,
    )
    files = {"png": encode_png16(sample.image[0] + IMAGE_OFFSET, IMAGE_SCALE)}
    if recipe.keep_area_density:
        for basis, name in enumerate(BASIS_FILES):
            files[f"{name}.png"] = encode_png16(sample.area_density[0, basis], DENSITY_SCALE)
    paths = {name: lengths[0] for name, lengths in sample.paths_mm.items()}
    for name in recipe.keep_paths:
        files[f"{name}.path.png"] = encode_png16(path_mm(recipe.structures[name], paths), PATH_SCALE)
    files["json"] = encode_json(_truth(recipe, planned, sample, camera, split))
    return f"{planned.index:08d}", files


def target_mm(patient: Patient, target: str) -> npt.NDArray[np.float64]:
    """The point that a recipe's `target` names: `center`, a landmark, or structures joined by +.

    Raises:
        InputError: the patient has no such landmark or structure.
    """
    if target == "center":
        return patient.center_mm
    if target in patient.landmarks:
        return patient.landmarks[target]
    names = [name.strip() for name in target.split("+")]
    missing = [name for name in names if name not in patient.structure_names]
    if missing:
        raise InputError(f"views.target: {patient.name} has no landmark or structure '{missing[0]}'")
    return patient.structure_center_mm(*names)


def _truth(recipe: Recipe, planned: Planned, sample: Sample, camera: Camera, split: str) -> dict[str, Any]:
    paths = {name: lengths[0] for name, lengths in sample.paths_mm.items()}
    middle = middle_column(sample.area_density[0])
    flat = {name: flat_mask(rule, paths, middle) for name, rule in recipe.structures.items()}
    masks = flat or {name: sample.masks[name][0] for name in sample.masks}
    described = sample.describe()["landmarks"]
    wanted = described if recipe.landmarks == "all" else recipe.landmarks
    absent = {"px": None, "visible": False}
    return {
        "index": planned.index,
        "patient": sample.patient_name,
        "person": planned.person,
        "split": split,
        "version": synthray.__version__,
        "camera": camera.to_dict(),
        "mirrored": camera.mirrored,
        "realism": sample.realism,
        "noise_seed": planned.noise_seed,
        "settings": plain_settings(planned.settings),
        "image": {"scale": IMAGE_SCALE, "offset": IMAGE_OFFSET},
        "area_density": {"scale": DENSITY_SCALE, "basis": list(BASIS_FILES)} if recipe.keep_area_density else None,
        "paths": {"scale": PATH_SCALE, "of": recipe.keep_paths},
        "masks": {name: rle.encode(mask) for name, mask in masks.items()},
        "landmarks": {name: described.get(name, absent) for name in wanted},
    }
