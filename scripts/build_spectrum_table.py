"""Build `spectrum_table.npz`, the tube spectra that synthray ships, with SpekPy (`pip install 'synthray[spectrum]'`).

The table holds what leaves a tungsten anode at 12 degrees, with no filter but the anode itself, at 1 m on the central
ray: photons per cm² per mAs in bins of 1 keV, for every whole kVp from 40 to 150. Filters are applied by synthray.

    python scripts/build_spectrum_table.py [spectrum_table.npz]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import spekpy

ANODE_ANGLE_DEG = 12.0
TUBE_KVP = np.arange(40, 151)
LOWEST_KEV = 5.5
HERE = Path(__file__).resolve().parent
DEFAULT = HERE.parent / "src" / "synthray" / "imaging" / "spectrum_table.npz"


def emitted(tube_kvp: float, energy_kev: np.ndarray) -> np.ndarray:
    """Photons per cm² per mAs at 1 m in each bin centred on `energy_kev`; zero above the tube voltage."""
    centres, per_kev = spekpy.Spek(kvp=float(tube_kvp), th=ANODE_ANGLE_DEG, dk=1.0).get_spectrum()
    return np.interp(energy_kev, centres, np.maximum(per_kev, 0.0), right=0.0)


def main(target: Path) -> None:
    """Write the table."""
    energy_kev = np.arange(LOWEST_KEV, TUBE_KVP[-1])
    table = np.array([emitted(kvp, energy_kev) for kvp in TUBE_KVP])
    np.savez_compressed(
        target,
        tube_kvp=TUBE_KVP.astype(np.float32),
        energy_kev=energy_kev.astype(np.float32),
        fluence_per_cm2_mas=table.astype(np.float32),
    )
    print(f"{target}: {table.shape[0]} tube voltages x {table.shape[1]} energies, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
