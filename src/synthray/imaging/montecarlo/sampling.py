"""Random numbers, and the angles of single scatters drawn from them; compiled."""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np

from synthray.imaging.montecarlo.tables import HC_KEV_ANGSTROM, HIGHEST_MOMENTUM

_ELECTRON_REST_ENERGY_KEV = 510.998950
_U64 = np.uint64


@nb.njit(cache=True, nogil=True)
def _mix(state: Any) -> Any:
    """Output function of splitmix64 (Steele, Lea & Flood 2014)."""
    state = (state ^ (state >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> _U64(27))) * _U64(0x94D049BB133111EB)
    return state ^ (state >> _U64(31))


@nb.njit(cache=True, nogil=True)
def uniform(state: Any) -> float:
    """The next number in [0, 1); `state` is a (1,) uint64 array."""
    state[0] += _U64(0x9E3779B97F4A7C15)
    return float(_mix(state[0]) >> _U64(11)) * 2.0**-53


@nb.njit(cache=True, nogil=True)
def start(state: Any, seed: int, history: int) -> None:
    """Set the random numbers of one history."""
    state[0] = _mix(_mix(_U64(seed) + _U64(0x9E3779B97F4A7C15)) ^ _mix(_U64(history) + _U64(0xD1B54A32D192ED03)))


@nb.njit(cache=True, nogil=True)
def spread(seed: int, history: int, dimension: int) -> float:
    """Number of a history in [0, 1), evenly spread over histories: Roberts' R4 sequence, shifted by the seed."""
    step = (0.8566748838545029, 0.733891856627126, 0.6287067210378086, 0.53859725722361)[dimension]
    shift = float(_mix(_U64(seed) + _U64(0x632BE59BD9B4E019) * _U64(dimension + 1)) >> _U64(11)) * 2.0**-53
    return (shift + step * history) % 1.0


@nb.njit(cache=True, nogil=True)
def incoherent_angle(energy: float, function: Any, state: Any) -> tuple[float, float]:
    """Cosine of the scattering angle and the energy left: Klein-Nishina, thinned by the scattering function.

    Klein-Nishina by composition and rejection on the energy's ratio (Butcher & Messel 1960); Doppler broadening is
    left out.
    """
    kappa = energy / _ELECTRON_REST_ENERGY_KEV
    least = 1 / (1 + 2 * kappa)
    logarithm, square = -math.log(least), (1 - least * least) / 2
    while True:
        if uniform(state) * (logarithm + square) < logarithm:
            kept = math.exp(-logarithm * uniform(state))
        else:
            kept = math.sqrt(least * least + (1 - least * least) * uniform(state))
        turned = (1 - kept) / (kappa * kept)  # 1 - cos θ
        sine_squared = turned * (2 - turned)
        if uniform(state) > 1 - kept * sine_squared / (1 + kept * kept):
            continue
        place = energy * math.sqrt(turned / 2) / HC_KEV_ANGSTROM / HIGHEST_MOMENTUM * (len(function) - 1)
        low = min(int(place), len(function) - 2)
        bound = function[low] + (place - low) * (function[low + 1] - function[low])
        if uniform(state) <= bound:
            return 1 - turned, kept * energy


@nb.njit(cache=True, nogil=True)
def coherent_angle(energy: float, integral: Any, state: Any) -> float:
    """Cosine of the scattering angle: squared form factor from its integral, Thomson's 1 + cos² by rejection."""
    most = energy / HC_KEV_ANGSTROM
    step = HIGHEST_MOMENTUM / (len(integral) - 1)
    last = min(int(most / step), len(integral) - 2)
    share = (most * most - (last * step) ** 2) / ((2 * last + 1) * step * step)
    total = integral[last] + share * (integral[last + 1] - integral[last])
    while True:
        wanted = uniform(state) * total
        low = min(max(np.searchsorted(integral, wanted, side="right") - 1, 0), len(integral) - 2)
        part = (wanted - integral[low]) / (integral[low + 1] - integral[low])
        squared = step * step * (low * low + part * (2 * low + 1))
        cosine = max(-1.0, 1 - 2 * squared / (most * most))
        if uniform(state) * 2 < 1 + cosine * cosine:
            return cosine


@nb.njit(cache=True, nogil=True)
def turn(direction: Any, cosine: float, azimuth: float) -> None:
    """Turn a unit vector by an angle, in place."""
    sine = math.sqrt(max(0.0, 1 - cosine * cosine))
    x, y, z = direction
    across, along = sine * math.cos(azimuth), sine * math.sin(azimuth)
    if abs(z) > 0.99999:
        sign = 1.0 if z > 0 else -1.0
        direction[0], direction[1], direction[2] = across, along * sign, cosine * sign
    else:
        flat = math.sqrt(1 - z * z)
        direction[0] = x * cosine + (across * x * z - along * y) / flat
        direction[1] = y * cosine + (across * y * z + along * x) / flat
        direction[2] = z * cosine - across * flat
    direction /= math.sqrt((direction * direction).sum())
