"""An experiment from its name to its report; run again, it goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from synthray.dataset import Dataset, Redraw, generate
from synthray.dataset.public import find_data
from synthray.errors import InputError
from synthray.evaluate import sample_case
from synthray.experiment.arms import SIZES, Arm, Experiment, Size
from synthray.experiment.chest_experiments import CHEST_EXPERIMENTS
from synthray.experiment.compare import Row, compare
from synthray.experiment.development import DEVELOPMENT_STEMS
from synthray.experiment.hip import HIP_EXPERIMENT
from synthray.experiment.outcomes import Trial
from synthray.experiment.people import RealPerson, prepare_people
from synthray.experiment.precisely_matched import MATCHED_EXPERIMENT, matched_material
from synthray.experiment.report import development_images, write_experiment_report
from synthray.experiment.tool import TOOL_EXPERIMENT
from synthray.experiment.trials import Material, redrawn_cases, run_trial
from synthray.files import write_atomically

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (*CHEST_EXPERIMENTS, HIP_EXPERIMENT, TOOL_EXPERIMENT, MATCHED_EXPERIMENT)
}
Bar = Callable[[float, float], None]
Progress = Callable[[str], AbstractContextManager[Bar]]
_SCORED_SIMULATED = 60


@dataclass(frozen=True, eq=False)
class ExperimentResult:
    """What an experiment found.

    Attributes:
        report: `report.html`.
        scores: what `scores.json` holds.
        tables: kind of images (`real`, `real_without_development` where there are such, `simulated`) -> rows.
    """

    report: Path
    scores: dict[str, Any]
    tables: dict[str, list[Row]]


def run_experiment(
    name: str,
    out: str | Path,
    *,
    size: str = "full",
    data: str | Path | None = None,
    real: str | Path | None = None,
    arms: Collection[str] | None = None,
    seeds: int | None = None,
    progress: Progress | None = None,
) -> ExperimentResult:
    """Train every arm of an experiment and score it on real and on simulated X-rays.

    The folder holds `people/`, the simulated images `SIZE/DATASET/` that experiments share, and for this one
    `SIZE/NAME/trials/ARM/seed-S-fold-F/`, `SIZE/NAME/scores.json` and `SIZE/NAME/report.html`. What is finished is
    kept: a call after an interruption, or with more arms or seeds, does what is missing. `precisely-matched` keeps its
    simulated images in `SIZE/precisely-matched/twins/`.

    Args:
        name: one of `EXPERIMENTS`.
        out: folder of experiments.
        size: `full`, `small` or `tiny`; see `SIZES`.
        data: folder with `ct/` and `xray/`; see `find_data`.
        real: real X-rays with truth, in the experiment's layout, in place of those in the data folder.
        arms: names of the arms to run; those of the size by default.
        seeds: repetitions; those of the size by default.
        progress: makes a progress bar for each step.

    Raises:
        InputError: an unknown name, or data that can't be used.
    """
    experiment, chosen_size = _known(name), _size(size)
    _check_arms(experiment, chosen_size, arms)
    bar = progress or _silent
    folder = Path(out) / chosen_size.name
    root = find_data(None if data is None else Path(data))
    xrays = _xrays(experiment, real, root)
    people: list[RealPerson] = []
    if experiment.recipe is None:
        with bar("simulate") as step:
            material = matched_material(experiment, chosen_size, xrays, folder / name / "twins", step)
    else:
        people = _people(root, Path(out) / "people", bar)
        with bar("simulate") as step:
            generate(experiment.recipe(people, chosen_size), folder / experiment.dataset, on_progress=step)
        dataset = Dataset.open(folder / experiment.dataset)
        material = _material(experiment, chosen_size, dataset, xrays, _unlabelled(experiment, root))
    wanted = _arms(material, arms, has_cts=bool(people))
    trials = _trials(material, wanted, seeds or chosen_size.seeds, folder / name / "trials", bar)
    chosen_on = development_images(material)
    tables = {
        "real": compare(experiment, wanted, trials, "real"),
        "real_without_development": compare(experiment, wanted, trials, "real", DEVELOPMENT_STEMS) if chosen_on else [],
        "simulated": compare(experiment, wanted, trials, "simulated"),
    }
    scores = _scores(material, people, tables)
    write_atomically(folder / name / "scores.json", (json.dumps(scores, indent=1) + "\n").encode())
    report = write_experiment_report(folder / name, material, trials, tables, len(people))
    return ExperimentResult(report, scores, tables)


def _silent(_: str) -> AbstractContextManager[Bar]:
    """Progress for nobody."""
    return nullcontext(lambda done, total: None)


def _known(name: str) -> Experiment:
    if name not in EXPERIMENTS:
        raise InputError(f"unknown experiment '{name}'; choose one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def _size(name: str) -> Size:
    if name not in SIZES:
        raise InputError(f"unknown size '{name}'; choose one of {', '.join(SIZES)}")
    return SIZES[name]


def _xrays(experiment: Experiment, given: str | Path | None, root: Path | None) -> Path | None:
    """Where the real X-rays lie; None when there are none."""
    if given is not None:
        if not Path(given).exists():
            raise InputError(f"{given}: no such file or folder of real X-rays")
        return Path(given)
    place = None if root is None else root / experiment.real_place
    return place if place is not None and place.exists() else None


def _unlabelled(experiment: Experiment, root: Path | None) -> Path | None:
    """Where unlabelled real X-rays lie; None when there are none."""
    place = None if root is None or experiment.unlabelled_place is None else root / experiment.unlabelled_place
    return place if place is not None and place.is_dir() else None


def _people(root: Path | None, folder: Path, bar: Progress) -> list[RealPerson]:
    if root is None:
        return []
    with bar("people") as step:
        return prepare_people(root, folder, step)


def _material(
    experiment: Experiment, size: Size, dataset: Dataset, xrays: Path | None, unlabelled: Path | None
) -> Material:
    real = [] if xrays is None or experiment.real is None else experiment.real(xrays)
    split = None if experiment.crossed else "val"
    count = sum(1 for _ in dataset.samples(split)) if split else len(dataset)
    shown = list(islice(dataset.samples(split), 0, None, max(1, count // _SCORED_SIMULATED)))
    cases = [sample_case(sample) for sample in shown]
    if experiment.scored_redraw is not None:
        cases = redrawn_cases(shown, cases, Redraw.model_validate(experiment.scored_redraw), experiment.structures)
    people = [sample.truth["person"] for sample in shown]
    simulated = list(zip(people, cases, strict=True))
    return Material(experiment, size, dataset, real, simulated, unlabelled=unlabelled)


def _check_arms(experiment: Experiment, size: Size, names: Collection[str] | None) -> None:
    """Refuse unknown names before anything is simulated."""
    every = [arm.name for arm in experiment.arms(size)]
    unknown = [name for name in names or () if name not in every]
    if unknown:
        raise InputError(f"{experiment.name} has no arm '{unknown[0]}'; it has {', '.join(every)}")


def _arms(material: Material, names: Collection[str] | None, *, has_cts: bool) -> list[Arm]:
    """The arms to run: those named, or of the size, and those they build on, as far as there are images for them."""
    experiment, size = material.experiment, material.size
    every = list(experiment.arms(size))
    if names is None and size.name != "full" and experiment.few:
        names = experiment.few
    wanted = {arm.name for arm in every if names is None or arm.name in names}
    wanted |= {arm.base for arm in every if arm.name in wanted and arm.base}
    possible = [
        arm
        for arm in every
        if arm.name in wanted
        and (material.real or arm.real is None)
        and (has_cts or arm.people != "ct")
        and (material.unlabelled or arm.adaptation is None)
    ]
    if not possible:
        raise InputError(
            "none of these arms can run without real data: name a folder with ct/ and xray/ by --data or SYNTHRAY_DATA"
        )
    return possible


def _trials(material: Material, arms: Sequence[Arm], seeds: int, folder: Path, bar: Progress) -> list[Trial]:
    folds = {arm.name: material.experiment.folds(arm, material.size) for arm in arms}
    plan = [(arm, seed, fold) for seed in range(seeds) for arm in arms for fold in range(folds[arm.name])]
    done = []
    for number, (arm, seed, fold) in enumerate(plan):
        place = folder / arm.name / f"seed-{seed}-fold-{fold}"
        with bar(f"{number + 1}/{len(plan)} {arm.name}, seed {seed}, fold {fold}") as step:
            done.append(run_trial(material, arm, seed, fold, place, step))
    return done


def _scores(material: Material, people: Sequence[RealPerson], tables: dict[str, list[Row]]) -> dict[str, Any]:
    return {
        "experiment": material.experiment.name,
        "size": asdict(material.size),
        "real_people": [person.name for person in people],
        "simulated_images": material.simulated_images,
        "real_images": len(material.real),
        "development_images": development_images(material),
        "tables": {name: [asdict(row) for row in rows] for name, rows in tables.items()},
    }
