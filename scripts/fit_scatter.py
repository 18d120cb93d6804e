"""Fit the fast scatter model to the Monte Carlo and write `scatter_table.json`. About five minutes on one core.

Pencils of single energies through water slabs, seen by detectors at several distances at once, give the scatter within
squares around the pencil. It is fitted by four Gaussians whose widths grow with the distance from virtual sources
before the exit surface. Point sources over square fields then give the two exponents by which divergence changes them.

    python scripts/fit_scatter.py [scatter_table.json]
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from synthray.imaging import Detector, Tube, mass_attenuation_cm2_g, nodes
from synthray.imaging import scatter as fast
from synthray.imaging.montecarlo import Body, Receptor, follow_photons
from synthray.imaging.montecarlo.run import receptor_tables, scatter_histories
from synthray.imaging.montecarlo.transport import signal
from synthray.imaging.spectrum import spectrum

ENERGY_KEV = np.array([20.0, 25, 30, 36, 45, 55, 70, 90, 115, 150])
WATER_CM = np.array([2.0, 5, 10, 15, 20, 25, 30, 40, 50])
GAP_MM = np.array([0.0, 20, 50, 100, 150, 200, 300, 500])
HALF_MM = np.array([10, 20, 35, 50, 75, 100, 125, 150, 175, 200, 250, 300, 400, 600])
PIXELS, PIXEL_MM = 240, 5.0
PHOTONS, SEED = 60_000, 7
# Behind more than this, so little of an energy is left that its scatter doesn't matter.
THICKEST = 16.0
# Below this energy the widths are taken from above; the amplitudes are fitted.
LEAST_KEV = 30.0
START_SLOPE = (0.05, 0.2, 0.6, 1.3)
DETECTOR = Detector()
# Water cm, field mm, gap mm, at 1 m and 80 kVp, for the divergence.
DIVERGENT = [(t, f, g) for t in (5, 10, 20, 30, 40) for f in (100, 200, 400) for g in (0, 150, 300)]
HERE = Path(__file__).resolve().parent
DEFAULT = HERE.parent / "src" / "synthray" / "imaging" / "scatter_table.json"


def pencil(energy_kev: float, water_cm: float) -> tuple[np.ndarray, np.ndarray]:
    """(gap, half side) scatter within squares over the primary, and its relative standard error."""
    body = Body.slab("water", 10 * water_cm, 1e4 - 10 * water_cm, 5000.0)
    receptor = Receptor.across_z(1e4, PIXELS, PIXEL_MM, DETECTOR)
    beam, middle = (np.array([energy_kev]), np.ones(1)), PIXELS / 2
    field = (middle, middle, middle, middle)
    parts = scatter_histories(body, receptor, beam, PHOTONS, SEED, np.zeros(3), field, GAP_MM, 1e8)[0]
    images = np.stack([part.sum(axis=0) for part in parts])
    steps = (HALF_MM / PIXEL_MM).astype(int)
    low, high = int(middle) - steps, int(middle) + steps
    within = np.stack([images[..., a:b, a:b].sum(axis=(-2, -1)) for a, b in zip(low, high, strict=True)], axis=-1)
    left = math.exp(-water_cm * float(mass_attenuation_cm2_g("water", energy_kev)))
    mean = within.mean(axis=0)
    error = within.std(axis=0, ddof=1) / math.sqrt(len(within)) / mean
    return mean / left / signal(receptor_tables(receptor), energy_kev, 1.0, 0.0), error


def squares(slope: np.ndarray, distance_mm: np.ndarray) -> np.ndarray:
    """(gap, half side, component) share of each Gaussian within the squares."""
    sigma = slope * (GAP_MM[:, None] + distance_mm)
    return np.vectorize(math.erf)(HALF_MM[None, :, None] / (math.sqrt(2) * sigma[:, None, :])) ** 2


def least_squares(residual: Callable[[np.ndarray], np.ndarray], start: np.ndarray) -> np.ndarray:
    """Levenberg-Marquardt with differences for derivatives."""
    x, damping, now = start, 1e-2, residual(start)
    for _ in range(60):
        steps = 1e-4 * np.eye(len(x))
        jacobian = np.stack([(residual(x + step) - now) / 1e-4 for step in steps], axis=1)
        before = now @ now
        for _ in range(8):
            normal = jacobian.T @ jacobian
            normal[np.diag_indices(len(x))] = normal.diagonal() * (1 + damping) + 1e-9
            trial = x + np.clip(np.linalg.solve(normal, -jacobian.T @ now), -0.5, 0.5)
            value = residual(trial)
            if value @ value < before:
                x, now, damping = trial, value, damping / 4
                break
            damping *= 5
        if not now @ now < before * (1 - 1e-6):
            break
    return x


def fit_thickness(water_cm: float, data: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slopes, distances and (energy, component) amplitudes of one thickness; NaN where there are no data."""
    count, known = len(START_SLOPE), ~np.isnan(data[:, 0, 0])
    weight = 1 / (0.03 + error)
    # Squares of 2 cm are finer than the veil's detail matters.
    weight[..., HALF_MM < 15] *= 0.5

    def deviation(shares: np.ndarray, amplitude: np.ndarray, rows: np.ndarray) -> np.ndarray:
        model = np.einsum("ghj,ej->egh", shares, amplitude)
        return ((model / data[rows] - 1) * weight[rows]).ravel()

    def split(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        parts = np.exp(x)
        return parts[:count], parts[count : 2 * count], parts[2 * count :].reshape(-1, count)

    def guess(rows: np.ndarray) -> np.ndarray:
        return np.log(np.repeat(data[rows][:, 0, -1:] / count, count, axis=1)).ravel()

    rows = known & (ENERGY_KEV >= LEAST_KEV)
    shape = np.concatenate([np.log(START_SLOPE), np.log(np.full(count, max(10.0, 4 * water_cm)))])
    x = least_squares(
        lambda x: deviation(squares(*split(x)[:2]), split(x)[2], rows), np.concatenate([shape, guess(rows)])
    )
    slope, distance, high = split(x)
    order = np.argsort(slope)
    amplitude = np.full((len(ENERGY_KEV), count), np.nan)
    amplitude[rows] = high
    rows = known & (ENERGY_KEV < LEAST_KEV)
    if rows.any():
        shares = squares(slope, distance)
        low = least_squares(lambda x: deviation(shares, np.exp(x).reshape(-1, count), rows), guess(rows))
        amplitude[rows] = np.exp(low).reshape(-1, count)
    return slope[order], distance[order], amplitude[:, order]


def fill(amplitude: np.ndarray) -> np.ndarray:
    """Missing (energy, thickness, component) amplitudes grow in proportion to the thickness from the last known."""
    for at in range(1, len(WATER_CM)):
        missing = np.isnan(amplitude[:, at])
        amplitude[:, at] = np.where(missing, amplitude[:, at - 1] * WATER_CM[at] / WATER_CM[at - 1], amplitude[:, at])
    return amplitude


def divergence(table: fast.ScatterTable) -> tuple[float, float]:
    """Exponents that make the ratio over the middle half of square fields agree with point sources best."""
    beam, measured = nodes(Tube(), DETECTOR), []
    for water_cm, field_mm, gap_mm in DIVERGENT:
        body = Body.slab("water", 10 * water_cm, 1000 - gap_mm - 10 * water_cm)
        receptor = Receptor.across_z(1000, 20, field_mm / 20, DETECTOR)
        result = follow_photons(body, receptor, spectrum(Tube()), PHOTONS, SEED)
        measured.append(result.ratio(slice(5, 15), slice(5, 15))[0])

    def deviation(exponents: np.ndarray) -> np.ndarray:
        trial = replace(table, divergence=(float(exponents[0]), float(exponents[1])))
        model = []
        for water_cm, field_mm, gap_mm in DIVERGENT:
            setup = fast.Scatter(air_gap_mm=gap_mm, grid=None)
            amplitude, sigma = fast.scatter_kernels(setup, beam, 1000.0, field_mm / 2, trial)
            at = int(np.flatnonzero(np.isclose(WATER_CM, water_cm))[0])
            ends = (field_mm / 2 + np.linspace(-1, 1, 9)[:, None] * field_mm / 4) / (math.sqrt(2) * sigma[at])
            model.append((amplitude[at] * np.vectorize(math.erf)(ends).mean(axis=0) ** 2).sum())
        return np.log(np.array(model) / measured)

    amplitude, width = least_squares(deviation, np.array([1.5, 0.5]))
    off = np.expm1(deviation(np.array([amplitude, width])))
    print(f"{len(off)} diverging beams: {off.std():.1%} rms, {off.min():+.1%} to {off.max():+.1%}")
    return float(amplitude), float(width)


def main(target: Path) -> None:
    """Run, fit, write."""
    began = time.perf_counter()
    slopes, distances, amplitudes = [], [], []
    for water_cm in WATER_CM:
        data, error = np.full((2, len(ENERGY_KEV), len(GAP_MM), len(HALF_MM)), np.nan)
        for row, energy_kev in enumerate(ENERGY_KEV):
            if water_cm * float(mass_attenuation_cm2_g("water", energy_kev)) < THICKEST:
                data[row], error[row] = pencil(energy_kev, water_cm)
        slope, distance, amplitude = fit_thickness(water_cm, data, error)
        model = np.einsum("ghj,ej->egh", squares(slope, distance), amplitude)
        off = np.abs(model / data - 1)[ENERGY_KEV >= LEAST_KEV][:, GAP_MM <= 300][..., HALF_MM >= 50]
        print(f"{water_cm:g} cm: slope {slope.round(3)}, distance {distance.round(1)} mm, worst {np.nanmax(off):.1%}")
        slopes.append(slope)
        distances.append(distance)
        amplitudes.append(amplitude)
    amplitude = fill(np.stack(amplitudes, axis=1))
    table = fast.ScatterTable(
        energy_kev=ENERGY_KEV,
        thickness_g_cm2=WATER_CM,
        slope=np.stack(slopes),
        distance_mm=np.stack(distances),
        amplitude=amplitude,
        divergence=(0.0, 0.0),
    )
    exponents = divergence(table)
    print(f"divergence {exponents[0]:.2f}, {exponents[1]:.2f}; {time.perf_counter() - began:.0f} s")
    plain = {
        "source": f"scripts/fit_scatter.py, {PHOTONS} photons a pencil, seed {SEED}",
        "energy_kev": ENERGY_KEV.tolist(),
        "thickness_g_cm2": WATER_CM.tolist(),
        "slope": table.slope.round(4).tolist(),
        "distance_mm": table.distance_mm.round(2).tolist(),
        "amplitude": table.amplitude.round(5).tolist(),
        "divergence": [round(exponent, 3) for exponent in exponents],
    }
    target.write_text(json.dumps(plain) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
