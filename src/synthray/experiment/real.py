"""Real X-rays with radiologists' masks: who is in which fold, and images to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from synthray.errors import InputError
from synthray.evaluate import Case, read_folder
from synthray.models import Preprocessing, fit_images
from synthray.models.preprocess import fit_masks
from synthray.train import ArraySource, Batch

# Real images are held with some more pixels than the network takes, so that magnified ones stay sharp.
_SHARPER = 1.25


def real_cases(folder: Path, structures: Sequence[str], scored: str) -> list[Case]:
    """The real chest X-rays whose mask of the scored structure is known, in the order of their names.

    Where an `index.json` says which lung masks are usable (`lung_ok`), only those.

    Raises:
        InputError: there is none.
    """
    where = {"lung_ok": True} if (folder / "index.json").is_file() else None
    cases = [case for case in read_folder(folder, where=where).cases(structures) if scored in case.masks]
    if not cases:
        raise InputError(f"{folder}: no image has a mask of '{scored}'")
    return cases


def person_of(case: Case) -> str:
    """Whose image it is."""
    return case.id if case.group is None else case.group


def fold_of(cases: Sequence[Case], folds: int, seed: int) -> list[int]:
    """The fold in which each image is scored: people are dealt out in random order, each to the smallest fold."""
    people = sorted({person_of(case) for case in cases})
    order = np.random.default_rng([seed, 0xF01D]).permutation(len(people))
    filled = [0] * folds
    dealt: dict[str, int] = {}
    for place in order:
        person = people[place]
        fold = filled.index(min(filled))
        dealt[person] = fold
        filled[fold] += sum(person_of(case) == person for case in cases)
    return [dealt[person_of(case)] for case in cases]


def real_source(cases: Sequence[Case], structures: Sequence[str], side: int, most: int, seed: int) -> ArraySource:
    """Images to learn from, letterboxed to one size; a mask that an image lacks is empty.

    Args:
        cases: images of the training people.
        structures: names of the masks' channels.
        side: of the network input in pixels.
        most: so many images drawn at random, 0 for all.
        seed: of that draw.
    """
    if most:
        chosen = np.random.default_rng([seed, 0xD7A3]).permutation(len(cases))[:most]
        cases = [cases[place] for place in chosen]
    images, masks = [], []
    for case in cases:
        image = torch.from_numpy(np.ascontiguousarray(case.image, dtype=np.float32))
        content, fit = fit_images(image[None], Preprocessing(size=round(side * _SHARPER)))
        empty = np.zeros(case.image.shape, dtype=bool)
        truth = torch.from_numpy(np.stack([case.masks.get(name, empty) for name in structures]))
        images.append(content[0, 0].numpy())
        masks.append(fit_masks(truth[None], fit)[0].numpy())
    count = len(cases)
    batch = Batch(
        np.stack(images), np.stack(masks), np.zeros((count, 0, 2), np.float32), np.zeros((count, 0), dtype=bool)
    )
    return ArraySource(batch, tuple(structures))
