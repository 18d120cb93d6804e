"""Real X-rays with truth: who is in which fold, and images to learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from synthray.evaluate import Case
from synthray.models import Preprocessing, fit_images
from synthray.models.preprocess import fit_masks
from synthray.train import ArraySource, Batch
from synthray.train.adaptation.self_training import sharper


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


def real_source(
    cases: Sequence[Case], structures: Sequence[str], landmarks: Sequence[str], side: int, most: int, seed: int
) -> ArraySource:
    """Images to learn from, letterboxed to one size; a mask that an image lacks is empty, a landmark is not learnt.

    Args:
        cases: images of the training people.
        structures: names of the masks' channels.
        landmarks: names of the landmarks.
        side: of the network input in pixels.
        most: so many images drawn at random, 0 for all.
        seed: of that draw.
    """
    if most:
        chosen = np.random.default_rng([seed, 0xD7A3]).permutation(len(cases))[:most]
        cases = [cases[place] for place in chosen]
    images, masks, points = [], [], []
    for case in cases:
        image = torch.from_numpy(np.ascontiguousarray(case.image, dtype=np.float32))
        content, fit = fit_images(image[None], sharper(Preprocessing(size=side)))
        empty = np.zeros(case.image.shape, dtype=bool)
        truth = np.stack([case.masks.get(name, empty) for name in structures])
        absent = np.full(2, np.nan)
        marks = np.stack([case.landmarks_px.get(name, absent) for name in landmarks]) if landmarks else np.zeros((0, 2))
        images.append(content[0, 0].numpy())
        masks.append(fit_masks(torch.from_numpy(truth)[None], fit)[0].numpy())
        points.append(fit.to_network(torch.from_numpy(marks)).numpy())
    placed = np.stack(points).astype(np.float32)
    seen = np.array(np.isfinite(placed).all(axis=-1))
    batch = Batch(np.stack(images), np.stack(masks), placed, seen)
    return ArraySource(batch, tuple(structures), tuple(landmarks))
