"""Redrawing a stored march: new tube, dose, scatter and disease for each use, for the price of a few exponentials.

The march of a view is stored as area densities. Training draws a fresh exposure from it every time, so that the
network never sees the same picture twice and the projector is never waited for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from synthray.dataset.draws import Number, Strict, fixed
from synthray.dataset.imaging_recipe import Imaging
from synthray.imaging import DetectorGeometry, ImagingSettings, make_image

Floats = npt.NDArray[Any]

# -log under which a pixel shows the open beam: a centimetre of water gives 0.2.
OPEN_FIELD = 0.15
# Soft tissue (ICRU-44) as shares of the two bases, g per g.
_TISSUE = np.array([0.9218, 0.0727], dtype=np.float32)


class Opacities(Strict):
    """Lung disease painted into the march: part of the air along the ray through the lung is filled with tissue."""

    structure: str = "lung"
    probability: float = Field(0.5, ge=0, le=1)
    count: Number = fixed(4)
    radius_fraction: Number = fixed(0.15)
    filling_g_cm3: Number = fixed(0.3)
    mask: str | None = Field(None, description="name of a structure to learn: where the disease can be seen")
    mask_above_g_cm2: float = Field(0.5, gt=0, description="tissue along the ray from which on it can be seen")


class Window(Strict):
    """A display's window: the percentiles, among pixels behind the body, that become black and white."""

    low_percentile: Number = fixed(1)
    high_percentile: Number = fixed(99)

    @model_validator(mode="after")
    def _within(self) -> Self:
        for draw in (self.low_percentile, self.high_percentile):
            if draw.kind == "normal" or not 0 <= draw.first <= max(draw.first, draw.second) <= 100:
                raise ValueError("percentiles are a number or {uniform: [low, high]} within 0 to 100")
        return self


class Redraw(Strict):
    """How stored marches become fresh pictures."""

    imaging: Imaging = Imaging()
    opacities: Opacities | None = None
    window: Window | None = None


class Redrawn(NamedTuple):
    """Fresh pictures of stored marches.

    Attributes:
        images: (n, row, column) float32, -log, or within 0 to 1 when a window is drawn.
        opacities: (n, row, column) bool, where disease was painted in and can be seen; None when none is asked for.
    """

    images: npt.NDArray[np.float32]
    opacities: npt.NDArray[np.bool_] | None


def redraw_batch(
    density: npt.NDArray[np.float32],
    paths_mm: npt.NDArray[np.float32] | None,
    pixel_mm: npt.NDArray[np.float64],
    config: Redraw,
    rng: np.random.Generator,
    materials: tuple[str, ...] = (),
) -> Redrawn:
    """Images from stored marches, with the disease that was painted into them.

    Everything is drawn per image, but for the level of realism, which is one for the batch.

    Args:
        density: (n, M, row, column) g/cm² of the two bases and the materials of tools; see `read.stack_density`.
        paths_mm: (n, row, column) path through the structure that opacities fill, or None.
        pixel_mm: (n,) pixel size at the detector.
        config: what to draw.
        rng: source of all choices.
        materials: what the channels after the two bases are of.
    """
    painted = None
    if config.opacities is not None and paths_mm is not None:
        added = opacity_density(paths_mm, config.opacities, rng)
        density = np.concatenate([density[:, :2] + added, density[:, 2:]], axis=1)
        painted = added.sum(axis=1) > config.opacities.mask_above_g_cm2
    settings = [replace(config.imaging.draw(rng), extra_materials=materials) for _ in density]
    geometry = [_geometry(float(size), setting) for size, setting in zip(pixel_mm, settings, strict=True)]
    level = config.imaging.draw_level(rng)
    images = make_image(density, settings, level, rng.spawn(len(density)), geometry).log_image
    if config.window is not None:
        images = np.stack([_windowed(image, config.window, rng) for image in images])
    return Redrawn(images, painted)


def _windowed(image: npt.NDArray[np.float32], config: Window, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """One image clipped to a window drawn at random, within 0 to 1."""
    sample = image[::2, ::2]
    behind = sample[sample > OPEN_FIELD]
    low, high = np.percentile(
        behind if len(behind) > 50 else sample,
        [config.low_percentile.spread.draw(rng), config.high_percentile.spread.draw(rng)],
    )
    return np.clip((image - np.float32(low)) / np.float32(max(high - low, 0.1)), 0, 1)


def _geometry(pixel_mm: float, settings: ImagingSettings) -> DetectorGeometry:
    return DetectorGeometry(pixel_mm=pixel_mm, source_to_detector_mm=1800.0, magnification=1.15)


def opacity_density(
    paths_mm: npt.NDArray[np.float32], config: Opacities, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """(n, 2, row, column) g/cm² that random opacities add; soft blobs, at most as deep as the lung is there."""
    added = np.zeros((len(paths_mm), 2, *paths_mm.shape[1:]), dtype=np.float32)
    for view, path in enumerate(paths_mm):
        if rng.random() < config.probability and path.max() > 0:
            share = _blobs(path, config, rng)
            filled = share * path * np.float32(0.1 * config.filling_g_cm3.spread.draw(rng))
            added[view] = filled * _TISSUE[:, None, None]
    return added


def _blobs(path: npt.NDArray[np.float32], config: Opacities, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """(row, column) within 0 to 1: soft ellipses with a grainy rim, centred in the lung."""
    rows, columns = path.shape
    inside = np.flatnonzero(path > 0)
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    grain = _grain(path.shape, rng)
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


def _grain(shape: tuple[int, int], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Blotchy unit-variance texture: the sum of three coarse noise grids, linearly enlarged."""
    total = np.zeros(shape, dtype=np.float32)
    for cells in (6, 12, 24):
        grid = rng.standard_normal((cells + 1, cells + 1), dtype=np.float32)
        for axis, n in enumerate(shape):
            at = np.linspace(0, cells, n, endpoint=False)
            low = at.astype(int)
            weight = (at - low).astype(np.float32).reshape(-1, 1) if axis == 0 else (at - low).astype(np.float32)
            grid = grid.take(low, axis) * (1 - weight) + grid.take(low + 1, axis) * weight
        total += grid
    return total / np.float32(np.sqrt(3))
