"""Score a model on images with truth: numbers, a table per image, a report."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import tee
from pathlib import Path
from typing import Any

from synthray.errors import InputError
from synthray.evaluate.cases import Case, ImageFolder, read_deepfluoro, read_folder
from synthray.evaluate.pages import evaluation_sections
from synthray.evaluate.scoring import Evaluation, ScoredImage, score_case, summarise, without_nan
from synthray.files import write_atomically
from synthray.models.checkpoint import Model, load_model
from synthray.models.predict import predict_each
from synthray.page import Section, write_report

Progress = Callable[[int, int | None], None]


def evaluate_cases(
    cases: Iterable[Case],
    run: Model | str | Path,
    out_dir: str | Path,
    *,
    name: str = "data",
    total: int | None = None,
    flip: bool = False,
    batch: int = 8,
    seed: int = 0,
    sections: Sequence[Section] = (),
    on_progress: Progress | None = None,
) -> Evaluation:
    """Predict and score each case; write `scores.json`, `per_image.csv` and `report.html`.

    Scored are the structures and landmarks that both the model and the case have. One batch of images is held at a
    time.

    Args:
        cases: images with truth.
        run: a model, or its run folder.
        out_dir: made when absent; files of the same names are replaced.
        name: what the data is called in the outputs.
        total: number of cases, for progress.
        flip: average over the mirror image.
        batch: images per pass of the network.
        seed: of the bootstrap.
        sections: put before the scores in the report.
        on_progress: called with (images done, total).

    Raises:
        InputError: no case shares a structure or landmark with the model, or the outputs can't be written.
    """
    model = run if isinstance(run, Model) else load_model(run)
    stream, held = tee(cases)
    predictions = predict_each(model, (case.image for case in stream), flip=flip, batch=batch)
    images: list[ScoredImage] = []
    for done, (case, prediction) in enumerate(zip(held, predictions, strict=True), start=1):
        scored = score_case(case, prediction)
        if scored.counts or scored.error_px:
            images.append(scored)
        if on_progress:
            on_progress(done, total)
    if not images:
        known = ", ".join([*model.structures, *model.landmarks])
        raise InputError(f"{name}: no image has truth for anything that the model predicts ({known})")
    scores = summarise(images, model, name, str(run) if not isinstance(run, Model) else None, seed)
    evaluation = Evaluation(scores, tuple(images), Path(out_dir))
    _write(evaluation, sections, name)
    return evaluation


def evaluate_folder(
    run: Model | str | Path,
    data_dir: str | Path | ImageFolder,
    out_dir: str | Path,
    *,
    stems: Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
    **options: Any,
) -> Evaluation:
    """Score a folder with `images/` and `masks_STRUCTURE/` of equal stems; see `read_folder` and `evaluate_cases`.

    Or the folders of `read_pairs` and `read_qata`; these have no `stems` and `where`.

    Raises:
        InputError: the folder is unusable, or has no mask of any structure that the model predicts.
    """
    model = run if isinstance(run, Model) else load_model(run)
    folder = data_dir if isinstance(data_dir, ImageFolder) else read_folder(data_dir, stems=stems, where=where)
    source = next(iter(folder.images.values())).parent.parent if isinstance(data_dir, ImageFolder) else Path(data_dir)
    shared = [structure for structure in model.structures if structure in folder.masks]
    if not shared:
        raise InputError(
            f"{source}: has masks of {', '.join(folder.masks)}, the model predicts "
            f"{', '.join(model.structures) or 'no structures'}: nothing to compare"
        )
    options = {"name": source.resolve().name, "total": len(folder.images), **options}
    return evaluate_cases(folder.cases(shared), model, out_dir, **options)


def evaluate_hdf5(
    run: Model | str | Path,
    path: str | Path,
    out_dir: str | Path,
    *,
    specimens: Sequence[str] | None = None,
    pixel_mm: float | None = None,
    **options: Any,
) -> Evaluation:
    """Score an HDF5 file of the preprocessed DeepFluoro layout; see `read_deepfluoro` and `evaluate_cases`."""
    cases = read_deepfluoro(path, specimens=specimens, pixel_mm=pixel_mm)
    return evaluate_cases(cases, run, out_dir, **{"name": Path(path).name, **options})


def _write(evaluation: Evaluation, sections: Sequence[Section], name: str) -> None:
    folder = evaluation.out_dir
    text = json.dumps(without_nan(evaluation.scores), indent=2, allow_nan=False)
    write_atomically(folder / "scores.json", text.encode() + b"\n")
    write_atomically(folder / "per_image.csv", _table(evaluation.images).encode())
    parts = [*sections, *evaluation_sections(evaluation)]
    write_report(folder / "report.html", f"Evaluation on {name}", _subtitle(evaluation), parts)


def _subtitle(evaluation: Evaluation) -> str:
    data = evaluation.scores["data"]
    return f"{data['images']} images of {data['groups']} people or groups."


def _table(images: Sequence[ScoredImage]) -> str:
    rows = [_row(image) for image in images]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(image: ScoredImage) -> dict[str, Any]:
    row: dict[str, Any] = {"image": image.id, "group": image.group, "pixel_mm": image.pixel_mm}
    for name, counts in image.counts.items():
        row |= {f"{name}_{metric}": value for metric, value in counts.scores().items()}
        row[f"{name}_hausdorff95_px"] = image.hausdorff_px[name]
    for name, error in image.error_px.items():
        row |= {f"{name}_error_px": error, f"{name}_confidence": image.confidence[name]}
        if image.pixel_mm is not None:
            row[f"{name}_error_mm"] = error * image.pixel_mm
    return {key: "" if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
