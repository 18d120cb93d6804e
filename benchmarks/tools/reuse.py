"""Time tools put into a march that is there against a march anew, with the bench phantom.

Usage: python benchmarks/tools/reuse.py [VOXELS PIXELS]   (256 512 by default; medians of 15, milliseconds)
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

import synthray as sr
from synthray.bench import bench_views, make_phantom
from synthray.tools import random_bend

REPEATS, STRUCTURES = 15, 20


def median_ms(work: Callable[[int], object]) -> float:
    """Median time of some calls, the first left out."""
    times = []
    for n in range(REPEATS + 1):
        began = time.perf_counter()
        work(n)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[1:])


def main(voxels: int = 256, pixels: int = 512) -> None:
    """Print the medians and their ratio for a few tools."""
    patient, (camera,) = make_phantom(STRUCTURES).patient(voxels), bench_views(pixels)
    plain = sr.project(patient, camera)
    march = median_ms(lambda n: sr.project(patient, camera))
    print(f"march of {voxels}³ voxels on {pixels}² pixels: {march:.0f} ms")
    rng = np.random.default_rng(0)
    bends = [random_bend(rng) for _ in range(REPEATS + 1)]
    tools = {
        "K-wire": [sr.tools.k_wire()] * len(bends),
        "screw of 60 mm": [sr.tools.screw(length_mm=60)] * len(bends),
        "continuum manipulator": [sr.tools.continuum_manipulator(control_deg=bend) for bend in bends],
        "hip replacement": [sr.tools.hip_replacement()] * len(bends),
    }
    for name, made in tools.items():
        scenes = [sr.Scene(patient, [sr.tools.near(tool, (0, 0, 0), rng, offset_mm=40)]) for tool in made]
        added = median_ms(lambda n, scenes=scenes: sr.with_tools(plain, scenes[n]))
        print(f"{name}: {added:.0f} ms; another pose costs 1/{(march + added) / added:.1f} of a march with the tool")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
