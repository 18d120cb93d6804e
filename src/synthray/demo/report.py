"""The demo's report: who, what was simulated, how training went, and the scores."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from synthray.anatomy import draw_ct, load_patient
from synthray.dataset import Dataset
from synthray.evaluate import (
    Evaluation,
    Figure,
    Gallery,
    KeyFigures,
    LineChart,
    Paragraph,
    Section,
    Series,
    Table,
    picture_blocks,
    write_report,
)
from synthray.experiment.chest import held_out
from synthray.experiment.development import DEVELOPMENT_STEMS
from synthray.experiment.people import RealPerson
from synthray.imaging import display
from synthray.models import Layer, overlay, read_image
from synthray.train import TrainResult

TILE_PX, TILES = 240, 8
_LEFT, _RIGHT = (86, 180, 233), (240, 80, 60)
Picture = npt.NDArray[np.uint8]


def write_demo_report(
    folder: Path,
    people: Sequence[RealPerson],
    dataset: Dataset,
    trained: TrainResult,
    simulated: Evaluation,
    real: Evaluation | None,
    root: Path | None,
    scores: dict[str, Any],
) -> Path:
    """Write `report.html` into the folder; returns its path."""
    sections = [
        Section("Result", _result(scores)),
        Section("People", _people(people, dataset)),
        Section("Simulated and real X-rays", _sheets(dataset, root)),
        Section("Training", [_training_curve(trained), _training_text(trained, dataset)]),
        Section("Simulated X-rays of people held out", [_score_table(simulated), *picture_blocks(simulated.images)]),
    ]
    if real is not None:
        sections.append(Section("Real X-rays", [_score_table(real), *picture_blocks(real.images)]))
    subtitle = "A network trained on simulated X-rays alone, and what it makes of real ones."
    return write_report(folder / "report.html", "From CT to real X-rays", subtitle, sections)


def _result(scores: dict[str, Any]) -> list[Any]:
    rows = [
        ("simulated_held_out", "Simulated, people held out"),
        ("real", "Real X-rays"),
        ("real_without_development_images", "Real, without development images"),
    ]
    figures = []
    for key, label in rows:
        lung = (scores[key] or {}).get("lung")
        if lung:
            low, high = lung["ci95"]
            figures.append(
                (label, f"{lung['dice']:.3f}", f"lung Dice, 95 % {low:.3f} to {high:.3f}, n = {lung['images']}")
            )
    text = (
        "No real X-ray was used to train or to choose a checkpoint: the model is the one at the end of the run. "
        f"The recipe was chosen on {len(DEVELOPMENT_STEMS)} real images, which are left out of the last "
        f"figure: {', '.join(sorted(DEVELOPMENT_STEMS))}."
    )
    if scores["real"] is None:
        text = "There were no real X-rays at hand; name a folder with --data or SYNTHRAY_DATA to score on them."
    return [KeyFigures(figures), Paragraph(text)]


def _people(people: Sequence[RealPerson], dataset: Dataset) -> list[Any]:
    scored = held_out(people)
    figures = [
        Figure(_png(draw_ct(load_patient(person.folder))), person.name + (" (held out)" if person is scored else ""))
        for person in people
    ]
    bodies = [person for person in dataset.recipe.everyone() if person.body is not None]
    kept = sum(person.split == "val" for person in bodies)
    text = f"{len(people)} real CTs and {len(bodies)} built-in bodies, of which {kept} are held out."
    return [Paragraph(text), *([Gallery(figures, 420)] if figures else [])]


def _sheets(dataset: Dataset, root: Path | None) -> list[Any]:
    samples = [next(islice(dataset.samples(), n, None)) for n in _spread(len(dataset), TILES)]
    tiles = []
    for sample in samples:
        grey = display(sample.image, "chest-pa").astype(np.float32)
        layers = [Layer(_LEFT, mask=sample.masks["left_lung"]), Layer(_RIGHT, mask=sample.masks["right_lung"])]
        tiles.append(_tile(overlay(grey, layers)))
    blocks: list[Any] = [
        Figure(
            _png(_sheet(tiles)), "Simulated X-rays with the lung fields they were trained on (left blue, right red)."
        )
    ]
    folder = None if root is None else root / "xray" / "chest_lungs" / "images"
    if folder is not None and folder.is_dir():
        files = sorted(folder.iterdir())
        real = [_tile(overlay(read_image(files[n]), [])) for n in _spread(len(files), TILES)]
        blocks.append(Figure(_png(_sheet(real)), "Real X-rays, never trained on, for comparison."))
    return blocks


def _training_curve(trained: TrainResult) -> LineChart:
    history = [row for row in trained.history if "dice_lung" in row]
    steps = [row["step"] for row in history]
    series = [
        Series("training loss", steps, [row["loss"] for row in history]),
        Series("lung Dice, simulated people held out", steps, [row["dice_lung"] for row in history]),
    ]
    return LineChart(series, "step", "loss, Dice", "The course of the training.", y_range=(0, 1))


def _training_text(trained: TrainResult, dataset: Dataset) -> Paragraph:
    return Paragraph(
        f"{trained.steps} steps in {trained.seconds:.0f} s on {len(dataset)} marched views; every use of a view "
        "draws a new tube voltage, dose, scatter, noise, disease, display window and domain randomisation."
    )


def _score_table(evaluation: Evaluation) -> Table:
    rows = []
    for name, found in evaluation.scores["structures"].items():
        low, high = found["dice"]["ci95"]
        means = (found[key]["mean"] for key in ("sensitivity", "specificity", "precision"))
        rows.append(
            [name, str(found["n"]), f"{found['dice']['mean']:.3f}", f"{low:.3f} to {high:.3f}",
             f"{found['dice']['median']:.3f}", *(f"{value:.3f}" for value in means)]
        )  # fmt: skip
    header = ["structure", "n", "Dice", "95 % interval", "median", "sensitivity", "specificity", "precision"]
    return Table(header, rows, "Means over images; intervals by bootstrap over people.")


def _spread(count: int, wanted: int) -> list[int]:
    return [int(n) for n in np.linspace(0, count - 1, min(wanted, count))]


def _tile(picture: Picture) -> Picture:
    """A colour picture fitted into a square, black around it."""
    image = ImageOps.contain(Image.fromarray(picture), (TILE_PX, TILE_PX))
    square = Image.new("RGB", (TILE_PX, TILE_PX))
    square.paste(image, ((TILE_PX - image.width) // 2, (TILE_PX - image.height) // 2))
    return np.asarray(square)


def _sheet(tiles: Sequence[Picture], per_row: int = 4) -> Picture:
    blank = np.zeros_like(tiles[0])
    padded = [*tiles, *[blank] * (-len(tiles) % per_row)]
    rows = [np.concatenate(padded[n : n + per_row], axis=1) for n in range(0, len(padded), per_row)]
    return np.concatenate(rows, axis=0)


def _png(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()
