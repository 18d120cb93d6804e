"""What a trial found, and its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synthray.errors import InputError
from synthray.evaluate import Counts
from synthray.experiment.curves import Histogram
from synthray.files import write_atomically

TRIAL = "trial.json"


@dataclass(frozen=True, eq=False)
class Scored:
    """One image's outcome.

    Attributes:
        id: of the image.
        person: whose it is.
        counts: structure -> pixels at the model's threshold.
        errors: landmark -> distance of prediction and truth in mm at the detector, in pixels where their size is not
            known.
        confidence: landmark -> confidence.
        histogram: pixels of the scored structure by probability, before any clean-up; see `probability_histogram`.
    """

    id: str
    person: str
    counts: Mapping[str, Counts]
    errors: Mapping[str, float] = field(default_factory=dict)
    confidence: Mapping[str, float] = field(default_factory=dict)
    histogram: Histogram | None = None

    def dice(self, structure: str | None) -> float:
        """Of a structure, or the mean over all."""
        if structure is not None:
            return self.counts[structure].dice
        return float(np.mean([counts.dice for counts in self.counts.values()]))


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


def write_trial(trial: Trial) -> None:
    """Keep what a trial found beside its model."""

    def plain(image: Scored) -> dict[str, Any]:
        return {
            "id": image.id,
            "person": image.person,
            "counts": {name: [c.tp, c.fp, c.fn, c.tn] for name, c in image.counts.items()},
            "errors": dict(image.errors),
            "confidence": dict(image.confidence),
            "histogram": None if image.histogram is None else image.histogram.tolist(),
        }

    held = {key: getattr(trial, key) for key in ("arm", "seed", "fold", "steps", "seconds", "images")}
    held["scored"] = {data: [plain(image) for image in images] for data, images in trial.scored.items()}
    write_atomically(trial.folder / TRIAL, (json.dumps(held) + "\n").encode())


def read_trial(folder: Path, arm: str, seed: int, fold: int) -> Trial | None:
    """The finished trial in a folder; None when there is none.

    Raises:
        InputError: the file is damaged or of another trial.
    """
    path = folder / TRIAL
    if not path.is_file():
        return None
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        if (held["arm"], held["seed"], held["fold"]) != (arm, seed, fold):
            raise ValueError(f"is of arm {held['arm']}, seed {held['seed']}, fold {held['fold']}")
        scored = {data: tuple(_scored(image) for image in images) for data, images in held["scored"].items()}
        return Trial(arm, seed, fold, held["steps"], held["seconds"], held["images"], scored, folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a finished trial ({error}); remove it to run the trial again") from None


def _scored(held: dict[str, Any]) -> Scored:
    histogram = held["histogram"]
    return Scored(
        held["id"],
        held["person"],
        {name: Counts(*counts) for name, counts in held["counts"].items()},
        held["errors"],
        held["confidence"],
        None if histogram is None else np.array(histogram, dtype=np.int64),
    )
