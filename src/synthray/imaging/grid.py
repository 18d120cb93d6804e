"""Anti-scatter grids: lead strips that let the primary pass and catch what comes from elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.checks import check_between


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A linear grid, focused on the source; its strips run along the image's columns.

    Attributes:
        ratio: height of the strips over the width of the gaps between them.
        lines_per_cm: strips per cm.
        lead_um: thickness of a strip.
        interspace: what fills the gaps: "aluminium" or "fibre" (paper or carbon, taken as 0.7 g/cm³ of carbon).
    """

    ratio: float = 10.0
    lines_per_cm: float = 40.0
    lead_um: float = 50.0
    interspace: Literal["aluminium", "fibre"] = "fibre"

    def __post_init__(self) -> None:
        check_between("grid ratio", self.ratio, 1, 30)
        check_between("grid lines_per_cm", self.lines_per_cm, 5, 120)
        check_between("grid lead_um", self.lead_um, 5, 500)
        if self.interspace not in _INTERSPACE:
            raise InputError(f"grid interspace must be aluminium or fibre, got '{self.interspace}'")
        if self.lead_mm > 0.8 * self.period_mm:
            raise InputError(
                f"grid: strips of {self.lead_um:g} µm, {self.lines_per_cm:g} to the cm, leave under a fifth open"
            )

    @property
    def period_mm(self) -> float:
        """From one strip to the next."""
        return 10 / self.lines_per_cm

    @property
    def lead_mm(self) -> float:
        """Thickness of a strip."""
        return self.lead_um / 1000

    @property
    def height_mm(self) -> float:
        """Height of the strips."""
        return self.ratio * (self.period_mm - self.lead_mm)

    @staticmethod
    def preset(name: str) -> Grid:
        """A named grid: "6:1", "8:1", "10:1", "12:1" or "15:1", of usual build.

        Raises:
            InputError: unknown name.
        """
        if name not in GRID_PRESETS:
            raise InputError(f"no grid preset '{name}'; known are {', '.join(GRID_PRESETS)}")
        return GRID_PRESETS[name]


_INTERSPACE = MappingProxyType({"aluminium": ("Al", 2.699), "fibre": ("C", 0.7)})

# 36 to 80 strips of 30 to 65 µm to the cm span what makers list; coarse grids usually come with aluminium.
GRID_PRESETS = MappingProxyType(
    {
        "6:1": Grid(ratio=6, lines_per_cm=40, lead_um=50, interspace="aluminium"),
        "8:1": Grid(ratio=8, lines_per_cm=40, lead_um=50, interspace="aluminium"),
        "10:1": Grid(ratio=10, lines_per_cm=40, lead_um=50),
        "12:1": Grid(ratio=12, lines_per_cm=40, lead_um=50),
        "15:1": Grid(ratio=15, lines_per_cm=80, lead_um=20),
    }
)


def grid_attenuation_mm(grid: Grid, energy_kev: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """(2, ...) linear attenuation of lead and of the interspace in 1/mm."""
    import xraylib_np

    energy = np.atleast_1d(np.asarray(energy_kev, dtype=np.float64))
    symbol, density = _INTERSPACE[grid.interspace]
    number = {"Al": 13, "C": 6}[symbol]
    both = xraylib_np.CS_Total(np.array([82, number]), energy.ravel())
    return (both * np.array([[11.35], [density]]) / 10).reshape(2, *np.shape(energy_kev))


def strip_transmission(
    across: float, path_per_height: float, geometry: tuple[float, float, float], lead: float, interspace: float
) -> float:
    """Part of the photons of one direction that pass a grid, averaged over where they enter it.

    Photons absorbed or scattered in the grid are lost; the average over the entrance is exact (the quantity of Day &
    Dance 1983). Plain Python, so that the Monte Carlo can compile it.

    Args:
        across: sideways shift per height, perpendicular to the strips and relative to their focus.
        path_per_height: path length per height, 1 / cos of the angle to the grid's normal.
        geometry: period, thickness of a strip and height in mm.
        lead: linear attenuation of the strips, 1/mm.
        interspace: linear attenuation between them, 1/mm.
    """
    period, strip, height = geometry
    gap = period - strip
    path = height * path_per_height
    shift = abs(across) * height
    if shift < 1e-9 * period:
        return (gap * math.exp(-interspace * path) + strip * math.exp(-lead * path)) / period
    whole = math.floor(shift / period)
    rest = shift - whole * period
    per_mm = (lead - interspace) * path / shift  # for each mm of the shift that lies in lead
    most, least = min(rest, strip), max(0.0, rest - gap)
    ends = abs(strip - rest) * math.exp(-per_mm * most) + abs(gap - rest) * math.exp(-per_mm * least)
    ramps = 2 * (math.exp(-per_mm * least) - math.exp(-per_mm * most)) / per_mm
    return math.exp(-interspace * path - per_mm * whole * strip) * (ends + ramps) / period


def primary_transmission(grid: Grid, energy_kev: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Part of the primary photons that pass, by energy; strips point at the source."""
    lead, between = grid_attenuation_mm(grid, energy_kev)
    share = grid.lead_mm / grid.period_mm
    return (1 - share) * np.exp(-between * grid.height_mm) + share * np.exp(-lead * grid.height_mm)


def grid_lines(grid: Grid, columns: int, pixel_mm: float, energy_kev: float = 60.0) -> npt.NDArray[np.float32]:
    """(columns,) shadow of the strips, mean 1, as pixels of width `pixel_mm` integrate it; moiré included.

    For a stationary grid; a moving one leaves no lines. Multiply the primary's image by it.
    """
    check_between("pixel_mm", pixel_mm, 0.01, 10)
    lead, between = np.exp(-grid_attenuation_mm(grid, energy_kev) * grid.height_mm)
    edges = np.arange(columns + 1) * pixel_mm
    whole, rest = np.divmod(edges, grid.period_mm)
    covered = whole * grid.lead_mm + np.minimum(rest, grid.lead_mm)
    share = np.diff(covered) / pixel_mm
    signal = share * lead + (1 - share) * between
    mean = (grid.lead_mm * lead + (grid.period_mm - grid.lead_mm) * between) / grid.period_mm
    return (signal / mean).astype(np.float32)
