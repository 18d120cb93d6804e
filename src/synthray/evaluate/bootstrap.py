"""How sure a mean is: bootstrap intervals over people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def bootstrap_interval(
    values: npt.ArrayLike,
    groups: Sequence[str] | None = None,
    *,
    seed: int = 0,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean (Efron 1979), resampling groups where there are any.

    Several images of one person are not independent: with groups, whole people are drawn, each with all images.

    Args:
        values: (m,) numbers; NaN is left out.
        groups: (m,) whose value each is; None draws single values.
        seed: of the resampling.
        resamples: number of draws.
        confidence: coverage.

    Returns:
        Lower and upper end; NaN for no values.
    """
    numbers = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(numbers)
    numbers = numbers[known]
    if not len(numbers):
        return float("nan"), float("nan")
    labels = np.arange(len(numbers)) if groups is None else np.asarray(groups)[known]
    _, member = np.unique(labels, return_inverse=True)
    sums, sizes = np.bincount(member, weights=numbers), np.bincount(member)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
    means = (drawn @ sums) / (drawn @ sizes)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
