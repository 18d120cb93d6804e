"""Time the projector on an ellipsoid, and check its image against the closed form.

Usage: python benchmarks/projection.py [VOXELS] [PIXELS]   (256 and 512 by default)
"""

import statistics
import sys
import time

import numpy as np

import synthray as sr
from synthray.anatomy import basis_densities

RADII = np.array([0.43, 0.31, 0.47])  # of the grid's side
SIDE_MM = 256.0
REPEATS = 9


def ellipsoid(voxels: int) -> sr.Patient:
    """A water ellipsoid with one label."""
    axis = (np.arange(voxels) - (voxels - 1) / 2) / voxels
    x, y, z = np.meshgrid(*[axis] * 3, indexing="ij", sparse=True)
    inside = (x / RADII[0]) ** 2 + (y / RADII[1]) ** 2 + (z / RADII[2]) ** 2 < 1
    hu = np.where(inside, 0, -1000).astype(np.int16)
    scale = SIDE_MM / voxels
    return sr.Patient.from_arrays(hu, np.diag([scale] * 3 + [1.0]), inside.astype(np.uint8), {1: "body"})


def exact(camera: sr.Camera, center: np.ndarray) -> np.ndarray:
    """Area density in g/cm² from the ellipsoid's chords."""
    source, direction = camera.rays()
    o, d = (source - center) / (RADII * SIDE_MM), direction / (RADII * SIDE_MM)
    a, b, c = (d * d).sum(-1), (d * o).sum(-1), (o * o).sum(-1) - 1
    chord_cm = 0.2 * np.sqrt(np.maximum(b * b - a * c, 0)) / a
    return chord_cm * float(basis_densities(np.zeros((1, 1, 1), dtype=np.int16)).sum())


def main() -> None:
    """Print medians and the mean error."""
    given = [int(text) for text in sys.argv[1:]]
    voxels, pixels = (*given, *(256, 512)[len(given) :])
    patient = ellipsoid(voxels)
    camera = sr.CArm.preset("generic-300mm").resized(pixels).view(patient.center_mm, lao_deg=20)
    image = sr.project(patient, camera).area_density[0].sum(axis=0)
    truth = exact(camera, patient.center_mm)
    error = np.abs(image - truth).mean() / truth.max()
    print(f"{voxels}³ -> {pixels}², 2 densities + mask + depth; mean error {error:.3%} of the maximum")
    for threads in (1, 2):
        times = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            sr.project(patient, camera, threads=threads)
            times.append(time.perf_counter() - began)
        print(f"{threads} threads: median {1000 * statistics.median(times):.0f} ms of {REPEATS}")


if __name__ == "__main__":
    main()
