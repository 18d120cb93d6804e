"""The plan: who, which view and which physics image i shows, drawn from (recipe, seed, i) without making the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthray.dataset.recipe import Recipe
from synthray.geometry import ViewParameters
from synthray.imaging import ImagingSettings, Level

# Separate streams of random numbers for separate purposes, so that one more draw in one leaves the others alone.
PLAN_STREAM, NOISE_STREAM = 0, 1


@dataclass(frozen=True)
class Planned:
    """One image before it is made.

    Attributes:
        index: number of the image in the set.
        person: number of the person in `Recipe.everyone()`.
        view: number of the view in `Recipe.views`.
        parameters: the view's angles and distances.
        settings: tube, dose and detector.
        realism: level of the simulation.
        noise_seed: seed of the image's noise.
    """

    index: int
    person: int
    view: int
    parameters: ViewParameters
    settings: ImagingSettings
    realism: Level
    noise_seed: int


def stream(seed: int, index: int, purpose: int) -> np.random.Generator:
    """Counter-based random numbers of one image and purpose; no image depends on another."""
    return np.random.Generator(np.random.Philox(key=[seed, 0], counter=[0, 0, index, purpose]))


def plan(recipe: Recipe, index: int) -> Planned:
    """What image `index` shows. People take turns by shard, so that a worker loads each once per shard."""
    rng = stream(recipe.seed, index, PLAN_STREAM)
    weights = np.array([view.weight for view in recipe.views])
    view = int(rng.choice(len(weights), p=weights / weights.sum()))
    return Planned(
        index=index,
        person=person_of_shard(recipe, index // recipe.images_per_shard),
        view=view,
        parameters=recipe.views[view].sampler.draw(rng),
        settings=recipe.imaging.draw(rng),
        realism=recipe.imaging.draw_level(rng),
        noise_seed=int(stream(recipe.seed, index, NOISE_STREAM).integers(2**63)),
    )


def person_of_shard(recipe: Recipe, shard: int) -> int:
    """Number of the person that a shard shows."""
    return shard % len(recipe.everyone())


def shard_count(recipe: Recipe) -> int:
    """Number of shards of the whole set."""
    return -(-recipe.images // recipe.images_per_shard)
