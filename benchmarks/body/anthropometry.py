"""Print the table of docs/body.md: published figures beside those measured on the labels of built-in bodies.

Usage: python benchmarks/body/anthropometry.py [BODIES] [VOXEL_MM]   (40 bodies at 2.5 mm take about three minutes)
"""

import sys

import numpy as np

import synthray as sr
from synthray.anatomy.body.anthropometry import FIGURES, measure


def measured(sex: str, count: int, voxel_mm: float) -> dict[str, np.ndarray]:
    """Each measure of some bodies of one sex."""
    rows = [measure(sr.body(seed, sex=sex, voxel_mm=voxel_mm)) for seed in range(count)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def main() -> None:
    """Print a Markdown table, then the measures that have no published match here."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    voxel_mm = float(sys.argv[2]) if len(sys.argv) > 2 else 2.5
    women, men = (measured(sex, count // 2, voxel_mm) for sex in ("female", "male"))
    print("| Measure | Women, published | Women, bodies | Men, published | Men, bodies | Source |")
    print("|---|---|---|---|---|---|")
    for figure in FIGURES:
        cells = []
        for (mean, sd), values in ((figure.female, women), (figure.male, men)):
            found = values[figure.name]
            digits = 3 if mean < 1 else 1
            cells += [f"{mean:g} ± {sd:g}",
                      f"{found.mean():.{digits}f} ± {found.std(ddof=1):.{digits}f}"]  # fmt: skip
        print(f"| {figure.name} | {' | '.join(cells)} | {figure.source} |")
    rest = sorted(set(women) - {figure.name for figure in FIGURES})
    for name in rest:
        cells = [f"{values[name].mean():.1f} ± {values[name].std(ddof=1):.1f}" for values in (women, men)]
        print(f"| {name} | | {cells[0]} | | {cells[1]} | |")


if __name__ == "__main__":
    main()
