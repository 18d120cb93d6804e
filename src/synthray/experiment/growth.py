"""How a score grows with the number of simulated images: a power law through the arms of an experiment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from synthray.evaluate import LineChart, Paragraph, Series
from synthray.experiment.compare import Row
from synthray.page import Block

_WHOLE = "all"
_KINDS = {"people-": "more people", "views-": "more views of the same people"}
_LEAST_POINTS = 3


def power_law(images: Sequence[float], dice: Sequence[float]) -> tuple[float, float]:
    """Factor b and exponent c of `1 - Dice = b images^-c`, by least squares on logarithms.

    Args:
        images: at least two different numbers of training images.
        dice: the score after each; below 1.
    """
    error = np.log(np.maximum(1 - np.asarray(dice, dtype=np.float64), 1e-6))
    slope, start = np.polyfit(np.log(np.asarray(images, dtype=np.float64)), error, 1)
    return float(np.exp(start)), float(-slope)


def growth_blocks(rows: Sequence[Row]) -> list[Block]:
    """Chart and fitted exponents for arms called `people-…` and `views-…`, each with `all`; empty without them."""
    series: list[Series] = []
    sentences = []
    for prefix, title in _KINDS.items():
        mine = sorted((row for row in rows if row.arm.startswith(prefix) or row.arm == _WHOLE), key=_images)
        if len({row.trained_on for row in mine}) < _LEAST_POINTS:
            continue
        images, dice = np.array([row.trained_on for row in mine], dtype=float), np.array([row.dice for row in mine])
        factor, exponent = power_law(images.tolist(), dice.tolist())
        fine: npt.NDArray[np.float64] = np.geomspace(images[0], images[-1], 40)
        series.append(Series(title, np.log10(images).tolist(), dice.tolist(), style="dots"))
        fitted = 1 - factor * fine**-exponent
        series.append(Series(f"{title}, fitted", np.log10(fine).tolist(), fitted.tolist()))
        sentences.append(
            f"With {title}, 1 - Dice goes as images^{-exponent:.2f}: twice the images leave {2**-exponent:.0%} of it."
        )
    if not series:
        return []
    chart = LineChart(series, "log10 of simulated images trained on", "Dice", "Dots are arms, lines are fits.")
    return [chart, Paragraph(" ".join(sentences))]


def _images(row: Row) -> int:
    return row.trained_on
