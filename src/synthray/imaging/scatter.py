"""Scattered radiation at the detector, fast: Gaussian kernels whose strength and width depend on the thickness.

A pencil of primary radiation through t g/cm² of tissue adds to the detector the scatter
T(t) · Σ_j A_j(E, t) · G(r; σ_j), with T its own transmission and G four normal distributions, from narrow (coherent
and small-angle scatter) to broad. Their widths grow with the air gap as if the scatter came from points before the exit
surface, σ_j = s_j (gap + d_j): the virtual source of Sorenson & Floch 1985, one for each part. Amplitude as a function
of thickness and superposition over the field follow Boone & Seibert 1988. A_j, s_j and d_j come from our own Monte
Carlo (`scripts/fit_scatter.py`), at single energies: any spectrum is a mix of its energy nodes. Field size,
collimation and the edges of the body come out of the superposition. `docs/scatter.md` has the comparison with the
Monte Carlo and the limits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.attenuation import WATER_AS_BASIS, electrons_relative_to_water
from synthray.imaging.blur import block_means, enlarge
from synthray.imaging.checks import check_between
from synthray.imaging.grid import Grid, grid_attenuation_mm, primary_transmission, strip_transmission
from synthray.imaging.nodes import Nodes

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[Any]

# Electrons per gram, relative to water's: adipose tissue and cortical bone (ICRU-44).
WATER_EQUIVALENT = (1.0, 0.927)
_REFERENCE_G_CM2 = 20.0
# The veil is made on at most this many blocks along a side, with Gaussians from a fixed ladder of widths. Larger matrix
# products would wake the threads of BLAS, which cost more than they save.
BLOCKS = 60
_LADDER_MM = 4.0 * 1.4 ** np.arange(18)
# Part of its energy that scatter still has when it meets the grid; fitted to the Monte Carlo's grid transmission.
_ENERGY_KEPT, _ENERGY_LOST_CM2_G = 0.92, 0.004
_GRID_ENERGY_KEV = np.array([15.0, 25, 35, 50, 70, 87, 90, 110, 150])
_GRID_SLOPE = np.array([0.03, 0.08, 0.15, 0.3, 0.5, 0.8, 1.2, 2.0, 3.0])


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """What decides how much scatter reaches the detector.

    Attributes:
        air_gap_mm: from where the beam leaves the body to the detector.
        grid: anti-scatter grid, or None.
        strength: factor on all of it; 0 switches scatter off.
        ratio: None for the physical amount; a number sets the scatter-to-primary ratio behind 20 cm of water in a
            wide field, gap and grid included, and keeps the rest.
        sigma_mm: None for the physical kernels; a number replaces them by one Gaussian of this standard deviation at
            the detector.
    """

    air_gap_mm: float = 100.0
    grid: Grid | None = field(default_factory=Grid)
    strength: float = 1.0
    ratio: float | None = None
    sigma_mm: float | None = None

    def __post_init__(self) -> None:
        check_between("scatter air_gap_mm", self.air_gap_mm, 0, 3000)
        check_between("scatter strength", self.strength, 0, 10)
        if self.ratio is not None:
            check_between("scatter ratio", self.ratio, 0, 20)
        if self.sigma_mm is not None:
            check_between("scatter sigma_mm", self.sigma_mm, 1, 1000)


@dataclass(frozen=True, eq=False)
class ScatterTable:
    """The fitted kernels of J parts.

    Attributes:
        energy_kev: (E,) photon energies before the body.
        thickness_g_cm2: (T,) of water.
        slope: (T, J) standard deviation per distance.
        distance_mm: (T, J) of the virtual source before the exit surface.
        amplitude: (E, T, J) scatter over the pencil's own primary, over the whole plane.
        divergence: exponents of the beam's magnification between the virtual source and the exit surface, by which
            amplitude and width grow when the beam diverges.
    """

    energy_kev: Array
    thickness_g_cm2: Array
    slope: Array
    distance_mm: Array
    amplitude: Array
    divergence: tuple[float, float]


@lru_cache(maxsize=1)
def scatter_table() -> ScatterTable:
    """The table that ships with synthray."""
    plain = json.loads((files("synthray.imaging") / "scatter_table.json").read_text(encoding="utf-8"))
    stronger, wider = plain["divergence"]
    return ScatterTable(
        energy_kev=np.array(plain["energy_kev"]),
        thickness_g_cm2=np.array(plain["thickness_g_cm2"]),
        slope=np.array(plain["slope"]),
        distance_mm=np.array(plain["distance_mm"]),
        amplitude=np.array(plain["amplitude"]),
        divergence=(stronger, wider),
    )


def scatter_ratio(
    thickness_g_cm2: float,
    field_mm: float,
    scatter: Scatter,
    beam: Nodes,
    source_to_detector_mm: float = 1000.0,
    table: ScatterTable | None = None,
) -> float:
    """Scatter-to-primary ratio in the middle of a square field behind a uniform slab of water, in closed form.

    Args:
        thickness_g_cm2: of the slab, 0 to 100; beyond 50 it grows no further.
        field_mm: side of the field at the detector.
        scatter: gap and grid.
        beam: spectrum and detector.
        source_to_detector_mm: along the central ray.
        table: kernels other than those shipped.

    Raises:
        InputError: out of range, or the gap is longer than the distance allows.
    """
    check_between("thickness_g_cm2", thickness_g_cm2, 0, 100)
    check_between("field_mm", field_mm, 1, 5000)
    kernels = table or scatter_table()
    amplitude, sigma = scatter_kernels(scatter, beam, source_to_detector_mm, field_mm / 2, kernels)
    share = _erf(field_mm / (2 * math.sqrt(2) * sigma)) ** 2
    # Per gram everything changes slowly with the thickness.
    per_gram = np.sum(amplitude * share, axis=1) / kernels.thickness_g_cm2
    held = min(thickness_g_cm2, float(kernels.thickness_g_cm2[-1]))
    return held * float(np.interp(held, kernels.thickness_g_cm2, per_gram))


def scattered(
    primary: npt.ArrayLike,
    area_density: npt.ArrayLike,
    beam: Nodes,
    scatter: Scatter,
    pixel_mm: float,
    source_to_detector_mm: float = 1000.0,
    materials: Sequence[str] = (),
) -> Floats:
    """Scatter as a fraction of the open-field signal, to be added to the primary.

    The beam ends at the edge of the image; where it is collimated, give a primary of zero. Every material counts by its
    electrons, as if it were water: right for Compton scatter, and what metal absorbs the primary lacks already.

    Args:
        primary: (..., row, column) fraction of the open-field signal, not negative.
        area_density: (..., M, row, column) g/cm² of adipose tissue, cortical bone and further materials.
        beam: spectrum and detector.
        scatter: gap, grid, strength.
        pixel_mm: pixel pitch at the detector.
        source_to_detector_mm: along the central ray.
        materials: what the channels after the two tissues are of.

    Returns:
        (..., row, column) float32, or float64 if the primary is.

    Raises:
        InputError: shapes differ, no pixels, out of range, or the gap is longer than the distance allows.
    """
    image = np.asarray(primary)
    image = image if image.dtype == np.float64 else image.astype(np.float32, copy=False)
    density = np.asarray(area_density, dtype=image.dtype)
    if (
        density.ndim < 3
        or (*density.shape[:-3], *density.shape[-2:]) != image.shape
        or density.shape[-3] != 2 + len(materials)
    ):
        raise InputError(f"scatter: area density of shape {density.shape} for a primary of {image.shape}")
    if 0 in image.shape[-2:]:
        raise InputError(f"scatter: the primary has no pixels, its shape is {image.shape}")
    check_between("pixel_mm", pixel_mm, 0.01, 100)
    if scatter.strength == 0 or scatter.ratio == 0:
        return np.zeros_like(image)
    half_mm = min(image.shape[-2:]) * pixel_mm / 2
    amplitude, sigma = scatter_kernels(scatter, beam, source_to_detector_mm, half_mm, scatter_table())
    thickness = density[..., 0, :, :].copy()
    for channel, share in enumerate(water_equivalents(materials)[1:], start=1):
        thickness += density[..., channel, :, :] * image.dtype.type(share)
    np.clip(thickness, 0, scatter_table().thickness_g_cm2[-1], out=thickness)
    source = _source(image, thickness, amplitude.sum(axis=1))
    block = -(-max(image.shape[-2:]) // BLOCKS)
    strength = block_means(source, block, "zero")
    thickness *= source
    mean = block_means(thickness, block, "zero") / np.maximum(strength, np.finfo(image.dtype).tiny)
    return _superpose(strength, mean, amplitude, sigma, block * pixel_mm, block, image.shape)


def water_equivalents(materials: Sequence[str]) -> tuple[float, ...]:
    """Grams of water with the electrons of a gram of each channel: adipose tissue, cortical bone, further materials."""
    return (*WATER_EQUIVALENT, *(electrons_relative_to_water(name) for name in materials))


def signal_through_grid(scatter: Scatter, beam: Nodes) -> float:
    """Part of the open beam's signal that passes the anti-scatter grid; 1 without one."""
    return 1.0 if scatter.grid is None else float(beam.weight @ primary_transmission(scatter.grid, beam.energy_kev))


