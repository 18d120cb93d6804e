"""The `imaging` part of a recipe: system, tube, dose and detector of each image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from synthray.dataset.draws import Number, Strict, fixed
from synthray.errors import InputError
from synthray.imaging import Detector, Grid, ImagingSettings, Level, Scatter, System


class Imaging(Strict):
    """Tube, dose and detector of each image.

    With a `system`, whatever is not given comes from it, and its exposure control finds the dose unless `mas` is given.
    Without one, the defaults below hold.
    """

    realism: Level | list[Level] = Field("realistic", description="a level, or a list of which one is picked each time")
    system: str | list[str] | None = Field(None, description="a named X-ray system, or several of which one is picked")
    tube_kvp: Number = fixed(100)
    aluminium_mm: Number = fixed(3.0)
    copper_mm: Number = fixed(0.0)
    mas: Number = fixed(4.0)
    scatter_ratio: Number = fixed(0.3)
    scatter_sigma_mm: Number = fixed(60.0)
    focal_spot_mm: Number = fixed(0.6)
    detectors: list[str] = Field(["csi-chest"], min_length=1, description="one is picked for each image")
    detector_dose_ugy: Number | None = Field(
        None, description="air kerma at the detector; the exposure control finds mas"
    )
    anode_angle_deg: Number | None = None
    air_gap_mm: Number | None = Field(None, description="scatter by the physical model, with this air gap")
    grid_ratio: Number | None = Field(None, description="anti-scatter grid; below 1 there is none")
    scatter_strength: Number | None = Field(None, description="factor on the physical scatter")
    table_g_cm2: Number | None = None
    off_focus: Number | None = None
    motion_mm: Number | None = Field(None, description="movement along the columns during the exposure, level full")
    dead_pixels: Number | None = Field(None, description="fraction, level full")

    @model_validator(mode="after")
    def _known(self) -> Self:
        try:
            _ = [Detector.preset(name) for name in self.detectors]
            _ = [System.preset(name) for name in self.systems]
            if not self.levels:
                raise InputError("realism: the list is empty")
            if self.detector_dose_ugy is not None and "mas" in self.model_fields_set:
                raise InputError("give either mas or detector_dose_ugy")
        except InputError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def levels(self) -> list[Level]:
        """The levels of realism that may be picked."""
        return self.realism if isinstance(self.realism, list) else [self.realism]

    @property
    def systems(self) -> list[str]:
        """The systems that may be picked; empty without any."""
        if self.system is None:
            return []
        return self.system if isinstance(self.system, list) else [self.system]

    def draw_level(self, rng: np.random.Generator) -> Level:
        """The level of realism of one image."""
        return self.levels[int(rng.integers(len(self.levels)))]

    def draw(self, rng: np.random.Generator) -> ImagingSettings:
        """The settings of one image."""
        names = self.systems
        base = System.preset(names[int(rng.integers(len(names)))]).settings if names else ImagingSettings()

        def value(name: str, otherwise: float) -> float:
            """A number of the recipe where it has a say, else what the system has."""
            drawn = getattr(self, name)
            given = drawn is not None and (not names or name in self.model_fields_set)
            return drawn.spread.draw(rng) if given else otherwise

        tube = replace(
            base.tube,
            tube_kvp=value("tube_kvp", base.tube.tube_kvp),
            aluminium_mm=value("aluminium_mm", base.tube.aluminium_mm),
            copper_mm=value("copper_mm", base.tube.copper_mm),
        )
        detector = base.detector
        if not names or "detectors" in self.model_fields_set:
            detector = Detector.preset(self.detectors[int(rng.integers(len(self.detectors)))])
        automatic = self.detector_dose_ugy is not None or (bool(names) and "mas" not in self.model_fields_set)
        mas = None if automatic else value("mas", 1.0)
        scatter = self._scatter(base.scatter, value)
        settings = replace(
            base,
            tube=tube,
            detector=detector,
            mas=mas,
            scatter=scatter,
            focal_spot_mm=value("focal_spot_mm", base.focal_spot_mm),
        )
        return self._with_rest(settings, value)

    def _scatter(self, base: Scatter, value: Callable[[str, float], float]) -> Scatter:
        """A ratio and a width where the recipe gives them, else the physical model."""
        named = {"scatter_ratio", "scatter_sigma_mm"} & self.model_fields_set
        physical = {"air_gap_mm", "grid_ratio", "scatter_strength"} & self.model_fields_set
        if named or not (physical or self.system):
            return replace(base, ratio=value("scatter_ratio", 0.3), sigma_mm=value("scatter_sigma_mm", 60.0))
        ratio = value("grid_ratio", base.grid.ratio if base.grid else 0.0)
        return replace(
            base,
            air_gap_mm=value("air_gap_mm", base.air_gap_mm),
            grid=replace(base.grid or Grid(), ratio=ratio) if ratio >= 1 else None,
            strength=value("scatter_strength", base.strength),
        )

    def _with_rest(self, settings: ImagingSettings, value: Callable[[str, float], float]) -> ImagingSettings:
        """Settings with the parameters that few recipes name."""
        control = settings.exposure
        if self.detector_dose_ugy is not None:
            control = replace(control, detector_kerma_ugy=value("detector_dose_ugy", control.detector_kerma_ugy))
        if "tube_kvp" in self.model_fields_set:
            control = replace(control, kvp_range=None)
        return replace(
            settings,
            exposure=control,
            tube=replace(settings.tube, anode_angle_deg=value("anode_angle_deg", settings.tube.anode_angle_deg)),
            table_g_cm2=value("table_g_cm2", settings.table_g_cm2),
            off_focus=value("off_focus", settings.off_focus),
            motion_mm=(value("motion_mm", settings.motion_mm[0]), settings.motion_mm[1]),
            readout=replace(settings.readout, dead_pixels=value("dead_pixels", settings.readout.dead_pixels)),
        )
