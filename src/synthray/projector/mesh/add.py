"""`add_tools`: a projection without tools and posed meshes -> the projection with them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.geometry import Camera
from synthray.projector.cpu import available_cores
from synthray.projector.mesh.triangles import Parts, boxed, parts, triangles
from synthray.projector.rays import RayBundle, bundle
from synthray.projector.result import MaskStack, Projection
from synthray.projector.volume import WORD_BITS, MarchVolume, part
from synthray.tools import Tool

Image = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

# Rows that one thread draws at a time.
_STRIP_ROWS = 16


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What tools add to one view and take from it, within the box of pixels that they touch."""

    box: tuple[slice, slice]  # rows, columns
    anatomy: tuple[str, ...]  # names of the paths
    lengths_mm: Floats  # (part, row, column)
    coverage: Floats  # (tool, row, column)
    depth_mm: Floats  # (row, column), infinite without a tool
    removed: Floats  # (2, row, column) g/cm²
    removed_mm: Floats  # (path, row, column)
    removed_share: Floats  # (structure, 2, row, column) g/cm²


def add_tools(
    plain: Projection, tools: Sequence[Tool], volumes: Sequence[MarchVolume], threads: int | None = None
) -> Projection:
    """The projection of a scene with tools, from the one without them.

    Args:
        plain: projection of the same volumes.
        tools: posed, later ones replacing earlier ones where they overlap.
        volumes: what was marched.
        threads: all cores by default.
    """
    made, names = parts(tools), [tool.name for tool in tools]
    anatomy = tuple(name for name in plain.paths_mm if any(name in v.members for v in volumes))
    shares = tuple(plain.structure_density)
    result = _copied(plain, made, names)
    # The axis of a view's rays doesn't depend on the number of rays per pixel.
    rays = [bundle(plain.cameras, volume, 1) for volume in volumes]
    for view, camera in enumerate(plain.cameras):
        marched = list(zip(volumes, rays, strict=True))
        _enter(_draw(tools, made, camera, view, marched, anatomy, shares, threads), view, result, made, names)
    return result


def _copied(plain: Projection, made: Parts, names: Sequence[str]) -> Projection:
    """A projection with room for the tools, whose arrays may be written to."""
    views, bases, *size = plain.area_density.shape
    density = np.zeros((views, bases + len(made.materials), *size), dtype=np.float32)
    density[:, :bases] = plain.area_density
    nothing = {name: np.zeros((views, *size), dtype=np.float32) for name in names}
    return replace(
        plain,
        area_density=density,
        masks=_with_room(plain.masks, names) if isinstance(plain.masks, MaskStack) else plain.masks,
        depth_mm=None if plain.depth_mm is None else plain.depth_mm.copy(),
        paths_mm={name: path.copy() for name, path in plain.paths_mm.items()} | nothing,
        structure_density={name: share.copy() for name, share in plain.structure_density.items()},
        materials=made.materials,
    )


def _enter(drawn: _Drawn, view: int, result: Projection, made: Parts, names: Sequence[str]) -> None:
    """Write what was drawn of one view into the result."""
    at = (view, ..., *drawn.box)
    density = result.area_density[at]
    _take(density[:2], drawn.removed)
    for n, length in enumerate(drawn.lengths_mm):
        density[2 + made.material[n]] += (length * (made.density_g_cm3[n] * 0.1)).astype(np.float32)
        result.paths_mm[names[made.tool[n]]][at] += length.astype(np.float32)
    for name, taken in zip(drawn.anatomy, drawn.removed_mm, strict=True):
        _take(result.paths_mm[name][at], taken)
    for share, taken in zip(result.structure_density.values(), drawn.removed_share, strict=True):
        _take(share[at], taken)
    if result.depth_mm is not None:
        nearer = np.fmin(result.depth_mm[at], drawn.depth_mm)
        result.depth_mm[at] = np.where(np.isinf(drawn.depth_mm), result.depth_mm[at], nearer)
    if isinstance(result.masks, MaskStack):
        first = len(result.masks) - len(names)
        for index, mask in enumerate(_silhouette(drawn.coverage), start=first):
            word, bit = divmod(index, WORD_BITS)
            result.masks.words[view, *drawn.box, word] |= mask.astype(np.uint64) << np.uint64(bit)