def scatter_kernels(
    scatter: Scatter, beam: Nodes, source_to_detector_mm: float, half_field_mm: float, table: ScatterTable
) -> tuple[Array, Array]:
    """(T, J) amplitudes over the primary and standard deviations in mm at the table's thicknesses, for one setting.

    The half side of the field narrows the angles at which scatter meets the grid.
    """
    check_between("source_to_detector_mm", source_to_detector_mm, 10, 1e6)
    if not scatter.air_gap_mm <= 0.8 * source_to_detector_mm:
        raise InputError(
            f"scatter air_gap_mm must be at most 0.8 of the {source_to_detector_mm:g} mm from source to detector, "
            f"got {scatter.air_gap_mm:g}"
        )
    # What each node adds to the primary behind each thickness of water.
    attenuation = beam.basis_attenuation_cm2_g[:, :2] @ np.array(WATER_AS_BASIS)
    share = beam.weight[:, None] * np.exp(-attenuation[:, None] * (table.thickness_g_cm2 - table.thickness_g_cm2[0]))
    share /= share.sum(axis=0)
    low, part = _place(table.energy_kev, beam.energy_kev)
    part = part[:, None, None]
    each = (1 - part) * table.amplitude[low] + part * table.amplitude[low + 1]
    amplitude = np.einsum("kt,ktj->tj", share, each)
    reach = scatter.air_gap_mm + table.distance_mm
    exit_mm = source_to_detector_mm - scatter.air_gap_mm
    magnification = exit_mm / np.maximum(exit_mm - table.distance_mm, 0.2 * exit_mm)
    amplitude *= magnification ** table.divergence[0]
    sigma = table.slope * reach * magnification ** table.divergence[1]
    if scatter.grid is not None:
        narrowed = table.slope * _truncated(half_field_mm / (table.slope * reach))
        kept = _ENERGY_KEPT - _ENERGY_LOST_CM2_G * table.thickness_g_cm2
        before = (share * beam.energy_kev[:, None]).sum(axis=0)
        amplitude *= _passing(scatter.grid, narrowed, kept * before, before)
    if scatter.ratio is not None:
        reference = np.interp(_REFERENCE_G_CM2, table.thickness_g_cm2, amplitude.sum(axis=1))
        amplitude *= scatter.ratio / reference
    if scatter.sigma_mm is not None:
        sigma = np.full_like(sigma, scatter.sigma_mm)
    return amplitude * scatter.strength, sigma


