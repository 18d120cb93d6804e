"""The pose of a camera from points whose pixels are known (PnP), and RANSAC over such poses. NumPy only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from synthray.geometry.camera import Camera
from synthray.geometry.transforms import compose

Floats = npt.NDArray[np.floating]

_SAMPLE = 4
_HYPOTHESES = 300
_POSIT_STEPS = 10
_NEWTON_STEPS = 12
_ROUNDS = 5
_FLAT = 1e-4


def agreed_view(
    camera: Camera,
    points_mm: Floats,
    pixels: Floats,
    weights: Floats,
    *,
    tolerance_px: float,
    fewest: int,
    seed: int = 0,
) -> Camera | None:
    """The pose that most points agree on.

    RANSAC (Fischler & Bolles 1981): poses are fitted to random sets of four points, heavier ones drawn more often, by
    POSIT (DeMenthon & Davis 1995) and Gauss-Newton; the camera's own pose is one more start. The pose with the least
    truncated squared error is refined on the points within the tolerance.

    Args:
        camera: known intrinsics; its pose may be far off.
        points_mm: (n, 3) patient mm, finite.
        pixels: (n, 2) (column, row) px, finite.
        weights: (n,) above 0.
        tolerance_px: largest distance of a point that agrees.
        fewest: points that must agree, at least 4.
        seed: of the random sets.

    Returns:
        The camera with that pose, or None when fewer points agree with the best one.
    """
    if len(points_mm) < fewest:
        return None
    pose = _agreed_pose(camera, points_mm, pixels, weights, tolerance_px, fewest, np.random.default_rng(seed))
    return None if pose is None else replace(camera, camera_from_patient=np.asarray(pose, dtype=np.float64))


def _agreed_pose(
    camera: Camera,
    known: Floats,
    pixels: Floats,
    weights: Floats,
    tolerance_px: float,
    fewest: int,
    rng: np.random.Generator,
) -> Floats | None:
    """(4, 4) camera_from_patient, or None when too few points agree with the best pose."""
    centre = known.mean(axis=0)
    points = known - centre
    rotations, shifts = _hypotheses(camera, points, centre, pixels, weights, rng)
    error = _errors(camera, points, pixels, rotations, shifts)
    cost = (np.minimum(error / tolerance_px, 1) ** 2 * weights).sum(axis=1)
    best = int(cost.argmin())
    rotation, shift = rotations[best : best + 1], shifts[best : best + 1]
    agreeing = error[best] <= tolerance_px
    for _ in range(_ROUNDS):
        if agreeing.sum() < fewest:
            return None
        rotation, shift = _refined(camera, points, pixels, rotation, shift, agreeing[None] * weights)
        before, agreeing = agreeing, _errors(camera, points, pixels, rotation, shift)[0] <= tolerance_px
        if (agreeing == before).all():
            break
    if agreeing.sum() < fewest:
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
