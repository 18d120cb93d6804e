"""One trial: an arm trained with one seed on one fold, and scored. A finished trial is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.dataset import Dataset, Redraw
from synthray.errors import InputError
from synthray.evaluate import Case, Counts
from synthray.evaluate.scoring import score_case
from synthray.experiment.arms import Arm, Experiment, Size
from synthray.experiment.chest import KEEP_LARGEST, RANDOMISATION
from synthray.experiment.curves import Histogram, probability_histogram
from synthray.experiment.real import fold_of, person_of, real_source
from synthray.files import write_atomically
from synthray.models import load_model
from synthray.models.predict import predict_each
from synthray.train import ArraySource, TrainConfig, fit
from synthray.train.pool import PoolSource, load_pool

Bar = Callable[[float, float], None]
TRIAL = "trial.json"


@dataclass(frozen=True, eq=False)
class Scored:
    """One image's outcome.

    Attributes:
        id: of the image.
        person: whose it is.
        counts: pixels of the scored structure at the model's threshold.
        histogram: its pixels by probability, before any clean-up; see `probability_histogram`.
    """

    id: str
    person: str
    counts: Counts
    histogram: Histogram


@dataclass(frozen=True, eq=False)
class Trial:
    """A finished trial.

    Attributes:
        arm, seed, fold: which.
        steps, seconds: of the training.
        images: images that were trained on: marches, or real ones.
        scored: data (`real`, `simulated`) -> outcomes.
        folder: holds the model, `trial.json` and `pictures/`.
    """

    arm: str
    seed: int
    fold: int
    steps: int
    seconds: float
    images: int
    scored: Mapping[str, tuple[Scored, ...]]
    folder: Path


@dataclass(frozen=True, eq=False)
class Material:
    """What all trials of an experiment share.

    Attributes:
        experiment, size: of which kind and how large.
        dataset: the simulated images.
        real: real images with truth; empty when there are none.
        held_out: simulated images of people in split `val`.
    """

    experiment: Experiment
    size: Size
    dataset: Dataset
    real: Sequence[Case]
    held_out: Sequence[Case]


def run_trial(material: Material, arm: Arm, seed: int, fold: int, folder: Path, on_progress: Bar) -> Trial:
    """Train and score, or read what an earlier call found.

    Raises:
        InputError: there is nothing to train on, or the folder holds something else.
    """
    kept = _read(folder, arm.name, seed, fold)
    if kept is not None:
        return kept
    source, config = _source(material, arm, seed, fold), training_config(arm, material.size)
    trained = fit(
        source, None, config, folder / "run", seed=seed, on_progress=lambda at: on_progress(at.step, config.steps)
    )
    structure = material.experiment.scored
    folds = fold_of(material.real, arm.folds, seed)
    real = [case for case, place in zip(material.real, folds, strict=True) if place == fold]
    scored = {"real": tuple(_score(real, folder, structure, pictures=seed == 0))} if real else {}
    if fold == 0 and material.held_out:
        scored["simulated"] = tuple(_score(material.held_out, folder, structure, pictures=False))
    images = len(source.stored.images if isinstance(source, PoolSource) else source.data.images)
    trial = Trial(arm.name, seed, fold, trained.steps, round(trained.seconds, 1), images, scored, folder)
    write_atomically(folder / TRIAL, (json.dumps(_plain(trial)) + "\n").encode())
    return trial


def training_config(arm: Arm, size: Size) -> TrainConfig:
    """The experiment's training settings with the arm's own over them."""
    settings: dict[str, Any] = {
        "size": size.side,
        "batch": size.batch,
        "steps": size.steps,
        "validate_every": size.steps,
        "checkpoint_every": 200,
        "keep_largest": KEEP_LARGEST,
        "augment": RANDOMISATION,
    }
    return TrainConfig.model_validate({**settings, **arm.training})


def _source(material: Material, arm: Arm, seed: int, fold: int) -> ArraySource | PoolSource:
    structures = material.experiment.structures
    if arm.real is not None:
        folds = fold_of(material.real, arm.folds, seed)
        others = [case for case, place in zip(material.real, folds, strict=True) if place != fold]
        return real_source(others, structures, material.size.side, arm.real, seed)
    redraw = None if arm.redraw is None else Redraw.model_validate(arm.redraw)
    pool = load_pool(material.dataset, "train", redraw, structures)
    if pool is None:
        raise InputError(f"{material.dataset.folder}: nobody is in split 'train'")
    return pool.subset(chosen_samples(material.dataset, pool, arm))


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


def _score(cases: Sequence[Case], folder: Path, structure: str, *, pictures: bool) -> Iterator[Scored]:
    model = load_model(folder / "run")
    predictions = predict_each(model, [case.image for case in cases])
    for case, prediction in zip(cases, predictions, strict=True):
        histogram = probability_histogram(prediction.probability(structure), case.masks[structure])
        outcome = score_case(case, prediction)
        if pictures:
            write_atomically(folder / "pictures" / f"{case.id}.jpg", outcome.picture)
        yield Scored(case.id, person_of(case), outcome.counts[structure], histogram)


def _plain(trial: Trial) -> dict[str, Any]:
    def one(image: Scored) -> dict[str, Any]:
        c = image.counts
        return {
            "id": image.id,
            "person": image.person,
            "counts": [c.tp, c.fp, c.fn, c.tn],
            "histogram": image.histogram.tolist(),
        }

    return {
        "arm": trial.arm,
        "seed": trial.seed,
        "fold": trial.fold,
        "steps": trial.steps,
        "seconds": trial.seconds,
        "images": trial.images,
        "scored": {data: [one(image) for image in images] for data, images in trial.scored.items()},
    }


def _read(folder: Path, arm: str, seed: int, fold: int) -> Trial | None:
    """The finished trial in a folder; None when there is none."""
    path = folder / TRIAL
    if not path.is_file():
        return None
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        if (held["arm"], held["seed"], held["fold"]) != (arm, seed, fold):
            raise ValueError(f"is of arm {held['arm']}, seed {held['seed']}, fold {held['fold']}")
        scored = {
            data: tuple(
                Scored(i["id"], i["person"], Counts(*i["counts"]), np.array(i["histogram"], dtype=np.int64))
                for i in images
            )
            for data, images in held["scored"].items()
        }
        return Trial(arm, seed, fold, held["steps"], held["seconds"], held["images"], scored, folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a finished trial ({error}); remove it to run the trial again") from None
