"""Training images from a data set in memory, each use under fresh physics when the set keeps its marches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.dataset import Dataset, Redraw, StoredSample
from synthray.dataset.read import stack_density, stack_masks
from synthray.dataset.redraw import redraw_batch
from synthray.errors import InputError
from synthray.train.batches import Batch


@dataclass(frozen=True, eq=False)
class PoolSource:
    """The samples of one split, in memory.

    Attributes:
        structures: names of the masks' channels.
        landmarks: names of the landmarks.
        stored: all samples as one batch; its images are those of the data set.
        density: (n, 2 + materials, rows, columns) float32 g/cm², or None.
        paths_mm: (n, rows, columns) float32 path through the structure that opacities fill, or None.
        pixel_mm: (n,) pixel size at the detector.
        people: (n,) number of the person shown, in the order of the recipe.
        redraw: how fresh pictures are drawn; None serves the stored images.
        materials: what the channels of `density` after the two bases are of.
    """

    structures: tuple[str, ...]
    landmarks: tuple[str, ...]
    stored: Batch
    density: npt.NDArray[np.float32] | None
    paths_mm: npt.NDArray[np.float32] | None
    pixel_mm: npt.NDArray[np.float64]
    people: npt.NDArray[np.int64]
    redraw: Redraw | None
    materials: tuple[str, ...] = ()

    def subset(self, chosen: npt.NDArray[np.bool_]) -> PoolSource:
        """The samples where `chosen` (n,) is true.

        Raises:
            InputError: none is.
        """
        if not chosen.any():
            raise InputError("no simulated image is left to learn from after choosing people and views")
        held = self.stored
        return replace(
            self,
            stored=Batch(held.images[chosen], held.masks[chosen], held.landmarks_px[chosen], held.visible[chosen]),
            density=None if self.density is None else self.density[chosen],
            paths_mm=None if self.paths_mm is None else self.paths_mm[chosen],
            pixel_mm=self.pixel_mm[chosen],
            people=self.people[chosen],
        )

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """`size` images drawn with replacement: every batch is a fresh random choice of views."""
        rng = np.random.default_rng([seed, step])
        return self.drawn(rng.integers(len(self.stored.images), size=size), rng)

    def drawn(self, chosen: npt.NDArray[np.int64], rng: np.random.Generator) -> Batch:
        """The samples of these numbers (n,), under newly drawn physics and disease where the source redraws."""
        held = self.stored
        images, masks = held.images[chosen], held.masks[chosen]
        if self.redraw is not None and self.density is not None:
            paths = None if self.paths_mm is None else self.paths_mm[chosen]
            images, painted = redraw_batch(
                self.density[chosen], paths, self.pixel_mm[chosen], self.redraw, rng, self.materials
            )
            place, border = _painted_channels(self.redraw, self.structures)
            if painted is not None and place is not None:
                masks[:, place] |= painted if border is None else painted & masks[:, border]
        return Batch(images, masks, held.landmarks_px[chosen], held.visible[chosen])


def load_pool(
    dataset: Dataset,
    split: str,
    redraw: Redraw | None,
    structures: tuple[str, ...] | None = None,
    landmarks: tuple[str, ...] | None = None,
) -> PoolSource | None:
    """A split of a data set in memory; None when the split is empty.

    Args:
        dataset: a finished data set.
        split: `train` or `val`.
        redraw: fresh physics for each use; needs `keep_area_density` in the set's recipe.
        structures: names to learn, in channel order; all of the set's 2-D structures by default.
        landmarks: names to learn; all that occur in the split by default.

    Raises:
        InputError: images differ in size, names don't occur, or fresh physics is asked of a set without marches.
    """
    samples = list(dataset.samples(split))
    where = f"{dataset.folder}, split '{split}'"
    return pool_of(samples, where, redraw, structures, landmarks) if samples else None


def pool_of(
    samples: list[StoredSample],
    where: str,
    redraw: Redraw | None,
    structures: tuple[str, ...] | None = None,
    landmarks: tuple[str, ...] | None = None,
    *,
    complete: bool = True,
) -> PoolSource:
    """Samples as a source of batches; see `load_pool`.

    Args:
        samples: at least one.
        where: they are from, for errors.
        redraw: as for `load_pool`.
        structures: as for `load_pool`.
        landmarks: as for `load_pool`.
        complete: refuse names that no sample has.

    Raises:
        InputError: images differ in size, names don't occur, or fresh physics is asked of samples without marches.
    """
    if len({sample.image.shape for sample in samples}) > 1:
        raise InputError(f"{where}: images of several sizes; training needs one size in 'views'")
    if redraw is not None and any(sample.area_density is None for sample in samples):
        raise InputError(f"{where}: 'redraw' needs a data set made with keep_area_density: true")
    painted = redraw.opacities.mask if redraw is not None and redraw.opacities is not None else None
    known_masks = {name for sample in samples for name in sample.masks} | ({painted} if painted else set())
    within = redraw.opacities.within if redraw is not None and redraw.opacities is not None else None
    if within is not None and structures is not None and within not in structures:
        raise InputError(f"redraw.opacities.within: '{within}' is not one of the structures learnt")
    known_marks = {name for sample in samples for name in sample.landmarks_px}
    names = structures if structures is not None else tuple(sorted(known_masks))
    marks = landmarks if landmarks is not None else tuple(sorted(known_marks))
    for wanted, known, what in ((names, known_masks, "structure"), (marks, known_marks, "landmark")):
        unknown = [name for name in wanted if name not in known]
        if unknown and complete:
            raise InputError(f"{where}: no {what} '{unknown[0]}'")
    density, materials = stack_density(samples) if redraw is not None else (None, ())
    return PoolSource(
        structures=names,
        landmarks=marks,
        stored=stored_batch(samples, names, marks),
        density=density,
        paths_mm=_paths(samples, redraw),
        pixel_mm=np.array([_pixel_mm(sample.truth) for sample in samples]),
        people=np.array([sample.truth["person"] for sample in samples]),
        redraw=redraw,
        materials=materials,
    )


def _painted_channels(redraw: Redraw, structures: tuple[str, ...]) -> tuple[int | None, int | None]:
    """Where the masks of painted disease belong, and the structure that they keep to."""
    painted = redraw.opacities
    names = (None, None) if painted is None else (painted.mask, painted.within)
    place, border = (structures.index(name) if name in structures else None for name in names)
    return place, border


def stored_batch(samples: list[StoredSample], names: tuple[str, ...], marks: tuple[str, ...]) -> Batch:
    """Samples of one size as a batch, with the named masks and landmarks in order."""
    return Batch(
        np.stack([sample.image for sample in samples]),
        np.stack([stack_masks(sample, names) for sample in samples]),
        np.stack([_points(sample, marks) for sample in samples]),
        np.stack([np.array([sample.visible.get(name, False) for name in marks], dtype=bool) for sample in samples]),
    )


def _points(sample: StoredSample, marks: tuple[str, ...]) -> npt.NDArray[np.float32]:
    missing = np.full(2, np.nan)
    return np.array([sample.landmarks_px.get(name, missing) for name in marks], dtype=np.float32).reshape(-1, 2)


def _paths(samples: list[StoredSample], redraw: Redraw | None) -> npt.NDArray[np.float32] | None:
    if redraw is None or redraw.opacities is None:
        return None
    name = redraw.opacities.structure
    if any(name not in sample.paths_mm for sample in samples):
        raise InputError(f"redraw.opacities: the data set keeps no paths through '{name}'; name it in keep_paths")
    return np.stack([sample.paths_mm[name] for sample in samples])


def _pixel_mm(truth: dict[str, Any]) -> float:
    camera = truth["camera"]
    return float((camera["source_to_detector_mm"] or 1000.0) / abs(camera["K"][1][1]))
