"""Pooled pixels at every threshold: histograms of probability over true and over other pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BINS = 200
Histogram = npt.NDArray[np.int64]


def probability_histogram(probability: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]) -> Histogram:
    """(2, bins) pixel counts by probability: row 0 where the truth is absent, row 1 where it is there."""
    places = np.clip((probability * BINS).astype(np.int64), 0, BINS - 1)
    return np.stack([np.bincount(places[truth == there], minlength=BINS) for there in (False, True)])


def pooled_curve(histograms: Sequence[Histogram]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Pooled (sensitivity, precision) at thresholds from the highest to the lowest, (bins,) each.

    Precision is 1 where nothing is predicted.
    """
    other, true = np.sum(histograms, axis=0)[:, ::-1].cumsum(axis=1)
    predicted = other + true
    precision = np.divide(true, predicted, out=np.ones(len(true)), where=predicted > 0)
    return true / max(true[-1], 1), precision


def at_sensitivity(histograms: Sequence[Histogram], sensitivity: float) -> dict[str, float]:
    """Threshold, precision and F1 where the pooled sensitivity first reaches a value, interpolated between bins."""
    found, precision = pooled_curve(histograms)
    place = min(int(np.searchsorted(found, sensitivity)), BINS - 1)
    low = max(place - 1, 0)
    span = found[place] - found[low]
    weight = 1.0 if span <= 0 else float((sensitivity - found[low]) / span)
    there = float(precision[low] + weight * (precision[place] - precision[low]))
    return {
        "threshold": 1 - (low + weight + 1) / BINS,
        "precision": there,
        "f1": 2 * there * sensitivity / max(there + sensitivity, 1e-12),
    }


def bootstrap_f1(
    histograms: Sequence[Histogram], groups: Sequence[str], sensitivity: float, seed: int = 0, resamples: int = 1000
) -> tuple[float, float]:
    """95 % percentile bootstrap interval over people of the F1 at a pooled sensitivity."""
    names = sorted(set(groups))
    per_person = np.stack(
        [np.sum([h for h, group in zip(histograms, groups, strict=True) if group == name], axis=0) for name in names]
    )
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    pooled = np.tensordot(drawn, per_person, axes=1)
    values = [at_sensitivity([one], sensitivity)["f1"] for one in pooled]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
