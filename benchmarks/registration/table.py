"""The trials of a registration benchmark as a table in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

SUCCESS_MM = 2.0
# 0.9 quantile of the chi-squared distribution with 6 degrees of freedom.
CHI2_6_90 = 10.6446
Row = dict[str, Any]
HEADER = (
    "subject",
    "X-rays",
    "mean error < 2 mm",
    "< 1 mm at the detector",
    "median in plane mm",
    "median with depth mm",
    "median s",
    "slowest s",
    "median CPU s",
    "true pose in the 90 % region",
)


def table(rows: Sequence[Row]) -> str:
    """A row for every subject, one for all, and what the quality said."""
    same = [row for row in rows if row["kind"] == "same"]
    names = list(dict.fromkeys(row["subject"] for row in same))
    head = f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}"
    lines = [line(name, [row for row in same if row["subject"] == name]) for name in names]
    return "\n".join([head, *lines, line("**all**", same), "", *verdicts(rows)])


def line(name: str, rows: Sequence[Row]) -> str:
    """One subject."""
    good = [row for row in rows if row["error_mm"] < SUCCESS_MM]
    within = [row["mahalanobis"] < CHI2_6_90 for row in good]
    seconds = [row["seconds"] for row in rows]
    cells = (
        name,
        str(len(rows)),
        share([row["error_mm"] < SUCCESS_MM for row in rows]),
        share([row["at_detector_mm"] < 1 for row in rows]),
        f"{median([row['in_plane_mm'] for row in good]):.3f}",
        f"{median([row['error_mm'] for row in good]):.2f}",
        f"{np.median(seconds):.1f}",
        f"{max(seconds):.1f}",
        f"{np.median([row['cpu_seconds'] for row in rows]):.1f}",
        share(within),
    )
    return f"| {' | '.join(cells)} |"


def verdicts(rows: Sequence[Row]) -> list[str]:
    """What the quality said of right, wrong and impossible ones."""
    kinds = {
        "right (< 2 mm)": [r for r in rows if r["kind"] == "same" and r["error_mm"] < SUCCESS_MM],
        "wrong": [r for r in rows if r["kind"] == "same" and r["error_mm"] >= SUCCESS_MM],
        "other person": [r for r in rows if r["kind"] == "other"],
    }
    lines = ["| poses | X-rays | ok | doubtful | failed |", "|---|---|---|---|---|"]
    for name, held in kinds.items():
        counts = [sum(row["state"] == state for row in held) for state in ("ok", "doubtful", "failed")]
        lines.append(f"| {name} | {len(held)} | {' | '.join(map(str, counts))} |")
    good = np.array([row["score"] for row in kinds["right (< 2 mm)"]])
    bad = np.array([row["score"] for row in kinds["wrong"] + kinds["other person"]])
    return [*lines, "", f"Area under the ROC of the quality's score: {area(good, bad):.3f}"]


def area(good: npt.NDArray[Any], bad: npt.NDArray[Any]) -> float:
    """Chance that a good one scores higher than a bad one; ties count half."""
    if not len(good) or not len(bad):
        return float("nan")
    difference = good[:, None] - bad[None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def share(which: Sequence[bool]) -> str:
    """As a percentage."""
    return f"{100 * np.mean(which):.0f} %" if which else "-"


def median(values: Sequence[float]) -> float:
    """NaN for none."""
    return float(np.median(values)) if values else float("nan")
