"""Training settings, checked when read."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from synthray.augment.config import AugmentConfig
from synthray.models.network import NetworkConfig
from synthray.models.preprocess import Preprocessing

MaskLoss = Literal["dice_bce", "dice", "focal"]
LandmarkLoss = Literal["ncc", "mse", "soft_argmax"]


class TrainConfig(BaseModel):
    """How to train; unknown keys are refused.

    Attributes:
        size: side of the square network input in pixels.
        fit: `letterbox` keeps the aspect ratio, `stretch` fills the square.
        batch: images per step.
        steps: steps in all.
        max_seconds: wall-clock cap; the learning rate still falls to zero by then.
        lr: peak learning rate of AdamW.
        weight_decay: of AdamW, on weights of convolutions only.
        warmup: share of the run over which the learning rate rises.
        average: decay per step of the running average of weights that is kept as the model; 0 switches it off.
        heatmap_sigma_px: standard deviation of the landmark Gaussians in network pixels.
        mask_loss: `dice_bce`, `dice` or `focal`; see `mask_loss`.
        landmark_loss: `ncc` (as Gao et al. 2023), `mse`, or `soft_argmax`, which needs `network.heatmap: softmax`.
        landmark_weight: weight of the heatmap loss beside the mask loss.
        augment: domain randomisation.
        network: architecture.
        initial: weights to start from: the folder of a run with the same network, structures and landmarks, or, for
            `transunet`, the public `.npz` file of ImageNet weights.
        keep_largest: structure -> connected parts to keep when predicting; saved with the model.
        validate_every: steps between validations.
        validation_batches: batches per validation.
        checkpoint_every: steps between checkpoints.
        threads: processor threads of torch; None leaves them as they are.
        device: `auto` takes a GPU when there is one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(default=192, ge=32, le=2048)
    fit: Literal["letterbox", "stretch"] = "letterbox"
    batch: int = Field(default=16, ge=1, le=4096)
    steps: int = Field(default=1000, ge=1)
    max_seconds: float | None = Field(default=None, gt=0)
    lr: float = Field(default=3e-3, gt=0, le=1)
    weight_decay: float = Field(default=1e-2, ge=0, le=1)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    average: float = Field(default=0.99, ge=0, lt=1)
    heatmap_sigma_px: float = Field(default=2.5, gt=0.5, le=50)
    mask_loss: MaskLoss = "dice_bce"
    landmark_loss: LandmarkLoss = "ncc"
    landmark_weight: float = Field(default=1.0, ge=0)
    augment: AugmentConfig = AugmentConfig()
    network: NetworkConfig = NetworkConfig()
    initial: str | None = None
    keep_largest: dict[str, int] = Field(default_factory=dict)
    validate_every: int = Field(default=100, ge=1)
    validation_batches: int = Field(default=4, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)
    threads: int | None = Field(default=None, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _fits(self) -> TrainConfig:
        if self.size % self.network.multiple:
            lower = self.size // self.network.multiple * self.network.multiple
            raise ValueError(
                f"size {self.size} must be a multiple of {self.network.multiple} for this network: "
                f"take {lower or self.network.multiple} or {lower + self.network.multiple}"
            )
        if (self.landmark_loss == "soft_argmax") != (self.network.heatmap == "softmax"):
            raise ValueError("landmark_loss 'soft_argmax' and network.heatmap 'softmax' go together, or neither")
        return self

    @property
    def preprocessing(self) -> Preprocessing:
        """From image to network input."""
        return Preprocessing(size=self.size, fit=self.fit)
