"""Landmarks that no pose of the camera explains together: outliers, found without truth by RANSAC over poses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry import Camera, compose

Floats = npt.NDArray[np.floating]

# A pose has six unknowns and four points give eight numbers: at least two more points must agree with it by themselves.
_SAMPLE = 4
_FEWEST = 6
_HYPOTHESES = 300
_POSIT_STEPS = 10
_NEWTON_STEPS = 12
_ROUNDS = 5
_FLAT = 1e-4


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

    RANSAC (Fischler & Bolles 1981): poses are fitted to random sets of four landmarks, surer ones drawn more often, by
    POSIT (DeMenthon & Davis 1995) and Gauss-Newton; the camera's own pose is one more start. The pose with the least
    truncated squared error is refined on the landmarks within the tolerance.

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
    pose = None
    if len(used) >= _FEWEST:
        rng = np.random.default_rng(seed)
        pose = _agreed_pose(camera, known[used], pixels[used], weights[used], tolerance_px, rng)
    if pose is None:
        nothing = dict.fromkeys(names, float("nan"))
        return Consistency(frozenset(), nothing, {name: np.full(2, np.nan) for name in names}, None)
    placed = replace(camera, camera_from_patient=np.asarray(pose, dtype=np.float64))
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


def _agreed_pose(
    camera: Camera, known: Floats, pixels: Floats, weights: Floats, tolerance_px: float, rng: np.random.Generator
) -> Floats | None:
    """(4, 4) camera_from_patient, or None when fewer than six landmarks agree with the best pose."""
    centre = known.mean(axis=0)
    points = known - centre
    rotations, shifts = _hypotheses(camera, points, centre, pixels, weights, rng)
    error = _errors(camera, points, pixels, rotations, shifts)
    cost = (np.minimum(error / tolerance_px, 1) ** 2 * weights).sum(axis=1)
    best = int(cost.argmin())
    rotation, shift = rotations[best : best + 1], shifts[best : best + 1]
    agreeing = error[best] <= tolerance_px
    for _ in range(_ROUNDS):
        if agreeing.sum() < _FEWEST:
            return None
        rotation, shift = _refined(camera, points, pixels, rotation, shift, agreeing[None] * weights)
        before, agreeing = agreeing, _errors(camera, points, pixels, rotation, shift)[0] <= tolerance_px
        if (agreeing == before).all():
            break
    if agreeing.sum() < _FEWEST:
        return None
    return compose(rotation[0], shift[0] - rotation[0] @ centre)


def _hypotheses(
    camera: Camera, points: Floats, centre: Floats, pixels: Floats, weights: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """(s, 3, 3) rotations and (s, 3) shifts: fitted to sets of four points, and the camera's own fitted to all."""
    keys = rng.exponential(size=(_HYPOTHESES, len(points))) / weights
    chosen = np.sort(keys.argsort(axis=1)[:, :_SAMPLE], axis=1)
    spread = np.linalg.svd(points[chosen] - points[chosen].mean(axis=1, keepdims=True), compute_uv=False)
    solid = chosen[spread[:, 2] > _FLAT * spread[:, 0]]
    rotations, shifts = _posit(points[solid], _normalised(camera, pixels)[solid])
    sampled = np.zeros((len(solid), len(points)))
    np.put_along_axis(sampled, solid, 1.0, axis=1)
    own = camera.camera_from_patient
    rotations = np.concatenate([rotations, own[None, :3, :3]])
    shifts = np.concatenate([shifts, (own[:3, :3] @ centre + own[:3, 3])[None]])
    return _refined(camera, points, pixels, rotations, shifts, np.concatenate([sampled, weights[None]]))


def _normalised(camera: Camera, pixels: Floats) -> Floats:
    """(n, 2) pixels as camera coordinates at unit depth."""
    return np.linalg.solve(camera.K[:2, :2], (pixels - camera.K[:2, 2]).T).T


