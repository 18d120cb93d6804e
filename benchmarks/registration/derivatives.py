"""What the pose's derivatives cost against the plain march, one thread; CPU time, so that other work doesn't count.

Usage: python benchmarks/registration/derivatives.py [PIXELS]   (256 by default; medians of 9)
"""

import statistics
import sys
import time

import synthray as sr


def median_ms(patient: sr.Patient, camera: sr.Camera, jacobian: bool) -> float:
    """Median CPU time of some calls, the first left out."""
    times = []
    for _ in range(10):
        began = time.process_time()
        sr.project(patient, camera, masks=False, depth=False, jacobian=jacobian, backend="cpu", threads=1)
        times.append(1000 * (time.process_time() - began))
    return statistics.median(times[1:])


def main(pixels: int = 256) -> None:
    """Print the medians and their ratio at some voxel sizes."""
    for voxel_mm in (1.5, 3.0, 6.0):
        patient = sr.body(3, region="pelvis", voxel_mm=voxel_mm)
        camera = sr.CArm.preset("cios-fusion").resized(pixels).view(patient.center_mm, view="ap")
        plain, more = (median_ms(patient, camera, jacobian) for jacobian in (False, True))
        print(f"{voxel_mm} mm, {pixels}²: {plain:.1f} ms, with derivatives {more:.1f} ms: {more / plain:.1f} x")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
