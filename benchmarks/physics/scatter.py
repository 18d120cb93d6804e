"""Validate the scatter physics: the Monte Carlo against closed forms and AAPM TG-195, the fast model against it.

Usage: python benchmarks/physics/scatter.py [--full]   (prints Markdown; exits with 1 when a row is out of tolerance)

About two minutes on one core: the ends of each range and three grids in one place. `--full` runs every voltage,
thickness, gap and grid, and other matter, in about five minutes.

TG-195 values: case 2 (radiography), 56.4 keV, source at 0 and 15 degrees, of the AAPM Task Group 195 report
(Sechopoulos et al. 2015), as public code carries them: github.com/medicalphysics/DXMClib, validation/validation.cpp,
`TG195Case2AbsorbedEnergy`. The report's image-plane tables were not at hand.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from itertools import product

import numpy as np
from tissues import fitted_shares
from validation import Row

from synthray.imaging import Detector, Tube, mass_attenuation_cm2_g, nodes, scattered, spectrum, transmission
from synthray.imaging.attenuation import MATERIALS, Material
from synthray.imaging.grid import Grid
from synthray.imaging.montecarlo import Body, MonteCarloResult, Receptor, follow_photons
from synthray.imaging.scatter import Scatter

PHOTONS, TG195_PHOTONS, SEED = 60_000, 1_500_000, 11
DISTANCE_MM, PIXELS = 1000.0, 40
# The middle half of the field, and its outer eighth: there a square's corners and edges average.
MIDDLE = np.s_[PIXELS // 4 : -PIXELS // 4, PIXELS // 4 : -PIXELS // 4]
FIELDS_MM = (100, 200, 400)
# Voltages, cm of water and mm of gap: the ends, and everything.
QUICK = ((60, 120), (5, 20, 40), (0, 100, 300))
FULL = ((60, 80, 100, 120), (5, 10, 20, 30, 40), (0, 100, 300))
GRIDS = ("8:1", "12:1", "15:1")
GRID_CASES = ((20, 300, 0, 80), (20, 300, 200, 80), (10, 400, 50, 120), (30, 300, 50, 100), (40, 400, 100, 120))
WATER = np.array([0.9393, 0.0651])
DETECTOR = Detector()
# Layers (material, cm) from the source on, tube, detector.
_PLAIN, _SLAB = Tube(tube_kvp=80), (("water", 20),)
MATTER_CASES: tuple[tuple[tuple[tuple[str, int], ...], Tube, Detector], ...] = (
    ((("water", 9), ("cortical_bone", 2), ("water", 9)), _PLAIN, DETECTOR),
    ((("water", 18), ("cortical_bone", 2)), _PLAIN, DETECTOR),
    ((("cortical_bone", 2), ("water", 18)), _PLAIN, DETECTOR),
    ((("water", 5), ("cortical_bone", 3), ("water", 5)), _PLAIN, DETECTOR),
    ((("water", 10), ("cortical_bone", 3)), _PLAIN, DETECTOR),
    ((("adipose", 20),), _PLAIN, DETECTOR),
    ((("pmma", 20),), _PLAIN, DETECTOR),
    ((("lung", 8),), _PLAIN, DETECTOR),
    (_SLAB, Tube(tube_kvp=80, copper_mm=0.1), DETECTOR),
    (_SLAB, Tube(tube_kvp=80, copper_mm=0.3), DETECTOR),
    (_SLAB, Tube(tube_kvp=50), DETECTOR),
    (_SLAB, Tube(tube_kvp=140), DETECTOR),
    (_SLAB, _PLAIN, Detector(material="gd2o2s", thickness_mm=0.3)),
    (_SLAB, _PLAIN, Detector(mode="counting", material="cdte", thickness_mm=2.0)),
)

# fmt: off
TG195_TISSUE = Material(
    {"H": .105, "C": .256, "N": .027, "O": .602, "Na": .001, "P": .002, "S": .003, "Cl": .002, "K": .002}, 1.03
)
# fmt: on
# Degrees -> eV per photon in the whole block, and in nine cubes of 3 cm by the cell (x, y, z) that each fills.
TG195_BLOCK_EV = {0: 33171.4, 15: 30883.8}
TG195_CUBES_EV = {
    0: {
        (4, 2, 4): 27.01,
        (2, 4, 4): 27.00,
        (4, 4, 4): 36.67,
        (6, 4, 4): 27.01,
        (4, 6, 4): 27.01,
        (4, 4, 2): 72.86,
        (4, 4, 3): 53.35,
        (4, 4, 5): 23.83,
        (4, 4, 6): 14.60,
    },
    15: {
        (4, 2, 4): 33.08,
        (2, 4, 4): 25.48,
        (4, 4, 4): 34.63,
        (6, 4, 4): 25.51,
        (4, 6, 4): 9.79,
        (4, 4, 2): 70.80,
        (4, 4, 3): 51.06,
        (4, 4, 5): 22.28,
        (4, 4, 6): 13.54,
    },
}

# Gap in mm -> behind 10, 20 and 30 cm.
EARLIER_RATIOS = {0: (1.46, 3.54, 6.09), 400: (0.30, 0.76, 1.35)}


def tg195_rows(degrees: int) -> list[Row]:
    """Energy left in a block of tissue, 39 x 39 x 20 cm, and in nine cubes of 3 cm within; 155 cm of air before it."""
    side = np.array([-500, -195, -165, -135, -15, 15, 135, 165, 195, 500.0])
    depth = np.array([0, 1550, 1575, 1605, 1635, 1665, 1695, 1725, 1750, 1800.0])
    x, z = (side[1:] + side[:-1]) / 2, (depth[1:] + depth[:-1]) / 2
    block = (np.abs(x) < 195)[:, None, None] & (np.abs(x) < 195)[:, None] & ((z > 1550) & (z < 1750))
    density = np.stack([np.where(block, 0, 0.001205), np.where(block, TG195_TISSUE.density_g_cm3, 0)])
    body = Body((side, side, depth), density, ("air", TG195_TISSUE))
    source = (0.0, -1800 * np.tan(np.radians(degrees)), 0.0)
    result = follow_photons(body, Receptor.across_z(1800.0, 39, 10.0), 56.4, TG195_PHOTONS, SEED, source)
    deposit = 1000 * result.deposited_kev / result.emitted
    name = f"TG-195 case 2, {degrees} degrees"
    rows = [Row("block, eV per photon", deposit[block].sum(), TG195_BLOCK_EV[degrees], 0.01, name)]
    for cell, reference in TG195_CUBES_EV[degrees].items():
        place = ", ".join(f"{v:g}" for v in (x[cell[0]] / 10, x[cell[1]] / 10, (z[cell[2]] - 1550) / 10))
        rows.append(Row(f"cube at {place} cm", deposit[cell], reference, 0.05, name))
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


def slab(
    water_cm: float,
    field_mm: float,
    gap_mm: float,
    kvp: float,
    grid: Grid | None = None,
    distance_mm: float = DISTANCE_MM,
) -> MonteCarloResult:
    """A water slab before a field that fills the detector."""
    body = Body.slab("water", 10 * water_cm, distance_mm - gap_mm - 10 * water_cm)
    receptor = Receptor.across_z(distance_mm, PIXELS, field_mm / PIXELS, DETECTOR, grid)
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


def slab_table(voltages: Iterable[int], thicknesses: Iterable[int], gaps: Iterable[int]) -> tuple[list[Row], list[str]]:
    """Every slab, and Markdown lines with a row for each voltage, thickness and gap."""
    rows: list[Row] = []
    lines = ["| kVp | water, cm | gap, mm | " + " | ".join(f"{f // 10} cm field" for f in FIELDS_MM) + " | edge |"]
    lines.append("|---|---|---|" + "---|" * (len(FIELDS_MM) + 1))
    for kvp, water_cm, gap_mm in product(voltages, thicknesses, gaps):
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


def matter_rows() -> list[Row]:
    """Other matter, beams and detectors than the kernels were fitted with; 30 cm field, gap of 5 cm, no grid.

    The kernels don't know where along the ray bone lies, hence the wider tolerance.
    """
    rows = []
    shares = {name: fitted_shares(name) for name in ("water", "adipose", "pmma", "lung", "cortical_bone")}
    for layers, tube, detector in MATTER_CASES:
        depths = np.cumsum([0.0, *(10.0 * centimetres for _, centimetres in layers)])
        side = np.array([-1000, 1000.0])
        grams = np.array([MATERIALS[name].density_g_cm3 for name, _ in layers])
        names = tuple(name for name, _ in layers)
        body = Body((side, side, 950 - depths[-1] + depths), np.diag(grams)[:, None, None, :], names)
        receptor = Receptor.across_z(DISTANCE_MM, PIXELS, 300 / PIXELS, detector)
        reference, _ = follow_photons(body, receptor, spectrum(tube), PHOTONS, SEED).ratio(*MIDDLE)
        beam = nodes(tube, detector)
        mix = sum(shares[name] * g * cm for g, (name, cm) in zip(grams, layers, strict=True))
        density = np.broadcast_to(mix[:, None, None], (2, PIXELS, PIXELS))
        primary = transmission(density, beam)
        veil = scattered(primary, density, beam, Scatter(air_gap_mm=50, grid=None), 300 / PIXELS, DISTANCE_MM)
        what = " + ".join(f"{cm} cm {name.replace('_', ' ')}" for name, cm in layers)
        beams = f"{tube.tube_kvp:g} kVp, {tube.copper_mm:g} mm Cu, {detector.material} {detector.mode}"
        rows.append(Row(f"{what}; {beams}", float((veil / primary)[MIDDLE].mean()), reference, 0.35, "Monte Carlo"))
    return rows


def grid_rows(cases: Iterable[tuple[int, int, int, int]]) -> list[Row]:
    """Scatter-to-primary ratio behind grids, for (water cm, field mm, gap mm, kVp)."""
    rows = []
    for name, (water_cm, field_mm, gap_mm, kvp) in product(GRIDS, cases):
        grid = Grid.preset(name)
        reference, _ = slab(water_cm, field_mm, gap_mm, kvp, grid).ratio(*MIDDLE)
        ours = float(fast(water_cm, field_mm, gap_mm, kvp, grid)[MIDDLE].mean())
        what = f"grid {name}, {water_cm} cm, field {field_mm // 10} cm, gap {gap_mm} mm, {kvp} kVp"
        rows.append(Row(what, ours, reference, 0.25, "Monte Carlo"))
    return rows


def earlier_rows() -> list[Row]:
    """Ratios of an earlier, quick Monte Carlo of this project: 60 keV, water, 30 cm field, gaps of 0 and 40 cm."""
    rows = []
    middle = slice(10, 20)
    for gap_mm, references in EARLIER_RATIOS.items():
        for water_cm, reference in zip((10, 20, 30), references, strict=True):
            body = Body.slab("water", 10.0 * water_cm, DISTANCE_MM - gap_mm - 10 * water_cm)
            result = follow_photons(body, Receptor.across_z(DISTANCE_MM, 30, 10.0), 60.0, PHOTONS, SEED)
            what = f"ratio behind {water_cm} cm of water, gap {gap_mm} mm, 60 keV"
            # How its field and distance were defined isn't recorded, which matters with a gap.
            tolerance = 0.05 if gap_mm == 0 else 0.15
            rows.append(Row(what, result.ratio(middle, middle)[0], reference, tolerance, "earlier Monte Carlo"))
    return rows


def air_gap_rows() -> list[Row]:
    """Distance x in (x / (x + gap))², the ratio's fall from a gap of 10 to one of 40 cm; 80 kVp, 10 cm field."""
    rows = []
    for water_cm in (10, 20, 30):
        near, far = (slab(water_cm, 100, gap_mm, 80, distance_mm=1800.0).ratio(*MIDDLE)[0] for gap_mm in (100, 400))
        root = np.sqrt(far / near)
        x_mm = (400 * root - 100) / (1 - root)
        rows.append(Row(f"air gap's x behind {water_cm} cm, mm", x_mm, 175, 1 / 7, "Sorenson & Floch, 15-20 cm"))
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


