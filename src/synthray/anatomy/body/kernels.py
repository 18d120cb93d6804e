"""The compiled part of painting; on its own, so that reading a CT doesn't load numba.

A field is a float32 array of signed distances in mm on a box of voxels; `start` is the position of its first voxel.
Each piece is visited only within `margin` of its surface, so a field stays at its old value further out.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _span(low: float, high: float, start: float, voxel: float, count: int) -> Any:
    """First voxel and one past the last within an interval of one axis."""
    return max(int(np.floor((low - start) / voxel)), 0), min(int(np.ceil((high - start) / voxel)) + 1, count)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def lower_to_rod(field: Any, start: Any, voxel: float, points: Any, first: Any, second: Any, axes: Any,
                 margin: float) -> None:  # fmt: skip
    """Lower `field` to the distance from a chain of tapered capsules with elliptic cross-sections.

    Half-axes `first` lie along `axes` (n, 3), half-axes `second` across them. The distance is first order in the
    ellipse's implicit function (Taubin 1991), exact for round rods.
    """
    ni, nj, nk = field.shape
    for n in range(max(len(points) - 1, 1)):
        m = min(n + 1, len(points) - 1)
        reach = max(max(first[n], first[m]), max(second[n], second[m])) + margin
        i0, i1 = _span(
            min(points[n, 0], points[m, 0]) - reach, max(points[n, 0], points[m, 0]) + reach, start[0], voxel, ni
        )
        j0, j1 = _span(
            min(points[n, 1], points[m, 1]) - reach, max(points[n, 1], points[m, 1]) + reach, start[1], voxel, nj
        )
        k0, k1 = _span(
            min(points[n, 2], points[m, 2]) - reach, max(points[n, 2], points[m, 2]) + reach, start[2], voxel, nk
        )
        ax, ay, az = points[m, 0] - points[n, 0], points[m, 1] - points[n, 1], points[m, 2] - points[n, 2]
        length2 = ax * ax + ay * ay + az * az
        for i in range(i0, i1):
            px = start[0] + i * voxel - points[n, 0]
            for j in range(j0, j1):
                py = start[1] + j * voxel - points[n, 1]
                for k in range(k0, k1):
                    pz = start[2] + k * voxel - points[n, 2]
                    t = 0.0
                    if length2 > 0:
                        t = min(max((px * ax + py * ay + pz * az) / length2, 0.0), 1.0)
                    dx, dy, dz = px - t * ax, py - t * ay, pz - t * az
                    a, b = first[n] + t * (first[m] - first[n]), second[n] + t * (second[m] - second[n])
                    ex = axes[n, 0] + t * (axes[m, 0] - axes[n, 0])
                    ey = axes[n, 1] + t * (axes[m, 1] - axes[n, 1])
                    ez = axes[n, 2] + t * (axes[m, 2] - axes[n, 2])
                    square = dx * dx + dy * dy + dz * dz
                    along = dx * ex + dy * ey + dz * ez
                    u2 = along * along
                    v2 = max(square - u2, 0.0)
                    norm = np.sqrt(u2 / (a * a) + v2 / (b * b))
                    slope = np.sqrt(u2 / (a * a * a * a) + v2 / (b * b * b * b))
                    distance = norm * (norm - 1) / slope if norm > 1e-3 else -min(a, b)
                    if distance < field[i, j, k]:
                        field[i, j, k] = distance


@nb.njit(cache=True, nogil=True, error_model="numpy")
def lower_to_block(field: Any, start: Any, voxel: float, center: Any, half: Any, rounding: float, turn: Any) -> None:
    """Lower `field` to the distance from a box with rounded edges; with `rounding` < 0 from an ellipsoid."""
    ni, nj, nk = field.shape
    for i in range(ni):
        px = start[0] + i * voxel - center[0]
        for j in range(nj):
            py = start[1] + j * voxel - center[1]
            for k in range(nk):
                pz = start[2] + k * voxel - center[2]
                x = turn[0, 0] * px + turn[1, 0] * py + turn[2, 0] * pz
                y = turn[0, 1] * px + turn[1, 1] * py + turn[2, 1] * pz
                z = turn[0, 2] * px + turn[1, 2] * py + turn[2, 2] * pz
                if rounding < 0:
                    x, y, z = x / half[0], y / half[1], z / half[2]
                    norm = np.sqrt(x * x + y * y + z * z)
                    slope = np.sqrt((x / half[0]) ** 2 + (y / half[1]) ** 2 + (z / half[2]) ** 2)
                    distance = norm * (norm - 1) / slope if norm > 1e-3 else -min(half[0], half[1], half[2])
                else:
                    qx, qy, qz = abs(x) - half[0] + rounding, abs(y) - half[1] + rounding, abs(z) - half[2] + rounding
                    ox, oy, oz = max(qx, 0.0), max(qy, 0.0), max(qz, 0.0)
                    distance = np.sqrt(ox * ox + oy * oy + oz * oz) + min(max(qx, qy, qz), 0.0) - rounding
                if distance < field[i, j, k]:
                    field[i, j, k] = distance


@nb.njit(cache=True, nogil=True, error_model="numpy")
def lower_to_drum(field: Any, start: Any, voxel: float, center: Any, half: Any, waist: float, hollow: float,
                  notch: float, wedge: float, turn: Any) -> None:  # fmt: skip
    """Lower `field` to a vertebral body: an oval drum with a waist, dished endplates and a flat or hollow back.

    `waist` is the share of the width lost at mid height, `hollow` the depth of the endplates' dish in mm, `notch` how
    far the back wall is hollowed towards the canal in mm, `wedge` the share of its height that the front has lost.
    """
    ni, nj, nk = field.shape
    for i in range(ni):
        px = start[0] + i * voxel - center[0]
        for j in range(nj):
            py = start[1] + j * voxel - center[1]
            for k in range(nk):
                pz = start[2] + k * voxel - center[2]
                x = turn[0, 0] * px + turn[1, 0] * py + turn[2, 0] * pz
                y = turn[0, 1] * px + turn[1, 1] * py + turn[2, 1] * pz
                z = turn[0, 2] * px + turn[1, 2] * py + turn[2, 2] * pz
                tall = half[2]
                if z > 0:
                    tall *= 1 - 2 * wedge * min(max(0.5 - 0.5 * y / half[1], 0.0), 1.0)
                rise = min(abs(z) / tall, 1.0)
                share = 1 - waist * (1 - rise * rise)
                a, b = half[0] * share, half[1] * share
                # A power above 2 squares the outline a little, as seen from above.
                norm = ((abs(x) / a) ** 2.4 + (abs(y) / b) ** 2.4) ** (1 / 2.4)
                side = (norm - 1) * b if norm > 0 else -b
                oval = (x / half[0]) ** 2 + (y / half[1]) ** 2
                end = abs(z) - tall + hollow * max(1 - oval, 0.0)
                back = y - half[1] * 0.93 * share + notch * max(1 - (x / (0.45 * half[0])) ** 2, 0.0)
                distance = max(max(side, end), back)
                rim = 3.0
                # Rounded rims where the walls meet the endplates.
                if side > -rim and end > -rim:
                    s, e = side + rim, end + rim
                    distance = max(distance, np.sqrt(s * s + e * e) - rim)
                if distance < field[i, j, k]:
                    field[i, j, k] = distance


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _closest(p: Any, a: Any, b: Any, c: Any) -> Any:
    """Squared distance from p to a triangle, and the closest point's weights (Ericson, Real-Time Collision, 5.1.5)."""
    ab0, ab1, ab2 = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    ac0, ac1, ac2 = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    ap0, ap1, ap2 = p[0] - a[0], p[1] - a[1], p[2] - a[2]
    d1, d2 = ab0 * ap0 + ab1 * ap1 + ab2 * ap2, ac0 * ap0 + ac1 * ap1 + ac2 * ap2
    bp0, bp1, bp2 = p[0] - b[0], p[1] - b[1], p[2] - b[2]
    d3, d4 = ab0 * bp0 + ab1 * bp1 + ab2 * bp2, ac0 * bp0 + ac1 * bp1 + ac2 * bp2
    cp0, cp1, cp2 = p[0] - c[0], p[1] - c[1], p[2] - c[2]
    d5, d6 = ab0 * cp0 + ab1 * cp1 + ab2 * cp2, ac0 * cp0 + ac1 * cp1 + ac2 * cp2
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    if d1 <= 0 and d2 <= 0:
        v, w = 0.0, 0.0
    elif d3 >= 0 and d4 <= d3:
        v, w = 1.0, 0.0
    elif d6 >= 0 and d5 <= d6:
        v, w = 0.0, 1.0
    elif vc <= 0 and d1 >= 0 and d3 <= 0:
        v, w = d1 / (d1 - d3), 0.0
    elif vb <= 0 and d2 >= 0 and d6 <= 0:
        v, w = 0.0, d2 / (d2 - d6)
    elif va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        v = 1 - w
    else:
        total = va + vb + vc
        v, w = vb / total, vc / total
    x, y, z = ap0 - v * ab0 - w * ac0, ap1 - v * ab1 - w * ac1, ap2 - v * ab2 - w * ac2
    return x * x + y * y + z * z, v, w


