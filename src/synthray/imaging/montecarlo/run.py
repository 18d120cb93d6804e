"""What the Monte Carlo is given and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.attenuation import MATERIALS, Material, energy_absorption_cm2_g, mass_attenuation_cm2_g
from synthray.imaging.checks import check_between
from synthray.imaging.detector import Detector
from synthray.imaging.grid import Grid, grid_attenuation_mm
from synthray.imaging.montecarlo.tables import ENERGY_KEV, HIGHEST_KEV, LOWEST_KEV, cross_sections
from synthray.imaging.spectrum import Spectrum

Array = npt.NDArray[np.float64]
Field = tuple[float, float, float, float]

# The scatter's standard error comes from this many independent parts.
_BATCHES = 10


@dataclass(frozen=True, eq=False)
class Body:
    """Matter on a rectilinear grid of cells; vacuum outside.

    Attributes:
        edges_mm: borders of the cells along x, y and z, ascending.
        density_g_cm3: (M, I, J, K) of each material; a cell may hold a mix.
        materials: M names of `MATERIALS`, or compositions.
    """

    edges_mm: tuple[Array, Array, Array]
    density_g_cm3: Array
    materials: tuple[str | Material, ...]

    def __post_init__(self) -> None:
        edges = tuple(np.ascontiguousarray(axis, dtype=np.float64) for axis in self.edges_mm)
        density = np.ascontiguousarray(self.density_g_cm3, dtype=np.float64)
        shape = (len(self.materials), *(len(axis) - 1 for axis in edges))
        if density.shape != shape:
            raise InputError(f"density of shape {density.shape}, but materials and edges make {shape}")
        if any(len(axis) < 2 or not np.all(np.diff(axis) > 0) for axis in edges):
            raise InputError("the edges of a body must ascend along each axis")
        if not (np.isfinite(density).all() and density.min() >= 0):
            raise InputError("the density of a body must be finite and not negative")
        object.__setattr__(self, "edges_mm", edges)
        object.__setattr__(self, "density_g_cm3", density)

    @staticmethod
    def slab(material: str, thickness_mm: float, front_mm: float, width_mm: float = 2000.0) -> Body:
        """A square slab across the z axis at the material's usual density, its front at z = `front_mm`.

        Raises:
            InputError: unknown material, or no size.
        """
        if material not in MATERIALS:
            raise InputError(f"no material '{material}'; known are {', '.join(sorted(MATERIALS))}")
        side = np.array([-width_mm / 2, width_mm / 2])
        density = np.full((1, 1, 1, 1), MATERIALS[material].density_g_cm3)
        return Body((side, side, np.array([front_mm, front_mm + thickness_mm])), density, (material,))


@dataclass(frozen=True, eq=False)
class Receptor:
    """A flat pixel detector, and what it makes of a photon.

    Attributes:
        corner_mm: (3,) outer corner of pixel (0, 0).
        column_mm: (3,) step from one column to the next.
        row_mm: (3,) step from one row to the next, at right angles to the former.
        rows, columns: number of pixels.
        detector: converting layer and mode; None takes each photon's whole energy. Slanting photons pass more of it.
        grid: anti-scatter grid, focused on the source.
    """

    corner_mm: Array
    column_mm: Array
    row_mm: Array
    rows: int
    columns: int
    detector: Detector | None = None
    grid: Grid | None = None

    @staticmethod
    def across_z(
        z_mm: float, pixels: int, pixel_mm: float, detector: Detector | None = None, grid: Grid | None = None
    ) -> Receptor:
        """A square detector across the z axis, centred on it."""
        half = pixels * pixel_mm / 2
        column, row = np.array([pixel_mm, 0.0, 0.0]), np.array([0.0, pixel_mm, 0.0])
        return Receptor(np.array([-half, -half, z_mm]), column, row, pixels, pixels, detector, grid)


@dataclass(frozen=True, eq=False)
class MonteCarloResult:
    """Signals in keV (or counts) per pixel for one photon per steradian, and energies in keV for the same.

    Attributes:
        open: (row, column) without the body and the grid.
        primary: (row, column) unscattered, through the grid where there is one.
        parts: (10, 3, row, column) scattered once coherently, once incoherently, and more often, by ten independent
            parts of the histories.
        deposited_kev: (I, J, K) energy left in each cell.
        emitted: photons emitted into the field.
        emitted_kev: their energy.
        leaving_kev: energy that left the body, in any direction, or missed it.
    """

    open: Array
    primary: Array
    parts: Array
    deposited_kev: Array
    emitted: float
    emitted_kev: float
    leaving_kev: float

    @property
    def scatter(self) -> Array:
        """(3, row, column) mean of `parts`."""
        return self.parts.mean(axis=0)

    def ratio(self, rows: slice = slice(None), columns: slice = slice(None)) -> tuple[float, float]:
        """Scatter-to-primary ratio within a window of pixels, and its standard error.

        Neighbouring pixels share histories: their errors don't add in quadrature.
        """
        each = self.parts[:, :, rows, columns].sum(axis=(1, 2, 3)) / self.primary[rows, columns].sum()
        return float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))


def follow_photons(
    body: Body,
    receptor: Receptor,
    beam: Spectrum | float,
    photons: int,
    seed: int,
    source_mm: Sequence[float] = (0.0, 0.0, 0.0),
    field_px: Field | None = None,
) -> MonteCarloResult:
    """Follow photons from a point source through a body; single thread, the same bits for the same arguments.

    Photoelectric absorption, incoherent scattering (Klein-Nishina with the atoms' scattering functions) and coherent
    scattering (form factors) of independent atoms. Left out: fluorescence and electrons (their energy stays where it
    arises), Doppler broadening, interference between molecules, polarisation, scatter within detector and grid.

    Args:
        body: what is in the beam.
        receptor: the detector.
        beam: spectrum, or one photon energy in keV.
        photons: number of histories; 1e5 take about a second.
        seed: of the random numbers, not negative.
        source_mm: focal spot.
        field_px: first and last column, first and last row of the field (outer edges, in pixels); None is the whole
            detector. The primary is computed for pixels whose centres lie in it.

    Raises:
        InputError: energy out of 5 to 160 keV, no photons, detector through the source, or an empty field.
    """
    source = np.asarray(source_mm, dtype=np.float64)
    field = (0.0, float(receptor.columns), 0.0, float(receptor.rows)) if field_px is None else field_px
    frame = frame_of(receptor)
    if not (frame[0] - source) @ frame[3] > 0:
        raise InputError("column x row of the detector must point away from the source; swap them or move the source")
    if not (field[1] > field[0] and field[3] > field[2]):
        raise InputError(f"the field is empty: columns {field[0]} to {field[1]}, rows {field[2]} to {field[3]}")
    area = np.linalg.norm(frame[1]) * np.linalg.norm(frame[2]) * (field[1] - field[0]) * (field[3] - field[2])
    energies, share = beam_lines(beam)
    scattered, deposit, totals = scatter_histories(
        body, receptor, (energies, share), photons, seed, source, field, np.zeros(1), float(area)
    )
    parts = np.stack([part[:, 0] for part in scattered])
    open_signal, primary = _primary(body, receptor, energies, share, source, field)
    return MonteCarloResult(
        open=open_signal,
        primary=primary,
        parts=parts,
        deposited_kev=deposit,
        emitted=totals[0],
        emitted_kev=totals[1],
        leaving_kev=totals[2],
    )


def scatter_histories(
    body: Body,
    receptor: Receptor,
    beam: tuple[Array, Array],
    photons: int,
    seed: int,
    source_mm: Array,
    field_px: Field,
    planes_mm: Array,
    scale: float,
) -> tuple[list[Array], Array, Array]:
    """The histories alone, with several parallel detectors: batches of (3, plane, row, column), deposit and totals.

    `planes_mm` are distances behind the receptor, along its normal; a field without area is a pencil. A photon weighs
    `scale` cos / r².
    """
    from synthray.imaging.montecarlo.transport import histories

    check_between("photons", photons, _BATCHES, 1e12)
    check_between("seed", seed, 0, 2**63 - 1)
    tables = cross_sections(body.materials)
    frame = frame_of(receptor)
    chance = _chances(body, beam, source_mm, frame, field_px)
    beam_input = (
        *(source_mm, frame, planes_mm, np.array(field_px), scale),
        *(beam[0], np.cumsum(chance), beam[1] / chance),
    )
    body_input = (
        body.edges_mm,
        body.density_g_cm3,
        tables.mass_attenuation_cm2_g,
        tables.incoherent,
        tables.coherent,
    )
    deposit, totals = np.zeros(body.density_g_cm3.shape[1:]), np.zeros(3)
    each, images = photons // _BATCHES, []
    for batch in range(_BATCHES):
        image = np.zeros((3, len(planes_mm), receptor.rows, receptor.columns))
        histories(batch * each, each, seed, beam_input, body_input, receptor_tables(receptor), image, deposit, totals)
        images.append(image / each)
    return images, deposit / (each * _BATCHES), totals / (each * _BATCHES)


def _chances(body: Body, beam: tuple[Array, Array], source: Array, frame: Array, field: Field) -> Array:
    """How often each energy is drawn: half by its share in the beam, half by its share behind the body's middle."""
    from synthray.imaging.montecarlo.march import area_densities

    middle = frame[0] + (field[0] + field[1]) / 2 * frame[1] + (field[2] + field[3]) / 2 * frame[2]
    mass = cross_sections(body.materials).mass_attenuation_cm2_g.sum(axis=0)
    per_mass = np.stack([np.interp(beam[0], ENERGY_KEV, each) for each in mass])
    depth = (area_densities(body.edges_mm, body.density_g_cm3, source, middle[None]).T @ per_mass)[0]
    behind = beam[1] * beam[0] * np.exp(depth.min() - depth)
    return (beam[1] + behind / behind.sum()) / 2


def frame_of(receptor: Receptor) -> Array:
    """(4, 3) corner, column step, row step and unit normal (column x row)."""
    column, row = (np.asarray(step, dtype=np.float64) for step in (receptor.column_mm, receptor.row_mm))
    normal = np.cross(column, row)
    length = float(np.linalg.norm(normal))
    if not length > 0 or abs(column @ row) > 1e-6 * length:
        raise InputError("column and row steps of a detector must be at right angles and not zero")
    return np.stack([np.asarray(receptor.corner_mm, dtype=np.float64), column, row, normal / length])


def beam_lines(beam: Spectrum | float) -> tuple[Array, Array]:
    """Photon energies and the share of each."""
    if not isinstance(beam, Spectrum):
        check_between("photon energy in keV", float(beam), LOWEST_KEV, HIGHEST_KEV)
        return np.array([float(beam)]), np.ones(1)
    kept = (beam.fluence_per_cm2_mas > 0) & (beam.energy_kev >= LOWEST_KEV)
    fluence = beam.fluence_per_cm2_mas[kept]
    return beam.energy_kev[kept], fluence / fluence.sum()


def receptor_tables(receptor: Receptor) -> tuple[Any, ...]:
    """Signal of a caught photon, optical depth of the layer, and the grid, on the energy grid of the transport."""
    deposit, caught = ENERGY_KEV.copy(), np.full_like(ENERGY_KEV, 1e9)
    if receptor.detector is not None:
        total, absorbed = (
            coefficient(receptor.detector.material, ENERGY_KEV)
            for coefficient in (mass_attenuation_cm2_g, energy_absorption_cm2_g)
        )
        density = MATERIALS[receptor.detector.material].density_g_cm3 * receptor.detector.packing
        caught = np.minimum(total * density * receptor.detector.thickness_mm / 10, 1e9)
        deposit = ENERGY_KEV * absorbed / total
        if receptor.detector.mode == "counting":
            low, high = receptor.detector.threshold_kev
            deposit = np.where((low <= ENERGY_KEV) & (high > ENERGY_KEV), 1.0, 0.0)
        deposit *= receptor.detector.fill_factor
    strips, attenuation = np.zeros(3), np.zeros((2, len(ENERGY_KEV)))
    if receptor.grid is not None:
        strips = np.array([receptor.grid.period_mm, receptor.grid.lead_mm, receptor.grid.height_mm])
        attenuation = grid_attenuation_mm(receptor.grid, ENERGY_KEV)
    return deposit, caught, strips, attenuation[0], attenuation[1]


def _primary(
    body: Body, receptor: Receptor, energies: Array, share: Array, source: Array, field: Field
) -> tuple[Array, Array]:
    """(row, column) open and unscattered signal at the pixels' centres, for one photon per steradian."""
    from synthray.imaging.montecarlo.march import area_densities
    from synthray.imaging.montecarlo.transport import signal

    corner, column, row, normal = frame_of(receptor)
    at_column, at_row = np.arange(receptor.columns) + 0.5, np.arange(receptor.rows) + 0.5
    targets = (corner + at_column[None, :, None] * column + at_row[:, None, None] * row).reshape(-1, 3)
    away = targets - source
    distance = np.linalg.norm(away, axis=1)
    cosine = away @ normal / distance
    pixels = cosine / distance**2 * np.linalg.norm(column) * np.linalg.norm(row)
    mass = cross_sections(body.materials).mass_attenuation_cm2_g.sum(axis=0)
    per_mass = np.stack([np.interp(energies, ENERGY_KEV, each) for each in mass])
    through = np.exp(-area_densities(body.edges_mm, body.density_g_cm3, source, targets).T @ per_mass)
    bare = Receptor(corner, column, row, receptor.rows, receptor.columns, receptor.detector)
    # Slant matters little for the primary, but a wide field at a short distance has some.
    worth = [
        np.array([[signal(tables, e, c, 0.0) for e in energies] for c in np.linspace(cosine.min(), 1, 9)])
        for tables in (receptor_tables(bare), receptor_tables(receptor))
    ]
    place = (cosine - cosine.min()) / max(1 - cosine.min(), 1e-12) * 8
    low = np.minimum(place.astype(int), 7)
    part = (place - low)[:, None]
    without, within = ((1 - part) * values[low] + part * values[low + 1] for values in worth)
    inside = (at_column >= field[0]) & (at_column <= field[1]) & ((at_row >= field[2]) & (at_row <= field[3]))[:, None]
    shape = (receptor.rows, receptor.columns)
    lit = pixels * inside.ravel()
    return (lit * (without @ share)).reshape(shape), (lit * ((through * within) @ share)).reshape(shape)
