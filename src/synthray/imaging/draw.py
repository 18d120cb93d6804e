"""Random imaging settings, drawn first as data and applied later."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from synthray.errors import InputError
from synthray.imaging.detector import Detector
from synthray.imaging.scatter import Scatter
from synthray.imaging.settings import ImagingSettings
from synthray.imaging.spectrum import Tube

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class SettingsRanges:
    """Lowest and highest value of each setting; equal ends fix it.

    Attributes:
        tube_kvp: uniform.
        aluminium_mm: uniform.
        copper_mm: uniform.
        mas: uniform in the logarithm.
        scatter_ratio: uniform.
        scatter_sigma_mm: uniform.
        focal_spot_mm: uniform.
        detectors: one is picked, all equally likely.
    """

    tube_kvp: Range = (60.0, 125.0)
    aluminium_mm: Range = (2.5, 4.0)
    copper_mm: Range = (0.0, 0.2)
    mas: Range = (0.5, 8.0)
    scatter_ratio: Range = (0.1, 1.5)
    scatter_sigma_mm: Range = (40.0, 90.0)
    focal_spot_mm: Range = (0.3, 1.2)
    detectors: tuple[Detector, ...] = (Detector(),)

    def __post_init__(self) -> None:
        if not self.detectors:
            raise InputError("detectors must name at least one detector")
        bounds = _bounds(self)
        for name, (low, high) in bounds.items():
            if not low <= high:
                raise InputError(f"range of {name} must rise, got {low:g} to {high:g}")
        # Building both extremes checks every bound by the rules of the settings themselves.
        for end in (0, 1):
            _settings({name: pair[end] for name, pair in bounds.items()}, self.detectors[0])


def draw_settings(ranges: SettingsRanges, rng: np.random.Generator) -> ImagingSettings:
    """One random setting; the same generator state gives the same setting."""
    values = {}
    for name, (low, high) in _bounds(ranges).items():
        part = rng.uniform()
        values[name] = low * (high / low) ** part if name == "mas" else low + (high - low) * part
    return _settings(values, ranges.detectors[int(rng.integers(len(ranges.detectors)))])


def _bounds(ranges: SettingsRanges) -> dict[str, Range]:
    return {f.name: getattr(ranges, f.name) for f in fields(ranges) if f.name != "detectors"}


def _settings(values: dict[str, float], detector: Detector) -> ImagingSettings:
    return ImagingSettings(
        tube=Tube(tube_kvp=values["tube_kvp"], aluminium_mm=values["aluminium_mm"], copper_mm=values["copper_mm"]),
        detector=detector,
        mas=values["mas"],
        scatter=Scatter(ratio=values["scatter_ratio"], sigma_mm=values["scatter_sigma_mm"]),
        focal_spot_mm=values["focal_spot_mm"],
    )
