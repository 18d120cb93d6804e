"""From the detector's signal to digital values and back: gain, offset, defects, saturation, digitisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthray.imaging.checks import check_between

Image = npt.NDArray[np.float32]

# Digital values below the dark level that read-out noise may reach before it is cut off, as a part of the range.
_PEDESTAL = 0.01


@dataclass(frozen=True, kw_only=True)
class Readout:
    """A flat panel's electronics and their calibration.

    Attributes:
        saturation_ugy: air kerma at which a pixel is full.
        bits: of the analogue-to-digital converter, 8 to 16.
        gain_spread: standard deviation of the pixels' gain.
        gain_residual: what the flat-field calibration leaves of it, as a standard deviation.
        dead_pixels: fraction of pixels that read nothing.
        dead_lines: number of columns that read nothing.
        corrected: False leaves gain and defects in the picture.
        pattern_seed: which detector it is: the same seed, the same pattern.
    """

    saturation_ugy: float = 40.0
    bits: int = 14
    gain_spread: float = 0.02
    gain_residual: float = 0.001
    dead_pixels: float = 2e-5
    dead_lines: int = 0
    corrected: bool = True
    pattern_seed: int = 0

    def __post_init__(self) -> None:
        check_between("saturation_ugy", self.saturation_ugy, 0.01, 1e5)
        check_between("bits", self.bits, 8, 16)
        check_between("gain_spread", self.gain_spread, 0, 0.3)
        check_between("gain_residual", self.gain_residual, 0, 0.1)
        check_between("dead_pixels", self.dead_pixels, 0, 0.1)
        check_between("dead_lines", self.dead_lines, 0, 100)
        check_between("pattern_seed", self.pattern_seed, 0, 2**63)


def read_out(signal: Image, open_kerma_ugy: float, readout: Readout) -> Image:
    """What the electronics make of a signal.

    Args:
        signal: (row, column) as a fraction of the open field's, noise included.
        open_kerma_ugy: air kerma of the open field at the detector.
        readout: electronics and calibration.

    Returns:
        (row, column) float32 fraction of the open field's signal, in steps of the converter.
    """
    per_unit = open_kerma_ugy / readout.saturation_ugy
    gain, left, dead = _pattern(signal.shape, readout)
    highest = 2**readout.bits - 1
    value = signal * np.float32(per_unit) * gain
    value[dead] = 0
    # The dark level stands a little above zero, so that noise around it is not cut in half.
    digital = np.clip(np.rint((value + _PEDESTAL) * highest), 0, highest)
    back = (digital / np.float32(highest) - np.float32(_PEDESTAL)) / np.float32(per_unit)
    if not readout.corrected:
        return back.astype(np.float32)
    return _mended((back / gain * left).astype(np.float32), dead)


def saturated(signal: Image, open_kerma_ugy: float, readout: Readout) -> npt.NDArray[np.bool_]:
    """(row, column) bool: pixels that are full."""
    return signal * (open_kerma_ugy / readout.saturation_ugy) + _PEDESTAL >= 1


def _pattern(shape: tuple[int, ...], readout: Readout) -> tuple[Image, Image, npt.NDArray[np.bool_]]:
    """Gain, what calibration leaves of it, and dead pixels of a detector."""
    rng = np.random.Generator(np.random.Philox(key=[readout.pattern_seed, 0]))
    gain = 1 + np.float32(readout.gain_spread) * rng.standard_normal(shape, dtype=np.float32)
    left = 1 + np.float32(readout.gain_residual) * rng.standard_normal(shape, dtype=np.float32)
    dead = rng.random(shape, dtype=np.float32) < readout.dead_pixels
    dead[:, rng.integers(0, shape[1], size=readout.dead_lines)] = True
    return np.maximum(gain, np.float32(0.1)), left, dead


def _mended(image: Image, dead: npt.NDArray[np.bool_]) -> Image:
    """Dead pixels take the mean of the living ones around them; a dead block is filled from its rim."""
    missing = dead.copy()
    while missing.any() and not missing.all():
        rows, columns = np.nonzero(missing)
        total, count = np.zeros(len(rows)), np.zeros(len(rows))
        for step_row, step_column in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)):
            row, column = rows + step_row, columns + step_column
            inside = (row >= 0) & (row < image.shape[0]) & (column >= 0) & (column < image.shape[1])
            row, column = np.where(inside, row, 0), np.where(inside, column, 0)
            alive = inside & ~missing[row, column]
            total += np.where(alive, image[row, column], 0)
            count += alive
        known = count > 0
        image[rows[known], columns[known]] = (total[known] / count[known]).astype(np.float32)
        missing[rows[known], columns[known]] = False
    return image