def _source(primary: Floats, thickness: Floats, amplitude: Array) -> Floats:
    """Scatter that each pixel's pencil makes: primary x amplitude, the amplitude per gram a cubic in the thickness."""
    *lower, top = source_polynomial(amplitude).astype(primary.dtype)
    source = np.full_like(primary, top)
    for factor in reversed(lower):
        source *= thickness
        source += factor
    source *= thickness
    source *= primary
    return source


def source_polynomial(amplitude: Array) -> Array:
    """(4,) coefficients, lowest first, of the amplitude per g/cm² (T,) as a function of the thickness."""
    nodes = scatter_table().thickness_g_cm2
    powers = np.vander(nodes, 4, increasing=True) / (amplitude / nodes)[:, None]
    return np.asarray(np.linalg.lstsq(powers, np.ones(len(nodes)), rcond=None)[0], dtype=np.float64)


def _superpose(
    strength: Floats,
    thickness: Floats,
    amplitude: Array,
    sigma: Array,
    block_mm: float,
    block: int,
    shape: tuple[int, ...],
) -> Floats:
    """Spread each block's scatter by the Gaussians that its thickness asks for, and enlarge to the image."""
    rungs, shares = ladder_shares(amplitude, sigma)
    nodes = scatter_table().thickness_g_cm2
    layers = np.stack([strength * np.interp(thickness, nodes, share) for share in shares], axis=-3)
    layers = layers.astype(strength.dtype, copy=False)
    down, across = (ladder_spread(tuple(rungs), n, block_mm).astype(strength.dtype) for n in strength.shape[-2:])
    veil = (down @ layers @ np.swapaxes(across, -1, -2)).sum(axis=-3)
    return enlarge(veil, block, shape[-2:])


