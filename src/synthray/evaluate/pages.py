"""The parts of a report that show an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synthray.evaluate.metrics import confidence_curve, success_curve
from synthray.evaluate.scoring import Evaluation, ScoredImage
from synthray.page import Block, Figure, Gallery, KeyFigures, LineChart, Paragraph, Section, Series, Table

_SHOWN = 4


def evaluation_sections(evaluation: Evaluation) -> list[Section]:
    """Scores, charts and pictures of the best, the median and the worst images."""
    scores = evaluation.scores
    sections = [Section("Scores", [KeyFigures(_key_figures(scores)), *_tables(scores)])]
    charts = [*_dice_charts(evaluation.images), *_landmark_charts(evaluation.images)]
    if charts:
        sections.append(Section("Image by image", charts))
    return [*sections, Section("Best, median and worst", picture_blocks(evaluation.images))]


def _key_figures(scores: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    figures: list[tuple[str, str, str]] = []
    if "mean_dice" in scores:
        found = scores["mean_dice"]
        figures.append(("Mean Dice", f"{found['mean']:.3f}", f"95 % interval {_interval(found, 3)}"))
    if "all_landmarks" in scores:
        unit = "mm" if "error_mm" in scores["all_landmarks"] else "px"
        found = scores["all_landmarks"][f"error_{unit}"]
        figures.append(("Landmark error", f"{found['mean']:.2f} {unit}", f"95 % interval {_interval(found, 2)}"))
        detected = scores["all_landmarks"]["detected"]
        note = f"confidence of {detected['threshold']:g} or more"
        figures.append(("Landmarks detected", f"{100 * detected['fraction']:.0f} %", note))
    figures.append(("Images", str(scores["data"]["images"]), f"{scores['data']['groups']} people or groups"))
    return figures


def _interval(found: Mapping[str, Any], digits: int) -> str:
    low, high = found["ci95"]
    return f"{low:.{digits}f} to {high:.{digits}f}"


def _tables(scores: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = []
    if scores["structures"]:
        blocks.append(_structure_table(scores["structures"]))
    if scores["landmarks"]:
        blocks.append(_landmark_table({**scores["landmarks"], "all": scores["all_landmarks"]}))
    return blocks


def _structure_table(structures: Mapping[str, Any]) -> Table:
    header = ["structure", "n", "Dice", "sd", "95 % interval", "median"]
    header += ["sensitivity", "specificity", "precision", "F2", "HD95", "pooled Dice"]
    rows = []
    for name, s in structures.items():
        distance = s.get("hausdorff95_mm", s["hausdorff95_px"])
        unit = "mm" if "hausdorff95_mm" in s else "px"
        dice = s["dice"]
        row = [name, str(s["n"]), _number(dice["mean"]), _number(dice["sd"]), _interval(dice, 3)]
        row += [_number(dice["median"]), *(_number(s[m]["mean"]) for m in ("sensitivity", "specificity", "precision"))]
        row += [_number(s["f2"]["mean"]), _number(distance["mean"], 1, unit), _number(s["pooled"]["dice"])]
        rows.append(row)
    return Table(
        header, rows, "Means over images; the interval resamples people. HD95: Hausdorff distance, 95th percentile."
    )


def _landmark_table(landmarks: Mapping[str, Any]) -> Table:
    header = ["landmark", "n", "error", "sd", "median", "95 % interval", "detected", "error of detected (px)"]
    rows = []
    for name, s in landmarks.items():
        unit = "mm" if "error_mm" in s else "px"
        error = s[f"error_{unit}"]
        row = [name, str(s["n"]), _number(error["mean"], 2, unit), _number(error["sd"], 2), _number(error["median"], 2)]
        row += [_interval(error, 2), f"{100 * s['detected']['fraction']:.0f} %"]
        rows.append([*row, _number(s["detected"]["error_px"]["mean"], 2)])
    return Table(header, rows, "Distance between predicted and true landmark, in view only.")


def _number(value: float, digits: int = 3, unit: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f} {unit}".rstrip()


def _dice_charts(images: Sequence[ScoredImage]) -> list[Block]:
    names = dict.fromkeys(name for image in images for name in image.counts)
    series = []
    for name in names:
        values = sorted(image.counts[name].dice for image in images if name in image.counts)
        series.append(Series(name, [100 * (i + 0.5) / len(values) for i in range(len(values))], values, "dots"))
    if not series:
        return []
    caption = "Dice of every image, from the worst to the best"
    return [LineChart(series, "images (%)", "Dice", caption, y_range=(0, 1))]


def _landmark_charts(images: Sequence[ScoredImage]) -> list[Block]:
    scaled = all(image.pixel_mm for image in images if image.error_px)
    unit = "mm" if scaled else "px"
    pairs = [
        (error * (image.pixel_mm or 1 if scaled else 1), image.confidence[name])
        for image in images
        for name, error in image.error_px.items()
    ]
    if not pairs:
        return []
    errors, confidences = np.array(pairs, dtype=np.float64).T
    fraction, mean_error = confidence_curve(errors, confidences)
    limits = np.linspace(0, float(np.percentile(errors, 98)) or 1.0, 60)
    within = success_curve(errors, limits)
    return [
        LineChart(
            [Series("mean error", (100 * fraction).tolist(), mean_error.tolist())],
            "landmarks detected (%), surest first",
            f"mean error ({unit})",
            "Landmark error against the detected fraction as the confidence threshold falls",
        ),
        LineChart(
            [Series("within", limits.tolist(), (100 * within).tolist())],
            f"error limit ({unit})",
            "landmarks within (%)",
            "Share of landmarks found within a distance",
            y_range=(0, 100),
        ),
    ]


def picture_blocks(images: Sequence[ScoredImage], shown: int = _SHOWN) -> list[Block]:
    """The best, the middle and the worst images, truth green and prediction red; fewer when there are few."""
    ranked = sorted(images, key=_rank, reverse=True)
    count = min(shown, max(1, len(ranked) // 3))
    middle = max(0, (len(ranked) - count) // 2)
    blocks: list[Block] = [Paragraph("Truth is green, prediction red.")]
    for title, start in (("Best", 0), ("Median", middle), ("Worst", len(ranked) - count)):
        part = ranked[start : start + count]
        blocks.append(Gallery([Figure(image.picture, f"{title}: {_caption(image)}") for image in part]))
    return blocks


def _rank(image: ScoredImage) -> float:
    """Higher is better: mean Dice, or else minus the mean landmark error."""
    if image.counts:
        return image.mean_dice
    return -float(np.mean(list(image.error_px.values())))


def _caption(image: ScoredImage) -> str:
    parts = [f"{name} {counts.dice:.3f}" for name, counts in image.counts.items()]
    if image.error_px:
        parts.append(f"landmarks {np.mean(list(image.error_px.values())):.1f} px")
    return f"{image.id} ({', '.join(parts)})"
