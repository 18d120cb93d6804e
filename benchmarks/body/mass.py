"""Print how close painted bodies come to the weight they should have: `mass.py [COUNT] [VOXEL_MM]`.

Bodies are painted from vertex to knees without arms and their mass is summed over all voxels by `basis_densities`
(adipose tissue and bone together). What isn't painted is added as a share of the whole: shanks and feet 12.2 %,
arms 10 %
(Winter, Biomechanics and Motor Control of Human Movement, table 4.1).
"""

from __future__ import annotations

import sys

import numpy as np

import synthray as sr
from synthray.anatomy import basis_densities

PAINTED_SHARE = 1 - 0.122 - 0.10


def main(count: int, voxel_mm: float) -> None:
    """Body mass indices run evenly from 17 to 45, sexes take turns."""
    print("| Seed | Sex | BMI | Wanted kg | Painted, whole kg | Ratio |\n|---|---|---|---|---|---|")
    ratios = []
    for seed, bmi in enumerate(np.linspace(17, 45, count)):
        sex = ("female", "male")[seed % 2]
        height_cm = {"female": 162.0, "male": 176.0}[sex] + 6 * np.sin(2.0 * seed)
        wanted = float(bmi * (height_cm / 100) ** 2)
        person = sr.body(seed, sex=sex, height_cm=height_cm, weight_kg=wanted, voxel_mm=voxel_mm, arms="absent")
        grams = float(basis_densities(person.ct.values).sum(dtype=np.float64)) * (voxel_mm / 10) ** 3
        whole = grams / 1000 / PAINTED_SHARE
        ratios.append(whole / wanted)
        print(f"| {seed} | {sex} | {bmi:.1f} | {wanted:.1f} | {whole:.1f} | {whole / wanted:.3f} |", flush=True)
    print(f"\nRatio {np.mean(ratios):.3f} on average, from {min(ratios):.3f} to {max(ratios):.3f}.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, float(sys.argv[2]) if len(sys.argv) > 2 else 5.0)
