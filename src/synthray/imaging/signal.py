"""From area densities to the fraction of the open-field signal, and to its negative logarithm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.imaging.attenuation import basis_attenuation_cm2_g, mass_attenuation_cm2_g
from synthray.imaging.nodes import Nodes

Image = npt.NDArray[np.float32]

# One digital value of a 16-bit detector: darker than that, a real system reads zero.
DEFAULT_FLOOR = 2.0**-16
# Pixels at a time: four float32 arrays of this length stay in a core's second-level cache.
_BLOCK = 16384


def transmission(area_density: npt.ArrayLike, nodes: Nodes) -> Image:
    """Fraction of the open-field signal behind the object, without noise or scatter.

    Args:
        area_density: (..., M, row, column) g/cm² of adipose, cortical bone and the nodes' further materials.
        nodes: beam and detector.

    Returns:
        (..., row, column) float32 within 0 to 1.

    Raises:
        InputError: wrong shape, negative or not a number.
    """
    return _sum_of_exponentials(area_density, nodes.basis_attenuation_cm2_g, [nodes.weight])[0]


def transmission_and_variance(area_density: npt.ArrayLike, nodes: Nodes) -> tuple[Image, Image]:
    """`transmission`, and its quantum variance times the number of open-field photons per pixel; see `Nodes`."""
    both = _sum_of_exponentials(area_density, nodes.basis_attenuation_cm2_g, [nodes.weight, nodes.variance_weight])
    return both[0], both[1]


def monochromatic(area_density: npt.ArrayLike, energy_kev: float) -> Image:
    """Beer-Lambert transmission at one energy, basis by basis: (..., 2, row, column) g/cm² -> (..., row, column).

    Raises:
        InputError: wrong shape, negative or not a number.
    """
    return heuristic(area_density, basis_attenuation_cm2_g(energy_kev).tolist())


def heuristic(area_density: npt.ArrayLike, weights_cm2_g: Sequence[float]) -> Image:
    """exp(-Σ weight x area density): one weight for each material, no spectrum; air has no density.

    Args:
        area_density: (..., M, row, column) g/cm².
        weights_cm2_g: for adipose (all soft tissue), cortical bone and further materials.

    Raises:
        InputError: wrong shape, negative or not a number.
    """
    return _sum_of_exponentials(area_density, np.array([weights_cm2_g], dtype=np.float64), [np.ones(1)])[0]


def naive(area_density: npt.ArrayLike, energy_kev: float) -> Image:
    """One energy and one material: the total area density as if it were water."""
    water = float(mass_attenuation_cm2_g("water", energy_kev))
    return heuristic(area_density, [water] * np.asarray(area_density).shape[-3])


def log_signal(transmission: npt.ArrayLike, floor: float = DEFAULT_FLOOR) -> Image:
    """-ln(max(transmission, floor)) as float32; zero in the open field, never NaN or infinite.

    The floor is fixed beforehand (by default one step of a 16-bit detector, so 11.09 is the highest value): no pixel
    changes another.

    Raises:
        InputError: floor not within 1e-30 to 1.
    """
    if not 1e-30 <= floor <= 1:
        raise InputError(f"floor of the logarithm must lie within 1e-30 to 1, got {floor}")
    # fmax takes the number where the other is NaN.
    clipped = np.fmax(np.asarray(transmission, dtype=np.float32), np.float32(floor))
    np.log(clipped, out=clipped)
    # 0 - x and not -x: the open field is +0.
    return np.subtract(np.float32(0), clipped, out=clipped)


def check_area_density(area_density: npt.ArrayLike, materials: int = 2) -> Image:
    """Area densities as float32 (..., materials, row, column).

    Raises:
        InputError: wrong shape, negative beyond rounding, or not a number.
    """
    values = np.asarray(area_density, dtype=np.float32)
    if values.ndim < 3 or values.shape[-3] != materials or not values.size:
        raise InputError(f"area density must have shape (..., {materials}, row, column), got {values.shape}")
    if not values.min() >= -1e-3:
        raise InputError("area density must not be negative or NaN; check the Hounsfield units of the CT")
    return values


def _sum_of_exponentials(
    area_density: npt.ArrayLike, attenuation: npt.NDArray[np.float64], weight_sets: list[npt.NDArray[np.float64]]
) -> list[Image]:
    """For each weight set, Σ_k weight_k exp(-attenuation_k · density); (K, M), sets of (K,) -> (..., row, column)."""
    materials = attenuation.shape[1]
    values = check_area_density(area_density, materials)
    shape = (*values.shape[:-3], *values.shape[-2:])
    flat = values.reshape(-1, materials, shape[-2] * shape[-1])
    totals = [np.zeros((len(flat), flat.shape[-1]), dtype=np.float32) for _ in weight_sets]
    factors, weights = (-attenuation).astype(np.float32), np.array(weight_sets, dtype=np.float32).T
    work = np.empty((2, min(_BLOCK, flat.shape[-1])), dtype=np.float32)
    for view, densities in enumerate(flat):
        for start in range(0, flat.shape[-1], _BLOCK):
            block = slice(start, start + _BLOCK)
            exponential, term = work[:, : len(densities[0, block])]
            for factor, node_weights in zip(factors, weights, strict=True):
                np.multiply(densities[0, block], factor[0], out=exponential)
                for material in range(1, materials):
                    np.multiply(densities[material, block], factor[material], out=term)
                    np.add(exponential, term, out=exponential)
                np.exp(exponential, out=exponential)
                for total, weight in zip(totals, node_weights, strict=True):
                    np.multiply(exponential, weight, out=term)
                    total[view, block] += term
    return [total.reshape(shape) for total in totals]
