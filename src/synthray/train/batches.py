"""Where training images come from: the protocol, an in-memory source, and the step from a batch to tensors."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from synthray.errors import InputError
from synthray.models.preprocess import Preprocessing, fit_images, fit_masks

_AHEAD = 2


@dataclass(frozen=True, eq=False)
class Batch:
    """Images of one size with their truth.

    Attributes:
        images: (n, rows, columns) float32, finite, any range.
        masks: (n, structures, rows, columns) uint8 or bool, 0 or 1.
        landmarks_px: (n, landmarks, 2) float32 as (column, row), NaN where absent.
        visible: (n, landmarks) bool, the landmark is in the image and may be learnt.
    """

    images: npt.NDArray[np.float32]
    masks: npt.NDArray[Any]
    landmarks_px: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]


class BatchSource(Protocol):
    """A stream of training images."""

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of the masks' channels."""

    @property
    def landmarks(self) -> tuple[str, ...]:
        """Names of the landmarks."""

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """`size` images for a step: the same arguments, the same batch. Called from a second thread."""


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Images in memory, all of one size; each batch is a random draw of different images.

    With as many images as the batch size or fewer, a batch holds each image once, in order.

    Attributes:
        data: all images with their truth.
        structures: names of the masks' channels.
        landmarks: names of the landmarks.
    """

    data: Batch
    structures: tuple[str, ...] = ()
    landmarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_batch(self.data, self.structures, self.landmarks)

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Images drawn without replacement, passing over all images before one comes again."""
        count = len(self.data.images)
        if count <= size:
            return self.data
        places = np.arange(step * size, (step + 1) * size)
        first, last = int(places[0] // count), int(places[-1] // count)
        passes = [np.random.default_rng([seed, number]).permutation(count) for number in range(first, last + 1)]
        index = np.concatenate(passes)[places - first * count]
        d = self.data
        return Batch(d.images[index], d.masks[index], d.landmarks_px[index], d.visible[index])


def check_batch(batch: Batch, structures: tuple[str, ...], landmarks: tuple[str, ...]) -> None:
    """Refuse a batch whose arrays don't belong together.

    Raises:
        InputError: a shape is wrong or an image is not finite.
    """
    if batch.images.ndim != 3 or batch.images.size == 0:
        raise InputError(f"batch images must be (n, rows, columns) and not empty, got {batch.images.shape}")
    count, rows, columns = batch.images.shape
    expected = {
        "masks": (batch.masks.shape, (count, len(structures), rows, columns)),
        "landmarks_px": (batch.landmarks_px.shape, (count, len(landmarks), 2)),
        "visible": (batch.visible.shape, (count, len(landmarks))),
    }
    for name, (shape, wanted) in expected.items():
        if shape != wanted:
            raise InputError(f"batch {name} must have shape {wanted} to go with images and names, got {shape}")
    if not np.isfinite(batch.images).all():
        raise InputError("a batch image holds NaN or infinity; check the source of the training images")


class Tensors(NamedTuple):
    """A batch on the network's grid.

    Attributes:
        images: (n, 1, size, size) float32, about -1 to 1.
        masks: (n, structures, size, size) bool.
        landmarks_px: (n, landmarks, 2) network pixels.
        visible: (n, landmarks) bool.
    """

    images: Tensor
    masks: Tensor
    landmarks_px: Tensor
    visible: Tensor


def to_tensors(batch: Batch, preprocessing: Preprocessing, device: torch.device) -> Tensors:
    """A batch resampled to the network's grid and normalised, by the same function as prediction."""
    images = torch.from_numpy(np.ascontiguousarray(batch.images, dtype=np.float32)).to(device)
    masks = torch.from_numpy(np.ascontiguousarray(batch.masks, dtype=np.uint8)).to(device)
    points = torch.from_numpy(np.ascontiguousarray(batch.landmarks_px, dtype=np.float32)).to(device)
    visible = torch.from_numpy(np.ascontiguousarray(batch.visible, dtype=bool)).to(device)
    inputs, fit = fit_images(images, preprocessing)
    seen = visible & torch.isfinite(points).all(dim=-1)
    return Tensors(inputs, fit_masks(masks, fit), fit.to_network(points), seen)


def batches_ahead(source: BatchSource, steps: range, size: int, seed: int) -> Generator[Batch]:
    """The batches of some steps, the next two prepared in a second thread while the present one is used."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as pool:
        coming: list[Future[Batch]] = []
        try:
            for step in steps:
                coming.append(pool.submit(source.batch, step, size, seed))
                if len(coming) > _AHEAD:
                    yield coming.pop(0).result()
            while coming:
                yield coming.pop(0).result()
        finally:
            for future in coming:
                future.cancel()
