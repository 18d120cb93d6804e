"""Self-training: what a model says of real images is learnt beside labelled simulated ones, under augmentation.

The labels are given once, by the model as it was; see `mean_teacher` for labels that follow the student.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from synthray.errors import InputError
from synthray.models import Model, Preprocessing, fit_images
from synthray.models.predict import Prediction, predict_each
from synthray.models.preprocess import fit_masks
from synthray.train.adaptation.config import SelfTrainingConfig
from synthray.train.adaptation.session import AdaptResult
from synthray.train.batches import ArraySource, Batch, BatchSource
from synthray.train.config import TrainConfig
from synthray.train.loop import Progress, fit
from synthray.train.unlabelled import Unlabelled

# Images are held with some more pixels than the network takes, so that magnified ones stay sharp.
_SHARPER = 1.25


@dataclass(frozen=True, eq=False)
class MixedSource:
    """Batches of simulated images with their truth and real images with a model's labels.

    Attributes:
        simulated: labelled.
        real: square images with a model's labels; simulated ones are brought to their size.
        share: of real images in a batch.
    """

    simulated: BatchSource
    real: ArraySource
    share: float

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of the masks' channels."""
        return self.real.structures

    @property
    def landmarks(self) -> tuple[str, ...]:
        """Names of the landmarks."""
        return self.real.landmarks

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """`size` images, of which `share`, rounded, are real."""
        count = round(size * self.share)
        real = self.real.batch(step, count, seed)
        simulated = letterboxed(self.simulated.batch(step, size - count, seed), real.images.shape[-1])
        return Batch(
            np.concatenate([simulated.images, real.images]),
            np.concatenate([simulated.masks.astype(bool), real.masks.astype(bool)]),
            np.concatenate([simulated.landmarks_px, real.landmarks_px]),
            np.concatenate([simulated.visible, real.visible]),
        )


def letterboxed(batch: Batch, side: int) -> Batch:
    """The batch on square images of this side; itself when they are that."""
    if batch.images.shape[-2:] == (side, side) or not len(batch.images):
        return batch
    content, place = fit_images(torch.from_numpy(batch.images), Preprocessing(size=side))
    masks = fit_masks(torch.from_numpy(np.asarray(batch.masks, dtype=np.uint8)), place).numpy()
    points = place.to_network(torch.from_numpy(batch.landmarks_px)).numpy().astype(np.float32)
    return Batch(content[:, 0].numpy(), masks, points, batch.visible)


def sharper(preprocessing: Preprocessing) -> Preprocessing:
    """How real images are read to be learnt from."""
    return preprocessing.model_copy(update={"size": round(preprocessing.size * _SHARPER)})


def self_train(
    model: Model,
    run: Path,
    images: Unlabelled,
    source: BatchSource,
    training: TrainConfig,
    config: SelfTrainingConfig,
    out: Path,
    *,
    seed: int,
    on_progress: Callable[[Progress], None] | None = None,
) -> AdaptResult:
    """Go on training from a run with its own labels of real images among the simulated ones.

    Args:
        model: of the run.
        run: its folder.
        images: unlabelled.
        source: labelled simulated images.
        training: settings of the run's own training.
        config: settings.
        out: folder of the new run.
        seed: of batches and augmentation.
        on_progress: called after every step.

    Raises:
        InputError: fewer real images than a batch takes are left.
    """
    real = labelled_by(model, images, config.left_out)
    needed = round(config.batch * config.share)
    if len(real.data.images) < max(needed, 1):
        raise InputError(f"self_training: {len(real.data.images)} images to learn from, a batch takes {needed}")
    settings = training.model_copy(
        update={
            "batch": config.batch,
            "steps": config.steps,
            "max_seconds": None,
            "lr": config.lr,
            "initial": str(run),
            "validate_every": config.checkpoint_every,
            "checkpoint_every": config.checkpoint_every,
        }
    )
    mixed = MixedSource(source, real, config.share)
    result = fit(mixed, None, settings, out, seed=seed, on_progress=on_progress, conditions=model.spec.conditions)
    return AdaptResult(out, result.steps, result.seconds, result.history)


def labelled_by(model: Model, images: Unlabelled, left_out: float) -> ArraySource:
    """Real images with the model's masks and the landmarks that it is sure of.

    Args:
        model: gives the labels.
        images: unlabelled.
        left_out: share of the images, those with the most pixels of doubt, that are not used.
    """
    grey = images.images[:, 0].numpy()
    said = list(predict_each(model, list(grey)))
    order = np.argsort([_doubt(one) for one in said], kind="stable")
    kept = np.sort(order[: len(order) - round(left_out * len(order))])
    spec = model.spec
    marks = np.array([[said[i].landmarks_px[name] for name in spec.landmarks] for i in kept], dtype=np.float32)
    sure = np.array([[name in said[i].detected for name in spec.landmarks] for i in kept], dtype=bool)
    masks = np.stack([np.stack([said[i].masks[name] for name in spec.structures]) for i in kept])
    count = len(kept)
    batch = Batch(
        grey[kept],
        masks.reshape(count, len(spec.structures), *grey.shape[1:]),
        marks.reshape(count, len(spec.landmarks), 2),
        sure.reshape(count, len(spec.landmarks)),
    )
    return ArraySource(batch, spec.structures, spec.landmarks)


def _doubt(said: Prediction) -> float:
    """Pixels between a probability of 0.1 and 0.9, over those beyond a half; without masks, landmarks not found."""
    if not said.maps.size:
        return 1 - len(said.detected) / max(len(said.landmarks_px), 1)
    between = int(np.count_nonzero((said.maps > 0.1) & (said.maps < 0.9)))
    return between / max(int(np.count_nonzero(said.maps > 0.5)), 1)
