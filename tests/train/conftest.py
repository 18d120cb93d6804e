"""A toy task that a small network learns in seconds."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from synthray.train import ArraySource, Batch


def _discs(count: int, seed: int, *, size: int = 64, shuffled: bool = False, landmarks: bool = True) -> ArraySource:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    centers = np.array([[0.28, 0.5], [0.7, 0.5]]) * size + rng.normal(0, 0.07 * size, (count, 2, 2))
    distance = np.hypot(columns - centers[..., 0, None, None], rows - centers[..., 1, None, None])
    masks = distance < np.array([0.13, 0.18])[:, None, None] * size
    images = masks.any(axis=1) * 0.6 + rng.normal(0, 0.2, (count, size, size))
    if shuffled:
        order = rng.permutation(count)
        masks, centers = masks[order], centers[order]
    kept = 2 if landmarks else 0
    data = Batch(
        images.astype(np.float32),
        masks.astype(np.uint8),
        centers[:, :kept].astype(np.float32),
        np.ones((count, kept), dtype=bool),
    )
    return ArraySource(data, ("disc_left", "disc_right"), ("center-l", "center-r")[:kept])


@pytest.fixture(scope="session")
def discs() -> Callable[..., ArraySource]:
    """Makes images of two discs in noise: the smaller is left, the larger right, their centres are landmarks."""
    return _discs


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
