"""The compiled part of the Monte Carlo: one photon after another through a rectilinear grid of mixed materials.

Variance reduction, all of it unbiased: the first interaction is spread evenly over the optical depth of the photon's
ray, and later flights away from the source are stretched; photons never leave (the part that would is scored as
escaping) and never get absorbed (the part that would is scored as deposited); after every scatter the expected signal
of the photon leaving along its new direction is scored; photons are split, or play Russian roulette, until they weigh
what first collisions at their place do. Random numbers of a history depend on the seed and its number only.
"""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np

from synthray.imaging.grid import strip_transmission
from synthray.imaging.montecarlo.march import attenuation_at, dot, march
from synthray.imaging.montecarlo.sampling import coherent_angle, incoherent_angle, spread, start, turn, uniform
from synthray.imaging.montecarlo.tables import LOWEST_KEV, STEP_KEV

# Photons lighter than this share of the usual weight at their place play Russian roulette.
_LIGHT = 0.3
# The attenuation that flights are drawn with is smaller by this share straight away from the source, larger towards it.
_STRETCH = 0.75
# Room for photons of one history that wait their turn, and the most copies that one is split into.
_WAITING, _MOST_COPIES = 2048, 64
_strip_transmission = nb.njit(nogil=True)(strip_transmission)

# A photon's past; those scattered are scored by it.
COHERENT_ONCE, INCOHERENT_ONCE, MULTIPLE, UNSCATTERED = 0, 1, 2, 3


@nb.njit(cache=True, nogil=True)
def signal(receptor: Any, energy: float, cosine: float, across: float) -> float:
    """Mean signal of one photon that meets the receptor at an angle; see `Receptor`."""
    deposit, caught, strips, strip_lead, strip_between = receptor
    place = (energy - LOWEST_KEV) / STEP_KEV
    low = min(int(place), len(deposit) - 2)
    part = place - low
    value = (1 - part) * deposit[low] + part * deposit[low + 1]
    value *= -math.expm1(-((1 - part) * caught[low] + part * caught[low + 1]) / cosine)
    if strips[0] > 0:
        lead = (1 - part) * strip_lead[low] + part * strip_lead[low + 1]
        between = (1 - part) * strip_between[low] + part * strip_between[low + 1]
        value *= _strip_transmission(across, 1 / cosine, (strips[0], strips[1], strips[2]), lead, between)
    return value


@nb.njit(cache=True, nogil=True)
def _score(
    frame: Any, planes: Any, receptor: Any, source: Any, ray: Any, energy: float, weight: float, out: Any
) -> None:
    """Add a leaving photon to the pixel that it hits, in each of the planes; out is (plane, row, column)."""
    corner, column, row, normal = frame[0], frame[1], frame[2], frame[3]
    cosine = dot(ray[1], normal)
    if cosine <= 1e-4:
        return
    pitch = math.sqrt(dot(column, column))
    before = dot(corner - ray[0], normal)
    for plane in range(len(planes)):
        distance = (before + planes[plane]) / cosine
        if distance < 0:
            continue
        hit = ray[0] + distance * ray[1] - corner
        at_column, at_row = dot(hit, column) / pitch**2, dot(hit, row) / dot(row, row)
        if not (0 <= at_column < out.shape[2] and 0 <= at_row < out.shape[1]):
            continue
        focus = dot(corner + hit - source, column) / pitch / (dot(corner - source, normal) + planes[plane])
        across = dot(ray[1], column) / pitch / cosine - focus
        out[plane, int(at_row), int(at_column)] += weight * signal(receptor, energy, cosine, across)


