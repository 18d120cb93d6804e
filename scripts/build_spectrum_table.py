"""Build `spectrum_table.npz`, the tube spectra that synthray ships, with SpekPy (`pip install 'synthray[spectrum]'`).

The table holds what leaves a tungsten anode at 12 degrees, with no filter but the anode itself, at 1 m on the central
ray: photons per cm² per mAs in bins of 1 keV, for every whole kVp from 40 to 150. Other angles, those of the heel
effect included, are ratios to it, which change slowly and need few voltages. Filters are applied by synthray.

    python scripts/build_spectrum_table.py [spectrum_table.npz]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import spekpy

ANODE_ANGLE_DEG = 12.0
TUBE_KVP = np.arange(40, 151)
RATIO_KVP = np.array([40, 43, 46, 50, 55, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150])
RATIO_ANGLE_DEG = np.array([2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32])
LOWEST_KEV = 5.5
HERE = Path(__file__).resolve().parent
DEFAULT = HERE.parent / "src" / "synthray" / "imaging" / "spectrum_table.npz"


def emitted(tube_kvp: float, energy_kev: np.ndarray, angle_deg: float = ANODE_ANGLE_DEG) -> np.ndarray:
    """Photons per cm² per mAs at 1 m in each bin centred on `energy_kev`; zero above the tube voltage."""
    centres, per_kev = spekpy.Spek(kvp=float(tube_kvp), th=float(angle_deg), dk=1.0).get_spectrum()
    return np.interp(energy_kev, centres, np.maximum(per_kev, 0.0), right=0.0)


def ratios(tube_kvp: float, energy_kev: np.ndarray) -> np.ndarray:
    """(angle, energy) emission at each take-off angle over that at 12 degrees; above the voltage the last value."""
    reference = emitted(tube_kvp, energy_kev)
    # Below 15 keV next to nothing leaves the tube through its window, and the ratio is noise.
    seen = (reference > 0) & (energy_kev > 15)
    rows = [emitted(tube_kvp, energy_kev, angle)[seen] / reference[seen] for angle in RATIO_ANGLE_DEG]
    return np.array([np.interp(energy_kev, energy_kev[seen], row) for row in rows])


def main(target: Path) -> None:
    """Write the table."""
    energy_kev = np.arange(LOWEST_KEV, TUBE_KVP[-1])
    table = np.array([emitted(kvp, energy_kev) for kvp in TUBE_KVP])
    ratio = np.array([ratios(kvp, energy_kev) for kvp in RATIO_KVP])
    np.savez_compressed(
        target,
        tube_kvp=TUBE_KVP.astype(np.float32),
        energy_kev=energy_kev.astype(np.float32),
        fluence_per_cm2_mas=table.astype(np.float32),
        ratio_kvp=RATIO_KVP.astype(np.float32),
        ratio_angle_deg=RATIO_ANGLE_DEG.astype(np.float32),
        ratio=ratio.astype(np.float16),
    )
    print(
        f"{target}: {table.shape[0]} tube voltages x {table.shape[1]} energies, "
        f"{ratio.shape[1]} angles, {target.stat().st_size} bytes"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
