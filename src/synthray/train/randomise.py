"""A batch on the network's grid under domain randomisation."""

from __future__ import annotations

import numpy as np

from synthray.augment import AugmentConfig, augment
from synthray.models.preprocess import Preprocessing, normalise
from synthray.models.sides import mirror_order
from synthray.train.batches import Tensors


def randomised(
    data: Tensors,
    config: AugmentConfig,
    structures: tuple[str, ...],
    landmarks: tuple[str, ...],
    preprocessing: Preprocessing,
    rng: np.random.Generator,
) -> Tensors:
    """Augmented images, normalised again, with their labels.

    Args:
        data: a batch.
        config: what is randomised.
        structures: names of the masks, for mirror images.
        landmarks: names of the landmarks, for mirror images.
        preprocessing: how images are normalised.
        rng: source of all choices.

    Raises:
        InputError: flips are asked of names without partners.
    """
    orders = {}
    if config.flip:
        orders = {"structure_order": mirror_order(structures), "landmark_order": mirror_order(landmarks)}
    changed = augment((data.images + 1) / 2, data.masks, data.landmarks_px, data.visible, config, rng, **orders)
    return Tensors(normalise(changed.images, preprocessing), *changed[1:])
