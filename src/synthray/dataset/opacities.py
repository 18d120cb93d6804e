"""Lung disease painted into stored marches: patches, and the wide regions that radiologists outline as ground glass."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from synthray.dataset.draws import Number, Strict, fixed

Floats = npt.NDArray[np.float32]
# Soft tissue (ICRU-44) as shares of the two bases, g per g.
_TISSUE = np.array([0.9218, 0.0727], dtype=np.float32)
# Thinner lung hardly shows what fills it.
_THIN_MM = 5.0


class Opacities(Strict):
    """Lung disease painted into the march: part of the air along the ray through the lung is filled with tissue.

    Ill images show either patches, soft ellipses anywhere in the lung, or regions: in one or both lungs a wide area
    that leans on the chest wall, mostly in the middle and lower lung, smooth of outline and uneven within.
    """

    structure: str = "lung"
    probability: float = Field(0.5, ge=0, le=1)
    count: Number = fixed(4)
    radius_fraction: Number = fixed(0.15)
    filling_g_cm3: Number = fixed(0.3)
    regions: float = Field(0.0, ge=0, le=1, description="share of the ill images that show regions, not patches")
    region_filling_g_cm3: Number = fixed(0.15)
    mask: str | None = Field(None, description="name of a structure to learn: where the disease can be seen")
    within: str | None = Field(None, description="structure to learn that holds the mask: nobody outlines beyond it")
    mask_above_g_cm2: float = Field(0.5, gt=0, description="tissue along the ray from which on a patch can be seen")


def paint_opacities(
    paths_mm: Floats, config: Opacities, rng: np.random.Generator
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """What random opacities add, at most as deep as the lung is there.

    Args:
        paths_mm: (n, row, column) path through the structure.
        config: what to draw.
        rng: source of all choices.

    Returns:
        (n, 2, row, column) g/cm² of the two bases, and (n, row, column) bool, where disease is to be outlined.
    """
    added = np.zeros((len(paths_mm), 2, *paths_mm.shape[1:]), dtype=np.float32)
    seen = np.zeros(paths_mm.shape, dtype=bool)
    for view, path in enumerate(paths_mm):
        if rng.random() >= config.probability or path.max() <= 0:
            continue
        # Without regions no choice is drawn, so that recipes without them keep their pictures.
        if config.regions > 0 and rng.random() < config.regions:
            share, seen[view] = _regions(path, rng)
            filling = config.region_filling_g_cm3.spread.draw(rng)
            filled = share * path * np.float32(0.1 * filling)
        else:
            share = _patches(path, config, rng)
            filled = share * path * np.float32(0.1 * config.filling_g_cm3.spread.draw(rng))
            seen[view] = filled * _TISSUE.sum() > config.mask_above_g_cm2
        added[view] = filled * _TISSUE[:, None, None]
    return added, seen


def _patches(path: Floats, config: Opacities, rng: np.random.Generator) -> Floats:
    """(row, column) within 0 to 1: soft ellipses with a grainy rim, centred in the lung."""
    rows, columns = path.shape
    inside = np.flatnonzero(path > 0)
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    grain = _grain(path.shape, (6, 12, 24), rng)
    share = np.zeros(path.shape, dtype=np.float32)
    for _ in range(max(1, round(config.count.spread.draw(rng)))):
        row, column = divmod(int(rng.choice(inside)), columns)
        size = max(config.radius_fraction.spread.draw(rng), 0.01) * columns
        stretch, angle = rng.uniform(0.5, 1.0), rng.uniform(0, np.pi)
        dx, dy = x - column, y - row
        along = (dx * np.cos(angle) + dy * np.sin(angle)) / size
        across = (dy * np.cos(angle) - dx * np.sin(angle)) / (size * stretch)
        share = np.maximum(share, np.clip(1.25 - np.sqrt(along**2 + across**2) + 0.35 * grain, 0, 1))
    return share


def _regions(path: Floats, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(row, column) share of the air that is filled, uneven around 1 inside, and the bool outline of the regions."""
    columns = np.flatnonzero((path > 0).any(axis=0))
    # The two lungs part where the least of them is in the way, in the middle half.
    middle = columns[len(columns) // 4 : max(len(columns) // 4 + 1, 3 * len(columns) // 4)]
    split = int(middle[path[:, middle].sum(axis=0).argmin()])
    sides = [(path * (np.arange(path.shape[1]) < split), -1), (path * (np.arange(path.shape[1]) >= split), 1)]
    ill = rng.random(2) < 0.75
    ill[int(rng.integers(2))] = True
    soft = rng.uniform(0.1, 0.8)
    share = np.zeros(path.shape, dtype=np.float32)
    outline = np.zeros(path.shape, dtype=bool)
    for (lung, outward), taken in zip(sides, ill, strict=True):
        if taken and (lung > _THIN_MM).any():
            distance = _region(lung, outward, rng)
            share = np.maximum(share, np.clip((1 - distance) / soft + 0.5, 0, 1) * (lung > 0))
            outline |= (distance < 1) & (lung > _THIN_MM)
    uneven = 1 + rng.uniform(0, 0.5) * _grain(path.shape, (16, 32, 48), rng)
    return share * np.clip(uneven, 0.1, 2.5).astype(np.float32), outline


def _region(lung: Floats, outward: int, rng: np.random.Generator) -> Floats:
    """(row, column) distance from the middle of a region, 1 on its rim."""
    rows, columns = np.nonzero(lung > _THIN_MM)
    top, height = rows.min(), np.ptp(rows) + 1
    width = np.ptp(columns) + 1
    row = top + height * float(np.clip(rng.normal(0.6, 0.2), 0.1, 0.95))
    near = columns[np.abs(rows - row) < 2]
    wall = outward * ((outward * (near if len(near) else columns)).max())
    column = wall - outward * width * rng.uniform(0.0, 0.55)
    y, x = np.mgrid[: lung.shape[0], : lung.shape[1]].astype(np.float32)
    across = (x - column) / (width * rng.uniform(0.15, 0.65))
    along = (y - row) / (height * rng.uniform(0.12, 0.5))
    wobble = 0.3 * _grain(lung.shape, (3, 6), rng)
    return (np.sqrt(across**2 + along**2) + wobble).astype(np.float32)


def _grain(shape: tuple[int, ...], cells: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Blotchy unit-variance texture: the sum of coarse noise grids, linearly enlarged."""
    total = np.zeros(shape, dtype=np.float32)
    for count in cells:
        grid = rng.standard_normal((count + 1, count + 1), dtype=np.float32)
        for axis, n in enumerate(shape):
            at = np.linspace(0, count, n, endpoint=False)
            low = at.astype(int)
            weight = (at - low).astype(np.float32).reshape(-1, 1) if axis == 0 else (at - low).astype(np.float32)
            grid = grid.take(low, axis) * (1 - weight) + grid.take(low + 1, axis) * weight
        total += grid
    return total / np.float32(np.sqrt(len(cells)))
