"""Landmarks that no pose of the camera explains together: outliers, found without truth by RANSAC over poses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry import Camera, agreed_view

Floats = npt.NDArray[np.floating]

# A pose has six unknowns and four points give eight numbers: at least two more points must agree with it by themselves.
_FEWEST = 6


@dataclass(frozen=True, eq=False)
class Consistency:
    """Which landmarks one pose explains.

    Attributes:
        consistent: names of the landmarks that lie within the tolerance of where that pose puts them.
        error_px: landmark -> distance from there; NaN when no pose was found.
        projected_px: landmark -> (2,) where the pose puts it, outliers and undetected landmarks too.
        camera: the pose; None when there are too few landmarks or no pose explains enough of them, and nothing is
            consistent then.
    """

    consistent: frozenset[str]
    error_px: Mapping[str, float]
    projected_px: Mapping[str, Floats]
    camera: Camera | None


def consistent_landmarks(
    camera: Camera,
    points_mm: Mapping[str, npt.ArrayLike],
    points_px: Mapping[str, npt.ArrayLike],
    confidence: Mapping[str, float] | None = None,
    *,
    tolerance_px: float = 10.0,
    seed: int = 0,
) -> Consistency:
    """Find the pose that most landmarks agree on, and which do.

    RANSAC over poses of random sets of four landmarks, surer ones drawn more often; see `geometry.agreed_view`.

    Args:
        camera: known intrinsics; its pose may be far off.
        points_mm: landmark -> (3,) patient mm, from the CT.
        points_px: landmark -> (2,) predicted (column, row) px; NaN and names without a 3-D point are left out.
        confidence: landmark -> how sure the prediction is; all the same by default, below 0 counts as 0.
        tolerance_px: largest distance of a landmark that agrees; about three times the usual error.
        seed: of the random sets.

    Raises:
        InputError: a point has the wrong shape, a 3-D point is not finite, or the tolerance is not positive.
    """
    if not tolerance_px > 0:
        raise InputError(f"tolerance_px must be positive, got {tolerance_px}")
    names, known = _points(points_mm, 3, "points_mm")
    if not np.isfinite(known).all():
        raise InputError("points_mm: a 3-D landmark is NaN or infinite; leave it out")
    found_names, found = _points(points_px, 2, "points_px")
    pixels = np.full((len(names), 2), np.nan)
    for name, pixel in zip(found_names, found, strict=True):
        if name in points_mm:
            pixels[names.index(name)] = pixel
    weights = np.array([max(0.0, (confidence or {}).get(name, 0.0 if confidence else 1.0)) for name in names])
    weights[~np.isfinite(pixels).all(axis=1)] = 0
    used = np.flatnonzero(weights > 0)
    placed = agreed_view(
        camera, known[used], pixels[used], weights[used], tolerance_px=tolerance_px, fewest=_FEWEST, seed=seed
    )
    if placed is None:
        nothing = dict.fromkeys(names, float("nan"))
        return Consistency(frozenset(), nothing, {name: np.full(2, np.nan) for name in names}, None)
    projected = placed.project(known)
    errors = np.linalg.norm(projected - pixels, axis=1)
    agreeing = frozenset(names[i] for i in used if errors[i] <= tolerance_px)
    return Consistency(
        agreeing,
        dict(zip(names, errors.tolist(), strict=True)),
        dict(zip(names, projected, strict=True)),
        placed,
    )


def _points(points: Mapping[str, npt.ArrayLike], size: int, what: str) -> tuple[list[str], Floats]:
    values = [np.asarray(point, dtype=np.float64) for point in points.values()]
    for name, value in zip(points, values, strict=True):
        if value.shape != (size,):
            raise InputError(f"{what}: '{name}' must be {size} numbers, got shape {value.shape}")
    return list(points), np.array(values).reshape(-1, size)