@nb.njit(cache=True, nogil=True, error_model="numpy")
def lower_to_sheet(field: Any, start: Any, voxel: float, vertices: Any, thickness: Any, triangles: Any,
                   margin: float) -> None:  # fmt: skip
    """Lower `field` to the distance from a triangulated surface of half-thickness `thickness` (n,)."""
    ni, nj, nk = field.shape
    p = np.empty(3)
    for n in range(len(triangles)):
        ia, ib, ic = triangles[n, 0], triangles[n, 1], triangles[n, 2]
        a, b, c = vertices[ia], vertices[ib], vertices[ic]
        reach = max(thickness[ia], thickness[ib], thickness[ic]) + margin
        i0, i1 = _span(min(a[0], b[0], c[0]) - reach, max(a[0], b[0], c[0]) + reach, start[0], voxel, ni)
        j0, j1 = _span(min(a[1], b[1], c[1]) - reach, max(a[1], b[1], c[1]) + reach, start[1], voxel, nj)
        k0, k1 = _span(min(a[2], b[2], c[2]) - reach, max(a[2], b[2], c[2]) + reach, start[2], voxel, nk)
        for i in range(i0, i1):
            p[0] = start[0] + i * voxel
            for j in range(j0, j1):
                p[1] = start[1] + j * voxel
                for k in range(k0, k1):
                    p[2] = start[2] + k * voxel
                    square, v, w = _closest(p, a, b, c)
                    half = thickness[ia] + v * (thickness[ib] - thickness[ia]) + w * (thickness[ic] - thickness[ia])
                    distance = np.sqrt(square) - half
                    if distance < field[i, j, k]:
                        field[i, j, k] = distance