@nb.njit(cache=True, nogil=True)
def _collide(
    cell: Any, density: Any, mass: Any, function: Any, integral: Any, energy: float, state: Any
) -> tuple[float, bool, float, float]:
    """One scatter: share of photons absorbed instead, whether it is coherent, cosine, energy left.

    `mass` is (3, M) at this energy; `function` and `integral` are the (M, X) tables of scattering angles.
    """
    absorbed, incoherent, coherent = 0.0, 0.0, 0.0
    for material in range(density.shape[0]):
        grams = density[material, cell[0], cell[1], cell[2]]
        absorbed += grams * mass[0, material]
        incoherent += grams * mass[1, material]
        coherent += grams * mass[2, material]
    is_coherent = uniform(state) * (incoherent + coherent) < coherent
    kind = 2 if is_coherent else 1
    left = uniform(state) * (coherent if is_coherent else incoherent)
    chosen = density.shape[0] - 1
    for material in range(density.shape[0]):
        left -= density[material, cell[0], cell[1], cell[2]] * mass[kind, material]
        if left < 0:
            chosen = material
            break
    share = absorbed / (absorbed + incoherent + coherent)
    if is_coherent:
        return share, True, coherent_angle(energy, integral[chosen], state), energy
    cosine, kept = incoherent_angle(energy, function[chosen], state)
    return share, False, cosine, kept


@nb.njit(cache=True, nogil=True)
def _emit(frame: Any, source: Any, field: Any, ray: Any, across: float, down: float) -> float:
    """Aim a photon at a point of the field, given as shares of its sides; returns cos / r² of the detector there."""
    corner, column, row, normal = frame[0], frame[1], frame[2], frame[3]
    ray[0] = source
    ray[1] = corner - source
    ray[1] += (field[0] + (field[1] - field[0]) * across) * column + (field[2] + (field[3] - field[2]) * down) * row
    distance = math.sqrt(dot(ray[1], ray[1]))
    ray[1] /= distance
    return dot(ray[1], normal) / distance**2


@nb.njit(cache=True, nogil=True)
def _flight(depth: float, ray: Any, source: Any, state: Any) -> tuple[float, float]:
    """Optical depth of the next collision, before `depth`, and the weight that makes up for drawing it so.

    Flights away from the source are stretched (exponential transform), or the few long ones would carry the signal.
    """
    away = ray[0] - source
    rate = 1 - _STRETCH * dot(away, ray[1]) / math.sqrt(dot(away, away))
    share = -math.expm1(-rate * depth)
    stop = -math.log1p(-uniform(state) * share) / rate
    return stop, share / rate * math.exp((rate - 1) * stop)


@nb.njit(cache=True, nogil=True)
def _put(slot: Any, ray: Any, cell: Any, energy: float, weight: float, past: int) -> None:
    """Store a photon that is about to collide."""
    for axis in range(3):
        slot[axis], slot[3 + axis], slot[6 + axis] = ray[0, axis], ray[1, axis], cell[axis]
    slot[9], slot[10], slot[11] = energy, weight, past


@nb.njit(cache=True, nogil=True)
def _even_out(
    waiting: Any, left: int, edges: Any, density: Any, fresh: Any, source: Any, usual: float, state: Any
) -> int:
    """Split the last waiting photon, or let it play, so that it weighs what a first collision at its place does.

    Without it a few photons that were scattered early and went deep would carry most of the signal behind thick
    bodies. Returns the number of photons that wait.
    """
    photon = waiting[left - 1]
    ray, cell = np.empty((2, 3)), np.zeros(3, dtype=np.int64)
    ray[0] = source
    ray[1] = photon[:3] - source
    distance = math.sqrt(dot(ray[1], ray[1]))
    ray[1] /= distance
    depth, _ = march(edges, density, fresh, ray, np.inf, distance, cell)
    share = photon[10] / (usual * math.exp(-depth))
    if share < _LIGHT:
        if uniform(state) * _LIGHT >= share:
            return left - 1
        photon[10] *= _LIGHT / share
        return left
    copies = min(int(share), _MOST_COPIES, len(waiting) - left)
    if copies > 1:
        photon[10] /= copies
        for copy in range(copies - 1):
            waiting[left + copy] = photon
        return left + copies - 1
    return left


