"""What is randomised, and how often."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0, le=1)]


class AugmentConfig(BaseModel):
    """Domain randomisation as a recipe: a preset of Gao et al. 2023, and named switches beyond it.

    A switch is the probability per image; 0, the default, is off.

    Attributes:
        preset: `none`, `regular`, or `strong` (which includes `regular`).
        affine: probability of the affine transform of `regular`.
        rotation_deg, shear_deg: largest angle either way.
        translation: largest shift as a fraction of the image side (the paper: 20 of 384 px).
        scale: smallest and largest magnification.
        stretch: largest change of the ratio of height to width, either way; 1 keeps it. The area stays.
        flip: mirror left and right, with the names of paired structures swapped.
        elastic: smooth deformation of anatomy, masks and landmarks, up to 4 % of the side.
        curve: a monotone grey-value curve (gamma, logarithm, sigmoid, or random knots).
        bias_field: a slow change of brightness over the image, vignetting included.
        local_contrast: large-scale brightness flattened and fine detail raised, as vendors' displays do.
        clahe: contrast-limited adaptive histogram equalisation, blended in.
        multiscale_contrast: detail of each size raised or lowered, weak detail more (as vendors' multi-scale displays).
        random_convolution: a small random network of convolutions blended in (GIN, arXiv 2111.12525).
        fourier: the amplitude spectrum multiplied by a smooth random field (arXiv 2409.04768).
        low_resolution: shrunk two- to fourfold and enlarged again.
        lines: tubes, wires, leads and electrodes.
        implants: plates, screws and nails; the labels stay as they are.
        letters: burnt-in letters, digits and markers.
        collimation: dark or bright straight borders of a turned rectangle; what they hide has no label.
        borders: flat bars along the image sides; what they hide has no label.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Literal["none", "regular", "strong"] = "strong"
    affine: Probability = 0.5
    rotation_deg: float = Field(default=5.0, ge=0, le=180)
    shear_deg: float = Field(default=2.0, ge=0, le=45)
    translation: float = Field(default=20 / 384, ge=0, le=0.5)
    scale: tuple[float, float] = (0.9, 1.1)
    stretch: float = Field(default=1.0, ge=1, le=2)
    flip: Probability = 0.0
    elastic: Probability = 0.0
    curve: Probability = 0.0
    bias_field: Probability = 0.0
    local_contrast: Probability = 0.0
    clahe: Probability = 0.0
    multiscale_contrast: Probability = 0.0
    random_convolution: Probability = 0.0
    fourier: Probability = 0.0
    low_resolution: Probability = 0.0
    lines: Probability = 0.0
    implants: Probability = 0.0
    letters: Probability = 0.0
    collimation: Probability = 0.0
    borders: Probability = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> AugmentConfig:
        if not 0 < self.scale[0] <= self.scale[1] <= 4:
            raise ValueError("scale must be two rising magnifications between 0 and 4, such as [0.9, 1.1]")
        return self
