"""X-rays without labels: image files on the network's grid. Nothing here can read a mask or a landmark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from synthray.errors import InputError
from synthray.models.image_reader import read_image
from synthray.models.preprocess import Preprocessing, fit_images

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy", ".dcm", ".dicom")


def image_files(paths: Iterable[str | Path]) -> list[Path]:
    """The image files among some files and, sorted by name, in some folders.

    Raises:
        InputError: a path does not exist, or there is no image at all.
    """
    found: list[Path] = []
    given = [Path(path) for path in paths]
    for path in given:
        if path.is_dir():
            found += sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS and file.is_file())
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"{path}: no such file or folder of images")
    if not found:
        raise InputError(f"{', '.join(map(str, given)) or 'nothing given'}: no images there (PNG, DICOM and the like)")
    return found


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Images in memory, normalised.

    Attributes:
        images: (n, 1, size, size) float32, about -1 to 1.
        files: where they come from.
    """

    images: Tensor
    files: tuple[Path, ...]

    def batch(self, step: int, size: int, seed: int) -> Tensor:
        """(size, 1, h, w) images drawn with replacement: a function of the arguments."""
        chosen = np.random.default_rng([seed, step]).integers(len(self.images), size=size)
        return self.images[torch.from_numpy(chosen)]


def read_unlabelled(paths: Sequence[str | Path], preprocessing: Preprocessing) -> Unlabelled:
    """Image files, and those in folders, as network input; see `read_image` for what is read.

    Raises:
        InputError: a path does not exist, an image is unreadable, or there is none.
    """
    files = image_files(paths)
    inputs = [fit_images(torch.from_numpy(read_image(file))[None], preprocessing)[0] for file in files]
    return Unlabelled(torch.cat(inputs), tuple(files))