@nb.njit(cache=True, nogil=True)
def _scatter_once(
    waiting: Any,
    left: int,
    body: Any,
    frame: Any,
    planes: Any,
    receptor: Any,
    source: Any,
    image: Any,
    deposit: Any,
    totals: Any,
    state: Any,
) -> int:
    """Collide the last waiting photon, score what leaves and put the rest where it collides next."""
    edges, density, mass, incoherent, coherent = body
    photon = waiting[left - 1]
    ray, cell = np.empty((2, 3)), np.empty(3, dtype=np.int64)
    local, per_mass = np.empty((3, len(density))), np.empty(len(density))
    for axis in range(3):
        ray[0, axis], ray[1, axis], cell[axis] = photon[axis], photon[3 + axis], int(photon[6 + axis])
    energy, weight, past = photon[9], photon[10], int(photon[11])
    attenuation_at(mass, energy, local, per_mass)
    share, is_coherent, cosine, kept = _collide(cell, density, local, incoherent, coherent, energy, state)
    place = (cell[0], cell[1], cell[2])
    deposit[place] += weight * share * energy
    weight *= 1 - share
    deposit[place] += weight * (energy - kept)
    if kept <= LOWEST_KEV:
        deposit[place] += weight * kept
        return left - 1
    past = MULTIPLE if past != UNSCATTERED else (COHERENT_ONCE if is_coherent else INCOHERENT_ONCE)
    turn(ray[1], cosine, 2 * math.pi * uniform(state))
    attenuation_at(mass, kept, local, per_mass)
    depth, _ = march(edges, density, per_mass, ray, np.inf, np.inf, cell)
    leaving = weight * math.exp(-depth)
    totals[2] += leaving * kept
    _score(frame, planes, receptor, source, ray, kept, leaving, image[past])
    if depth <= 0:
        return left - 1
    stop, factor = _flight(depth, ray, source, state)
    _, distance = march(edges, density, per_mass, ray, stop, np.inf, cell)
    ray[0] += distance * ray[1]
    _put(photon, ray, cell, kept, weight * factor, past)
    return left


@nb.njit(cache=True, nogil=True)
def histories(
    first: int,
    count: int,
    seed: int,
    beam: Any,
    body: Any,
    receptor: Any,
    image: Any,
    deposit: Any,
    totals: Any,
) -> None:
    """Follow photons number `first` to `first + count`, adding to `image`, `deposit` and `totals`.

    Args:
        first: number of the first.
        count: how many.
        seed: of the random numbers.
        beam: source (3,), frame (4, 3: corner, column step, row step, unit normal), planes (P,) distances of further
            detectors along the normal, field (4,) first and last column and row, scale of the weights, energies (E,),
            their cumulative probabilities (E,), and the weight that makes up for these (E,).
        body: edges (three), density (M, I, J, K), mass attenuation (3, M, E), incoherent and coherent tables (M, X).
        receptor: see `signal`.
        image: (3 kinds of scatter, P, row, column) keV, weighted.
        deposit: (I, J, K) keV, weighted.
        totals: (3,) weight emitted; keV emitted; keV leaving.
    """
    source, frame, planes, field, scale, energies, cumulative, worth = beam
    edges, density, mass = body[:3]
    state, cell, ray = np.empty(1, dtype=np.uint64), np.zeros(3, dtype=np.int64), np.empty((2, 3))
    local, fresh = np.empty((3, len(density))), np.empty(len(density))
    waiting = np.empty((_WAITING, 12))
    for history in range(first, first + count):
        start(state, seed, history)
        line = min(np.searchsorted(cumulative, spread(seed, history, 3), side="right"), len(energies) - 1)
        energy = energies[line]
        weight = (
            scale * worth[line] * _emit(frame, source, field, ray, spread(seed, history, 0), spread(seed, history, 1))
        )
        totals[0] += weight
        totals[1] += weight * energy
        attenuation_at(mass, energy, local, fresh)
        depth, _ = march(edges, density, fresh, ray, np.inf, np.inf, cell)
        totals[2] += weight * energy * math.exp(-depth)
        if depth <= 0:
            continue
        stop = depth * spread(seed, history, 2)
        _, distance = march(edges, density, fresh, ray, stop, np.inf, cell)
        ray[0] += distance * ray[1]
        usual = weight * depth
        _put(waiting[0], ray, cell, energy, usual * math.exp(-stop), UNSCATTERED)
        left = 1
        while left > 0:
            left = _even_out(waiting, left, edges, density, fresh, source, usual, state)
            if left > 0:
                left = _scatter_once(
                    waiting, left, body, frame, planes, receptor, source, image, deposit, totals, state
                )
