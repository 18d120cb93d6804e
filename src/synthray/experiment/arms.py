"""What an experiment compares: its arms, its size, and the experiment as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from synthray.evaluate import Case
from synthray.experiment.chest import REDRAW
from synthray.experiment.people import RealPerson


@dataclass(frozen=True)
class Arm:
    """One way to train that is compared with others; everything else is the same in all arms.

    Attributes:
        name: in tables and folder names.
        about: what is trained on, in a few words.
        real: None trains on simulated images. Else on real images by cross-validation over people, so that every image
            is scored by a network that has not seen its person: on this many of the fold, 0 for all.
        people: which simulated people: real CTs and their morphs, built-in bodies, or both.
        most_people: at most so many of them, the first; None for all.
        share_of_views: of each person.
        redraw: fresh physics for each use of a march; None trains on the stored images as they are.
        training: settings over those of the experiment, see `TrainConfig`.
        adaptation: settings of `adapt`: the network of arm `base` is carried over to the unlabelled real X-rays, whose
            labels nobody has, with the same simulated images.
        base: name of the arm whose networks are adapted; it runs as well.
        twins: train on the simulated twins of the real images at this level of realism, in the same cross-validation.
    """

    name: str
    about: str
    real: int | None = None
    people: Literal["all", "ct", "body"] = "all"
    most_people: int | None = None
    share_of_views: float = 1.0
    redraw: Mapping[str, Any] | None = field(default_factory=lambda: REDRAW)
    training: Mapping[str, Any] = field(default_factory=dict)
    adaptation: Mapping[str, Any] | None = None
    base: str = ""
    twins: str | None = None


@dataclass(frozen=True)
class Size:
    """How much of everything.

    Attributes:
        name: `full`, `small` (all arms of an experiment in minutes) or `tiny` (for tests: nothing is learnt).
        steps, batch, side: of training; the network's input has `side` pixels.
        rows: side of the simulated images.
        bodies, held_out_bodies: built-in bodies in splits `train` and `val`.
        morphs: deformed copies of each real CT, beside itself.
        views: simulated images of each person.
        seeds: repetitions of each arm.
        people_folds: folds of cross-validation over simulated people, where an experiment crosses them.
        body_voxel_mm: of the built-in bodies; None for the usual.
    """

    name: str
    steps: int
    batch: int
    side: int
    rows: int
    bodies: int
    held_out_bodies: int
    morphs: int
    views: int
    seeds: int
    people_folds: int
    body_voxel_mm: float | None = None


SIZES = {
    "full": Size("full", 2400, 16, 128, 160, 60, 4, 15, 12, 2, 6),
    "small": Size("small", 250, 16, 96, 112, 12, 2, 2, 8, 1, 2),
    "tiny": Size("tiny", 4, 4, 32, 40, 2, 1, 0, 3, 1, 2, 10.0),
}


@dataclass(frozen=True)
class Experiment:
    """A question, and the arms that answer it.

    Attributes:
        name: on the command line.
        title: of the report.
        question: what is asked, in a sentence or two.
        dataset: name of the simulated images; experiments that share it share them.
        recipe: the recipe of these images, from the real people at hand and the size. None: the simulated images are
            twins of the real ones, whose views are known; structures and landmarks are those of the images.
        real: reads real images with truth from a file or folder; None with twins.
        real_place: where they lie in a data folder.
        unlabelled_place: where unlabelled X-rays for adaptation lie in it; None when no arm adapts.
        structures, landmarks: what the networks learn, in order.
        scored: the structure that the tables are about; None for the mean over all structures.
        reference: the arm that others are compared with, image by image.
        arms: the arms at a size.
        training: settings of all arms over the defaults, see `TrainConfig`.
        crossed: cross-validation over the simulated people: each is scored by a network that has not seen them. Without
            it the people of split `train` are trained on and those of `val` scored.
        scored_redraw: fresh physics, and painted disease, under which simulated images are scored; None scores them as
            they are stored.
        few: names of the arms at size `small` and `tiny`; empty for all.
        operating_sensitivity: also tell precision and F1 where the pooled sensitivity is this; None to leave it out.
        published: rows of (what, figure, source) to set beside ours.
    """

    name: str
    title: str
    question: str
    dataset: str
    recipe: Callable[[Sequence[RealPerson], Size], Mapping[str, Any]] | None
    structures: tuple[str, ...]
    reference: str
    arms: Callable[[Size], Sequence[Arm]]
    real: Callable[[Path], list[Case]] | None
    real_place: str
    unlabelled_place: str | None = None
    landmarks: tuple[str, ...] = ()
    scored: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    crossed: bool = False
    scored_redraw: Mapping[str, Any] | None = None
    few: tuple[str, ...] = ()
    operating_sensitivity: float | None = None
    published: tuple[tuple[str, str, str], ...] = ()

    def folds(self, arm: Arm, size: Size) -> int:
        """Networks that are trained for one seed of an arm."""
        if self.crossed:
            return size.people_folds
        return 1 if arm.real is None else 2
