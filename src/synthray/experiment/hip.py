"""The hip experiment: six structures and fourteen landmarks on pelvis X-rays (Gao et al. 2023, hip imaging)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthray.evaluate import Case, read_deepfluoro
from synthray.experiment.arms import Arm, Experiment, Size
from synthray.experiment.people import RealPerson

STRUCTURES = ("hip_left", "hip_right", "vertebrae", "sacrum", "femur_left", "femur_right")
LANDMARKS = tuple(f"{point}-{side}" for point in ("FH", "GSN", "IOF", "MOF", "SPS", "IPS", "ASIS") for side in "lr")
_SEED = 5001
# 1536 pixels of 0.194 mm, less 50 on each side (Grupp et al. 2020).
_FIELD_MM = 1436 * 0.194
_VERTEBRAE = [f"vertebrae_L{number}" for number in range(1, 6)]
# Views as an operator finds them: around AP, not centred, at several distances from the detector.
_VIEW = {
    "carm": "cios-fusion",
    "view": "ap",
    "target": "hip_left+hip_right",
    "lao_deg": {"uniform": [-30, 30]},
    "cran_deg": {"uniform": [-25, 25]},
    "roll_deg": {"normal": [0, 5]},
    "distance_mm": {"uniform": [-60, 60]},
    "offset_mm": [{"normal": [0, 30]}, 0, {"normal": [0, 30]}],
}


def _recipe(_: Sequence[RealPerson], size: Size) -> Mapping[str, Any]:
    person: dict[str, Any] = {"body": _SEED, "count": size.bodies, "region": "pelvis"}
    if size.body_voxel_mm is not None:
        person["voxel_mm"] = size.body_voxel_mm
    whole = {name: {"of": [name]} for name in STRUCTURES if name != "vertebrae"}
    return {
        "name": f"hip-{size.name}",
        "seed": _SEED,
        "images": size.bodies * size.views * 2,
        "images_per_shard": size.views * 2,
        "people": [person],
        "views": [{**_VIEW, "rows": size.rows}],
        "imaging": {"tube_kvp": {"uniform": [65, 110]}, "mas": {"log_uniform": [0.5, 4]}},
        "structures": {**whole, "vertebrae": {"of": _VERTEBRAE}},
        "landmarks": list(LANDMARKS),
        "keep_area_density": True,
    }


def exposures(level: str) -> dict[str, Any]:
    """How marches become C-arm pictures at a level of realism."""
    return {
        "imaging": {
            "realism": level,
            "tube_kvp": {"uniform": [60, 115]},
            "mas": {"log_uniform": [0.2, 6]},
            "scatter_ratio": {"uniform": [0.1, 1.5]},
            "scatter_sigma_mm": {"uniform": [40, 90]},
        }
    }


def _arms(_: Size) -> Sequence[Arm]:
    simulated = [
        Arm(
            f"{level}-{preset}",
            f"simulated, {level}, {preset} randomisation",
            redraw=exposures(level),
            training={"augment": {"preset": preset}},
        )
        for level in ("naive", "heuristic", "realistic")
        for preset in ("regular", "strong")
    ]
    return [*simulated, Arm("real", "real X-rays of the other folds", real=0)]


def _real(path: Path) -> list[Case]:
    """The preprocessed DeepFluoro images. Their pixels are those of the detector, less a border, reduced evenly."""
    return [replace(case, pixel_mm=_FIELD_MM / case.image.shape[0]) for case in read_deepfluoro(path)]


HIP_EXPERIMENT = Experiment(
    name="hip",
    title="Hip imaging: six structures and fourteen landmarks",
    question=(
        "How well are the pelvis, the femurs and fourteen landmarks found on X-rays of people that were not trained "
        "on, and what do the realism of the simulation and the strength of randomisation do?"
    ),
    dataset="hip",
    recipe=_recipe,
    real=_real,
    real_place="xray/deepfluoro.h5",
    structures=STRUCTURES,
    landmarks=LANDMARKS,
    reference="realistic-strong",
    arms=_arms,
    training={"keep_largest": {name: 1 for name in STRUCTURES if name != "vertebrae"}},
    crossed=True,
    few=("naive-regular", "realistic-strong", "real"),
    published=(
        ("Dice, realistic + strong, simulation to real", "0.80 ± 0.23", "Gao et al. 2023, code release"),
        ("landmarks, realistic + strong, simulation to real", "6.44 ± 7.05 mm", "Gao et al. 2023, code release"),
    ),
)
