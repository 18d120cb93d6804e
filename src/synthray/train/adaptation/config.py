"""Settings of adaptation, checked when read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from synthray.augment.config import AugmentConfig
from synthray.models.translation import TranslatorConfig


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AdaBNConfig(_Settings):
    """Normalisation statistics re-estimated on unlabelled images (Li et al., arXiv 1603.04779).

    Attributes:
        method: `adabn`.
        batch: images per pass; every image counts once.
        share: weight of the new statistics against those of training.
    """

    method: Literal["adabn"] = "adabn"
    batch: int = Field(default=16, ge=2, le=4096)
    share: float = Field(default=1.0, gt=0, le=1)


class MeanTeacherConfig(_Settings):
    """Self-training: a student learns, under strong augmentation, what its running average is sure of.

    After Tarvainen & Valpola (arXiv 1703.01780), French et al. (arXiv 1706.05208) and FixMatch (arXiv 2001.07685).

    Attributes:
        method: `mean_teacher`.
        steps: steps in all.
        batch: unlabelled images per step, and labelled simulated ones where there are some.
        lr: peak learning rate of AdamW; half a cosine down to zero.
        weight_decay: of AdamW.
        average: decay per step of the teacher.
        confidence: probability of either answer from which the teacher's pixel is a label; landmarks need the model's
            own confidence.
        new_statistics: BatchNorm statistics of the unlabelled images, as `adabn`; false keeps the model's own.
        flip: the teacher averages over the mirror image; needs paired names.
        source_weight: weight of the labelled simulated images.
        augment: what the student's images go through.
        checkpoint_every: steps between checkpoints.
    """

    method: Literal["mean_teacher"] = "mean_teacher"
    steps: int = Field(default=300, ge=1)
    batch: int = Field(default=16, ge=1, le=4096)
    lr: float = Field(default=2e-4, gt=0, le=1)
    weight_decay: float = Field(default=1e-2, ge=0, le=1)
    average: float = Field(default=0.95, ge=0, lt=1)
    confidence: float = Field(default=0.9, ge=0.5, lt=1)
    new_statistics: bool = True
    flip: bool = False
    source_weight: float = Field(default=1.0, ge=0)
    augment: AugmentConfig = AugmentConfig(preset="strong")
    checkpoint_every: int = Field(default=50, ge=1)


class AddaConfig(_Settings):
    """Features of unlabelled images made indistinguishable from simulated ones' (Tzeng et al., arXiv 1702.05464).

    With the settings that SyntheX used: discriminator of four convolutions on the decoder's features, relativistic
    loss (Jolicoeur-Martineau, arXiv 1807.00734), 20 steps of the discriminator to 5 of the network.

    Attributes:
        method: `adda`.
        steps: steps in all, of either kind.
        batch: images of each domain per step.
        lr: of the network, Adam.
        discriminator_lr: of the discriminator, Adam.
        discriminator_steps, network_steps: how many of each in turn.
        checkpoint_every: steps between checkpoints.
    """

    method: Literal["adda"] = "adda"
    steps: int = Field(default=500, ge=1)
    batch: int = Field(default=8, ge=1, le=4096)
    lr: float = Field(default=1e-4, gt=0, le=1)
    discriminator_lr: float = Field(default=1e-3, gt=0, le=1)
    discriminator_steps: int = Field(default=20, ge=1)
    network_steps: int = Field(default=5, ge=1)
    checkpoint_every: int = Field(default=50, ge=1)


class SelfTrainingConfig(_Settings):
    """The model's own labels of unlabelled images, learnt beside simulated ones under the run's augmentation.

    After Xie et al., noisy student (arXiv 1911.04252), with simulated images as the labelled ones. Again on its own
    result it is the next round.

    Attributes:
        method: `self_training`.
        steps: steps in all.
        batch: images per step.
        share: of unlabelled images among them.
        lr: peak learning rate of AdamW; warm-up, then half a cosine down to zero.
        left_out: share of the unlabelled images, those that the model is least sure of, that are not used.
        checkpoint_every: steps between checkpoints.
    """

    method: Literal["self_training"] = "self_training"
    steps: int = Field(default=800, ge=1)
    batch: int = Field(default=16, ge=2, le=4096)
    share: float = Field(default=0.5, gt=0, lt=1)
    lr: float = Field(default=1e-3, gt=0, le=1)
    left_out: float = Field(default=0.15, ge=0, lt=1)
    checkpoint_every: int = Field(default=100, ge=1)


class CycleGanConfig(_Settings):
    """Translation between the looks of two unpaired sets of images (Zhu et al., arXiv 1703.10593).

    Attributes:
        size: side of the training images.
        steps: steps in all; the learning rate falls linearly to zero over the second half.
        batch: images of each look per step.
        lr: of Adam with a first decay of 0.5.
        cycle: weight of there-and-back.
        identity: weight of leaving images of the wanted look alone, as a share of `cycle`.
        pool: translated images remembered for the discriminators.
        translator: sizes of the networks.
        checkpoint_every: steps between checkpoints.
    """

    size: int = Field(default=128, ge=32, le=2048, multiple_of=4)
    steps: int = Field(default=10_000, ge=1)
    batch: int = Field(default=1, ge=1, le=256)
    lr: float = Field(default=2e-4, gt=0, le=1)
    cycle: float = Field(default=10.0, ge=0)
    identity: float = Field(default=0.5, ge=0)
    pool: int = Field(default=50, ge=1, le=10_000)
    translator: TranslatorConfig = TranslatorConfig()
    checkpoint_every: int = Field(default=200, ge=1)


AdaptConfig = Annotated[
    AdaBNConfig | MeanTeacherConfig | AddaConfig | SelfTrainingConfig, Field(discriminator="method")
]
