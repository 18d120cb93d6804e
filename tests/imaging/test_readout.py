"""Gain, defects, saturation and digitisation."""

from dataclasses import replace

import numpy as np
import pytest

from synthray.errors import InputError
from synthray.imaging.readout import Readout, read_out, saturated

PERFECT = Readout(gain_spread=0, gain_residual=0, dead_pixels=0, bits=16)


def ramp(rows: int = 64, columns: int = 96) -> np.ndarray:
    return np.tile(np.linspace(0, 1, columns, dtype=np.float32), (rows, 1))


def test_a_perfect_readout_rounds_to_its_steps() -> None:
    for bits in (10, 14):
        back = read_out(ramp(), 20.0, replace(PERFECT, bits=bits))
        step = 40.0 / 20.0 / (2**bits - 1)
        assert np.abs(back - ramp()).max() <= 0.51 * step
        assert len(np.unique(back)) > 60


def test_saturation_cuts_off_at_its_dose() -> None:
    signal = ramp() * 3
    full = saturated(signal, 20.0, PERFECT)
    back = read_out(signal, 20.0, PERFECT)
    assert back.max() == pytest.approx(2 * 0.99, rel=1e-3)
    assert np.abs(back - signal)[~full].max() < 1e-3
    assert full.any()


def test_noise_around_zero_is_not_cut_in_half() -> None:
    dark = np.random.default_rng(0).normal(0, 0.002, (100, 100)).astype(np.float32)
    assert read_out(dark, 20.0, PERFECT).mean() == pytest.approx(dark.mean(), abs=1e-4)


def test_calibration_takes_the_pattern_out() -> None:
    raw = read_out(np.full((200, 200), 0.5, np.float32), 20.0, Readout(corrected=False, dead_lines=2))
    flat = read_out(np.full((200, 200), 0.5, np.float32), 20.0, Readout(dead_lines=2))
    assert raw.std() / raw.mean() > 0.02
    assert (raw < 0.01).all(axis=0).sum() >= 2
    assert flat.std() / flat.mean() < 0.002
    again = read_out(np.full((200, 200), 0.5, np.float32), 20.0, Readout(dead_lines=2))
    np.testing.assert_array_equal(flat, again)
    other = read_out(np.full((200, 200), 0.5, np.float32), 20.0, Readout(dead_lines=2, pattern_seed=1))
    assert (flat != other).any()


def test_one_dead_pixel_changes_no_other() -> None:
    clean, holed = Readout(gain_residual=0), Readout(gain_residual=0, dead_pixels=0.001)
    signal = ramp()
    difference = read_out(signal, 20.0, clean) != read_out(signal, 20.0, holed)
    assert 0 < difference.sum() < 0.003 * signal.size
    # What replaces it lies between its neighbours.
    assert np.abs(read_out(signal, 20.0, holed) - signal).max() < 0.02


def test_absurd_electronics_are_refused() -> None:
    for bad in ({"bits": 4}, {"saturation_ugy": 0}, {"gain_spread": -1}, {"dead_pixels": 2}, {"pattern_seed": -1}):
        with pytest.raises(InputError):
            Readout(**bad)
