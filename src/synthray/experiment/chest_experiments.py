"""The experiments on frontal chest X-rays: lungs, opacities, what realism and randomisation do, and scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from synthray.evaluate import Case
from synthray.experiment.arms import Arm, Experiment, Size
from synthray.experiment.chest import (
    KEEP_LARGEST,
    LUNGS,
    RANDOMISATION,
    REDRAW,
    chest_recipe,
    real_chest_xrays,
    real_entries,
)
from synthray.experiment.people import RealPerson

# Real training images are few: networks that learn from all of them, and from a handful.
_FEW_REAL = (5, 10, 20)
_OPACITY: Mapping[str, Any] = MappingProxyType(
    {
        **REDRAW,
        "opacities": {
            **REDRAW["opacities"],
            "probability": 0.85,
            "regions": 0.7,
            "region_filling_g_cm3": {"log_uniform": [0.08, 0.6]},
            "mask": "opacity",
            "within": "lung",
        },
    }
)

_TRAINING: Mapping[str, Any] = MappingProxyType({"keep_largest": KEEP_LARGEST, "augment": RANDOMISATION})
_SEED, _REAL, _UNLABELLED = 1, "xray/chest_lungs", "xray/chest_unlabelled/images"


def _people(people: Sequence[RealPerson], size: Size) -> Mapping[str, Any]:
    """Frontal chest X-rays of real people, deformed copies of those who are not held out, and bodies."""
    real = real_entries(people)
    morphs = [
        {
            **entry,
            "morph": {"seed": _SEED, "amplitude_mm": 8, "tissue": 1},
            "count": size.morphs,
            "name": f"{entry['name']}-morph",
        }
        for entry in real
        if size.morphs and entry["split"] == "train"
    ]
    common: dict[str, Any] = {"region": "chest"}
    if size.body_voxel_mm is not None:
        common["voxel_mm"] = size.body_voxel_mm
    bodies = [
        {**common, "body": _SEED, "count": size.bodies},
        {**common, "body": _SEED + size.bodies, "count": size.held_out_bodies, "split": "val"},
    ]
    turns = len(real) + size.morphs * len(morphs) + size.bodies + size.held_out_bodies
    return chest_recipe(f"chest-{size.name}", [*real, *morphs, *bodies], turns, size.rows, size.views, _SEED)


def _lung_images(folder: Path) -> list[Case]:
    return real_chest_xrays(folder, LUNGS, "lung")


def _opacity_images(folder: Path) -> list[Case]:
    return real_chest_xrays(folder, ("opacity", "lung"), "opacity")


def _real_arms() -> list[Arm]:
    few = [Arm(f"real-{n}", f"{n} real X-rays", real=n) for n in _FEW_REAL]
    return [Arm("real", "all real X-rays of the other fold", real=0), *few]


def _adapted(size: Size, base: Arm) -> list[Arm]:
    """The networks of an arm, carried over to unlabelled real X-rays in each way."""
    steps = max(1, size.steps // 3)
    some = {"batch": size.batch, "steps": steps}
    ways = {
        "self": ("its own labels of them learnt too", {"method": "self_training", **some}),
        "teacher": ("mean teacher", {"method": "mean_teacher", **some, "new_statistics": False}),
        "adda": ("ADDA", {"method": "adda", **some}),
        "adabn": ("AdaBN", {"method": "adabn", "batch": size.batch}),
    }
    return [
        replace(base, name=f"{base.name}-{name}", about=f"{base.name}, then unlabelled real X-rays: {about}",
                adaptation=settings, base=base.name)
        for name, (about, settings) in ways.items()
    ]  # fmt: skip


def _lungs(size: Size) -> Sequence[Arm]:
    simulated = Arm("sim", "simulated: real CTs, their morphs, built-in bodies")
    return [
        simulated,
        *_adapted(size, simulated),
        Arm("sim-bodies", "simulated: built-in bodies alone", people="body"),
        Arm("sim-cts", "simulated: real CTs and their morphs alone", people="ct"),
        *_real_arms(),
    ]


def _covid(size: Size) -> Sequence[Arm]:
    simulated = Arm("sim", "simulated opacities in real CTs, morphs and bodies", redraw=_OPACITY)
    return [
        simulated,
        *_adapted(size, simulated),
        Arm("sim-bodies", "simulated opacities in built-in bodies alone", people="body", redraw=_OPACITY),
        Arm("real", "all real X-rays of the other fold", real=0),
    ]


def _plain_redraw(level: str) -> dict[str, Any]:
    """The same marches, tubes and windows at a level of realism; scatter and noise are in `realistic` alone."""
    return {**REDRAW, "imaging": {**REDRAW["imaging"], "realism": level}}


def _ablation(_: Size) -> Sequence[Arm]:
    randomisations = {
        "none": ("no randomisation", {"preset": "none", "affine": 0.0}),
        "regular": ("regular", {"preset": "regular"}),
        "strong": ("strong", {"preset": "strong"}),
        "ours": ("regular and our switches", dict(RANDOMISATION)),
    }
    return [
        Arm(
            f"{level}-{name}",
            f"{level}, {about}",
            redraw=_plain_redraw(level),
            training={"augment": augment},
        )
        for level in ("naive", "heuristic", "realistic")
        for name, (about, augment) in randomisations.items()
    ]


def _scaling(size: Size) -> Sequence[Arm]:
    everyone = size.bodies + 4 * (1 + size.morphs)
    people = [n for n in (2, 4, 8, 16, 32, 64) if n < everyone]
    shares = [share for share in (0.1, 0.25, 0.5) if share * size.views >= 1]
    return [
        *(Arm(f"people-{n}", f"{n} people", most_people=n) for n in people),
        *(Arm(f"views-{share:g}", f"all people, {share:.0%} of the views", share_of_views=share) for share in shares),
        Arm("all", "all people, all views"),
    ]


LUNG_EXPERIMENT = Experiment(
    name="lungs",
    dataset="chest",
    recipe=_people,
    real=_lung_images,
    real_place=_REAL,
    unlabelled_place=_UNLABELLED,
    training=_TRAINING,
    title="Lungs on real chest X-rays: trained on simulation, trained on real",
    question=(
        "Does a network that has seen simulated X-rays only outline lungs on real ones as well as the same network "
        "trained on real ones, and what do real CTs and built-in bodies each add?"
    ),
    structures=LUNGS,
    scored="lung",
    reference="real",
    arms=_lungs,
    few=("sim", "sim-self", "sim-bodies", "sim-cts", "real"),
)
COVID_EXPERIMENT = replace(
    LUNG_EXPERIMENT,
    name="covid",
    real=_opacity_images,
    title="Opacities on real chest X-rays, trained on simulated ones",
    question="Are pulmonary opacities found on real X-rays by a network that has seen simulated ones only?",
    structures=("opacity", "lung"),
    scored="opacity",
    reference="real",
    arms=_covid,
    training={"keep_largest": {"lung": KEEP_LARGEST["lung"]}, "augment": RANDOMISATION},
    few=("sim", "sim-self", "sim-bodies", "real"),
    scored_redraw={name: how for name, how in _OPACITY.items() if name != "window"},
    operating_sensitivity=0.80,
    published=(
        ("SyntheX, simulation to real (QaTa-COV19)", "F1 0.547 at sensitivity 0.803", "Gao et al. 2023, code release"),
    ),
)
ABLATION_EXPERIMENT = replace(
    LUNG_EXPERIMENT,
    name="ablation",
    title="What realism and randomisation each do for lungs on real chest X-rays",
    question="Which matters: how real the simulated pixels are, or how much they are randomised?",
    reference="realistic-ours",
    arms=_ablation,
    few=("naive-none", "realistic-none", "realistic-ours"),
)
SCALING_EXPERIMENT = replace(
    LUNG_EXPERIMENT,
    name="scaling",
    title="How the score on real chest X-rays grows with simulated people and images",
    question="Does more simulation help, and is it people or views that count?",
    reference="all",
    arms=_scaling,
    few=("people-2", "people-8", "all"),
)
CHEST_EXPERIMENTS = (LUNG_EXPERIMENT, COVID_EXPERIMENT, ABLATION_EXPERIMENT, SCALING_EXPERIMENT)