def _posit(points: Floats, image: Floats) -> tuple[Floats, Floats]:
    """Poses of (s, 4, 3) points seen at (s, 4, 2): scaled orthographic projection, its depths corrected in turn."""
    inverse = np.linalg.pinv(points[:, 1:] - points[:, :1])
    correction = np.zeros(points.shape[:2])
    for _ in range(_POSIT_STEPS):
        moved = image * (1 + correction[..., None])
        axes = inverse @ (moved[:, 1:] - moved[:, :1])
        scale = np.linalg.norm(axes, axis=1).mean(axis=1).clip(1e-12)
        first, second = (
            axis / np.linalg.norm(axis, axis=1, keepdims=True).clip(1e-12) for axis in np.moveaxis(axes, 2, 0)
        )
        depth_axis = np.cross(first, second)
        correction = ((points - points[:, :1]) @ depth_axis[..., None])[..., 0] * scale[:, None]
    left, _, right = np.linalg.svd(np.stack([first, second, depth_axis], axis=1))
    rotations = left @ right
    rotations[np.linalg.det(rotations) < 0] *= -1
    origin = np.concatenate([image[:, 0], np.ones((len(image), 1))], axis=1) / scale[:, None]
    return rotations, origin - (rotations @ points[:, 0, :, None])[..., 0]


def _camera_points(points: Floats, rotations: Floats, shifts: Floats) -> Floats:
    return points @ rotations.transpose(0, 2, 1) + shifts[:, None]


def _errors(camera: Camera, points: Floats, pixels: Floats, rotations: Floats, shifts: Floats) -> Floats:
    """(s, n) distances in px; infinite for points that a pose puts behind the source."""
    local = _camera_points(points, rotations, shifts)
    ahead = local[..., 2] > 1e-6
    image = local[..., :2] / np.where(ahead, local[..., 2], 1)[..., None]
    error = np.linalg.norm(image @ camera.K[:2, :2].T + camera.K[:2, 2] - pixels, axis=2)
    return np.where(ahead, error, np.inf)


def _refined(
    camera: Camera, points: Floats, pixels: Floats, rotations: Floats, shifts: Floats, weights: Floats
) -> tuple[Floats, Floats]:
    """Poses after Gauss-Newton steps on the weighted squared distances, each pose by its own (s, n) weights."""
    focal = camera.K[:2, :2]
    root = np.sqrt(weights)[..., None]
    for _ in range(_NEWTON_STEPS):
        turned = points @ rotations.transpose(0, 2, 1)
        local = turned + shifts[:, None]
        depth = np.maximum(local[..., 2], 1e-6)[..., None]
        image = local[..., :2] / depth
        residual = (pixels - camera.K[:2, 2] - image @ focal.T) * root
        # How the image moves with the point, and the point with a small turn and shift.
        image_by_point = np.concatenate([focal * np.ones_like(image)[..., None], -(image @ focal.T)[..., None]], axis=3)
        by_point = image_by_point / depth[..., None] * root[..., None]
        by_turn = np.cross(turned[..., None, :], by_point)
        jacobian = np.concatenate([by_turn, by_point], axis=3).reshape(len(rotations), -1, 6)
        normal = jacobian.transpose(0, 2, 1) @ jacobian
        normal += 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(6)
        right = jacobian.transpose(0, 2, 1) @ residual.reshape(len(rotations), -1, 1)
        step = np.linalg.solve(normal + 1e-12 * np.eye(6), right)[..., 0]
        rotations = _turns(step[:, :3]) @ rotations
        shifts = shifts + step[:, 3:]
    return rotations, shifts


def _turns(vectors: Floats) -> Floats:
    """(s, 3, 3) rotations of (s, 3) rotation vectors of at most half a turn (Rodrigues' formula)."""
    angle = np.linalg.norm(vectors, axis=1)
    axis = vectors / np.maximum(angle, 1e-12)[:, None]
    angle = np.minimum(angle, np.pi)[:, None, None]
    skew = np.cross(np.eye(3)[None], axis[:, None])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew
