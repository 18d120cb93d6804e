"""The tool experiment: a bent continuum manipulator in random people (Gao et al. 2023, surgical robotic tool)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthray.evaluate import Case, read_folder
from synthray.experiment.arms import Arm, Experiment, Size
from synthray.experiment.hip import exposures
from synthray.experiment.people import RealPerson

KIND, NAME = "continuum_manipulator", "tool"
LANDMARKS = (f"{NAME}_base", f"{NAME}_tip")
_SEED = 7001
_VIEW = {
    "carm": "cios-fusion",
    "view": "ap",
    "lao_deg": {"uniform": [-40, 40]},
    "cran_deg": {"uniform": [-25, 25]},
    "roll_deg": {"uniform": [-180, 180]},
    "distance_mm": {"uniform": [-60, 60]},
    "offset_mm": [{"normal": [0, 40]}, 0, {"normal": [0, 40]}],
}


def _recipe(people: Sequence[RealPerson], size: Size) -> Mapping[str, Any]:
    half = max(1, size.bodies // 2)
    common: dict[str, Any] = {} if size.body_voxel_mm is None else {"voxel_mm": size.body_voxel_mm}
    bodies = [
        {**common, "body": _SEED, "count": half, "region": "pelvis"},
        {**common, "body": _SEED + half, "count": max(1, size.bodies - half), "region": "chest"},
    ]
    real = [{"ct": str(person.folder.resolve()), "name": person.name} for person in people]
    turns = len(real) + half + max(1, size.bodies - half)
    return {
        "name": f"tool-{size.name}",
        "seed": _SEED,
        "images": turns * size.views * 2,
        "images_per_shard": size.views * 2,
        "people": [*bodies, *real],
        "views": [{**_VIEW, "rows": size.rows}],
        "imaging": {"tube_kvp": {"uniform": [65, 110]}, "mas": {"log_uniform": [0.5, 4]}},
        "tools": [{"kind": KIND, "name": NAME, "bend": {"uniform": [0, 1]}, "in_view": {"margin": 0.2}}],
        "tool_poses_per_view": 2,
        "landmarks": list(LANDMARKS),
        "keep_area_density": True,
    }


def _arms(_: Size) -> Sequence[Arm]:
    return [
        Arm(
            f"{level}-{preset}",
            f"simulated, {level}, {preset} randomisation",
            redraw=exposures(level),
            training={"augment": {"preset": preset}},
        )
        for level in ("naive", "heuristic", "realistic")
        for preset in ("regular", "strong")
    ] + [Arm("real", "real X-rays of the other folds", real=0)]


def _real(folder: Path) -> list[Case]:
    return list(read_folder(folder).cases([NAME]))


TOOL_EXPERIMENT = Experiment(
    name="tool",
    title="A bent continuum manipulator: its mask, base and tip",
    question=(
        "How well is a snake-like surgical robot found on X-rays of people that were not trained on, bent as it never "
        "was in training?"
    ),
    dataset="tool",
    recipe=_recipe,
    real=_real,
    real_place="xray/tool",
    structures=(NAME,),
    landmarks=LANDMARKS,
    scored=NAME,
    reference="realistic-strong",
    arms=_arms,
    training={"keep_largest": {NAME: 1}},
    crossed=True,
    few=("naive-regular", "realistic-strong"),
    published=(
        ("simulation to real, Dice", "0.92 ± 0.07", "Gao et al. 2023, code release"),
        ("simulation to real, base / tip / both", "1.09 ± 0.69 / 1.12 ± 1.04 / 1.10 ± 0.88 mm", "the same"),
        ("real to real, Dice; both points", "0.41 ± 0.23; 1.19 ± 2.49 mm", "the same"),
    ),
)
