"""Scores of one mask, of one set of landmarks. Conventions for empty masks are in the room's docstring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its own documentation's name

from synthray.errors import InputError

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def _ratio(part: float, whole: float, otherwise: float) -> float:
    return part / whole if whole > 0 else otherwise


@dataclass(frozen=True)
class Counts:
    """Pixels by prediction and truth; add counts to pool images.

    Attributes:
        tp: predicted and true.
        fp: predicted, not true.
        fn: true, not predicted.
        tn: neither.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN), the same as F1; 1 when both are empty."""
        return self.f_score(1)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN); 1 when both are empty."""
        return _ratio(self.tp, self.tp + self.fp + self.fn, 1.0)

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN), also called recall; NaN when the truth is empty."""
        return _ratio(self.tp, self.tp + self.fn, float("nan"))

    @property
    def specificity(self) -> float:
        """TN / (TN + FP); NaN when the truth fills the image."""
        return _ratio(self.tn, self.tn + self.fp, float("nan"))

    @property
    def precision(self) -> float:
        """TP / (TP + FP); NaN when nothing is predicted."""
        return _ratio(self.tp, self.tp + self.fp, float("nan"))

    @property
    def accuracy(self) -> float:
        """(TP + TN) / all."""
        return _ratio(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn, float("nan"))

    def f_score(self, beta: float) -> float:
        """(1 + b²) TP / ((1 + b²) TP + b² FN + FP): sensitivity counts `beta` times as much as precision."""
        weight = 1 + beta**2
        return _ratio(weight * self.tp, weight * self.tp + beta**2 * self.fn + self.fp, 1.0)

    def scores(self) -> dict[str, float]:
        """All scores by name."""
        return {
            "dice": self.dice,
            "sensitivity": self.sensitivity,
            "specificity": self.specificity,
            "precision": self.precision,
            "accuracy": self.accuracy,
            "f1": self.f_score(1),
            "f2": self.f_score(2),
        }


def count_pixels(predicted: Mask, truth: Mask) -> Counts:
    """Counts of two masks of one shape.

    Raises:
        InputError: the shapes differ.
    """
    if predicted.shape != truth.shape:
        raise InputError(f"masks to compare must have one shape, got {predicted.shape} and {truth.shape}")
    tp = int(np.count_nonzero(predicted & truth))
    fp, fn = int(np.count_nonzero(predicted)) - tp, int(np.count_nonzero(truth)) - tp
    return Counts(tp, fp, fn, predicted.size - tp - fp - fn)


def hausdorff(predicted: Mask, truth: Mask, percentile: float = 95.0) -> float:
    """The Hausdorff distance in pixels, with a percentile in place of the maximum.

    For each edge pixel (one with a neighbour across an edge outside the mask) of one mask the distance to the nearest
    edge pixel of the other; the percentile of each direction, and the greater of the two (as MONAI defines it). The
    image border is not outside.

    Returns:
        0 when both are empty, NaN when one is.
    """
    if not predicted.any() or not truth.any():
        return float("nan") if predicted.any() or truth.any() else 0.0
    rows, columns = (np.flatnonzero((predicted | truth).any(axis=axis)) for axis in (1, 0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    # Edges first: cutting the masks to the window would make its border an image border.
    first, second = _edge(predicted)[window], _edge(truth)[window]
    there = np.percentile(_distance_to(second)[first], percentile)
    back = np.percentile(_distance_to(first)[second], percentile)
    return float(max(there, back))


def _edge(mask: Mask) -> Mask:
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge = mask & ~inner
    # A mask that fills the image has no edge inside it; its pixels at the image border stand in.
    return edge if edge.any() else mask & _frame(mask.shape)


def _frame(shape: tuple[int, ...]) -> Mask:
    frame = np.ones(shape, dtype=bool)
    frame[1:-1, 1:-1] = False
    return frame


def _distance_to(edge: Mask) -> npt.NDArray[np.float32]:
    """Distance of every pixel to the nearest true pixel (Maurer et al. 2003, exact)."""
    image = sitk.GetImageFromArray(np.pad(edge, 1).astype(np.uint8))
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False)
    # Inside one-pixel lines the distance is 0, so the sign carries nothing.
    return np.maximum(sitk.GetArrayFromImage(distance), 0)[1:-1, 1:-1]


def success_curve(errors: Floats, limits: Floats) -> Floats:
    """Share of landmarks whose error is at most each limit; errors of NaN (no prediction) never succeed."""
    if errors.size == 0:
        return np.full(len(limits), np.nan)
    return np.mean(errors[:, None] <= limits, axis=0)


def confidence_curve(errors: Floats, confidences: Floats) -> tuple[Floats, Floats]:
    """Error against detected fraction, as Gao et al. 2023 show it.

    Args:
        errors: (m,) landmark errors.
        confidences: (m,) confidence of each.

    Returns:
        (m,) fraction detected when the threshold falls from the highest confidence to the lowest, and the mean error
        of those detected.
    """
    order = np.argsort(-confidences, kind="stable")
    number = np.arange(1, len(errors) + 1)
    return number / max(len(errors), 1), np.cumsum(errors[order]) / number