@nb.njit(cache=True, nogil=True, error_model="numpy")
def merge(field: Any, cortex: Any, spongy: Any, part: Any, corner: Any, blend: float, cut: bool, thick: float,
          inner: float) -> None:  # fmt: skip
    """Join a part to a bone by a smooth union over `blend` mm, or cut it out; tissues mix where parts meet.

    The polynomial smooth minimum of Quilez: min(a, b) - h² k / 4 with h = max(k - |a - b|, 0) / k.
    """
    ni, nj, nk = part.shape
    mix = 10.0
    for i in range(ni):
        for j in range(nj):
            for k in range(nk):
                new = part[i, j, k]
                x, y, z = corner[0] + i, corner[1] + j, corner[2] + k
                old = field[x, y, z]
                if cut:
                    new = -new
                h = max(blend - abs(old - new), 0.0) / blend
                fill = h * h * blend / 4
                if cut:
                    field[x, y, z] = max(old, new) + fill
                else:
                    field[x, y, z] = min(old, new) - fill
                    share = min(max(0.5 + (old - new) / mix, 0.0), 1.0)
                    cortex[x, y, z] += share * (thick - cortex[x, y, z])
                    spongy[x, y, z] += share * (inner - spongy[x, y, z])


@nb.njit(cache=True, nogil=True, error_model="numpy")
def paint_bone(hu: Any, codes: Any, field: Any, cortex: Any, spongy: Any, corner: Any, voxel: float, hard: float,
               code: int) -> None:  # fmt: skip
    """Paint a bone: cortex under its surface, spongy bone below, each by the share of a voxel that it fills.

    A voxel is taken as an interval of depth a voxel and a quarter wide, as a scanner's blur would have it, so that a
    cortex thinner than a voxel keeps its mass.
    """
    ni, nj, nk = field.shape
    width = 1.25 * voxel
    for i in range(ni):
        for j in range(nj):
            for k in range(nk):
                depth = -field[i, j, k]
                if depth > -0.5 * width:
                    x, y, z = corner[0] + i, corner[1] + j, corner[2] + k
                    low, high = max(depth - 0.5 * width, 0.0), depth + 0.5 * width
                    shell = max(min(high, cortex[i, j, k]) - low, 0.0) / width
                    inside = min((high - low) / width, 1.0)
                    bone = shell * hard + (inside - shell) * spongy[i, j, k]
                    hu[x, y, z] = bone + (1 - inside) * hu[x, y, z]
                    if inside > 0.45 or (inside > 0.12 and hu[x, y, z] > 170):
                        codes[x, y, z] = code


@nb.njit(cache=True, nogil=True, error_model="numpy")
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