def ladder_shares(amplitude: Array, sigma: Array) -> tuple[Array, Array]:
    """Widths in use (L,) and the share of each at each thickness (L, T)."""
    weight = amplitude / amplitude.sum(axis=1, keepdims=True)
    if np.ptp(sigma) == 0:
        return sigma[0, :1], np.ones((1, len(sigma)))
    low, part = _place(np.log(_LADDER_MM), np.log(sigma))
    shares = np.zeros((len(_LADDER_MM), len(sigma)))
    for at, (lower, upper, each) in enumerate(zip(low, part, weight, strict=True)):
        np.add.at(shares[:, at], lower, (1 - upper) * each)
        np.add.at(shares[:, at], lower + 1, upper * each)
    used = shares.max(axis=1) > 0
    return _LADDER_MM[used], shares[used]


@lru_cache(maxsize=32)
def ladder_spread(sigma_mm: tuple[float, ...], blocks: int, block_mm: float) -> Array:
    """(L, blocks + 2, blocks) what one block gives to others and to one more beyond each end."""
    border = np.arange(-blocks - 0.5, blocks + 1.5) * block_mm
    share = np.diff(0.5 * _erf(border[None] / (math.sqrt(2) * np.array(sigma_mm)[:, None])), axis=1)
    place = np.arange(-1, blocks + 1)[:, None] - np.arange(blocks)
    return share[:, place + blocks]


def _passing(grid: Grid, slope: Array, scatter_kev: Array, primary_kev: Array) -> Array:
    """(T, J) transmission of scatter over that of the primary, by angular spread (T, J) and mean energies (T,)."""
    table = _grid_table(grid)
    row, down = _place(_GRID_ENERGY_KEV, scatter_kev[:, None])
    column, right = _place(_GRID_SLOPE, slope)
    scatter = (1 - down) * ((1 - right) * table[row, column] + right * table[row, column + 1])
    scatter += down * ((1 - right) * table[row + 1, column] + right * table[row + 1, column + 1])
    return scatter / primary_transmission(grid, primary_kev)[:, None]


@lru_cache(maxsize=64)
def _grid_table(grid: Grid) -> Array:
    """(energy, slope) transmission of photons whose tangents to the focus are normally distributed."""
    attenuation = grid_attenuation_mm(grid, _GRID_ENERGY_KEV).T
    geometry = (grid.period_mm, grid.lead_mm, grid.height_mm)
    across, along = _normal_quantiles(20), _normal_quantiles(5)
    passing = np.zeros((len(_GRID_ENERGY_KEV), len(_GRID_SLOPE)))
    for row, (lead, between) in enumerate(attenuation.tolist()):
        for column, slope in enumerate(_GRID_SLOPE.tolist()):
            paths = [(slope * x, math.sqrt(1 + slope**2 * (x * x + y * y))) for x in across for y in along]
            values = [strip_transmission(x, path, geometry, lead, between) for x, path in paths]
            passing[row, column] = math.fsum(values) / len(values)
    return passing


def _normal_quantiles(count: int) -> list[float]:
    """Middles of equally likely parts of |x| for a standard normal x."""
    fine = np.linspace(0, 5, 2001)
    return np.interp((np.arange(count) + 0.5) / count, _erf(fine / math.sqrt(2)), fine).tolist()


def _truncated(reach: Array) -> Array:
    """Standard deviation of a standard normal variable cut at ± reach."""
    inside = np.maximum(_erf(reach / math.sqrt(2)), 1e-12)
    return np.sqrt(np.maximum(1 - 2 * reach * np.exp(-(reach**2) / 2) / math.sqrt(2 * math.pi) / inside, 1e-4))


def _place(grid: Array, value: Array) -> tuple[npt.NDArray[np.int64], Array]:
    """Index and fraction of values between the nodes of an ascending grid, clipped to it."""
    held = np.clip(value, grid[0], grid[-1])
    low = np.clip(np.searchsorted(grid, held, side="right") - 1, 0, len(grid) - 2)
    return low, (held - grid[low]) / (grid[low + 1] - grid[low])


def _erf(x: Array) -> Array:
    flat = np.array([math.erf(each) for each in np.ravel(x).tolist()])
    return flat.reshape(np.shape(x))
