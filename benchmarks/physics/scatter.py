"""Validate the scatter physics: the Monte Carlo against closed forms and AAPM TG-195, the fast model against it.

Usage: python benchmarks/physics/scatter.py   (prints Markdown, about six minutes on one core; exits with 1 when a row
is out of tolerance)

TG-195 values: case 2 (radiography), 0 degrees, 56.4 keV, of the AAPM Task Group 195 report (Sechopoulos et al. 2015),
as public code carries them: github.com/medicalphysics/DXMClib, validation/validation.cpp, `TG195Case2AbsorbedEnergy`.
The report's image-plane tables were not at hand.
"""

import sys
import time
from itertools import product

import numpy as np
from validation import Row

from synthray.imaging import Detector, Tube, mass_attenuation_cm2_g, nodes, scattered, spectrum, transmission
from synthray.imaging.attenuation import Material
from synthray.imaging.grid import Grid
from synthray.imaging.montecarlo import Body, MonteCarloResult, Receptor, follow_photons
from synthray.imaging.scatter import Scatter

PHOTONS, SEED = 60_000, 11
DISTANCE_MM, PIXELS = 1000.0, 40
# The middle half of the field, and its outer eighth: there a square's corners and edges average.
MIDDLE = np.s_[PIXELS // 4 : -PIXELS // 4, PIXELS // 4 : -PIXELS // 4]
VOLTAGES, WATER_CM, FIELDS_MM, GAPS_MM = (60, 80, 100, 120), (5, 10, 20, 30, 40), (100, 200, 400), (0, 100, 300)
GRID_CASES = ((20, 300, 0, 80), (20, 300, 200, 80), (10, 400, 50, 120), (30, 300, 50, 100), (40, 400, 100, 120))
WATER = np.array([0.936, 0.0675])
DETECTOR = Detector()

# fmt: off
TG195_TISSUE = Material(
    {"H": .105, "C": .256, "N": .027, "O": .602, "Na": .001, "P": .002, "S": .003, "Cl": .002, "K": .002}, 1.03
)
# fmt: on
TG195_TOTAL_EV = 33171.4
# Cell (x, y, z) of each scoring volume -> eV per photon.
TG195_VOLUMES_EV = {
    (4, 2, 4): 27.01,
    (2, 4, 4): 27.00,
    (4, 4, 4): 36.67,
    (6, 4, 4): 27.01,
    (4, 6, 4): 27.01,
    (4, 4, 2): 72.86,
    (4, 4, 3): 53.35,
    (4, 4, 5): 23.83,
    (4, 4, 6): 14.60,
}


def tg195_rows() -> list[Row]:
    """Energy left in a block of tissue, 39 x 39 x 20 cm, and in nine cubes of 3 cm within; 155 cm of air before it."""
    side = np.array([-500, -195, -165, -135, -15, 15, 135, 165, 195, 500.0])
    depth = np.array([0, 1550, 1575, 1605, 1635, 1665, 1695, 1725, 1750, 1800.0])
    x, z = (side[1:] + side[:-1]) / 2, (depth[1:] + depth[:-1]) / 2
    block = (np.abs(x) < 195)[:, None, None] & (np.abs(x) < 195)[:, None] & ((z > 1550) & (z < 1750))
    density = np.stack([np.where(block, 0, 0.001205), np.where(block, TG195_TISSUE.density_g_cm3, 0)])
    body = Body((side, side, depth), density, ("air", TG195_TISSUE))
    result = follow_photons(body, Receptor.across_z(1800.0, 39, 10.0), 56.4, 1_500_000, SEED)
    deposit = 1000 * result.deposited_kev / result.emitted
    source = "TG-195 case 2"
    rows = [Row("block, eV per photon", deposit[block].sum(), TG195_TOTAL_EV, 0.01, source)]
    # One standard error of the smallest volumes is about 1 %.
    for cell, reference in TG195_VOLUMES_EV.items():
        place = ", ".join(f"{v:g}" for v in (x[cell[0]] / 10, x[cell[1]] / 10, (z[cell[2]] - 1550) / 10))
        rows.append(Row(f"cube at {place} cm", deposit[cell], reference, 0.05, source))
    kept = (result.deposited_kev.sum() + result.leaving_kev) / result.emitted_kev
    return [*rows, Row("energy left + leaving / emitted", kept, 1.0, 0.002, "conservation")]


def primary_rows() -> list[Row]:
    """Primary of the Monte Carlo behind water against Beer-Lambert."""
    rows = []
    for centimetres in (10, 20, 30):
        body = Body.slab("water", 10.0 * centimetres, 500.0)
        result = follow_photons(body, Receptor.across_z(1000.0, 1, 1.0), 60.0, 100, SEED)
        exact = np.exp(-float(mass_attenuation_cm2_g("water", 60)) * centimetres)
        ours = float(result.primary[0, 0] / result.open[0, 0])
        rows.append(Row(f"primary behind {centimetres} cm of water, 60 keV", ours, exact, 1e-4, "Beer-Lambert"))
    return rows


def slab(water_cm: float, field_mm: float, gap_mm: float, kvp: float, grid: Grid | None = None) -> MonteCarloResult:
    """A water slab before a field that fills the detector."""
    body = Body.slab("water", 10 * water_cm, DISTANCE_MM - gap_mm - 10 * water_cm)
    receptor = Receptor.across_z(DISTANCE_MM, PIXELS, field_mm / PIXELS, DETECTOR, grid)
    return follow_photons(body, receptor, spectrum(Tube(tube_kvp=kvp)), PHOTONS, SEED)


def fast(water_cm: float, field_mm: float, gap_mm: float, kvp: float, grid: Grid | None = None) -> np.ndarray:
    """(row, column) scatter over primary of the same by the fast model."""
    beam = nodes(Tube(tube_kvp=kvp), DETECTOR)
    pixel_mm = field_mm / PIXELS
    place = (np.arange(PIXELS) - (PIXELS - 1) / 2) * pixel_mm
    oblique = np.sqrt(1 + (place[:, None] ** 2 + place**2) / DISTANCE_MM**2)
    density = WATER[:, None, None] * water_cm * oblique
    primary = transmission(density, beam)
    veil = scattered(primary, density, beam, Scatter(air_gap_mm=gap_mm, grid=grid), pixel_mm, DISTANCE_MM)
    return veil / primary


def slab_table() -> tuple[list[Row], list[str]]:
    """Every slab, and Markdown lines with a row for each voltage, thickness and gap."""
    rows: list[Row] = []
    lines = ["| kVp | water, cm | gap, mm | " + " | ".join(f"{f // 10} cm field" for f in FIELDS_MM) + " | edge |"]
    lines.append("|---|---|---|" + "---|" * (len(FIELDS_MM) + 1))
    for kvp, water_cm, gap_mm in product(VOLTAGES, WATER_CM, GAPS_MM):
        cells, edges = [], []
        for field_mm in FIELDS_MM:
            result = slab(water_cm, field_mm, gap_mm, kvp)
            ours, (reference, error) = fast(water_cm, field_mm, gap_mm, kvp), result.ratio(*MIDDLE)
            row = Row(f"{kvp} kVp {water_cm} cm", float(ours[MIDDLE].mean()), reference, 0.2, "Monte Carlo")
            rows.append(row)
            cells.append(f"{row.ours:.3g} / {reference:.3g} ± {error:.2g} ({row.deviation:+.0%})")
            rim = np.ones((PIXELS, PIXELS), dtype=bool)
            rim[PIXELS // 8 : -PIXELS // 8, PIXELS // 8 : -PIXELS // 8] = False
            edges.append((ours * result.primary)[rim].sum() / result.scatter.sum(axis=0)[rim].sum() - 1)
        shown = ", ".join(f"{edge:+.0%}" for edge in edges)
        lines.append(f"| {kvp} | {water_cm} | {gap_mm} | " + " | ".join(cells) + f" | {shown} |")
    return rows, lines


def grid_rows() -> list[Row]:
    """Scatter-to-primary ratio behind grids."""
    rows = []
    for name, (water_cm, field_mm, gap_mm, kvp) in product(("8:1", "12:1", "15:1"), GRID_CASES):
        grid = Grid.preset(name)
        reference, _ = slab(water_cm, field_mm, gap_mm, kvp, grid).ratio(*MIDDLE)
        ours = float(fast(water_cm, field_mm, gap_mm, kvp, grid)[MIDDLE].mean())
        what = f"grid {name}, {water_cm} cm, field {field_mm // 10} cm, gap {gap_mm} mm, {kvp} kVp"
        rows.append(Row(what, ours, reference, 0.25, "Monte Carlo"))
    return rows


def markdown(rows: list[Row]) -> list[str]:
    """A table."""
    lines = ["| quantity | ours | reference | deviation | tolerance | source |", "|---|---|---|---|---|---|"]
    for row in rows:
        mark = "" if row.holds else " **out**"
        lines.append(
            f"| {row.quantity} | {row.ours:.5g} | {row.reference:.5g} | {row.deviation:+.2%}{mark} | "
            f"{row.tolerance:.2%} | {row.source} |"
        )
    return lines


def main() -> int:
    """Print all tables; 1 when something is out of tolerance."""
    began = time.perf_counter()
    monte_carlo = [*primary_rows(), *tg195_rows()]
    slabs, lines = slab_table()
    grids = grid_rows()
    print("\n".join(["### Monte Carlo", "", *markdown(monte_carlo), ""]))
    off = np.array([row.deviation for row in slabs])
    within = np.mean(np.abs(off) <= 0.1)
    print("### Fast model: fast / Monte Carlo (deviation) in the middle half of the field; the field's outer eighth\n")
    print("\n".join(lines))
    print(
        f"\n{len(off)} slabs: {off.std():.1%} rms, {off.min():+.1%} to {off.max():+.1%}; {within:.0%} within 10 %, "
        f"tolerance 20 %.\n"
    )
    print("\n".join(["### Grids", "", *markdown(grids), "", f"{time.perf_counter() - began:.0f} s"]))
    return 0 if all(row.holds for row in [*monte_carlo, *slabs, *grids]) else 1


if __name__ == "__main__":
    sys.exit(main())
