"""Mean teacher: a student learns, under strong augmentation, what its running average is sure of on clean images.

Labelled simulated images keep it from drifting: without them Dice fell in most toys that were tried.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from synthray.augment import augment
from synthray.models import Model, ModelSpec, Network, decode_heatmaps, encode_heatmaps, mirror_order, normalise
from synthray.train.adaptation.config import MeanTeacherConfig
from synthray.train.adaptation.session import Losses
from synthray.train.adaptation.statistics import batch_norms, kept_statistics, with_statistics_of
from synthray.train.batches import BatchSource, to_tensors
from synthray.train.config import TrainConfig
from synthray.train.loop import adamw
from synthray.train.losses import combined_loss, landmark_loss
from synthray.train.randomise import randomised
from synthray.train.unlabelled import Unlabelled


class Pseudo(NamedTuple):
    """What the teacher says of clean images.

    Attributes:
        masks: (n, structures, h, w) bool.
        known: (n, structures, h, w) bool, it is sure of the pixel.
        landmarks_px: (n, landmarks, 2).
        sure: (n, landmarks) bool.
    """

    masks: Tensor
    known: Tensor
    landmarks_px: Tensor
    sure: Tensor


@dataclass(eq=False)
class MeanTeacher:
    """Student, teacher and what they learn from; `step` is one step.

    Attributes:
        spec: of the model.
        config: settings.
        training: settings of the model's own training, for its losses and its augmentation of simulated images.
        student: is trained; new normalisation statistics are those of its augmented images.
        teacher: its running average, the model to be; new statistics are those of clean images.
        optimiser: of the student.
        images: unlabelled.
        source: labelled simulated images.
        seed: of batches and augmentation.
    """

    spec: ModelSpec
    config: MeanTeacherConfig
    training: TrainConfig
    student: Network
    teacher: Network
    optimiser: torch.optim.Optimizer
    images: Unlabelled
    source: BatchSource
    seed: int

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is saved beside the optimiser."""
        return {"network": self.student, "average": self.teacher}

    @property
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Saved with their moments."""
        return {"optimiser": self.optimiser}

    @property
    def adapted(self) -> Network:
        """The model to be: the teacher, with the statistics of all clean images where statistics are new."""
        return _started(self.teacher, self.images, self.config.new_statistics)

    @property
    def _device(self) -> torch.device:
        return next(self.student.parameters()).device

    def step(self, number: int) -> Losses:
        """One optimiser step."""
        config = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = config.lr * 0.5 * (1 + math.cos(math.pi * number / config.steps))
        self.student.train()
        for network in (self.student, self.teacher):
            for layer in batch_norms(network):
                layer.train(config.new_statistics)
        clean = self.images.batch(number, config.batch, self.seed).to(self._device)
        target, share = self._target_loss(clean, number)
        total = target + config.source_weight * self._source_loss(number)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.optimiser.step()
        self._follow()
        return {"loss": float(total.detach()), "target": float(target.detach()), "known": share}

    def _target_loss(self, clean: Tensor, number: int) -> tuple[Tensor, float]:
        """Loss of the student on strongly augmented images, and the share of pixels that the teacher is sure of."""
        rng = np.random.default_rng([self.seed, number, 1])
        with torch.no_grad():
            said = self.ask(clean)
            images, changed = self._augmented(clean, said, rng)
        output = self.student(images.contiguous(memory_format=torch.channels_last))
        loss = known_mask_loss(output.masks.float(), changed.masks, changed.known)
        if output.heatmaps.shape[1]:
            rows, columns = images.shape[-2:]
            targets = encode_heatmaps(changed.landmarks_px, rows, columns, self.spec.heatmap_sigma_px)
            for_landmarks = landmark_loss(output.heatmaps, targets, changed.sure, self.training.landmark_loss)
            loss = loss + self.training.landmark_weight * for_landmarks
        certain = changed.known if changed.known.shape[1] else changed.sure
        return loss, float(certain.float().mean())

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the teacher's weights towards the student's; its statistics are its own, of clean images."""
        for held, new in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            held.lerp_(new, 1 - self.config.average)

    def ask(self, clean: Tensor) -> Pseudo:
        """The teacher's labels of clean images."""
        output = self.teacher(clean.contiguous(memory_format=torch.channels_last))
        probability, heatmaps = output.masks.sigmoid(), output.heatmaps
        if self.config.flip:
            mirrored = self.teacher(clean.flip(-1))
            other = mirrored.masks.sigmoid().flip(-1)[:, list(mirror_order(self.spec.structures))]
            probability = (probability + other) / 2
            heatmaps = (heatmaps + mirrored.heatmaps.flip(-1)[:, list(mirror_order(self.spec.landmarks))]) / 2
        points, confidence = decode_heatmaps(heatmaps, self.spec.heatmap_sigma_px)
        known = torch.maximum(probability, 1 - probability) >= self.config.confidence
        return Pseudo(probability > 0.5, known, points, confidence >= self.spec.confidence)

    def _augmented(self, clean: Tensor, said: Pseudo, rng: np.random.Generator) -> tuple[Tensor, Pseudo]:
        """Images and labels under the student's augmentation; what leaves the image or is hidden is not known."""
        count = said.masks.shape[1]
        config, orders = self.config.augment, {}
        if config.flip:
            order = mirror_order(self.spec.structures)
            orders["structure_order"] = (*order, *(count + place for place in order))
            orders["landmark_order"] = mirror_order(self.spec.landmarks)
        stacked = torch.cat([said.masks, said.known], dim=1)
        changed = augment((clean + 1) / 2, stacked, said.landmarks_px, said.sure, config, rng, **orders)
        images = normalise(changed.images, self.spec.preprocessing)
        masks, known = changed.masks[:, :count], changed.masks[:, count:]
        return images, Pseudo(masks, known, changed.landmarks_px, changed.visible)

    def _source_loss(self, number: int) -> Tensor:
        """Loss on labelled simulated images, under the augmentation of the model's own training."""
        batch = self.source.batch(number, self.config.batch, self.seed)
        with torch.no_grad():
            data = to_tensors(batch, self.spec.preprocessing, self._device)
            rng = np.random.default_rng([self.seed, number, 2])
            names = self.spec.structures, self.spec.landmarks
            data = randomised(data, self.training.augment, *names, self.spec.preprocessing, rng)
        with kept_statistics(self.student):
            outputs = self.student.supervised(data.images.contiguous(memory_format=torch.channels_last))
        return combined_loss(outputs, data, self.training).total


