"""Making one shard: load its person once, march and expose each planned view, pack."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import synthray
from synthray.anatomy import Patient
from synthray.dataset import rle
from synthray.dataset.job import shard_name, shard_range
from synthray.dataset.people import load_person, target_mm
from synthray.dataset.placing import Placed, Placer
from synthray.dataset.plan import TOOL_STREAM, Planned, person_of_shard, plan, stream
from synthray.dataset.recipe import Recipe
from synthray.dataset.shards import encode_json, encode_png16, pack
from synthray.dataset.structures import flat_mask, middle_column, needed_paths, path_mm
from synthray.errors import InputError
from synthray.files import write_atomically
from synthray.projector import Projection, project, with_tools
from synthray.simulate import Sample, Scene, expose, plain_settings

Floats = npt.NDArray[np.float64]

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
        self._held: tuple[int, Placer] | None = None

    def make(self, shard: int) -> dict[str, Any]:
        """Make a shard and put it in place; returns its file name, number of samples, bytes and SHA-256.

        Raises:
            InputError: its person can't be loaded, a view or a tool's place is impossible, or the shard can't be
                written.
        """
        data = pack(self.samples(shard))
        name = shard_name(shard)
        write_atomically(self._folder / name, data)
        return {
            "file": name,
            "samples": len(shard_range(self._recipe, shard)),
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }

    def samples(self, shard: int) -> Iterator[tuple[str, Mapping[str, bytes]]]:
        """The shard's samples in order, as key and files; images that share a view share its march.

        Raises:
            InputError: its person can't be loaded, or a view or a tool's place is impossible.
        """
        person = person_of_shard(self._recipe, shard)
        if self._held is None or self._held[0] != person:
            self._held = person, Placer(load_person(self._everyone[person], self._recipe.seed, person))
        placer, split = self._held[1], self._everyone[person].split
        plain: Projection | None = None
        for index in shard_range(self._recipe, shard):
            planned = plan(self._recipe, index)
            if plain is None or planned.march == index:
                plain = march_of(self._recipe, planned, placer.patient, self._threads)
            yield make_sample(self._recipe, planned, placer, plain, split, self._threads)


def march_of(recipe: Recipe, planned: Planned, patient: Patient, threads: int | None = None) -> Projection:
    """The march of a planned view, without tools.

    Raises:
        InputError: the view's target or every part of a structure is missing in this person.
    """
    views = recipe.views[planned.view]
    camera = views.sampler.camera(_target(recipe, planned, patient), planned.parameters)
    optional = recipe.optional_structures
    needed = needed_paths(recipe.structures, patient.structure_names, patient.name, optional)
    return project(patient, camera, paths=needed, threads=threads)


def make_sample(
    recipe: Recipe, planned: Planned, placer: Placer, plain: Projection, split: str, threads: int | None = None
) -> tuple[str, Mapping[str, bytes]]:
    """One sample as its key and files; see docs/dataset-format.md.

    Args:
        recipe: the set's.
        planned: the image.
        placer: of its person.
        plain: its view's march.
        split: `train` or `val`.
        threads: of the work on tools.

    Raises:
        InputError: a tool's place is impossible.
    """
    patient, camera = placer.patient, plain.cameras[0]
    placed = placer.placed(
        recipe.tools,
        camera,
        _target(recipe, planned, patient),
        lambda entry: stream(recipe.seed, planned.index, TOOL_STREAM + entry),
    )
    scene = Scene(patient, [one.tool for one in placed])
    projection = with_tools(plain, scene, threads=threads)
    sample = expose(projection, scene, planned.realism, planned.noise_seed, settings=planned.settings)
    basis = (*BASIS_FILES, *projection.materials)
    files = {"png": encode_png16(sample.image[0] + IMAGE_OFFSET, IMAGE_SCALE)}
    if recipe.keep_area_density:
        for name, plane in zip(basis, sample.area_density[0], strict=True):
            files[f"{name}.png"] = encode_png16(plane, DENSITY_SCALE)
    paths = _paths(recipe, sample, placed)
    for name in recipe.keep_paths:
        files[f"{name}.path.png"] = encode_png16(path_mm(recipe.structures[name], paths), PATH_SCALE)
    truth = _truth(recipe, planned, sample, split)
    truth["masks"] = {name: rle.encode(mask) for name, mask in _masks(recipe, sample, placed, paths).items()}
    if recipe.keep_area_density:
        truth["area_density"] = {"scale": DENSITY_SCALE, "basis": list(basis)}
    if recipe.tools:
        truth["tools"] = [_of_tool(one) for one in placed]
    files["json"] = encode_json(truth)
    return f"{planned.index:08d}", files


def _target(recipe: Recipe, planned: Planned, patient: Patient) -> Floats:
    try:
        return target_mm(patient, recipe.views[planned.view].target)
    except InputError as error:
        raise InputError(f"views[{planned.view}].target: {error}") from None


def _paths(recipe: Recipe, sample: Sample, placed: Sequence[Placed]) -> dict[str, npt.NDArray[np.float32]]:
    """3-D structure or kind of tool -> (row, column) mm; what this image lacks by its lot is zero."""
    paths = {name: lengths[0] for name, lengths in sample.paths_mm.items()}
    alone = [paths.pop(one.tool.name) for one in placed]
    for one, lengths in zip(placed, alone, strict=True):
        paths[one.title] = paths.get(one.title, np.float32(0)) + lengths
    nothing = np.zeros(sample.image[0].shape, dtype=np.float32)
    return {name: paths.get(name, nothing) for name in sorted({*paths, *recipe.optional_structures})}


def _masks(
    recipe: Recipe, sample: Sample, placed: Sequence[Placed], paths: Mapping[str, npt.NDArray[np.float32]]
) -> dict[str, npt.NDArray[np.bool_]]:
    """The recipe's 2-D structures, or all of the person's without any, and one mask for each kind of tool."""
    middle = middle_column(sample.area_density[0])
    names = {one.tool.name for one in placed}
    plain = {name: sample.masks[name][0] for name in sample.masks if name not in names}
    masks = {name: flat_mask(rule, paths, middle) for name, rule in recipe.structures.items()} or plain
    for title in dict.fromkeys(entry.title for entry in recipe.tools):
        silhouettes = [sample.masks[one.tool.name][0] for one in placed if one.title == title]
        masks[title] = np.any([np.zeros(sample.image[0].shape, dtype=bool), *silhouettes], axis=0)
    return masks


def _of_tool(placed: Placed) -> dict[str, Any]:
    return {
        "name": placed.tool.name,
        "entry": placed.entry,
        "parameters": dict(placed.parameters),
        "patient_from_tool": placed.tool.patient_from_tool.tolist(),
    }


def _truth(recipe: Recipe, planned: Planned, sample: Sample, split: str) -> dict[str, Any]:
    described = sample.describe()["landmarks"]
    wanted = described if recipe.landmarks == "all" else recipe.landmarks
    absent = {"px": None, "visible": False}
    return {
        "index": planned.index,
        "patient": sample.patient_name,
        "person": planned.person,
        "split": split,
        "version": synthray.__version__,
        "camera": sample.camera.to_dict(),
        "mirrored": sample.camera.mirrored,
        "realism": sample.realism,
        "noise_seed": planned.noise_seed,
        "settings": plain_settings(planned.settings),
        "image": {"scale": IMAGE_SCALE, "offset": IMAGE_OFFSET},
        "area_density": None,
        "paths": {"scale": PATH_SCALE, "of": recipe.keep_paths},
        "landmarks": {name: described.get(name, absent) for name in wanted},
    }
