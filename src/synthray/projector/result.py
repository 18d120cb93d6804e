"""What a march is asked for and what it returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from synthray.geometry import Camera
from synthray.projector.volume import WORD_BITS

# A body's surface for the depth image, g/cm³ of both bases: denser than air and cloth, lighter than lung.
SURFACE_DENSITY_G_CM3 = 0.1

Image = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Wanted:
    """What a backend is to return beside the area densities.

    Attributes:
        masks: words of structure bits.
        depth: depth of the surface.
        paths: structures whose path length is to be returned, those that the volume lacks included (as zeros).
        gradient: derivatives with respect to each ray's origin and direction.
    """

    masks: bool
    depth: bool
    paths: tuple[str, ...] = ()
    gradient: bool = False


class Marched(NamedTuple):
    """What a backend returns.

    Attributes:
        density: (view, 2, row, column) float32 g/cm².
        words: (view, row, column, word) uint64; no words when masks are not wanted.
        depth: (view, row, column) float32 mm, NaN without a surface; None when not wanted.
        paths: (view, path, row, column) float32 mm.
        gradient: (view, 2, 6, row, column) float32 derivatives of the density with respect to the origin (first three)
            and the direction per mm of depth (last three) of the pixel's ray, both in voxel coordinates, at a fixed
            length of the direction in mm; None when not wanted.
    """

    density: npt.NDArray[Any]
    words: npt.NDArray[np.uint64]
    depth: npt.NDArray[Any] | None
    paths: npt.NDArray[Any]
    gradient: npt.NDArray[Any] | None


class MaskStack(Mapping[str, npt.NDArray[np.bool_]]):
    """Structure name -> bool (view, row, column), unpacked from bit words when asked for."""

    def __init__(self, words: npt.NDArray[np.uint64], names: Sequence[str]) -> None:
        """Args: words: (view, row, column, word) uint64. names: structures in bit order."""
        self.words = words
        self._index = {name: index for index, name in enumerate(names)}

    def __getitem__(self, name: str) -> npt.NDArray[np.bool_]:
        if name not in self._index:
            raise KeyError(f"no structure '{name}'; there are {', '.join(self._index) or 'none'}")
        word, bit = divmod(self._index[name], WORD_BITS)
        return (self.words[..., word] >> np.uint64(bit)) & np.uint64(1) != 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)


@dataclass(frozen=True, eq=False)
class Projection:
    """The physics-free result of a march.

    Attributes:
        cameras: the views, in order.
        area_density: float32 (view, basis, row, column) g/cm²; basis 0 adipose, 1 cortical bone, then one for each of
            `materials`.
        masks: structure name -> bool (view, row, column); empty when not asked for.
        depth_mm: float32 (view, row, column), depth of the body's surface along the camera's z axis, NaN where the
            ray meets no body; None when not asked for.
        paths_mm: structure name -> float32 (view, row, column) length of ray inside it.
        structure_density: structure name -> float32 (view, basis, row, column), the structure's share of
            `area_density`, for those asked for.
        jacobian: float32 (view, basis, 6, row, column), see `project`; None when not asked for.
        buffers: the backend's arrays, for `project(out=…)`.
        materials: what the channels after the two bases are of: names in `imaging.MATERIALS` or chemical formulas.
    """

    cameras: tuple[Camera, ...]
    area_density: Image
    masks: Mapping[str, npt.NDArray[np.bool_]]
    depth_mm: Image | None
    paths_mm: Mapping[str, Image]
    structure_density: Mapping[str, Image] = field(default_factory=dict)
    jacobian: Image | None = None
    buffers: Marched | None = field(default=None, repr=False)
    materials: tuple[str, ...] = ()
