"""Time the imaging chain at each level: area densities of a built-in body at 512², new settings for every image.

Usage: python benchmarks/physics/speed.py   (medians of 15, milliseconds)
"""

import statistics
import time
from dataclasses import replace

import synthray as sr
from synthray.imaging import Scatter, System
from synthray.simulate import expose

REPEATS = 15


def main() -> None:
    """Print the medians."""
    person = sr.body(3, voxel_mm=3)
    lungs = person.structure_center_mm("lung_left", "lung_right")
    projection = sr.project(person, sr.CArm.preset("chest-pa").resized(512).view(lungs, view="pa"))
    system = System.preset("chest-upright").settings
    for label, level, scatter in (
        ("naive", "naive", system.scatter),
        ("heuristic", "heuristic", system.scatter),
        ("realistic, no scatter", "realistic", Scatter(strength=0, grid=None)),
        ("realistic", "realistic", system.scatter),
        ("full", "full", system.scatter),
    ):
        times = []
        for n in range(REPEATS + 1):
            settings = replace(system, scatter=scatter, tube=replace(system.tube, tube_kvp=90 + n))
            began = time.perf_counter()
            expose(projection, person, level, n, settings=settings)
            times.append(time.perf_counter() - began)
        print(f"{label}: {1000 * statistics.median(times[1:]):.0f} ms")


if __name__ == "__main__":
    main()
