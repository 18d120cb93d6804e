"""From trials to a table: each arm's score with its interval, and its difference to the reference arm."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthray.evaluate import Counts, bootstrap_interval
from synthray.experiment.arms import Arm, Experiment
from synthray.experiment.curves import Histogram, at_sensitivity, bootstrap_f1
from synthray.experiment.outcomes import Scored, Trial

# Normalised cross-correlation with the ideal heatmap from which on a landmark counts as found (Gao et al. 2023).
DETECTED = 0.9


@dataclass(frozen=True)
class Row:
    """What one arm reached on one kind of images.

    Attributes:
        arm, about: which.
        trained_on: images that each of its networks was trained on.
        n: scored images.
        dice, ci95: of the scored structure: mean over images of the mean over seeds, with the interval over people.
        seed_dice: mean Dice of each seed.
        structures: mean Dice of each structure.
        landmarks: mean, sd and median error over images and landmarks, the fraction detected and the mean error of
            those; None without landmarks.
        difference, difference_ci95: mean Dice minus the reference arm's on the same images, with the paired interval;
            None for the reference itself or when it has not run.
        pooled: pooled precision, F1 and its interval at the experiment's sensitivity, and pooled scores at the
            models' own threshold; empty without such a sensitivity.
        minutes: training time of one network.
    """

    arm: str
    about: str
    trained_on: int
    n: int
    dice: float
    ci95: tuple[float, float]
    seed_dice: tuple[float, ...]
    structures: Mapping[str, float]
    landmarks: Mapping[str, float] | None
    difference: float | None
    difference_ci95: tuple[float, float] | None
    pooled: Mapping[str, Any]
    minutes: float


def compare(
    experiment: Experiment,
    arms: Sequence[Arm],
    trials: Sequence[Trial],
    data: str,
    without: Collection[str] = (),
) -> list[Row]:
    """A row for each arm that has run on these images.

    Args:
        experiment: names the reference and the scored structure.
        arms: in the order of the rows.
        trials: finished ones.
        data: `real` or `simulated`.
        without: ids of images that are left out.
    """
    reference = _by_image(trials, experiment.reference, data, without)
    rows = []
    for arm in arms:
        mine = _by_image(trials, arm.name, data, without)
        if mine:
            rows.append(_row(experiment, arm, [t for t in trials if t.arm == arm.name], mine, reference))
    return rows


def _by_image(trials: Sequence[Trial], arm: str, data: str, without: Collection[str]) -> dict[str, list[Scored]]:
    """Image -> its outcomes, one for each seed, in the order of seeds."""
    found: dict[str, list[Scored]] = {}
    for trial in sorted((t for t in trials if t.arm == arm), key=lambda t: t.seed):
        for image in trial.scored.get(data, ()):
            if image.id not in without:
                found.setdefault(image.id, []).append(image)
    # An image counts once every seed has scored it, so that seeds and arms are compared on the same images.
    most = max((len(outcomes) for outcomes in found.values()), default=0)
    return {name: outcomes for name, outcomes in sorted(found.items()) if len(outcomes) == most}


def _row(
    experiment: Experiment,
    arm: Arm,
    trials: Sequence[Trial],
    mine: Mapping[str, list[Scored]],
    reference: Mapping[str, list[Scored]],
) -> Row:
    scored = experiment.scored
    dice = {name: _mean_dice(outcomes, scored) for name, outcomes in mine.items()}
    people = [outcomes[0].person for outcomes in mine.values()]
    seeds = np.array([[outcome.dice(scored) for outcome in outcomes] for outcomes in mine.values()]).mean(axis=0)
    shared = [name for name in mine if name in reference]
    difference, interval = None, None
    if shared and arm.name != experiment.reference:
        apart = [dice[name] - _mean_dice(reference[name], scored) for name in shared]
        difference = float(np.mean(apart))
        interval = bootstrap_interval(apart, [mine[name][0].person for name in shared])
    return Row(
        arm=arm.name,
        about=arm.about,
        trained_on=round(float(np.mean([trial.images for trial in trials]))),
        n=len(mine),
        dice=float(np.mean(list(dice.values()))),
        ci95=bootstrap_interval(list(dice.values()), people),
        seed_dice=tuple(float(value) for value in seeds),
        structures=_structures([outcome for outcomes in mine.values() for outcome in outcomes]),
        landmarks=_landmarks([outcome for outcomes in mine.values() for outcome in outcomes]),
        difference=difference,
        difference_ci95=interval,
        pooled=_pooled(experiment, mine),
        minutes=float(np.mean([trial.seconds for trial in trials])) / 60,
    )


def _mean_dice(outcomes: Sequence[Scored], structure: str | None) -> float:
    return float(np.mean([outcome.dice(structure) for outcome in outcomes]))


def _structures(outcomes: Sequence[Scored]) -> dict[str, float]:
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.counts))
    held = {name: [outcome.counts[name].dice for outcome in outcomes if name in outcome.counts] for name in names}
    return {name: float(np.mean(values)) for name, values in held.items()}


def _landmarks(outcomes: Sequence[Scored]) -> dict[str, float] | None:
    errors = np.array([error for outcome in outcomes for error in outcome.errors.values()])
    if not len(errors):
        return None
    sure = np.array([outcome.confidence[name] for outcome in outcomes for name in outcome.errors]) >= DETECTED
    return {
        "mean": float(errors.mean()),
        "sd": float(errors.std()),
        "median": float(np.median(errors)),
        "detected": float(sure.mean()),
        "mean_of_detected": float(errors[sure].mean()) if sure.any() else float("nan"),
    }


def _pooled(experiment: Experiment, mine: Mapping[str, list[Scored]]) -> dict[str, Any]:
    """Scores over the pixels of all images together; empty when the experiment doesn't ask for them."""
    structure, sensitivity = experiment.scored, experiment.operating_sensitivity
    if structure is None or sensitivity is None:
        return {}
    histograms: list[Histogram] = [
        np.sum([o.histogram for o in outcomes if o.histogram is not None], axis=0) for outcomes in mine.values()
    ]
    people = [outcomes[0].person for outcomes in mine.values()]
    counts = sum((o.counts[structure] for outcomes in mine.values() for o in outcomes), Counts(0, 0, 0, 0))
    return {
        "sensitivity": sensitivity,
        **at_sensitivity(histograms, sensitivity),
        "f1_ci95": bootstrap_f1(histograms, people, sensitivity),
        "at_threshold": counts.scores(),
    }