def spread(rows: list[Row]) -> str:
    """One line on how far all slabs are off."""
    off = np.array([row.deviation for row in rows])
    return (
        f"{len(off)} slabs: {np.sqrt(np.mean(off**2)):.1%} rms, {off.min():+.1%} to {off.max():+.1%}; "
        f"{np.mean(np.abs(off) <= 0.1):.0%} within 10 %, tolerance 20 %."
    )


def main(full: bool) -> int:
    """Print all tables; 1 when something is out of tolerance."""
    began = time.perf_counter()
    monte_carlo = [
        *primary_rows(),
        *(row for degrees in TG195_BLOCK_EV for row in tg195_rows(degrees)),
        *earlier_rows(),
        *air_gap_rows(),
    ]
    print("\n".join(["### Monte Carlo", "", *markdown(monte_carlo), ""]), flush=True)
    slabs, lines = slab_table(*(FULL if full else QUICK))
    print("### Fast model: fast / Monte Carlo (deviation) in the middle half of the field; the field's outer eighth\n")
    print("\n".join([*lines, "", spread(slabs), ""]), flush=True)
    grids = grid_rows(GRID_CASES if full else GRID_CASES[:1])
    print("\n".join(["### Grids", "", *markdown(grids), ""]), flush=True)
    matter = matter_rows() if full else []
    print("\n".join(["### Other matter, beams and detectors", "", *markdown(matter), ""] if full else []))
    print(f"{time.perf_counter() - began:.0f} s")
    return 0 if all(row.holds for row in [*monte_carlo, *slabs, *grids, *matter]) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Validate the scatter physics.")
    parser.add_argument("--full", action="store_true", help="every voltage, thickness, gap and grid")
    sys.exit(main(parser.parse_args().full))
