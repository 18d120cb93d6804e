"""The demo's two recipes: what is simulated, and how the network is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthray.dataset import Recipe
from synthray.demo.people import RealPerson
from synthray.train import TrainRecipe

SIZE = 160
BODIES, HELD_OUT_BODIES = 28, 3
VIEWS_PER_PERSON = 20
# Real people take several turns: they are fewer and truer than the bodies.
TURNS_OF_REAL = 4


def lung_field(*lungs: str) -> dict[str, Any]:
    """The field that a radiologist outlines, as a rule on path lengths; see `dataset.recipe.Structure2D`."""
    return {
        "of": list(lungs),
        "minus": ["below_diaphragm"],
        "path_above_mm": 4,
        "minus_above_mm": 10,
        "medial_path_above_mm": 28,
        "medial_row_fraction": 0.3,
    }


def held_out(people: Sequence[RealPerson]) -> RealPerson | None:
    """The real person who is scored and never trained on: the last but one by name, when there are at least three."""
    return people[-2] if len(people) > 2 else None


def dataset_recipe(people: Sequence[RealPerson], seed: int, views_per_person: int = VIEWS_PER_PERSON) -> Recipe:
    """Frontal chest X-rays of everybody: upright PA and bedside AP views, their marches kept."""
    scored = held_out(people)
    real = [
        {"ct": str(person.folder.resolve()), "split": "val" if person is scored else "train", "name": person.name}
        for person in people
    ]
    bodies: list[dict[str, Any]] = [
        {"body": 100 * seed + 1, "count": BODIES, "region": "chest"},
        {"body": 100 * seed + 1 + BODIES, "count": HELD_OUT_BODIES, "region": "chest", "split": "val"},
    ]
    count = len(real) * TURNS_OF_REAL + BODIES + HELD_OUT_BODIES
    angles = {"lao_deg": {"normal": [0, 4]}, "cran_deg": {"normal": [0, 5]}, "roll_deg": {"normal": [0, 3]}}
    common = {"rows": SIZE, "target": "lung_left+lung_right", **angles}
    return Recipe.model_validate(
        {
            "name": "chest-lungs",
            "seed": seed,
            "images": views_per_person * count,
            "images_per_shard": views_per_person,
            "people": [*real * TURNS_OF_REAL, *bodies],
            "views": [
                {"carm": "chest-pa", "view": "pa", "weight": 3, **common},
                {"carm": "chest-bedside", "view": "ap", "weight": 1, **common},
            ],
            "imaging": {"tube_kvp": {"uniform": [70, 125]}, "mas": {"log_uniform": [1, 8]}},
            "structures": {
                "lung": lung_field("lung_left", "lung_right"),
                "left_lung": lung_field("lung_left"),
                "right_lung": lung_field("lung_right"),
            },
            "landmarks": [],
            "keep_area_density": True,
            "keep_paths": ["lung"],
        }
    )


def training_recipe(dataset: Path, seed: int, seconds: float) -> TrainRecipe:
    """A compact network on fresh exposures of the stored marches, under domain randomisation."""
    return TrainRecipe.model_validate(
        {
            "data": str(dataset.resolve()),
            "seed": seed,
            "redraw": {
                "imaging": {
                    "tube_kvp": {"uniform": [60, 130]},
                    "mas": {"log_uniform": [0.5, 8]},
                    "scatter_ratio": {"uniform": [0.1, 1.2]},
                    "scatter_sigma_mm": {"uniform": [40, 90]},
                },
                "opacities": {
                    "structure": "lung",
                    "probability": 0.6,
                    "count": {"uniform": [1, 14]},
                    "radius_fraction": {"uniform": [0.04, 0.3]},
                    "filling_g_cm3": {"uniform": [0.05, 0.7]},
                },
                "window": {"low_percentile": {"uniform": [0, 6]}, "high_percentile": {"uniform": [78, 99.8]}},
            },
            "training": {
                "size": 128,
                "batch": 16,
                "steps": 100_000,
                "max_seconds": seconds,
                "validate_every": 200,
                "validation_batches": 4,
                "checkpoint_every": 200,
                "keep_largest": {"left_lung": 1, "right_lung": 1, "lung": 2},
                "augment": {
                    "preset": "regular",
                    "affine": 0.9,
                    "rotation_deg": 8,
                    "scale": [0.85, 1.6],
                    "translation": 0.08,
                    "elastic": 0.5,
                    "curve": 0.7,
                    "bias_field": 0.4,
                    "local_contrast": 0.4,
                    "random_convolution": 0.15,
                    "fourier": 0.1,
                    "low_resolution": 0.2,
                    "lines": 0.4,
                    "letters": 0.4,
                    "collimation": 0.2,
                    "borders": 0.25,
                },
            },
        }
    )
