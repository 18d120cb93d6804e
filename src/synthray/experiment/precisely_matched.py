"""The controlled experiment of Gao et al. 2023: simulated and real training images that show exactly the same views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from synthray.dataset.imaging_recipe import Imaging
from synthray.errors import InputError
from synthray.experiment.arms import Arm, Experiment, Size
from synthray.experiment.controlled_study import REAL
from synthray.experiment.hip import HIP_EXPERIMENT, exposures
from synthray.experiment.trials import Material
from synthray.experiment.twins import LEVELS, make_twins


def matched_material(
    experiment: Experiment, size: Size, source: Path | None, folder: Path, on_progress: Callable[..., None]
) -> Material:
    """The real images and their twins, which are made first; people are dealt into no more folds than there are.

    Raises:
        InputError: there are no real images with known views, or of one person only.
    """
    if source is None:
        raise InputError(
            f"{experiment.name} needs real X-rays with known views: give --real a full-resolution DeepFluoro file "
            "(.h5) or a JSON list of image, camera and patient"
        )
    settings = Imaging.model_validate(exposures("realistic")["imaging"])
    twins = make_twins(source, folder, size.rows, settings, on_progress)
    people = {case.group for case in twins.sets[REAL]}
    if len(people) < 2:
        raise InputError(f"{source}: X-rays of one person only; two at least are needed to train on the others")
    return Material(
        replace(experiment, structures=twins.structures, landmarks=twins.landmarks),
        replace(size, people_folds=min(size.people_folds, len(people))),
        None,
        twins.sets[REAL],
        [],
        {level: twins.sets[level] for level in LEVELS},
    )


def _arms(_: Size) -> Sequence[Arm]:
    return [
        Arm(
            f"{level}-{preset}",
            f"{'real X-rays' if level == REAL else f'{level} twins'} of the other people, {preset} randomisation",
            real=0,
            twins=None if level == REAL else level,
            training={"augment": {"preset": preset}},
        )
        for level in (*LEVELS, REAL)
        for preset in ("regular", "strong")
    ]


MATCHED_EXPERIMENT = Experiment(
    name="precisely-matched",
    title="The same views, real and simulated",
    question=(
        "When simulated and real training images show the same views of the same people, so that only their pixels "
        "differ: which realism is needed to do as well on real X-rays of other people as real training images?"
    ),
    dataset="",
    recipe=None,
    real=None,
    real_place="xray/ipcai_2020_full_res_data.h5",
    structures=(),
    reference="real-strong",
    arms=_arms,
    crossed=True,
    few=("naive-strong", "realistic-strong", "real-strong"),
    published=HIP_EXPERIMENT.published,
)
