"""The compiled part of painting; on its own, so that reading a CT doesn't load numba."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True)
def lower_to_tube(field: Any, start: Any, voxel: float, points: Any, radii: Any, flatten: Any) -> None:
    """Lower `field` to the distance from a chain of capsules, each visited only in its own neighbourhood."""
    shape = field.shape
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for n in range(max(len(points) - 1, 1)):
        m = min(n + 1, len(points) - 1)
        for a in range(3):
            reach = (max(radii[n], radii[m]) + 2 * voxel) * flatten[a]
            low[a] = max(int(np.floor((min(points[n, a], points[m, a]) - reach - start[a]) / voxel)), 0)
            high[a] = min(int(np.ceil((max(points[n, a], points[m, a]) + reach - start[a]) / voxel)) + 1, shape[a])
        ax, ay, az = (points[m] - points[n]) / flatten
        length2 = ax * ax + ay * ay + az * az
        for i in range(low[0], high[0]):
            px = (start[0] + i * voxel - points[n, 0]) / flatten[0]
            for j in range(low[1], high[1]):
                py = (start[1] + j * voxel - points[n, 1]) / flatten[1]
                for k in range(low[2], high[2]):
                    pz = (start[2] + k * voxel - points[n, 2]) / flatten[2]
                    t = 0.0
                    if length2 > 0:
                        t = min(max((px * ax + py * ay + pz * az) / length2, 0.0), 1.0)
                    dx, dy, dz = px - t * ax, py - t * ay, pz - t * az
                    distance = np.sqrt(dx * dx + dy * dy + dz * dz) - (radii[n] + t * (radii[m] - radii[n]))
                    if distance < field[i, j, k]:
                        field[i, j, k] = distance
