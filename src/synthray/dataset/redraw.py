"""Redrawing a stored march: new tube, dose, scatter and disease for each use, for the price of a few exponentials.

The march of a view is stored as area densities. Training draws a fresh exposure from it every time, so that the
network never sees the same picture twice and the projector is never waited for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from synthray.dataset.draws import Number, Strict, fixed
from synthray.dataset.imaging_recipe import Imaging
from synthray.dataset.opacities import Opacities, paint_opacities
from synthray.imaging import DetectorGeometry, ImagingSettings, make_image

Floats = npt.NDArray[Any]

# -log under which a pixel shows the open beam: a centimetre of water gives 0.2.
OPEN_FIELD = 0.15


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
        added, painted = paint_opacities(paths_mm, config.opacities, rng)
        density = np.concatenate([density[:, :2] + added, density[:, 2:]], axis=1)
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
