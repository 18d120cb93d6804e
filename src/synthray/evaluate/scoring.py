"""From predictions and truth to numbers: per image, per structure and per landmark."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import synthray
from synthray.evaluate.bootstrap import bootstrap_interval
from synthray.evaluate.cases import Case
from synthray.evaluate.metrics import Counts, count_pixels, hausdorff
from synthray.models.checkpoint import Model
from synthray.models.overlay import Layer, overlay
from synthray.models.predict import Prediction

_GREEN, _RED = (60, 220, 90), (255, 70, 60)
_PICTURE_SIDE = 480


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """One image's scores.

    Attributes:
        id, group, pixel_mm: of the case.
        counts: structure -> pixel counts.
        hausdorff_px: structure -> Hausdorff-95 in pixels.
        error_px: landmark -> distance of prediction and truth in pixels.
        confidence: landmark -> confidence.
        picture: JPEG, truth green and prediction red over the X-ray.
    """

    id: str
    group: str
    pixel_mm: float | None
    counts: Mapping[str, Counts]
    hausdorff_px: Mapping[str, float]
    error_px: Mapping[str, float]
    confidence: Mapping[str, float]
    picture: bytes

    @property
    def mean_dice(self) -> float:
        """Mean over its structures; NaN without any."""
        return _mean([counts.dice for counts in self.counts.values()])


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The outcome of an evaluation.

    Attributes:
        scores: what `scores.json` holds.
        images: scores of each image.
        out_dir: where the files are.
    """

    scores: Mapping[str, Any]
    images: tuple[ScoredImage, ...]
    out_dir: Path


def score_case(case: Case, prediction: Prediction) -> ScoredImage:
    """Scores of one prediction, and its picture."""
    shared = [name for name in prediction.masks if name in case.masks]
    found = [name for name in prediction.landmarks_px if name in case.landmarks_px]
    return ScoredImage(
        id=case.id,
        group=case.id if case.group is None else case.group,
        pixel_mm=case.pixel_mm,
        counts={name: count_pixels(prediction.masks[name], case.masks[name]) for name in shared},
        hausdorff_px={name: hausdorff(prediction.masks[name], case.masks[name]) for name in shared},
        error_px={
            name: float(np.linalg.norm(prediction.landmarks_px[name] - case.landmarks_px[name])) for name in found
        },
        confidence={name: prediction.confidence[name] for name in found},
        picture=_picture(case, prediction, shared, found),
    )


def _picture(case: Case, prediction: Prediction, structures: Sequence[str], landmarks: Sequence[str]) -> bytes:
    rows, columns = case.image.shape
    shrink = min(1.0, _PICTURE_SIDE / max(rows, columns))
    size = (max(1, round(columns * shrink)), max(1, round(rows * shrink)))
    layers: list[Layer] = []
    for colour, masks, points in (
        (_GREEN, case.masks, case.landmarks_px),
        (_RED, prediction.masks, prediction.landmarks_px),
    ):
        layers += [
            Layer(colour, mask=np.asarray(Image.fromarray(masks[name]).resize(size, Image.Resampling.NEAREST)))
            for name in structures
        ]
        if landmarks:
            placed = (np.stack([points[name] for name in landmarks]) + 0.5) * shrink - 0.5
            layers.append(Layer(colour, points_px=placed))
    grey = Image.fromarray(np.asarray(case.image, dtype=np.float32)).resize(size, Image.Resampling.BOX)
    stream = io.BytesIO()
    Image.fromarray(overlay(np.asarray(grey), layers)).save(stream, format="JPEG", quality=88)
    return stream.getvalue()


def summarise(images: Sequence[ScoredImage], model: Model, name: str, run: str | None, seed: int = 0) -> dict[str, Any]:
    """The content of `scores.json`: per structure and landmark mean, sd, median, 95 % interval and n, and pooled."""
    structures = [s for s in model.structures if any(s in image.counts for image in images)]
    landmarks = [p for p in model.landmarks if any(p in image.error_px for image in images)]
    groups = {image.group for image in images}
    scores = {
        "data": {"name": name, "images": len(images), "groups": len(groups)},
        "model": {
            "run": run,
            "structures": list(model.structures),
            "landmarks": list(model.landmarks),
            "weights_sha256": model.spec.weights_sha256,
            "conditions": model.spec.conditions,
        },
        "structures": {s: _structure_scores(images, s, seed) for s in structures},
        "landmarks": {p: _landmark_scores(images, [p], model.spec.confidence, seed) for p in landmarks},
        "synthray": synthray.__version__,
    }
    if structures:
        values = [image.mean_dice for image in images]
        scores["mean_dice"] = describe(values, [image.group for image in images], seed)
    if landmarks:
        scores["all_landmarks"] = _landmark_scores(images, landmarks, model.spec.confidence, seed)
    return scores


def describe(values: Sequence[float], groups: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Mean, standard deviation, median, 95 % bootstrap interval over groups, and how many values are not NaN."""
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[~np.isnan(numbers)]
    low, high = bootstrap_interval(numbers, groups, seed=seed)
    return {
        "mean": _mean(known),
        "sd": float(known.std(ddof=1)) if len(known) > 1 else float("nan"),
        "median": float(np.median(known)) if len(known) else float("nan"),
        "ci95": [low, high],
        "n": len(known),
    }


def _structure_scores(images: Sequence[ScoredImage], structure: str, seed: int) -> dict[str, Any]:
    held = [image for image in images if structure in image.counts]
    groups = [image.group for image in held]
    each = [image.counts[structure].scores() for image in held]
    scores = {metric: describe([score[metric] for score in each], groups, seed) for metric in each[0]}
    distances = [image.hausdorff_px[structure] for image in held]
    scores["hausdorff95_px"] = describe(distances, groups, seed)
    in_mm = [d * (image.pixel_mm or math.nan) for d, image in zip(distances, held, strict=True)]
    if not np.isnan(in_mm).all():
        scores["hausdorff95_mm"] = describe(in_mm, groups, seed)
    pooled = sum((image.counts[structure] for image in held), Counts(0, 0, 0, 0))
    return {**scores, "pooled": pooled.scores(), "n": len(held)}


def _landmark_scores(
    images: Sequence[ScoredImage], names: Sequence[str], threshold: float, seed: int
) -> dict[str, Any]:
    found = [(image, name) for image in images for name in names if name in image.error_px]
    errors = [image.error_px[name] for image, name in found]
    sure = [image.confidence[name] >= threshold for image, name in found]
    groups = [image.group for image, _ in found]
    scores: dict[str, Any] = {"error_px": describe(errors, groups, seed)}
    in_mm = [error * (image.pixel_mm or math.nan) for error, (image, _) in zip(errors, found, strict=True)]
    if not np.isnan(in_mm).all():
        scores["error_mm"] = describe(in_mm, groups, seed)
    detected = [error if yes else math.nan for error, yes in zip(errors, sure, strict=True)]
    scores["detected"] = {"threshold": threshold, "fraction": _mean(sure), "error_px": describe(detected, groups, seed)}
    return {**scores, "n": len(found)}


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def without_nan(value: Any) -> Any:
    """The same data with null for every number that is NaN or infinite, as JSON needs it."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
