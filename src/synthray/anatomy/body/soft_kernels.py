"""The compiled part of painting soft parts; on its own, so that reading a CT doesn't load numba."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True, error_model="numpy")
def paint_layers(hu: Any, codes: Any, field: Any, corner: Any, step: Any, first: Any, edges: Any, values: Any,
                 allowed: Any, code: int, voxel: float) -> None:  # fmt: skip
    """Paint the inside of a smooth shape given on a coarse grid, in layers by depth.

    Args:
        hu: (I, J, K) box of the canvas, changed in place.
        codes: (I, J, K) its labels, changed in place.
        field: (A, B, C) signed distance in mm on the coarse grid.
        corner: (3,) the coarse index of the box's first voxel.
        step: (3,) coarse cells per voxel.
        first: distance at which the shape starts, 0 for its surface.
        edges: (n,) depth at which each layer starts.
        values: (n,) HU of each layer.
        allowed: (256,) bool, codes that may be painted over.
        code: label to set; 0 leaves the labels.
        voxel: edge of a voxel in mm.
    """
    ni, nj, nk = hu.shape
    a_last, b_last, c_last = field.shape[0] - 2, field.shape[1] - 2, field.shape[2] - 2
    for i in range(ni):
        u = corner[0] + i * step[0]
        a = min(max(int(u), 0), a_last)
        u = u - a
        for j in range(nj):
            v = corner[1] + j * step[1]
            b = min(max(int(v), 0), b_last)
            v = v - b
            w00, w01, w10, w11 = (1 - u) * (1 - v), (1 - u) * v, u * (1 - v), u * v
            held, low, high = -1, 0.0, 0.0
            for k in range(nk):
                w = corner[2] + k * step[2]
                c = min(max(int(w), 0), c_last)
                if c != held:
                    low = (
                        w00 * field[a, b, c]
                        + w01 * field[a, b + 1, c]
                        + w10 * field[a + 1, b, c]
                        + w11 * field[a + 1, b + 1, c]
                    )
                    high = (w00 * field[a, b, c + 1] + w01 * field[a, b + 1, c + 1] + w10 * field[a + 1, b, c + 1]
                            + w11 * field[a + 1, b + 1, c + 1])  # fmt: skip
                    held = c
                depth = first - (low + (w - c) * (high - low))
                share = 0.5 + depth / voxel
                if share <= 0 or not allowed[codes[i, j, k]]:
                    continue
                value = values[0]
                for n in range(1, len(edges)):
                    part = min(max(0.5 + (depth - edges[n]) / voxel, 0.0), 1.0)
                    value += part * (values[n] - value)
                share = min(share, 1.0)
                hu[i, j, k] += share * (value - hu[i, j, k])
                if code > 0 and share > 0.5:
                    codes[i, j, k] = code


@nb.njit(cache=True, nogil=True, error_model="numpy")
def paint_capsules(hu: Any, codes: Any, start: Any, voxel: float, ends: Any, radii: Any, value: float, allowed: Any,
                   code: int) -> None:  # fmt: skip
    """Paint many thin tapered capsules; one thinner than a voxel is widened and thinned out to keep its mass.

    Args:
        hu: (I, J, K) changed in place.
        codes: (I, J, K) labels.
        start: position of voxel 0, 0, 0 in mm.
        voxel: edge of a voxel in mm.
        ends: (n, 2, 3) both ends of each capsule in mm.
        radii: (n, 2) radius at both ends in mm.
        value: HU.
        allowed: (256,) bool, codes that may be painted over.
        code: label to set; 0 leaves the labels.
    """
    ni, nj, nk = hu.shape
    for n in range(len(ends)):
        least = 0.7 * voxel
        reach = max(radii[n, 0], radii[n, 1], least) + voxel
        a, d = ends[n, 0], ends[n, 1] - ends[n, 0]
        i0 = max(int(np.ceil((min(a[0], a[0] + d[0]) - reach - start[0]) / voxel)), 0)
        j0 = max(int(np.ceil((min(a[1], a[1] + d[1]) - reach - start[1]) / voxel)), 0)
        k0 = max(int(np.ceil((min(a[2], a[2] + d[2]) - reach - start[2]) / voxel)), 0)
        i1 = min(int((max(a[0], a[0] + d[0]) + reach - start[0]) / voxel) + 1, ni)
        j1 = min(int((max(a[1], a[1] + d[1]) + reach - start[1]) / voxel) + 1, nj)
        k1 = min(int((max(a[2], a[2] + d[2]) + reach - start[2]) / voxel) + 1, nk)
        length2 = max(d[0] * d[0] + d[1] * d[1] + d[2] * d[2], 1e-6)
        for i in range(i0, i1):
            px = start[0] + i * voxel - a[0]
            for j in range(j0, j1):
                py = start[1] + j * voxel - a[1]
                for k in range(k0, k1):
                    if not allowed[codes[i, j, k]]:
                        continue
                    pz = start[2] + k * voxel - a[2]
                    t = min(max((px * d[0] + py * d[1] + pz * d[2]) / length2, 0.0), 1.0)
                    x, y, z = px - t * d[0], py - t * d[1], pz - t * d[2]
                    true = radii[n, 0] + t * (radii[n, 1] - radii[n, 0])
                    wide = max(true, least)
                    share = min(max(0.5 + (wide - np.sqrt(x * x + y * y + z * z)) / voxel, 0.0), 1.0)
                    share *= (true / wide) ** 2
                    if (value - hu[i, j, k]) * value >= 0 or value < 0:
                        hu[i, j, k] += share * (value - hu[i, j, k])
                    if code > 0 and share > 0.5:
                        codes[i, j, k] = code


@nb.njit(cache=True, nogil=True, error_model="numpy")
def add_tiles(hu: Any, codes: Any, tiles: Any, other: Any, amount: Any, bone: Any, first: int) -> None:
    """Add texture: two periodic tiles of unequal period, one pair per kind of tissue, chosen by label and HU.

    Args:
        hu: (I, J, K) box of the canvas whose first row is row `first` of the whole.
        codes: (I, J, K) its labels.
        tiles: (4, n, n, n) lung, fat, flesh, spongy bone.
        other: (4, m, m, m) the same with another period.
        amount: (4,) HU of one standard deviation; for spongy bone at 130 HU.
        bone: (256,) bool, codes of bones.
        first: row of the whole canvas that the box starts at.
    """
    ni, nj, nk = hu.shape
    n, m = tiles.shape[1], other.shape[1]
    for i in range(ni):
        a, b = (i + first) % n, (i + first) % m
        for j in range(nj):
            c, d = j % n, j % m
            for k in range(nk):
                value = hu[i, j, k]
                if value < -960:
                    continue
                kind, size = 2, amount[2]
                if value < -450:
                    kind = 0
                    size = amount[0] * min((value + 960) / 120, 1.0)
                elif bone[codes[i, j, k]]:
                    # The denser, the coarser the grain; the cortex is dense all through.
                    kind = 3
                    size = amount[3] * (0.6 + 0.4 * max(value, 0.0) / 130) * min(max((900 - value) / 600, 0.1), 1.0)
                elif value < -25:
                    kind, size = 1, amount[1]
                hu[i, j, k] = value + 0.707 * size * (tiles[kind, a, c, k % n] + other[kind, b, d, k % m])
