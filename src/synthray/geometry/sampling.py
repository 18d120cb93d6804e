"""Random views, driven by a Generator: draw the parameters first, build the camera from them second."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry.camera import Camera
from synthray.geometry.carm import CArm


@dataclass(frozen=True)
class Spread:
    """How a number is drawn.

    Attributes:
        kind: `fixed` (first value), `uniform` (from first to second), `log_uniform` (uniform in the logarithm), or
            `normal` (mean, standard deviation; drawn again beyond two standard deviations, so that travel limits can
            be planned for).
        first: value, lower end or mean.
        second: upper end or standard deviation.
    """

    kind: Literal["fixed", "uniform", "log_uniform", "normal"] = "fixed"
    first: float = 0.0
    second: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.first) and np.isfinite(self.second)):
            raise InputError(f"a spread needs finite numbers, got {self.first} and {self.second}")
        if self.kind in ("uniform", "log_uniform") and self.second < self.first:
            raise InputError(f"{self.kind} from {self.first} to {self.second}: the ends are swapped")
        if self.kind == "log_uniform" and self.first <= 0:
            raise InputError(f"log_uniform from {self.first} to {self.second}: both must be positive")
        if self.kind == "normal" and self.second < 0:
            raise InputError(f"normal with standard deviation {self.second}: it can't be negative")

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        if self.kind == "fixed":
            return self.first
        if self.kind == "uniform":
            return float(rng.uniform(self.first, self.second))
        if self.kind == "log_uniform":
            return float(np.exp(rng.uniform(np.log(self.first), np.log(self.second))))
        deviation = rng.standard_normal()
        while abs(deviation) > 2:
            deviation = rng.standard_normal()
        return float(self.first + self.second * deviation)


@dataclass(frozen=True, kw_only=True)
class ViewParameters:
    """One drawn view, before it becomes a camera: angles in degrees, lengths in mm."""

    lao_deg: float
    cran_deg: float
    roll_deg: float
    source_to_target_mm: float
    offset_mm: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class ViewSampler:
    """Draws views of one device around a target.

    Attributes:
        carm: the device.
        view: the named view that the angles are added to.
        lao_deg: orbital angle.
        cran_deg: tilt.
        roll_deg: rotation of the picture.
        distance_mm: added to the device's source-to-isocentre distance.
        offset_mm: displacement of the target along the patient's x, y, z.
    """

    carm: CArm
    view: str = "pa"
    lao_deg: Spread = field(default_factory=Spread)
    cran_deg: Spread = field(default_factory=Spread)
    roll_deg: Spread = field(default_factory=Spread)
    distance_mm: Spread = field(default_factory=Spread)
    offset_mm: tuple[Spread, Spread, Spread] = field(default_factory=lambda: (Spread(), Spread(), Spread()))

    def draw(self, rng: np.random.Generator) -> ViewParameters:
        """The parameters of one view."""
        x, y, z = (spread.draw(rng) for spread in self.offset_mm)
        return ViewParameters(
            lao_deg=self.lao_deg.draw(rng),
            cran_deg=self.cran_deg.draw(rng),
            roll_deg=self.roll_deg.draw(rng),
            source_to_target_mm=self.carm.source_to_isocenter_mm + self.distance_mm.draw(rng),
            offset_mm=(x, y, z),
        )

    def camera(self, target_mm: npt.ArrayLike, parameters: ViewParameters) -> Camera:
        """The camera of drawn parameters around a target in patient mm.

        Raises:
            InputError: the parameters lie outside the device's travel.
        """
        return self.carm.view(
            np.asarray(target_mm, dtype=np.float64) + parameters.offset_mm,
            parameters.lao_deg,
            parameters.cran_deg,
            parameters.roll_deg,
            view=self.view,
            source_to_target_mm=parameters.source_to_target_mm,
        )

    def sample(self, target_mm: npt.ArrayLike, rng: np.random.Generator) -> Camera:
        """One random view of a target."""
        return self.camera(target_mm, self.draw(rng))
