"""What one ray reads from some slices: densities, their slopes, labels, the surface.

Positions come as pairs of 32-bit fixed-point numbers: where the ray meets the first slice, and the advance per slice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from synthray.projector.cpu import simd
from synthray.projector.cpu.jit import inlined, kernel
from synthray.projector.cpu.simd import FRACTION_BITS, LANES
from synthray.projector.result import SURFACE_DENSITY_G_CM3

# Vectors of sums per ray: densities, slopes along u and v, and both times the slice index.
GRADIENT_SUMS = 5
_VECTOR_BYTES = 4 * LANES


@kernel
def sum_densities(sums: int, slice0: int, strides: Any, u: Any, v: Any, count: int) -> None:
    """Add a ray's readings of some slices to its sums.

    Args:
        sums: address of sixteen float32.
        slice0: address of the first slice's first voxel.
        strides: bytes from voxel to voxel, see `simd.stride_v`.
        u: position along u.
        v: position along v.
        count: slices.
    """
    along_a, along_u, along_v = strides[0], strides[1], simd.stride_v(strides)
    at_u, at_v, step_u, step_v = int(u[0]), int(v[0]), int(u[1]), int(v[1])
    lanes_u, lanes_v = simd.positions_u(u[0], u[1]), simd.positions_v(v[0], v[1])
    next_u, next_v = simd.advance_u(u[1]), simd.advance_v(v[1])
    total = simd.load(sums)
    for _ in range(count >> 1):
        p = (at_u >> FRACTION_BITS) * along_u + (at_v >> FRACTION_BITS) * along_v
        at_u, at_v = at_u + step_u, at_v + step_v
        q = (at_u >> FRACTION_BITS) * along_u + (at_v >> FRACTION_BITS) * along_v + along_a
        at_u, at_v = at_u + step_u, at_v + step_v
        weight = simd.product(simd.fractions(lanes_u), simd.fractions(lanes_v))
        total = simd.add_product(total, weight, simd.read(slice0, p, q, strides))
        lanes_u, lanes_v = simd.moved(lanes_u, next_u), simd.moved(lanes_v, next_v)
        slice0 += 2 * along_a
    if count & 1:
        p = (at_u >> FRACTION_BITS) * along_u + (at_v >> FRACTION_BITS) * along_v
        weight = simd.product(simd.fractions(lanes_u), simd.fractions(lanes_v))
        weight = simd.product(weight, simd.first_slice_only())
        total = simd.add_product(total, weight, simd.read(slice0, p, p, strides))
    simd.store(sums, total)


@kernel
def sum_gradients(sums: int, slice0: int, strides: Any, u: Any, v: Any, count: int, k: float) -> None:
    """Like `sum_densities` with first slice k, for all `GRADIENT_SUMS` vectors.

    A reading is Σ weight_u weight_v voxel, so its slope along u is Σ ± weight_v voxel; the signs are put in later.
    """
    along_a, along_u, along_v = strides[0], strides[1], simd.stride_v(strides)
    at_u, at_v, step_u, step_v = int(u[0]), int(v[0]), int(u[1]), int(v[1])
    lanes_u, lanes_v = simd.positions_u(u[0], u[1]), simd.positions_v(v[0], v[1])
    next_u, next_v = simd.advance_u(u[1]), simd.advance_v(v[1])
    none = simd.splat(np.float32(0.0))
    total, slope_u, slope_v, moment_u, moment_v = simd.load(sums), none, none, none, none
    index, two = simd.second_slice(), simd.splat(np.float32(2.0))
    for pair in range((count + 1) >> 1):
        p = (at_u >> FRACTION_BITS) * along_u + (at_v >> FRACTION_BITS) * along_v
        at_u, at_v = at_u + step_u, at_v + step_v
        q, used = p, simd.first_slice_only()
        if 2 * pair + 1 < count:
            q = (at_u >> FRACTION_BITS) * along_u + (at_v >> FRACTION_BITS) * along_v + along_a
            used = simd.splat(np.float32(1.0))
        at_u, at_v = at_u + step_u, at_v + step_v
        values = simd.product(used, simd.read(slice0, p, q, strides))
        weight_u, weight_v = simd.fractions(lanes_u), simd.fractions(lanes_v)
        total = simd.add_product(total, simd.product(weight_u, weight_v), values)
        slope_u = simd.add_product(slope_u, weight_v, values)
        slope_v = simd.add_product(slope_v, weight_u, values)
        indexed = simd.product(index, values)
        moment_u = simd.add_product(moment_u, weight_v, indexed)
        moment_v = simd.add_product(moment_v, weight_u, indexed)
        index = simd.total(index, two)
        lanes_u, lanes_v = simd.moved(lanes_u, next_u), simd.moved(lanes_v, next_v)
        slice0 += 2 * along_a
    simd.store(sums, total)
    first = simd.splat(np.float32(k))
    _add(sums + _VECTOR_BYTES, slope_u)
    _add(sums + 2 * _VECTOR_BYTES, slope_v)
    _add(sums + 3 * _VECTOR_BYTES, simd.add_product(moment_u, first, slope_u))
    _add(sums + 4 * _VECTOR_BYTES, simd.add_product(moment_v, first, slope_v))


@inlined
def _add(address: int, vector: Any) -> None:
    simd.store(address, simd.total(simd.load(address), vector))


@inlined
def leave(tables: Any, met: Any, ray: int, code: int, length_mm: float) -> None:
    """Record that a ray ran through a label code for some length; arguments as in `meet_labels`."""
    words, paths = met
    if length_mm > 0 and code != 0:
        for w in range(words.shape[1]):
            words[ray, w] |= tables[0][code, w]
        for path in range(paths.shape[1]):
            paths[ray, path] += tables[1][code, path] * np.float32(length_mm)


@inlined
def meet_labels(
    codes: Any, tables: Any, met: Any, ray: int, at: int, strides: Any, u: Any, v: Any, count: int, step_mm: float
) -> None:
    """Gather the bits and paths of the voxels nearest to a ray's readings of some slices.

    Args:
        codes: flat label codes.
        tables: bits and paths by code.
        met: (ray, word) bits and (ray, path) lengths in mm.
        ray: the ray's number.
        at: index of the first slice's first voxel.
        strides: voxels from one to the next along the axis, u and v.
        u: position along u.
        v: position along v.
        count: slices.
        step_mm: length of ray per slice.
    """
    # A point halfway between two voxels goes to the lower one.
    half = (1 << (FRACTION_BITS - 1)) - 1
    at_u, at_v, step_u, step_v = int(u[0]) + half, int(v[0]) + half, int(u[1]), int(v[1])
    run, since = np.int64(0), 0
    for n in range(count):
        code = np.int64(codes[at + (at_u >> FRACTION_BITS) * strides[1] + (at_v >> FRACTION_BITS) * strides[2]])
        if code != run:
            leave(tables, met, ray, run, (n - since) * step_mm)
            run, since = code, n
        at_u, at_v, at = at_u + step_u, at_v + step_v, at + strides[0]
    leave(tables, met, ray, run, (count - since) * step_mm)


@kernel
def find_surface(flat: Any, scale: Any, at: int, strides: Any, u: Any, v: Any, count: int) -> int:
    """Number of the first reading that is denser than a body's surface, -1 for none.

    `flat` holds both 16-bit densities of a voxel in one 32-bit word; other arguments as in `meet_labels`.
    """
    at_u, at_v, step_u, step_v = int(u[0]), int(v[0]), int(u[1]), int(v[1])
    mask, unit = (1 << FRACTION_BITS) - 1, np.float32(1 / (1 << FRACTION_BITS))
    for n in range(count):
        p = at + (at_u >> FRACTION_BITS) * strides[1] + (at_v >> FRACTION_BITS) * strides[2]
        w00, w01 = flat[p], flat[p + strides[2]]
        w10, w11 = flat[p + strides[1]], flat[p + strides[1] + strides[2]]
        if w00 | w01 | w10 | w11:
            fu, fv = np.float32(at_u & mask) * unit, np.float32(at_v & mask) * unit
            low = (1 - fu) * ((1 - fv) * _density(w00, scale) + fv * _density(w01, scale))
            density = low + fu * ((1 - fv) * _density(w10, scale) + fv * _density(w11, scale))
            if density > SURFACE_DENSITY_G_CM3:
                return n
        at_u, at_v, at = at_u + step_u, at_v + step_v, at + strides[0]
    return -1


@inlined
def _density(word: Any, scale: Any) -> Any:
    """Density of a voxel, both bases."""
    return np.float32(word & np.uint32(0xFFFF)) * scale[0] + np.float32(word >> np.uint32(16)) * scale[1]
