"""Making one shard: load its person once, march and expose each planned view, pack."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import synthray
from synthray.anatomy import Patient
from synthray.dataset import rle
from synthray.dataset.layout import shard_name, shard_range
from synthray.dataset.people import load_person, target_mm
from synthray.dataset.placing import Placed, Placer
from synthray.dataset.plan import TOOL_STREAM, Planned, person_of_shard, plan, stream
from synthray.dataset.recipe import Recipe
from synthray.dataset.shards import encode_json, encode_png16, pack
from synthray.dataset.structures import flat_mask, middle_column, needed_paths, path_mm
from synthray.errors import InputError
from synthray.files import write_atomically
from synthray.projector import Projection, project, with_tools
from synthray.projector.result import MaskStack
from synthray.simulate import Sample, Scene, expose, plain_settings

Floats = npt.NDArray[np.float64]

# Stored value = (image + offset) x scale, 16 bit; steps far below the noise (-log), the density of paper, 0.01 mm.
IMAGE_SCALE, IMAGE_OFFSET = 6000.0, 0.5
DENSITY_SCALE = 600.0
PATH_SCALE = 100.0
BASIS_FILES = ("adipose", "bone")


class StageClock:
    """Seconds by stage of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what happens inside to a stage."""
        began = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began


class ShardMaker:
    """Makes shards of one recipe; keeps the last person, since neighbouring work often shows the same one."""

    def __init__(self, recipe: Recipe, folder: Path, threads: int | None) -> None:
        """Args: recipe: the set's. folder: where shards go. threads: of the march, None for all cores."""
        self._recipe, self._folder, self._threads = recipe, folder, threads
        self._everyone = recipe.everyone()
        self._held: tuple[int, Placer] | None = None
        self._clock = StageClock()

    def make(self, shard: int) -> dict[str, Any]:
        """Make a shard and put it in place; returns its file name, samples, bytes, SHA-256 and seconds by stage.

        Raises:
            InputError: its person can't be loaded, a view or a tool's place is impossible, or the shard can't be
                written.
        """
        data, answer = self.packed(shard)
        with self._clock("writing"):
            write_atomically(self._folder / answer["file"], data)
        return {**answer, "stages": dict(self._clock.seconds)}

    def packed(self, shard: int) -> tuple[bytes, dict[str, Any]]:
        """A shard's bytes, without writing them, and what `make` returns.

        Raises:
            InputError: as for `make`, but for writing.
        """
        self._clock = clock = StageClock()
        data = pack(self.samples(shard))
        with clock("writing"):
            digest = hashlib.sha256(data).hexdigest()
        samples = len(shard_range(self._recipe, shard))
        facts = {"file": shard_name(shard), "samples": samples, "bytes": len(data), "sha256": digest}
        return data, {**facts, "stages": dict(clock.seconds)}

    def samples(self, shard: int) -> Iterator[tuple[str, Mapping[str, bytes]]]:
        """The shard's samples in order, as key and files; images that share a view share its march.

        Raises:
            InputError: its person can't be loaded, or a view or a tool's place is impossible.
        """
        person = person_of_shard(self._recipe, shard)
        if self._held is None or self._held[0] != person:
            with self._clock("people"):
                self._held = person, Placer(load_person(self._everyone[person], self._recipe.seed, person))
        placer, split = self._held[1], self._everyone[person].split
        plain: Projection | None = None
        for index in shard_range(self._recipe, shard):
            planned = plan(self._recipe, index)
            if plain is None or planned.march == index:
                with self._clock("projection"):
                    plain = march_of(self._recipe, planned, placer.patient, self._threads)
            yield make_sample(self._recipe, planned, placer, plain, split, self._threads, self._clock)


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
    recipe: Recipe,
    planned: Planned,
    placer: Placer,
    plain: Projection,
    split: str,
    threads: int | None = None,
    clock: StageClock | None = None,
) -> tuple[str, Mapping[str, bytes]]:
    """One sample as its key and files; see docs/dataset-format.md.

    Args:
        recipe: the set's.
        planned: the image.
        placer: of its person.
        plain: its view's march.
        split: `train` or `val`.
        threads: of the work on tools.
        clock: counts the seconds.

    Raises:
        InputError: a tool's place is impossible.
    """
    clock = clock or StageClock()
    patient, camera = placer.patient, plain.cameras[0]
    with clock("projection"):
        placed = placer.placed(
            recipe.tools,
            camera,
            _target(recipe, planned, patient),
            lambda entry: stream(recipe.seed, planned.index, TOOL_STREAM + entry),
        )
        scene = Scene(patient, [one.tool for one in placed])
        projection = with_tools(plain, scene, threads=threads)
    with clock("physics"):
        sample = expose(projection, scene, planned.realism, planned.noise_seed, settings=planned.settings)
    with clock("encoding"):
        return f"{planned.index:08d}", _encoded(recipe, planned, sample, placed, split, projection.materials)