def _draw(
    tools: Sequence[Tool],
    made: Parts,
    camera: Camera,
    view: int,
    marched: Sequence[tuple[MarchVolume, RayBundle]],
    anatomy: tuple[str, ...],
    shares: tuple[str, ...],
    threads: int | None,
) -> _Drawn:
    from synthray.projector.mesh import kernels

    drawn, (top, bottom, left, right) = boxed(triangles(tools, camera))
    size = bottom - top, right - left
    result = _Drawn(
        (slice(top, bottom), slice(left, right)),
        anatomy,
        np.zeros((len(made.tool), *size)),
        np.zeros((len(tools), *size)),
        np.full(size, np.inf),
        np.zeros((2, *size)),
        np.zeros((len(anatomy), *size)),
        np.zeros((len(shares), 2, *size)),
    )
    whole_from_box = np.array([[1.0, 0, left], [0, 1, top], [0, 0, 1]])
    inverse_K = np.linalg.inv(camera.K) @ whole_from_box
    flipped = bool(camera.K[0, 0] * camera.K[1, 1] < 0)
    offsets = ray_offsets(kernels.SAMPLES)
    no_paths = np.zeros((0, *size))

    def strip(row: int) -> None:
        task = kernels.Strip(
            row, min(row + _STRIP_ROWS, size[0]), 0, size[1], offsets, inverse_K,
            result.lengths_mm, result.coverage, result.depth_mm,
        )  # fmt: skip
        where, stretch = kernels.between(drawn, made.tool, task, flipped)
        if not len(where):
            return

        def take_out(volume: Any, rays: RayBundle, of: int, density: Floats, paths: Floats) -> None:
            line = rays.origin[of], rays.matrix[of] @ whole_from_box, int(rays.axis[of])
            kernels.take_out(volume, *line, inverse_K, where, stretch, density, paths)

        for volume, rays in marched:
            take_out(_readable(volume, anatomy), rays, view, result.removed, result.removed_mm)
            for index, name in enumerate(shares):
                if name in volume.members:
                    alone = part(volume, name)
                    own = bundle([camera], alone, 1, like=_one(rays, view))
                    take_out(_readable(alone, ()), own, 0, result.removed_share[index], no_paths)

    with ThreadPoolExecutor(threads or available_cores()) as pool:
        list(pool.map(strip, range(0, size[0], _STRIP_ROWS)))
    return result


def _one(rays: RayBundle, view: int) -> RayBundle:
    """One view of a bundle."""
    only = slice(view, view + 1)
    return replace(rays, axis=rays.axis[only], supersample=rays.supersample[only])


def _readable(volume: MarchVolume, paths: Sequence[str]) -> tuple[npt.NDArray[np.generic], ...]:
    return volume.packed, volume.scale_g_cm3, volume.codes, volume.path_table(paths)


def ray_offsets(count: int) -> Floats:
    """(count, 2) places in a pixel: a Hammersley set, in which no two share a row or a column."""
    bits = count.bit_length() - 1
    reversed_bits = [int(format(n, f"0{bits}b")[::-1], 2) for n in range(count)]
    return (np.stack([np.arange(count), np.array(reversed_bits)], axis=1) + 0.5) / count - 0.5


def _take(whole: Image, taken: Floats) -> None:
    """Take something out in place, not below zero; pixels that lose nothing stay as they are."""
    whole[...] = np.where(taken > 0, np.maximum(whole - taken, 0), whole)


def _silhouette(coverage: Floats) -> npt.NDArray[np.bool_]:
    """Pixels at least half as covered as the most covered one around them, so that a wire thinner than a pixel has a
    mask and a thick tool's border is true to half a pixel.
    """
    padded = np.pad(coverage, [(0, 0), (1, 1), (1, 1)])
    rows, columns = coverage.shape[1:]
    around = np.maximum.reduce([padded[:, r : r + rows, c : c + columns] for r in range(3) for c in range(3)])
    return (coverage > 0) & (coverage >= 0.5 * around)


def _with_room(masks: MaskStack, more: Sequence[str]) -> MaskStack:
    """A copy of masks with further names, still empty."""
    names = (*masks, *more)
    words = np.zeros((*masks.words.shape[:3], -(-len(names) // WORD_BITS)), dtype=np.uint64)
    held = min(words.shape[3], masks.words.shape[3])
    words[..., :held] = masks.words[..., :held]
    return MaskStack(words, names)
