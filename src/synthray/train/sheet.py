"""A contact sheet of domain randomisation, to look at before training with it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from synthray.augment import AugmentConfig
from synthray.dataset import Dataset, StoredSample
from synthray.errors import InputError
from synthray.files import write_atomically
from synthray.models import Layer, Preprocessing, overlay, png_bytes, read_image
from synthray.models.overlay import PALETTE
from synthray.train.batches import Batch, Tensors, to_tensors
from synthray.train.pool import stored_batch
from synthray.train.randomise import randomised
from synthray.train.unlabelled import image_files

_YELLOW = (255, 255, 0)
_STEP = 10


def augment_sheet(
    data: str | Path,
    out: str | Path,
    config: AugmentConfig,
    *,
    images: int = 6,
    draws: int = 7,
    size: int = 192,
    seed: int = 0,
) -> Path:
    """Write a PNG: a row per image, first as it is, then under `draws` random augmentations, with its labels.

    Args:
        data: a data set, or a folder of images (without labels).
        out: the PNG file.
        config: what is randomised.
        images: rows, spread over the data or its beginning.
        draws: augmented columns.
        size: side of a tile in pixels, and of what is augmented.
        seed: of the random choices.

    Returns:
        The file.

    Raises:
        InputError: the data is unusable, or flips are asked of names without partners.
    """
    if images < 1 or draws < 1:
        raise InputError("a contact sheet needs at least one image and one draw")
    if not 32 <= size <= 2048:
        raise InputError(f"tiles must be 32 to 2048 px wide, got {size}")
    preprocessing = Preprocessing(size=size)
    rows, structures, landmarks = _rows(Path(data), images, preprocessing)
    repeated = Tensors(*(values.repeat_interleave(draws, dim=0) for values in rows))
    rng = np.random.default_rng(seed)
    drawn = randomised(repeated, config, structures, landmarks, preprocessing, rng)
    lines = [
        np.concatenate([_tile(rows, i), *(_tile(drawn, i * draws + d) for d in range(draws))], axis=1)
        for i in range(len(rows.images))
    ]
    write_atomically(Path(out), png_bytes(np.concatenate(lines, axis=0)))
    return Path(out)


def _rows(data: Path, count: int, preprocessing: Preprocessing) -> tuple[Tensors, tuple[str, ...], tuple[str, ...]]:
    """`count` images with their labels on the tile's grid, names of structures and of landmarks."""
    if not (data / "recipe.json").exists():
        return _pictures(data, count, preprocessing), (), ()
    dataset = Dataset.open(data)
    # Reading goes through the shards in order, so don't spread over more than the first few.
    step = max(1, min(_STEP, len(dataset) // count))
    samples: list[StoredSample] = list(islice(dataset, 0, count * step, step))
    structures = tuple(sorted({name for sample in samples for name in sample.masks}))
    landmarks = tuple(sorted({name for sample in samples for name in sample.landmarks_px}))
    parts = [to_tensors(stored_batch([s], structures, landmarks), preprocessing, torch.device("cpu")) for s in samples]
    return Tensors(*(torch.cat(values) for values in zip(*parts, strict=True))), structures, landmarks


def _pictures(folder: Path, count: int, preprocessing: Preprocessing) -> Tensors:
    files = image_files([folder])
    parts = []
    for file in files[:: max(1, len(files) // count)][:count]:
        image = read_image(file)[None]
        bare = np.zeros((1, 0, *image.shape[1:]), np.uint8), np.zeros((1, 0, 2), np.float32), np.zeros((1, 0), bool)
        parts.append(to_tensors(Batch(image, *bare), preprocessing, torch.device("cpu")))
    return Tensors(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _tile(data: Tensors, place: int) -> npt.NDArray[np.uint8]:
    masks, points = data.masks[place].numpy(), data.landmarks_px[place].double().numpy()
    layers = [Layer(PALETTE[i % len(PALETTE)], mask=mask) for i, mask in enumerate(masks) if mask.any()]
    if len(points):
        layers.append(Layer(_YELLOW, points_px=np.where(data.visible[place].numpy()[:, None], points, np.nan)))
    tile = overlay(data.images[place, 0].numpy(), layers).copy()
    tile[-1:], tile[:, -1:] = 0, 0
    return tile
