"""`evaluate`: score a model on whatever holds images with truth."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synthray.dataset import Dataset, StoredSample
from synthray.errors import InputError
from synthray.evaluate.cases import Case, looks_like_qata, read_folder
from synthray.evaluate.deepfluoro import is_full_resolution
from synthray.evaluate.protocol import evaluate_cases, evaluate_folder, evaluate_hdf5
from synthray.evaluate.scoring import Evaluation
from synthray.evaluate.sources import HDF5, open_source
from synthray.imaging import DisplayPreset, display


def evaluate(
    run: str | Path,
    data: str | Path,
    out: str | Path | None = None,
    *,
    split: str | None = "val",
    where: Mapping[str, Any] | None = None,
    skip: str | Path | Collection[str] = (),
    **options: Any,
) -> Evaluation:
    """Score a model; write `scores.json`, `per_image.csv` and `report.html`.

    Args:
        run: folder of a trained model.
        data: a data set made by `generate`, or what `open_source` takes.
        out: where the results go; a folder beside the model named after the data by default.
        split: of a data set, `None` for all of it.
        where: of a folder with `index.json`: values that an image's entry must have.
        skip: of a folder: stems to leave out, or a text file of them.
        options: see `evaluate_cases`.

    Raises:
        InputError: the model or the data can't be used.
    """
    source = Path(data)
    target = Path(out) if out is not None else Path(run) / "evaluation" / source.stem
    if (source / "recipe.json").is_file():
        dataset = Dataset.open(source)
        cases = list(dataset_cases(dataset, split))
        if not cases:
            raise InputError(f"{source}: nobody is in split '{split}'; choose another split")
        return evaluate_cases(cases, run, target, **{"name": dataset.recipe.name, "total": len(cases), **options})
    if source.is_dir() and not looks_like_qata(source):
        left_out = _stems(skip)
        stems = [s for s in read_folder(source, where=where).images if s not in left_out] if left_out else None
        return evaluate_folder(run, source, target, stems=stems, where=where, **options)
    if source.suffix.lower() in HDF5 and not is_full_resolution(source):
        return evaluate_hdf5(run, source, target, **options)
    held = open_source(source)
    return evaluate_cases(held.cases(None), run, target, **{"name": held.name, "total": held.total, **options})


def dataset_cases(dataset: Dataset, split: str | None, preset: str | DisplayPreset = "chest-pa") -> Iterator[Case]:
    """The images of a data set, displayed as X-rays, with their truth; people are the groups."""
    for sample in dataset.samples(split):
        yield sample_case(sample, preset)


def sample_case(sample: StoredSample, preset: str | DisplayPreset = "chest-pa") -> Case:
    """One image of a data set, displayed as an X-ray, with its truth."""
    camera = sample.truth["camera"]
    distance = camera["source_to_detector_mm"]
    return Case(
        id=f"{sample.truth['patient']}-{sample.key}",
        image=display(sample.image, preset).astype(np.float32),
        masks=sample.masks,
        landmarks_px={name: at for name, at in sample.landmarks_px.items() if sample.visible[name]},
        group=sample.truth["patient"],
        pixel_mm=None if distance is None else distance / abs(camera["K"][1][1]),
    )


def _stems(skip: str | Path | Collection[str]) -> frozenset[str]:
    if not isinstance(skip, str | Path):
        return frozenset(skip or ())
    try:
        return frozenset(Path(skip).read_text(encoding="utf-8").split())
    except OSError as error:
        raise InputError(f"{skip}: can't be read ({error.strerror or error})") from None
