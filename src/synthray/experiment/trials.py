"""One trial: an arm trained with one seed on one fold, and scored. A finished trial is not done again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.dataset import Dataset, Redraw, StoredSample
from synthray.errors import InputError
from synthray.evaluate import Case
from synthray.evaluate.scoring import score_case
from synthray.experiment.arms import Arm, Experiment, Size
from synthray.experiment.curves import probability_histogram
from synthray.experiment.outcomes import Scored, Trial, read_trial, write_trial
from synthray.experiment.real import fold_of, person_of, real_source
from synthray.files import write_atomically
from synthray.imaging import display
from synthray.models import load_model
from synthray.models.predict import predict_each
from synthray.train import AdaptResult, ArraySource, Progress, TrainConfig, TrainResult, adapt, fit
from synthray.train.pool import PoolSource, load_pool, pool_of

Bar = Callable[[float, float], None]


@dataclass(frozen=True, eq=False)
class Material:
    """What all trials of an experiment share.

    Attributes:
        experiment, size: of which kind and how large.
        dataset: the simulated images; None where they are twins of the real ones.
        real: real images with truth; empty when there are none.
        simulated: simulated images to score, with the number of the person shown.
        twins: level of realism -> simulated twins of the real images, with the same ids and people.
        unlabelled: folder of real X-rays without labels; None when there is none.
    """

    experiment: Experiment
    size: Size
    dataset: Dataset | None
    real: Sequence[Case]
    simulated: Sequence[tuple[int, Case]]
    twins: Mapping[str, Sequence[Case]] = field(default_factory=dict)
    unlabelled: Path | None = None

    @property
    def simulated_images(self) -> int:
        """How many there are to train on, of all people."""
        return sum(map(len, self.twins.values())) if self.dataset is None else len(self.dataset)


def run_trial(material: Material, arm: Arm, seed: int, fold: int, folder: Path, on_progress: Bar) -> Trial:
    """Train and score, or read what an earlier call found.

    Raises:
        InputError: there is nothing to train on, or the folder holds something else.
    """
    kept = read_trial(folder, arm.name, seed, fold)
    if kept is not None:
        return kept
    experiment = material.experiment
    folds = experiment.folds(arm, material.size)
    source = _source(material, arm, seed, fold)
    trained = _train(material, arm, source, seed, folder, on_progress)
    cases = {"real": _of_fold(material.real, folds, seed, fold), "simulated": []}
    if arm.real is None:
        cases["simulated"] = [case for person, case in material.simulated if person % folds == fold]
    elif fold == 0:
        cases["simulated"] = [case for _, case in material.simulated]
    scored = {
        data: tuple(_score(experiment, images, folder, pictures=data == "real" and seed == 0))
        for data, images in cases.items()
        if images
    }
    images = len(source.stored.images if isinstance(source, PoolSource) else source.data.images)
    trial = Trial(arm.name, seed, fold, trained.steps, round(trained.seconds, 1), images, scored, folder)
    write_trial(trial)
    return trial


def _train(
    material: Material, arm: Arm, source: ArraySource | PoolSource, seed: int, folder: Path, on_progress: Bar
) -> TrainResult | AdaptResult:
    """Leave the trial's network in `folder / "run"`."""

    def report(at: Progress) -> None:
        on_progress(at.step, at.steps)

    if arm.adaptation is None:
        config = training_config(material.experiment, arm, material.size)
        return fit(source, None, config, folder / "run", seed=seed, on_progress=report)
    if material.unlabelled is None:
        raise InputError(f"arm {arm.name}: unlabelled real X-rays are needed, by --data or SYNTHRAY_DATA")
    base = folder.parents[1] / arm.base / folder.name / "run"
    return adapt(
        base, [material.unlabelled], folder / "run", arm.adaptation, source=source, seed=seed, on_progress=report
    )


def training_config(experiment: Experiment, arm: Arm, size: Size) -> TrainConfig:
    """The training settings of the size, the experiment and the arm, each over the one before."""
    settings: dict[str, Any] = {
        "size": size.side,
        "batch": size.batch,
        "steps": size.steps,
        "validate_every": size.steps,
        "checkpoint_every": 200,
    }
    return TrainConfig.model_validate({**settings, **experiment.training, **arm.training})