def known_mask_loss(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice over the known pixels, mean over structures.

    Args:
        logits: (n, structures, h, w).
        masks: (n, structures, h, w) bool.
        known: (n, structures, h, w) bool; other pixels don't count.
    """
    if not known.any():
        return logits.sum() * 0
    share, truth = known.to(logits.dtype), masks.to(logits.dtype)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    probability = logits.sigmoid() * share
    overlap = (probability * truth).sum(dim=(0, 2, 3))
    size = probability.sum(dim=(0, 2, 3)) + (truth * share).sum(dim=(0, 2, 3))
    return (entropy * share).sum() / share.sum() + (1 - (2 * overlap + 1) / (size + 1)).mean()


def start_mean_teacher(
    model: Model,
    images: Unlabelled,
    source: BatchSource,
    config: MeanTeacherConfig,
    training: TrainConfig,
    seed: int,
) -> MeanTeacher:
    """Student and teacher, both the model, with normalisation statistics of the unlabelled images unless kept."""
    started = _started(model.network, images, config.new_statistics)
    student, teacher = copy.deepcopy(started), copy.deepcopy(started).eval()
    optimiser = adamw(student, config.lr, config.weight_decay)
    return MeanTeacher(model.spec, config, training, student, teacher, optimiser, images, source, seed)


def _started(network: Network, images: Unlabelled, new_statistics: bool) -> Network:
    if new_statistics and batch_norms(network) and len(images.images) > 1:
        return with_statistics_of(network, images.images)
    return copy.deepcopy(network).eval()
