"""`add_tools`: a projection without tools and posed meshes -> the projection with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from synthray.geometry import Camera
from synthray.projector.cpu import available_cores
from synthray.projector.mesh.triangles import Parts, parts, rows_touched, triangles
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
    """What tools add to one view and take from it; whole images."""

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
    made = parts(tools)
    anatomy = tuple(name for name in plain.paths_mm if any(name in v.members for v in volumes))
    shares = tuple(plain.structure_density)
    # The axis of a view's rays doesn't depend on the number of rays per pixel.
    rays = [bundle(plain.cameras, volume, 1) for volume in volumes]
    drawn = [
        _draw(tools, made, camera, view, list(zip(volumes, rays, strict=True)), anatomy, shares, threads)
        for view, camera in enumerate(plain.cameras)
    ]
    lengths = np.stack([d.lengths_mm for d in drawn])
    names = [tool.name for tool in tools]
    coverage = np.stack([d.coverage for d in drawn])
    metal = _by(made.material, lengths * (made.density_g_cm3 * 0.1)[:, None, None], len(made.materials))
    of_tool = _by(made.tool, lengths, len(tools))
    taken = np.stack([d.removed for d in drawn])
    paths = {name: plain.paths_mm[name] for name in plain.paths_mm if name not in names}
    for index, name in enumerate(anatomy):
        paths[name] = _less(paths[name], np.stack([d.removed_mm[index] for d in drawn]))
    return replace(
        plain,
        area_density=np.concatenate([_less(plain.area_density, taken), metal.astype(np.float32)], axis=1),
        masks=_with_silhouettes(plain.masks, {n: _silhouette(coverage[:, i]) for i, n in enumerate(names)}),
        depth_mm=None if plain.depth_mm is None else _nearer(plain.depth_mm, np.stack([d.depth_mm for d in drawn])),
        paths_mm={**paths, **{name: of_tool[:, i].astype(np.float32) for i, name in enumerate(names)}},
        structure_density={
            name: _less(plain.structure_density[name], np.stack([d.removed_share[i] for d in drawn]))
            for i, name in enumerate(shares)
        },
        materials=made.materials,
    )


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

    size = camera.rows, camera.columns
    drawn = triangles(tools, camera)
    result = _Drawn(
        np.zeros((len(made.tool), *size)),
        np.zeros((len(tools), *size)),
        np.full(size, np.inf),
        np.zeros((2, *size)),
        np.zeros((len(anatomy), *size)),
        np.zeros((len(shares), 2, *size)),
    )
    top, bottom, left, right = rows_touched(drawn)
    inverse_K = np.linalg.inv(camera.K)
    flipped = bool(camera.K[0, 0] * camera.K[1, 1] < 0)
    offsets = ray_offsets(kernels.SAMPLES)
    no_paths = np.zeros((0, *size))

    def strip(row: int) -> None:
        task = kernels.Strip(
            row, min(row + _STRIP_ROWS, bottom), left, right, offsets, inverse_K,
            result.lengths_mm, result.coverage, result.depth_mm,
        )  # fmt: skip
        where, stretch = kernels.between(drawn, made.tool, task, flipped)
        if not len(where):
            return
        for volume, rays in marched:
            line = rays.origin[view], rays.matrix[view], int(rays.axis[view]), inverse_K, where, stretch
            kernels.take_out(_readable(volume, anatomy), *line, result.removed, result.removed_mm)
            for index, name in enumerate(shares):
                if name in volume.members:
                    alone = part(volume, name)
                    own = bundle([camera], alone, 1, like=_one(rays, view))
                    line = own.origin[0], own.matrix[0], int(own.axis[0]), inverse_K, where, stretch
                    kernels.take_out(_readable(alone, ()), *line, result.removed_share[index], no_paths)

    with ThreadPoolExecutor(threads or available_cores()) as pool:
        list(pool.map(strip, range(top, bottom, _STRIP_ROWS)))
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


def _by(group: npt.NDArray[np.int64], values: Floats, count: int) -> Floats:
    """(view, part, row, column) -> (view, group, row, column) sums."""
    out = np.zeros((len(values), count, *values.shape[2:]))
    for index, to in enumerate(group):
        out[:, to] += values[:, index]
    return out


def _less(whole: Image, taken: Floats) -> Image:
    """What is left, not below zero; pixels that lose nothing stay as they are."""
    return np.where(taken > 0, np.maximum(whole - taken, 0), whole).astype(np.float32)


def _nearer(depth: Image, tools: Floats) -> Image:
    return np.where(np.isinf(tools), depth, np.fmin(depth, tools)).astype(np.float32)


def _silhouette(coverage: Floats) -> npt.NDArray[np.bool_]:
    """Pixels at least half as covered as the most covered one around them, so that a wire thinner than a pixel has a
    mask and a thick tool's border is true to half a pixel.
    """
    padded = np.pad(coverage, [(0, 0), (1, 1), (1, 1)])
    rows, columns = coverage.shape[1:]
    around = np.maximum.reduce([padded[:, r : r + rows, c : c + columns] for r in range(3) for c in range(3)])
    return (coverage > 0) & (coverage >= 0.5 * around)


def _with_silhouettes(
    masks: Mapping[str, npt.NDArray[np.bool_]], silhouettes: Mapping[str, npt.NDArray[np.bool_]]
) -> Mapping[str, npt.NDArray[np.bool_]]:
    if not isinstance(masks, MaskStack):
        return masks
    names = (*masks, *silhouettes)
    words = np.zeros((*masks.words.shape[:3], -(-len(names) // WORD_BITS)), dtype=np.uint64)
    held = min(words.shape[3], masks.words.shape[3])
    words[..., :held] = masks.words[..., :held]
    for index, mask in enumerate(silhouettes.values(), start=len(masks)):
        word, bit = divmod(index, WORD_BITS)
        words[..., word] |= mask.astype(np.uint64) << np.uint64(bit)
    return MaskStack(words, names)