def _encoded(
    recipe: Recipe, planned: Planned, sample: Sample, placed: Sequence[Placed], split: str, materials: tuple[str, ...]
) -> dict[str, bytes]:
    """A sample's files by extension."""
    basis = (*BASIS_FILES, *materials)
    files = {"png": encode_png16(sample.image[0] + IMAGE_OFFSET, IMAGE_SCALE)}
    if recipe.keep_area_density:
        for name, plane in zip(basis, sample.area_density[0], strict=True):
            files[f"{name}.png"] = encode_png16(plane, DENSITY_SCALE)
    paths = _paths(recipe, sample, placed)
    for name in recipe.keep_paths:
        files[f"{name}.path.png"] = encode_png16(path_mm(recipe.structures[name], paths), PATH_SCALE)
    truth = _truth(recipe, planned, sample, split)
    truth["masks"] = _masks(recipe, sample, placed, paths)
    if recipe.keep_area_density:
        truth["area_density"] = {"scale": DENSITY_SCALE, "basis": list(basis)}
    if recipe.tools:
        truth["tools"] = [_of_tool(one) for one in placed]
    files["json"] = encode_json(truth)
    return files


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
) -> dict[str, dict[str, list[int]]]:
    """Run lengths of the recipe's 2-D structures, or of all the person's without any, and of each kind of tool."""
    if recipe.structures:
        middle = middle_column(sample.area_density[0])
        masks = {name: rle.encode(flat_mask(rule, paths, middle)) for name, rule in recipe.structures.items()}
    else:
        names = {one.tool.name for one in placed}
        masks = {name: mask for name, mask in _all_masks(sample.masks).items() if name not in names}
    for title in dict.fromkeys(entry.title for entry in recipe.tools):
        silhouettes = [sample.masks[one.tool.name][0] for one in placed if one.title == title]
        masks[title] = rle.encode(np.any([np.zeros(sample.image[0].shape, dtype=bool), *silhouettes], axis=0))
    return masks


def _all_masks(masks: Mapping[str, npt.NDArray[np.bool_]]) -> dict[str, dict[str, list[int]]]:
    """Run lengths of every mask of the first view; straight from the march's bits where they are there."""
    if isinstance(masks, MaskStack):
        return rle.encode_bits(masks.words[0], list(masks))
    return {name: rle.encode(mask[0]) for name, mask in masks.items()}


def _of_tool(placed: Placed) -> dict[str, Any]:
    return {
        "name": placed.tool.name,
        "entry": placed.entry,
        "parameters": dict(placed.parameters),
        "patient_from_tool": placed.tool.patient_from_tool.tolist(),
    }


def _landmark(sample: Sample, name: str) -> dict[str, Any]:
    if name not in sample.landmarks_px:
        return {"px": None, "visible": False}
    pixel = sample.landmarks_px[name][0]
    return {"px": pixel.tolist() if np.isfinite(pixel).all() else None, "visible": bool(sample.visible[name][0])}


def _truth(recipe: Recipe, planned: Planned, sample: Sample, split: str) -> dict[str, Any]:
    wanted = sample.landmarks_px if recipe.landmarks == "all" else recipe.landmarks
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
        "dose": asdict(sample.doses[0]) if sample.doses else None,
        "image": {"scale": IMAGE_SCALE, "offset": IMAGE_OFFSET},
        "area_density": None,
        "paths": {"scale": PATH_SCALE, "of": recipe.keep_paths},
        "landmarks": {name: _landmark(sample, name) for name in wanted},
    }
