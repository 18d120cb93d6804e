"""The demo's two recipes: what is simulated, and how the network is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from synthray.dataset import Recipe
from synthray.experiment.chest import KEEP_LARGEST, RANDOMISATION, REDRAW, chest_recipe, real_entries
from synthray.experiment.people import RealPerson
from synthray.train import TrainRecipe

SIZE = 160
BODIES, HELD_OUT_BODIES = 28, 3
VIEWS_PER_PERSON = 20
# Real people take several turns: they are fewer and truer than the bodies.
TURNS_OF_REAL = 4


def dataset_recipe(people: Sequence[RealPerson], seed: int, views_per_person: int = VIEWS_PER_PERSON) -> Recipe:
    """Frontal chest X-rays of everybody: upright PA and bedside AP views, their marches kept."""
    real = real_entries(people) * TURNS_OF_REAL
    bodies = [
        {"body": 100 * seed + 1, "count": BODIES, "region": "chest"},
        {"body": 100 * seed + 1 + BODIES, "count": HELD_OUT_BODIES, "region": "chest", "split": "val"},
    ]
    turns = len(real) + BODIES + HELD_OUT_BODIES
    return Recipe.model_validate(chest_recipe("chest-lungs", [*real, *bodies], turns, SIZE, views_per_person, seed))


def training_recipe(dataset: Path, seed: int, seconds: float) -> TrainRecipe:
    """A compact network on fresh exposures of the stored marches, under domain randomisation."""
    return TrainRecipe.model_validate(
        {
            "data": str(dataset.resolve()),
            "seed": seed,
            "redraw": REDRAW,
            "training": {
                "size": 128,
                "batch": 16,
                "steps": 100_000,
                "max_seconds": seconds,
                "validate_every": 200,
                "validation_batches": 4,
                "checkpoint_every": 200,
                "keep_largest": KEEP_LARGEST,
                "augment": RANDOMISATION,
            },
        }
    )
