"""Fit tissues as mixes of the two bases, and tabulate the error of the signal that they transmit.

Usage: python benchmarks/physics/tissues.py   (prints the shares that `anatomy.hounsfield.TISSUES` carries)

The fit minimises the error of the transmitted signal itself, for CsI at 60 to 120 kVp behind 1 to 40 cm, in the
8-norm: nearly the smallest worst case. A fit of the attenuation alone is ten times worse behind thick bodies.
"""

import numpy as np

from synthray.imaging import Detector, Tube, basis_attenuation_cm2_g, mass_attenuation_cm2_g, response, spectrum

TISSUES = (
    "water",
    "soft_tissue",
    "muscle",
    "lung",
    "blood",
    "brain",
    "skin",
    "cartilage",
    "adipose",
    "spongiosa",
    "cortical_bone",
)
VOLTAGES = (60, 80, 100, 120)
_FIT_CM = np.array([1, 5, 10, 15, 20, 25, 30, 40])
_TABLE_CM = np.array([0.5, 2, 4, 7, 10, 14, 18, 22, 27, 33, 40])
_DENSITY_G_CM3 = {"adipose": 0.95, "spongiosa": 1.18, "cortical_bone": 1.92, "cartilage": 1.10}
# Nobody has 40 cm of bone: what lets less than this through does not count.
_LEAST_SIGNAL = 1e-4
_POWER = 8


def transmitted(
    name: str, shares: np.ndarray, kvp: int, centimetres: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signal behind a tissue, behind its mix of bases, and the mix's derivative by the shares, (T,), (T,), (T, 2)."""
    beam = spectrum(Tube(tube_kvp=kvp))
    signal = beam.fluence_per_cm2_mas * response(Detector(), beam.energy_kev)[0]
    signal = signal / signal.sum()
    grams = centimetres * _DENSITY_G_CM3.get(name, 1.05)
    bases = basis_attenuation_cm2_g(beam.energy_kev)
    exact = np.exp(-np.outer(grams, mass_attenuation_cm2_g(name, beam.energy_kev))) @ signal
    mixed = np.exp(-np.outer(grams, bases @ shares))
    slope = -grams[:, None] * ((mixed * signal) @ bases)
    seen = exact > _LEAST_SIGNAL
    return exact[seen], (mixed @ signal)[seen], slope[seen]


def fitted_shares(name: str) -> np.ndarray:
    """Grams of adipose and of cortical bone per gram of a tissue (iteratively reweighted Gauss-Newton)."""
    energy = np.arange(20.0, 121.0)
    tissue = mass_attenuation_cm2_g(name, energy)
    shares = np.linalg.lstsq(basis_attenuation_cm2_g(energy) / tissue[:, None], np.ones(len(energy)), rcond=None)[0]
    for _ in range(200):
        parts = [transmitted(name, shares, kvp, _FIT_CM) for kvp in VOLTAGES]
        exact, mixed, slope = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        error = mixed / exact - 1
        weight = (np.abs(error) / max(np.abs(error).max(), 1e-12) + 1e-3) ** ((_POWER - 2) / 2)
        step = np.linalg.lstsq(weight[:, None] * slope / exact[:, None], -weight * error, rcond=None)[0]
        shares = shares + 0.3 * step
    return shares


def worst_error(name: str, shares: np.ndarray, kvp: int) -> float:
    """Largest relative error of the transmitted signal, at thicknesses that the fit did not use."""
    exact, mixed, _ = transmitted(name, shares, kvp, _TABLE_CM)
    return float(np.abs(mixed / exact - 1).max())


def main() -> None:
    """Print shares and errors."""
    print("| tissue | adipose + cortical bone | " + " | ".join(f"{kvp} kVp" for kvp in VOLTAGES) + " |")
    print("|---|---|" + "---|" * len(VOLTAGES))
    for name in TISSUES:
        shares = fitted_shares(name)
        errors = " | ".join(f"{worst_error(name, shares, kvp):.2%}" for kvp in VOLTAGES)
        print(f"| {name.replace('_', ' ')} | {abs(shares[0]):.4f} + {abs(shares[1]):.4f} | {errors} |")


if __name__ == "__main__":
    main()