def _of_fold(cases: Sequence[Case], folds: int, seed: int, fold: int, *, others: bool = False) -> list[Case]:
    """The real images of a fold, or those of the other folds."""
    places = fold_of(cases, folds, seed)
    return [case for case, place in zip(cases, places, strict=True) if (place == fold) != others]


def _source(material: Material, arm: Arm, seed: int, fold: int) -> ArraySource | PoolSource:
    experiment = material.experiment
    folds = experiment.folds(arm, material.size)
    if arm.real is not None:
        shown = material.real if arm.twins is None else material.twins[arm.twins]
        cases = _of_fold(shown, folds, seed, fold, others=True)
        if not cases:
            raise InputError(f"arm {arm.name}: real X-rays of two people at least are needed")
        names = experiment.structures, experiment.landmarks
        return real_source(cases, *names, material.size.side, arm.real, seed)
    if material.dataset is None:
        raise InputError(f"arm {arm.name}: {experiment.name} has no simulated images but the twins of real ones")
    redraw = None if arm.redraw is None else Redraw.model_validate(arm.redraw)
    pool = load_pool(material.dataset, "train", redraw, experiment.structures, experiment.landmarks)
    if pool is None:
        raise InputError(f"{material.dataset.folder}: nobody is in split 'train'")
    chosen = chosen_samples(material.dataset, pool, arm)
    if experiment.crossed:
        chosen &= pool.people % folds != fold
    return pool.subset(chosen)


def redrawn_cases(
    samples: Sequence[StoredSample], cases: Sequence[Case], redraw: Redraw, structures: tuple[str, ...]
) -> list[Case]:
    """The cases of these samples under one fresh draw of physics and painted disease, the same at each call."""
    pool = pool_of(list(samples), "simulated images to score", redraw, structures, ())
    batch = pool.drawn(np.arange(len(samples)), np.random.default_rng(0))
    images = batch.images if redraw.window is not None else display(batch.images, "chest-pa").astype(np.float32)
    return [
        replace(case, image=image, masks=dict(zip(structures, masks, strict=True)))
        for case, image, masks in zip(cases, images, batch.masks, strict=True)
    ]


def chosen_samples(dataset: Dataset, pool: PoolSource, arm: Arm) -> npt.NDArray[np.bool_]:
    """(n,) which marches an arm trains on."""
    everyone = dataset.recipe.everyone()
    is_body = np.array([everyone[number].body is not None for number in pool.people])
    chosen = np.ones(len(is_body), dtype=bool) if arm.people == "all" else is_body == (arm.people == "body")
    if arm.most_people is not None:
        # Real people and bodies alike: evenly spread over those that are left.
        left = np.unique(pool.people[chosen])
        spread = left[np.linspace(0, len(left) - 1, min(arm.most_people, len(left))).round().astype(int)]
        chosen &= np.isin(pool.people, spread)
    for person in np.unique(pool.people[chosen]):
        its = np.flatnonzero(chosen & (pool.people == person))
        chosen[its[max(1, round(arm.share_of_views * len(its))) :]] = False
    return chosen


def _score(experiment: Experiment, cases: Sequence[Case], folder: Path, *, pictures: bool) -> Iterator[Scored]:
    model = load_model(folder / "run")
    predictions = predict_each(model, [case.image for case in cases])
    for case, prediction in zip(cases, predictions, strict=True):
        histogram = None
        if experiment.operating_sensitivity is not None and experiment.scored is not None:
            probability = prediction.probability(experiment.scored)
            histogram = probability_histogram(probability, case.masks[experiment.scored])
        outcome = score_case(case, prediction)
        if pictures:
            write_atomically(folder / "pictures" / f"{case.id}.jpg", outcome.picture)
        scale = 1.0 if case.pixel_mm is None else case.pixel_mm
        errors = {name: scale * error for name, error in outcome.error_px.items()}
        yield Scored(case.id, person_of(case), outcome.counts, errors, outcome.confidence, histogram)
