"""An experiment's report: the question, the tables, the worst cases, and what was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from synthray.evaluate import (
    Figure,
    Gallery,
    KeyFigures,
    LineChart,
    Paragraph,
    Section,
    Series,
    Table,
    confidence_curve,
    write_report,
)
from synthray.experiment.compare import DETECTED, Row
from synthray.experiment.curves import pooled_curve
from synthray.experiment.development import DEVELOPMENT_STEMS
from synthray.experiment.growth import growth_blocks
from synthray.experiment.outcomes import Trial
from synthray.experiment.trials import Material
from synthray.page import Block

_WORST = 8
_TITLES = {
    "real": "Real X-rays",
    "real_without_development": "Real X-rays, without the development images",
    "simulated": "Simulated X-rays of people held out",
}


def write_experiment_report(
    folder: Path, material: Material, trials: Sequence[Trial], tables: Mapping[str, Sequence[Row]], real_people: int
) -> Path:
    """Write `report.html` into the folder; returns its path."""
    experiment = material.experiment
    sections = [Section("Question", [Paragraph(experiment.question), *_key_figures(tables)])]
    for name, rows in tables.items():
        if rows:
            sections.append(Section(_TITLES[name], [*_blocks(material, rows), *_landmark_curves(trials, name)]))
            if growth := growth_blocks(rows):
                sections.append(Section(f"More simulation: {_TITLES[name].lower()}", growth))
    curves = _curves(trials)
    if experiment.operating_sensitivity is not None and curves:
        sections.append(Section("Precision and sensitivity, real pixels pooled", curves))
    if worst := _worst(trials, experiment.scored):
        sections.append(Section("Worst real cases", worst))
    if experiment.published:
        published = Table(["what", "figure", "source"], experiment.published)
        sections.append(Section("Published figures", [published]))
    sections.append(Section("What was done", [Paragraph(_method(material, real_people))]))
    return write_report(folder / "report.html", experiment.title, f"Size {material.size.name}.", sections)


def _key_figures(tables: Mapping[str, Sequence[Row]]) -> list[Block]:
    rows = tables["real_without_development"] or tables["real"] or tables["simulated"]
    return [
        KeyFigures([(row.arm, f"{row.dice:.3f}", f"Dice, 95 % {_interval(row.ci95)}, n = {row.n}") for row in rows])
    ]


def _blocks(material: Material, rows: Sequence[Row]) -> list[Block]:
    header = ["arm", "trained on", "images", "n", "Dice", "95 % interval", "seeds", "less the reference", "minutes"]
    cells = [
        [
            row.arm,
            row.about,
            str(row.trained_on),
            str(row.n),
            f"{row.dice:.3f}",
            _interval(row.ci95),
            ", ".join(f"{value:.3f}" for value in row.seed_dice),
            "" if row.difference is None else f"{row.difference:+.3f} ({_interval(row.difference_ci95)})",
            f"{row.minutes:.1f}",
        ]
        for row in rows
    ]
    what = f"of '{material.experiment.scored}'" if material.experiment.scored else "over structures"
    caption = (
        f"Mean Dice {what} over images, with bootstrap intervals over people; the reference is "
        f"{material.experiment.reference}, compared image by image."
    )
    blocks: list[Block] = [Table(header, cells, caption)]
    if len(rows[0].structures) > 1:
        blocks.append(_structure_table(rows))
    if any(row.landmarks for row in rows):
        blocks.append(_landmark_table(rows))
    if any(row.pooled for row in rows):
        blocks.append(_pooled_table(material, rows))
    return blocks


def _structure_table(rows: Sequence[Row]) -> Table:
    names = list(rows[0].structures)
    cells = [[row.arm, *(f"{row.structures.get(name, float('nan')):.3f}" for name in names)] for row in rows]
    return Table(["arm", *names], cells, "Mean Dice of each structure.")


def _landmark_table(rows: Sequence[Row]) -> Table:
    header = ["arm", "error, mm at the detector", "median", "detected", "error of detected"]
    cells = [
        [
            row.arm,
            f"{row.landmarks['mean']:.2f} ± {row.landmarks['sd']:.2f}",
            f"{row.landmarks['median']:.2f}",
            f"{row.landmarks['detected']:.0%}",
            f"{row.landmarks['mean_of_detected']:.2f}",
        ]
        for row in rows
        if row.landmarks
    ]
    caption = f"Over images and landmarks; detected: correlation with the ideal heatmap of {DETECTED:g} or more."
    return Table(header, cells, caption)


def _landmark_curves(trials: Sequence[Trial], data: str) -> list[Block]:
    """Landmark error against detected fraction for each arm, as Gao et al. 2023 show it."""
    series = []
    for arm in dict.fromkeys(trial.arm for trial in trials):
        images = [image for trial in trials if trial.arm == arm for image in trial.scored.get(data, ())]
        found = [(error, image.confidence[name]) for image in images for name, error in image.errors.items()]
        if found:
            errors, confidence = np.array(found).T
            fraction, mean = confidence_curve(errors, confidence)
            # A few hundred points draw the same line as tens of thousands.
            shown = np.unique(np.linspace(0, len(mean) - 1, 200).astype(int))
            series.append(Series(arm, fraction[shown].tolist(), mean[shown].tolist()))
    caption = "Landmarks by falling confidence; unknown pixel sizes count as 1 mm."
    return [LineChart(series, "detected fraction", "mean error of those, mm", caption)] if series else []


def _pooled_table(material: Material, rows: Sequence[Row]) -> Table:
    at = material.experiment.operating_sensitivity or 0.0
    header = ["arm", f"precision at sensitivity {at:g}", f"F1 at sensitivity {at:g}", "95 % interval"]
    header += ["at 0.5: sensitivity", "specificity", "precision", "accuracy", "F1", "F2"]
    cells = [
        [
            row.arm,
            f"{row.pooled['precision']:.3f}",
            f"{row.pooled['f1']:.3f}",
            _interval(row.pooled["f1_ci95"]),
            *(
                f"{row.pooled['at_threshold'][name]:.3f}"
                for name in ("sensitivity", "specificity", "precision", "accuracy", "f1", "f2")
            ),
        ]
        for row in rows
    ]
    return Table(header, cells, "All pixels of all images pooled.")


def _curves(trials: Sequence[Trial]) -> list[Block]:
    series = []
    for arm in dict.fromkeys(trial.arm for trial in trials):
        images = [image for trial in trials if trial.arm == arm for image in trial.scored.get("real", ())]
        held = [image.histogram for image in images if image.histogram is not None]
        if held:
            sensitivity, precision = pooled_curve(held)
            shown = sensitivity > 0
            series.append(Series(arm, sensitivity[shown].tolist(), precision[shown].tolist()))
    return [LineChart(series, "sensitivity", "precision", "One point per threshold.", y_range=(0, 1))] if series else []


def _worst(trials: Sequence[Trial], structure: str | None) -> list[Block]:
    """The real images that the first arm does worst on, as its first seed sees them."""
    arm = trials[0].arm
    held = [
        (image.dice(structure), image.id, trial.folder / "pictures" / f"{image.id}.jpg")
        for trial in trials
        if trial.arm == arm and trial.seed == 0
        for image in trial.scored.get("real", ())
    ]
    figures = [
        Figure(path.read_bytes(), f"{name}: Dice {dice:.3f}")
        for dice, name, path in sorted(held)[:_WORST]
        if path.is_file()
    ]
    caption = Paragraph(f"Arm {arm}: truth green, prediction red, all structures of the network.")
    return [caption, Gallery(figures, 320)] if figures else []


def _method(material: Material, real_people: int) -> str:
    size = material.size
    if material.dataset is None:
        people = len({case.group for case in material.real})
        return (
            f"{len(material.real)} real X-rays of {people} people, and a simulated twin of each at "
            f"{len(material.twins)} levels of realism. Every network: {size.steps} steps of {size.batch} images at "
            f"{size.side}², trained on images of some people and scored on real images of the others, in "
            f"{size.people_folds} folds; no checkpoint is chosen."
        )
    everyone = material.dataset.recipe.everyone()
    bodies = sum(person.body is not None for person in everyone)
    held_out = sum(person.split == "val" for person in everyone)
    done = (
        f"{len(material.dataset)} simulated views: {real_people} real CTs, {len(everyone) - bodies - real_people} "
        f"morphs of them and {bodies} built-in bodies; {held_out} people are held out. Every network: {size.steps} "
        f"steps of {size.batch} images at {size.side}². No real image or mask is used by an arm that trains on "
        "simulation; no checkpoint is chosen: the model is the one at the end of the run. Real arms score every image "
        "with a network that has not seen its person."
    )
    used = development_images(material)
    chosen = f"\n\nThe recipe was chosen on {len(used)} real development images: {', '.join(used)}."
    return done + (chosen if used else "")


def development_images(material: Material) -> list[str]:
    """Those of the scored real images on which recipes were chosen."""
    return sorted(DEVELOPMENT_STEMS & {case.id for case in material.real})


def _interval(ends: Sequence[float] | None) -> str:
    return "" if ends is None or np.isnan(ends[0]) else f"{ends[0]:.3f} to {ends[1]:.3f}"
