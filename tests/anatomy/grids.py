"""Affines of grids in every orientation."""

import numpy as np
import SimpleITK


def affine(rotation: np.ndarray, spacing: tuple[float, float, float], origin: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.array(spacing)
    matrix[:3, 3] = origin
    return matrix


def turned(x: float, y: float, z: float) -> np.ndarray:
    """Rotation by three angles in degrees about the fixed axes."""
    transform = SimpleITK.Euler3DTransform((0, 0, 0), *np.radians([x, y, z]))
    return np.array(transform.GetMatrix()).reshape(3, 3)


AFFINES = {
    "lps": affine(np.eye(3), (1.5, 2.0, 3.0), (-10, 20, 300)),
    "ras": affine(np.diag([-1.0, -1.0, 1.0]), (1.5, 2.0, 3.0), (10, -20, -300)),
    "mirrored": affine(np.diag([1.0, -1.0, 1.0]), (0.7, 0.7, 5.0), (0, 0, 0)),
    "swapped": affine(np.array([[0, 0, 1.0], [1, 0, 0], [0, -1, 0]]), (1.0, 2.0, 3.0), (5, 6, 7)),
    "oblique": affine(turned(12, -25, 40), (0.9, 1.3, 2.5), (-33.3, 12.5, 700.25)),
}
