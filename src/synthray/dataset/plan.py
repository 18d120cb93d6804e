"""The plan: who, which view and which physics image i shows, drawn from (recipe, seed, i) without making the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from synthray.dataset.recipe import Recipe
from synthray.geometry import ViewParameters
from synthray.imaging import ImagingSettings, Level
from synthray.simulate import plain_settings

# Separate streams of random numbers for separate purposes, so that one more draw in one leaves the others alone.
PLAN_STREAM, NOISE_STREAM = 0, 1
# One for each entry of `tools`, from here on.
TOOL_STREAM = 16


@dataclass(frozen=True)
class Planned:
    """One image before it is made.

    Attributes:
        index: number of the image in the set.
        march: number of the first image that shows the same person from the same view.
        person: number of the person in `Recipe.everyone()`.
        view: number of the view in `Recipe.views`.
        parameters: the view's angles and distances.
        settings: tube, dose and detector.
        realism: level of the simulation.
        noise_seed: seed of the image's noise.
    """

    index: int
    march: int
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
    first = index - index % recipe.images_per_shard
    march = index - (index - first) % recipe.tool_poses_per_view
    rng = stream(recipe.seed, march, PLAN_STREAM)
    weights = np.array([view.weight for view in recipe.views])
    view = int(rng.choice(len(weights), p=weights / weights.sum()))
    parameters = recipe.views[view].sampler.draw(rng)
    own = rng if march == index else stream(recipe.seed, index, PLAN_STREAM)
    return Planned(
        index=index,
        march=march,
        person=person_of_shard(recipe, index // recipe.images_per_shard),
        view=view,
        parameters=parameters,
        settings=recipe.imaging.draw(own),
        realism=recipe.imaging.draw_level(own),
        noise_seed=int(stream(recipe.seed, index, NOISE_STREAM).integers(2**63)),
    )


def plan_rows(recipe: Recipe) -> Iterator[dict[str, Any]]:
    """The whole plan as plain values for JSON, image by image; nothing is loaded or made."""
    everyone = recipe.everyone()
    for index in range(recipe.images):
        planned = plan(recipe, index)
        person = everyone[planned.person]
        yield {
            "index": index,
            "shard": index // recipe.images_per_shard,
            "person": planned.person,
            "source": person.ct if person.body is None else f"body:{person.body}",
            "split": person.split,
            "view": planned.view,
            "march": planned.march,
            **asdict(planned.parameters),
            "realism": planned.realism,
            "settings": plain_settings(planned.settings),
            "noise_seed": planned.noise_seed,
        }


def person_of_shard(recipe: Recipe, shard: int) -> int:
    """Number of the person that a shard shows."""
    return shard % recipe.person_count


def shard_count(recipe: Recipe) -> int:
    """Number of shards of the whole set."""
    return -(-recipe.images // recipe.images_per_shard)
