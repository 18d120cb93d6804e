"""Compiled: a coarse field at chosen voxels of a CT."""

from __future__ import annotations

from typing import Any

import numba as nb

_compiled = nb.njit(cache=True, nogil=True, error_model="numpy")


@_compiled
def _place(at: float, size: int) -> tuple[int, float]:
    """Lower neighbour and fraction along an axis; the outermost half voxel repeats the border, beyond it -1."""
    if not -0.5 <= at < size - 0.5:
        return -1, 0.0
    held = min(max(at, 0.0), size - 1.0)
    low = min(int(held), max(size - 2, 0))
    return low, held - low


@_compiled
def sample_where(field: Any, field_from_voxel: Any, where: Any, out: Any) -> None:
    """Write the trilinear value of a field at every voxel that a mask holds; beyond the field's outer edges nothing.

    Args:
        field: (A, B, C) float32, at least 2 along each axis.
        field_from_voxel: (4, 4) float64, voxel index -> index in the field.
        where: (I, J, K) bool.
        out: (I, J, K) float32.
    """
    m = field_from_voxel
    for i in range(where.shape[0]):
        for j in range(where.shape[1]):
            x0 = m[0, 0] * i + m[0, 1] * j + m[0, 3]
            y0 = m[1, 0] * i + m[1, 1] * j + m[1, 3]
            z0 = m[2, 0] * i + m[2, 1] * j + m[2, 3]
            for k in range(where.shape[2]):
                if not where[i, j, k]:
                    continue
                a, x = _place(x0 + m[0, 2] * k, field.shape[0])
                b, y = _place(y0 + m[1, 2] * k, field.shape[1])
                c, z = _place(z0 + m[2, 2] * k, field.shape[2])
                if a < 0 or b < 0 or c < 0:
                    continue
                near = (1 - z) * field[a, b, c] + z * field[a, b, c + 1]
                near += y * ((1 - z) * field[a, b + 1, c] + z * field[a, b + 1, c + 1] - near)
                far = (1 - z) * field[a + 1, b, c] + z * field[a + 1, b, c + 1]
                far += y * ((1 - z) * field[a + 1, b + 1, c] + z * field[a + 1, b + 1, c + 1] - far)
                out[i, j, k] = near + x * (far - near)
