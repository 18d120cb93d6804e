"""Label maps from files: one file of codes, a folder or mapping of binary files, and their names."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy.patient import LabelMap, Volume, as_codes
from synthray.anatomy.resample import covers, resample, shares_voxels
from synthray.anatomy.rtstruct import contour_masks, is_rtstruct, read_contours
from synthray.anatomy.slicer_segmentation import is_segmentation, read_segmentation
from synthray.anatomy.volume_files import is_volume_file, read_volume, stem
from synthray.errors import InputError, SynthrayWarning
from synthray.files import read_json as read_plain_json

LabelSource = str | Path | Mapping[str, str | Path]
LabelNames = Mapping[int, str] | str | Path


def read_labels(source: LabelSource, ct: Volume, names: LabelNames | None = None) -> LabelMap:
    """Labels on the CT's grid.

    Args:
        source: a file of codes; a 3-D Slicer segmentation (.seg.nrrd) or a DICOM RT structure set, which hold names;
            a folder with one binary file per structure, named after it (TotalSegmentator's output); or structure
            name -> binary file.
        ct: gives the grid. Labels on another grid are moved to it by nearest neighbour, with a warning.
        names: code -> name, or a JSON file of names; for a file of codes only. Codes without a name are `label_c`.

    Raises:
        InputError: a file can't be read, holds no whole numbers, or doesn't overlap the CT.
    """
    if isinstance(source, Mapping):
        return _stacked(_masks({name: Path(path) for name, path in source.items()}, ct), ct)
    path = Path(source)
    if path.is_dir():
        parts = {stem(p): p for p in sorted(path.iterdir()) if is_volume_file(p)}
        if not parts:
            raise InputError(f"{path}: no label files (.nii.gz, .nrrd, .mha) in this folder")
        return _stacked(_masks(parts, ct), ct)
    if path.is_file() and not is_volume_file(path) and is_rtstruct(path):
        return _stacked(contour_masks(read_contours(path), ct, str(path)), ct)
    if is_segmentation(path):
        return _segmented(path, ct)
    codes = _on_grid(read_volume(path), path, ct)
    if not codes.any():
        warnings.warn(f"{path}: no voxel on the CT's grid has a label", SynthrayWarning, stacklevel=3)
    if names is None or isinstance(names, Mapping):
        return LabelMap.from_names(codes, names or {})
    structures = read_label_names(Path(names))
    held = {code: "" for codes_of in structures.values() for code in codes_of}
    others = LabelMap.from_names(codes, {}).structures
    unnamed = {name: c for name, c in others.items() if c[0] not in held}
    return LabelMap(codes, {**structures, **unnamed})


def read_label_names(path: Path) -> dict[str, tuple[int, ...]]:
    """Structure name -> codes from a JSON file.

    Takes {"1": "lung"}, {"labels": {"1": "lung"}}, {"labels": {"lung": 1}} (nnU-Net), and
    {"structures": {"lung": [1, 2]}} (ours, where structures overlap).

    Raises:
        InputError: no such file, or not of that form.
    """
    held = read_json(path)
    table = held.get("structures", held.get("labels", held)) if isinstance(held, dict) else None
    structures: dict[str, tuple[int, ...]] = {}
    try:
        for key, value in (table or {}).items():
            if isinstance(value, str):
                structures[value] = (*structures.get(value, ()), int(key))
            else:
                codes = value if isinstance(value, list) else [value]
                if any(isinstance(code, bool) for code in codes):
                    raise TypeError(f"{key}: true and false are no codes")
                structures[key] = tuple(int(code) for code in codes)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f'{path}: label names must look like {{"labels": {{"1": "lung"}}}}') from error
    if not structures:
        raise InputError(f'{path}: no label names in it; they must look like {{"labels": {{"1": "lung"}}}}')
    return {name: tuple(c for c in codes if c) for name, codes in structures.items() if any(codes)}


def find_label_names(label_path: str | Path) -> Path | None:
    """The JSON file of names beside a label file: `STEM.json`, else `labels.json`, else None."""
    path = Path(label_path)
    beside = (path.parent / f"{stem(path)}.json", path.parent / "labels.json")
    return next((p for p in beside if p.is_file()), None)


@cache
def totalsegmentator_names() -> Mapping[int, str]:
    """Code -> name of the 117 classes of TotalSegmentator version 2, task `total`."""
    text = resources.files("synthray.anatomy").joinpath("totalsegmentator_classes.json").read_text("utf-8")
    return {int(code): name for code, name in json.loads(text)["labels"].items()}


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        InputError: no such file, or not JSON.
    """
    try:
        return read_plain_json(path)
    except FileNotFoundError:
        raise InputError(f"{path}: can't be read as JSON (no such file)") from None


def _on_grid(labels: Volume, path: Path, ct: Volume) -> npt.NDArray[Any]:
    """Codes from a file, on the CT's grid."""
    try:
        codes = as_codes(labels.values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if covers(labels, ct.shape, ct.patient_from_voxel):
        return codes
    lowest, highest = labels.corners_mm.min(axis=0), labels.corners_mm.max(axis=0)
    if (lowest > ct.corners_mm.max(axis=0)).any() or (highest < ct.corners_mm.min(axis=0)).any():
        raise InputError(f"{path}: the labels don't overlap the CT in space; are they of the same scan?")
    if not shares_voxels(labels, ct.patient_from_voxel):
        message = f"{path}: not on the CT's grid; moved to it by nearest neighbour"
        warnings.warn(message, SynthrayWarning, stacklevel=4)
    return resample(Volume(codes, labels.patient_from_voxel), ct.shape, ct.patient_from_voxel, linear=False, outside=0)


def _masks(parts: Mapping[str, Path], ct: Volume) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    for name, path in parts.items():
        yield name, _on_grid(read_volume(path), path, ct) > 0


def _segmented(path: Path, ct: Volume) -> LabelMap:
    """The segments of a 3-D Slicer file."""
    segments, layers = read_segmentation(path)
    codes = [_on_grid(layer, path, ct) for layer in layers]
    if len(layers) > 1 or len({one.value for one in segments}) < len(segments):
        return _stacked(((one.name, codes[one.layer] == one.value) for one in segments), ct)
    return LabelMap.from_names(codes[0], {one.value: one.name for one in segments})


def _stacked(masks: Iterable[tuple[str, npt.NDArray[np.bool_]]], ct: Volume) -> LabelMap:
    """One label map of named masks, which may overlap."""
    codes = np.zeros(ct.shape, dtype=np.uint16)
    structures: dict[str, list[int]] = {}
    highest = 0
    for name, mask in masks:
        own = structures.setdefault(name, [])
        # A new code for every code that the mask meets: free voxels first, then each combination it overlaps.
        for met in np.unique(codes[mask]).tolist() or [0]:
            highest += 1
            codes[mask & (codes == met)] = highest
            for held in structures.values():
                if met in held:
                    held.append(highest)
            own.append(highest)
    return LabelMap(as_codes(codes), {name: tuple(dict.fromkeys(held)) for name, held in structures.items()})
