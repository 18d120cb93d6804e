"""A voxel canvas on which signed-distance shapes are painted one over the other, with soft edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
Box = tuple[slice, slice, slice]
FAR_MM = 1e3


@dataclass(frozen=True)
class Shell:
    """A bone's inside: cortical HU down to a depth, spongy HU below."""

    cortical_hu: float
    spongy_hu: float
    cortex_mm: float


@dataclass(frozen=True, eq=False)
class Canvas:
    """The volume being painted; axes are x (left), y (back), z (head), so the affine is a scaling and a shift.

    Attributes:
        hu: (I, J, K) float32.
        codes: (I, J, K) uint8.
        names: code -> structure; grows as structures are painted.
        origin_mm: patient position of voxel 0, 0, 0.
        voxel_mm: edge of a voxel.
    """

    hu: npt.NDArray[np.float32]
    codes: npt.NDArray[np.uint8]
    names: dict[int, str]
    origin_mm: npt.NDArray[np.float64]
    voxel_mm: float

    @staticmethod
    def empty(low_mm: npt.ArrayLike, high_mm: npt.ArrayLike, voxel_mm: float) -> Canvas:
        """A canvas of air that covers a box."""
        low, high = np.asarray(low_mm, dtype=np.float64), np.asarray(high_mm, dtype=np.float64)
        i, j, k = (int(n) for n in np.ceil((high - low) / voxel_mm))
        hu = np.full((i, j, k), -1000, dtype=np.float32)
        return Canvas(hu, np.zeros((i, j, k), dtype=np.uint8), {}, low + voxel_mm / 2, voxel_mm)

    @property
    def patient_from_voxel(self) -> npt.NDArray[np.float64]:
        """(4, 4) affine of the canvas."""
        affine = np.diag([self.voxel_mm] * 3 + [1.0])
        affine[:3, 3] = self.origin_mm
        return affine

    @property
    def whole(self) -> Box:
        """The box of all voxels."""
        i, j, k = self.hu.shape
        return slice(0, i), slice(0, j), slice(0, k)

    def box(self, low_mm: npt.ArrayLike, high_mm: npt.ArrayLike) -> Box:
        """The voxels within a box of patient space, one voxel of rim included; possibly empty."""
        first = np.floor((np.asarray(low_mm) - self.origin_mm) / self.voxel_mm).astype(int) - 1
        last = np.ceil((np.asarray(high_mm) - self.origin_mm) / self.voxel_mm).astype(int) + 2
        shape = np.array(self.hu.shape)
        first, last = np.clip(first, 0, shape), np.clip(last, 0, shape)
        return slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])

    def coordinates(self, box: Box) -> tuple[Floats, Floats, Floats]:
        """x, y, z in mm of the voxels in a box, shaped to broadcast against each other."""
        x, y, z = (
            (self.origin_mm[a] + self.voxel_mm * np.arange(s.start, s.stop)).astype(np.float32)
            for a, s in enumerate(box)
        )
        return x[:, None, None], y[None, :, None], z[None, None, :]

    def code(self, name: str) -> int:
        """The code of a structure, given out on first use."""
        for code, held in self.names.items():
            if held == name:
                return code
        self.names[len(self.names) + 1] = name
        return len(self.names)

    def painted_names(self) -> dict[int, str]:
        """The structures that still show somewhere; others were cut off by the box or painted over."""
        seen = np.zeros(256, dtype=bool)
        for slab in self.codes:
            seen |= np.bincount(slab.reshape(-1), minlength=256) > 0
        return {code: name for code, name in self.names.items() if seen[code]}

    def paint(
        self,
        box: Box,
        distance_mm: Floats,
        value: float | Shell | Floats,
        name: str | None,
        *,
        keep: Callable[[Floats], Floats] | None = None,
    ) -> None:
        """Paint a shape: inside where the signed distance is negative, blended over one voxel at its edge.

        Args:
            box: where.
            distance_mm: signed distance on the box.
            value: HU of the inside, constant, per voxel, or a bone shell.
            name: structure; None leaves the labels as they are.
            keep: given the codes in the box, true where the paint must not go.
        """
        if 0 in distance_mm.shape:
            return
        share = np.clip(0.5 - distance_mm / self.voxel_mm, 0, 1).astype(np.float32)
        if keep is not None:
            share[keep(self.codes[box])] = 0
        inside = self._shell(value, distance_mm) if isinstance(value, Shell) else value
        hu = self.hu[box]
        hu += share * (inside - hu)
        if name is not None:
            self.codes[box][share > 0.5] = self.code(name)

    def _shell(self, shell: Shell, distance_mm: Floats) -> Floats:
        cortex = np.clip((shell.cortex_mm + distance_mm) / self.voxel_mm + 0.5, 0, 1)
        return shell.spongy_hu + (shell.cortical_hu - shell.spongy_hu) * cortex

    def ellipsoid(
        self,
        center_mm: npt.ArrayLike,
        radii_mm: npt.ArrayLike,
        value: float | Shell,
        name: str | None,
        *,
        rotation: Floats | None = None,
        keep: Callable[[Floats], Floats] | None = None,
    ) -> None:
        """Paint an ellipsoid; `rotation` (3, 3) turns its axes."""
        center, radii = np.asarray(center_mm, dtype=np.float64), np.asarray(radii_mm, dtype=np.float64)
        turn = np.eye(3) if rotation is None else rotation
        reach = np.sqrt(((turn * radii) ** 2).sum(axis=1))
        box = self.box(center - reach, center + reach)
        x, y, z = self.coordinates(box)
        local = [(turn[0, a] * (x - center[0]) + turn[1, a] * (y - center[1]) + turn[2, a] * (z - center[2])) / radii[a]
                 for a in range(3)]  # fmt: skip
        norm = np.sqrt(local[0] ** 2 + local[1] ** 2 + local[2] ** 2)
        # |f| / |grad f| is the first-order distance to an implicit surface.
        gradient = np.sqrt(sum((part / radii[a]) ** 2 for a, part in enumerate(local)))
        distance = np.where(gradient > 1e-6, (norm - 1) * norm / np.maximum(gradient, 1e-6), -radii.min())
        self.paint(box, distance, value, name, keep=keep)

    def tube(
        self,
        points_mm: npt.ArrayLike,
        radius_mm: float | npt.ArrayLike,
        value: float | Shell,
        name: str | None,
        *,
        flatten: tuple[float, float, float] = (1.0, 1.0, 1.0),
        keep: Callable[[Floats], Floats] | None = None,
    ) -> None:
        """Paint a tube along a polyline (n, 3); `flatten` stretches its cross-section along x, y, z."""
        from synthray.anatomy.body.kernels import lower_to_tube

        points = np.atleast_2d(np.asarray(points_mm, dtype=np.float64))
        radii = np.broadcast_to(np.asarray(radius_mm, dtype=np.float64), len(points)).copy()
        reach = radii.max() * np.array(flatten)
        box = self.box(points.min(axis=0) - reach, points.max(axis=0) + reach)
        field = np.full([s.stop - s.start for s in box], FAR_MM, dtype=np.float32)
        if field.size:
            start = self.origin_mm + self.voxel_mm * np.array([s.start for s in box])
            lower_to_tube(field, start, self.voxel_mm, points, radii, np.array(flatten))
            self.paint(box, field, value, name, keep=keep)
