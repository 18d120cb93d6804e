"""Scattered radiation at the detector: a first, smooth estimate.

Source term of Ohnesorge et al. 1999 (forward scatter as a function of the primary), spread by one Gaussian as in the
kernel model of Boone & Seibert 1988: S = c · (T L^p) ⊗ G with T the primary transmission and L = -ln T. Behind a
uniform slab in a wide field the scatter-to-primary ratio is then c · L^p.

Limits: one kernel for all thicknesses, no coherent peak, no beam hardening of the scatter, no lines of the grid, no
dependence on where along the ray the matter lies. Good for the slow veil and its loss of contrast, not for dose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthray.imaging.blur import gaussian
from synthray.imaging.checks import check_between

Image = npt.NDArray[np.float32]

# -ln T of 20 cm of water at 120 kVp.
_REFERENCE_ABSORBANCE = 4.3
# Growth of the ratio with absorbance, from a Monte Carlo of water slabs of 10, 20 and 30 cm at 60 keV.
_EXPONENT = 1.3
_CONTACT_RATIO = 3.6
_VIRTUAL_SOURCE_MM = 330.0


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Strength and width of the scatter.

    Attributes:
        ratio: scatter-to-primary ratio at the detector behind 20 cm of water in a field much wider than the kernel,
            air gap and grid included. `scatter_ratio` estimates it.
        sigma_mm: standard deviation of the kernel at the detector.
    """

    ratio: float = 0.5
    sigma_mm: float = 60.0

    def __post_init__(self) -> None:
        check_between("scatter ratio", self.ratio, 0, 20)
        check_between("scatter sigma_mm", self.sigma_mm, 1, 1000)


def scatter_ratio(air_gap_mm: float, grid_transmission: float = 1.0) -> float:
    """Estimate of `Scatter.ratio` from the air gap and an anti-scatter grid.

    3.6 in contact with the exit surface, times (x / (x + gap))² as if the scatter came from x before that surface
    (Sorenson & Floch 1985 give x of 150 to 200 mm for narrow fields; 330 mm fits our Monte Carlo of a 30 cm field).

    Args:
        air_gap_mm: from the exit surface to the detector, 0 to 3000.
        grid_transmission: scatter's transmission over the primary's, 0 to 1; about 0.2 for a grid of ratio 10.
    """
    check_between("air_gap_mm", air_gap_mm, 0, 3000)
    check_between("grid_transmission", grid_transmission, 0, 1)
    return _CONTACT_RATIO * (_VIRTUAL_SOURCE_MM / (_VIRTUAL_SOURCE_MM + air_gap_mm)) ** 2 * grid_transmission


def scattered(transmission: Image, scatter: Scatter, pixel_mm: float) -> Image:
    """Scatter as a fraction of the open-field signal, to be added to the primary.

    The beam ends at the edge of the image, so that a smaller field has less scatter.

    Args:
        transmission: (..., row, column) primary, 0 to 1.
        scatter: strength and width.
        pixel_mm: pixel pitch at the detector.
    """
    primary = np.asarray(transmission, dtype=np.float32)
    if scatter.ratio == 0:
        return np.zeros_like(primary)
    absorbance = -np.log(np.clip(primary, np.float32(1e-12), np.float32(1)))
    source = primary * absorbance ** np.float32(_EXPONENT)
    strength = scatter.ratio / _REFERENCE_ABSORBANCE**_EXPONENT
    return gaussian(source, scatter.sigma_mm / pixel_mm, edge="zero") * np.float32(strength)
