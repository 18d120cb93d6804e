"""The demo's steps in order; each is kept, so that a second call goes on where the first one stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import synthray
from synthray.dataset import Dataset, generate
from synthray.dataset.public import find_data
from synthray.demo.recipes import VIEWS_PER_PERSON, dataset_recipe, training_recipe
from synthray.demo.report import write_demo_report
from synthray.errors import InputError
from synthray.evaluate import Case, Evaluation, dataset_cases, describe, evaluate_cases, evaluate_folder
from synthray.experiment.development import DEVELOPMENT_STEMS
from synthray.experiment.people import RealPerson, prepare_people
from synthray.files import write_atomically
from synthray.train import TrainResult, train

Bar = Callable[[float, float], None]
Progress = Callable[[str], AbstractContextManager[Bar]]
# Share of the time that training gets; people, images and scores need the rest on two cores.
TRAINING_SHARE = 0.62
SCORED_SIMULATED = 60
MARK = "demo.json"
NO_REAL = (
    "no real X-rays at hand: name a folder of CTs and X-rays with --data or SYNTHRAY_DATA "
    "(synthray data get downloads a public CT for the other commands)"
)


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the demo made.

    Attributes:
        report: `report.html`.
        scores: what `scores.json` holds.
        lines: the figures in words.
    """

    report: Path
    scores: dict[str, Any]
    lines: list[str]


def run_demo(
    out: str | Path,
    *,
    data: str | Path | None = None,
    minutes: float = 9.0,
    seed: int = 0,
    views_per_person: int = VIEWS_PER_PERSON,
    progress: Progress | None = None,
) -> DemoResult:
    """Simulate X-rays of the people at hand, train on them alone, score on held-out people and on real X-rays.

    Writes `report.html`, `scores.json`, `dataset/`, `run/` (the model), `people/` and `evaluation/` into `out`.

    Args:
        out: new or empty, or the folder of an earlier call with the same settings, which is then finished.
        data: folder with `ct/NAME/` and perhaps `xray/`; see `find_data`. Built-in bodies alone when there is none.
        minutes: time to take on two cores, about.
        seed: of everything random.
        views_per_person: simulated X-rays of each body; real people get four times as many.
        progress: makes a progress bar for each step, see `cli.console.progress_bar`.

    Raises:
        InputError: the folder holds something else, or the data can't be used.
    """
    began = time.monotonic()
    folder, bar = Path(out), progress or _silent
    root = find_data(None if data is None else Path(data))
    _claim(folder, {"minutes": minutes, "seed": seed, "data": str(root)})
    people: list[RealPerson] = []
    if root is not None:
        with bar("1/4 people") as step:
            people = prepare_people(root, folder / "people", step)
    with bar("2/4 simulate") as step:
        generate(dataset_recipe(people, seed, views_per_person), folder / "dataset", on_progress=step)
    dataset = Dataset.open(folder / "dataset")
    with bar("3/4 train") as step:
        recipe = training_recipe(folder / "dataset", seed, seconds=60 * minutes * TRAINING_SHARE)
        trained = train(recipe, folder / "run", on_progress=lambda at: step(round(100 * at.fraction), 100))
    with bar("4/4 score") as step:
        simulated = _score_simulated(folder, dataset, step)
        real = _score_real(folder, root, step)
    scores = _scores(dataset, trained, simulated, real, time.monotonic() - began)
    write_atomically(folder / "scores.json", (json.dumps(scores, indent=1) + "\n").encode())
    report = write_demo_report(folder, people, dataset, trained, simulated, real, root, scores)
    return DemoResult(report, scores, _lines(scores))


def _silent(_: str) -> AbstractContextManager[Bar]:
    """Progress for nobody."""
    return nullcontext(lambda done, total: None)


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Mark the folder as this demo's; refuse another demo's or a folder of other things."""
    mark = folder / MARK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if mark.is_file():
            held = json.loads(mark.read_text(encoding="utf-8"))
            changed = [key for key in settings if held.get(key) != settings[key]]
            if changed:
                key = changed[0]
                raise InputError(
                    f"{folder}: holds a demo with {key} {held.get(key)}, not {settings[key]}; "
                    "choose another --out or remove it"
                )
            return
        if any(folder.iterdir()):
            raise InputError(f"{folder}: not empty and not a demo's folder; choose another --out")
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: can't be used ({error})") from None
    write_atomically(mark, (json.dumps(settings) + "\n").encode())


def _score_simulated(folder: Path, dataset: Dataset, step: Bar) -> Evaluation:
    """Score on simulated X-rays of the people held out, as the data set shows them."""
    cases = _spread_out(list(dataset_cases(dataset, "val")))
    return evaluate_cases(
        cases,
        folder / "run",
        folder / "evaluation" / "simulated",
        name="simulated X-rays of people held out",
        total=len(cases),
        on_progress=lambda done, total: step(done, total or done),
    )


def _spread_out(cases: list[Case]) -> list[Case]:
    """At most `SCORED_SIMULATED` cases, evenly over all."""
    stride = max(1, len(cases) // SCORED_SIMULATED)
    return cases[::stride]


def _score_real(folder: Path, root: Path | None, step: Bar) -> Evaluation | None:
    """Score on the real X-rays, those whose lung masks are usable where an index says so."""
    xrays = None if root is None else root / "xray" / "chest_lungs"
    if xrays is None or not (xrays / "images").is_dir():
        return None
    where = {"lung_ok": True} if (xrays / "index.json").is_file() else None
    return evaluate_folder(
        folder / "run",
        xrays,
        folder / "evaluation" / "real",
        where=where,
        name="real chest X-rays",
        on_progress=lambda done, total: step(done, total or done),
    )


def _scores(
    dataset: Dataset, trained: TrainResult, simulated: Evaluation, real: Evaluation | None, seconds: float
) -> dict[str, Any]:
    return {
        "version": synthray.__version__,
        "seconds": round(seconds, 1),
        "dataset": {"images": len(dataset), "people": len({str(p) for p in dataset.recipe.everyone()})},
        "training": {"steps": trained.steps, "seconds": round(trained.seconds, 1), "on": "simulated X-rays only"},
        "simulated_held_out": dice_table(simulated),
        "real": None if real is None else dice_table(real),
        "real_without_development_images": None if real is None else dice_table(real, DEVELOPMENT_STEMS),
    }


def dice_table(evaluation: Evaluation, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Structure -> mean Dice with its 95 % interval over people and the number of images."""
    table = {}
    for name in evaluation.scores["structures"]:
        images = [image for image in evaluation.images if name in image.counts and image.id not in without]
        if images:
            found = describe([image.counts[name].dice for image in images], [image.group for image in images])
            table[name] = {"dice": found["mean"], "ci95": list(found["ci95"]), "images": len(images)}
    return table


def _lines(scores: dict[str, Any]) -> list[str]:
    def told(what: str, table: dict[str, Any] | None) -> list[str]:
        if not table:
            return []
        lung = table["lung"]
        low, high = lung["ci95"]
        return [f"{what}: lung Dice {lung['dice']:.3f} ({low:.3f} to {high:.3f}, {lung['images']} images)"]

    lines = [
        *told("simulated X-rays of people held out", scores["simulated_held_out"]),
        *told("real chest X-rays", scores["real"]),
        *told("  of these, without development images", scores["real_without_development_images"]),
    ]
    return lines if scores["real"] else [*lines, NO_REAL]
