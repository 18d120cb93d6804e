"""The statistics of a data set as one HTML page without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthray.dataset.layout import STATS, read_recipe
from synthray.dataset.stats import SetStatistics, histogram
from synthray.page import (
    Block,
    Figure,
    Gallery,
    KeyFigures,
    LineChart,
    Paragraph,
    Section,
    Series,
    Table,
    write_report,
)

_MOST_ROWS = 500
_MOST_DOTS = 4000


def write_page(folder: str | Path, found: SetStatistics, page: Path | None = None) -> Path:
    """Write the page, by default `stats.html` in the set's folder; returns its path.

    Raises:
        InputError: there is no set, or the folder can't be written.
    """
    recipe, _ = read_recipe(Path(folder))
    sections = [
        Section("At a glance", [_key_figures(found), _facts(found)]),
        Section("Contact sheet", [Gallery([Figure(one.png, one.caption) for one in found.sheet], width_px=150)]),
        Section("Views", [_views(found)]),
        Section("Structures", [_labels(found)]),
        Section("Landmarks", [_landmarks(found)]),
        Section("Exposure", _exposure(found)),
        Section("People", [_people(found)]),
    ]
    subtitle = f"{found.images} images in {folder}, counted from their metadata."
    return write_report(page or Path(folder) / STATS, f"Data set {recipe.name}", subtitle, sections)


def _key_figures(found: SetStatistics) -> KeyFigures:
    splits = {split: {name for name, s in found.people if s == split} for split in ("train", "val")}
    held_out = sum(count for (_, split), count in found.people.items() if split == "val")
    return KeyFigures(
        [
            ("Images", f"{found.images}", f"{held_out} of them held out"),
            ("People", f"{len(found.people)}", f"{len(splits['train'])} train, {len(splits['val'])} val"),
            ("Structures", f"{len(found.labels)}", "with a mask somewhere"),
            ("Landmarks", f"{len(found.landmarks)}", "with a place somewhere"),
        ]
    )


def _facts(found: SetStatistics) -> Table:
    sizes = [[f"{rows} x {columns} pixels", str(count)] for (rows, columns), count in sorted(found.sizes.items())]
    levels = [[f"realism {level}", str(count)] for level, count in sorted(found.levels.items())]
    return Table(["", "images"], [*sizes, *levels])


def _views(found: SetStatistics) -> Block:
    step = max(1, len(found.angles_deg) // _MOST_DOTS)
    dots = found.angles_deg[::step]
    caption = "Where the detector stands: 0, 0 in front of the person (PA), 180 behind (AP), 90 on the person's left"
    series = Series("views", [lao for lao, _ in dots], [cran for _, cran in dots], "dots")
    return LineChart([series], "LAO (degrees)", "cranial (degrees)", caption)


def _labels(found: SetStatistics) -> Block:
    if not found.labels:
        return Paragraph("No structures.")
    rows = []
    for name, one in sorted(found.labels.items(), key=lambda entry: (-entry[1].images, entry[0])):
        sizes = np.percentile(one.shares, [0, 50, 100]) * 100 if one.shares else np.zeros(3)
        seen = f"{100 * one.images / found.images:.1f} %"
        rows.append([name, str(one.images), seen, *(f"{size:.2f} %" for size in sizes)])
    caption = "How often a structure is in the picture, and its share of the picture's pixels where it is."
    return Table(["structure", "images", "of all", "least", "median", "most"], rows[:_MOST_ROWS], caption)


def _landmarks(found: SetStatistics) -> Block:
    if not found.landmarks:
        return Paragraph("No landmarks.")
    rows = [
        [name, f"{one.images}", f"{100 * one.projected / one.images:.1f} %", f"{100 * one.visible / one.images:.1f} %"]
        for name, one in sorted(found.landmarks.items(), key=lambda entry: (-entry[1].visible, entry[0]))
    ]
    caption = "Has a place: the person has it and it lies before the source. Visible: inside the picture."
    return Table(["landmark", "images", "has a place", "visible"], rows[:_MOST_ROWS], caption)


def _exposure(found: SetStatistics) -> list[Block]:
    charts: list[Block] = []
    for values, label in (
        (found.detector_ugy, "air kerma at the detector (µGy)"),
        (found.tube_kvp, "tube voltage (kVp)"),
        (found.mas, "tube output (mAs)"),
    ):
        if values:
            middles, counts = zip(*histogram(values), strict=True)
            series = Series("images", middles, counts)
            charts.append(LineChart([series], label, "images", f"Histogram of the {label}", y_range=(0, max(counts))))
    return charts or [Paragraph("Nothing is known of it.")]


def _people(found: SetStatistics) -> Block:
    rows = [[name, split, str(count)] for (name, split), count in sorted(found.people.items())]
    more = f" (the first {_MOST_ROWS} of {len(rows)})" if len(rows) > _MOST_ROWS else ""
    return Table(["person", "split", "images"], rows[:_MOST_ROWS], f"Images of each person{more}.")
