"""Simulated chest X-rays for learning: who is shown, what counts as lung field, how marches become pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthray.evaluate import Case, read_folder
from synthray.experiment.people import RealPerson

LUNGS = ("lung", "left_lung", "right_lung")
KEEP_LARGEST = {"left_lung": 1, "right_lung": 1, "lung": 2}
# Upright PA and bedside AP views, at the usual inaccuracy of positioning.
_ANGLES = {"lao_deg": {"normal": [0, 4]}, "cran_deg": {"normal": [0, 5]}, "roll_deg": {"normal": [0, 3]}}
_VIEWS = ({"carm": "chest-pa", "view": "pa", "weight": 3}, {"carm": "chest-bedside", "view": "ap", "weight": 1})

# Disease from a faint patch to white lungs: lung of 0.95 g/cm3 more is as dense as muscle.
REDRAW: Mapping[str, Any] = {
    "imaging": {
        "tube_kvp": {"uniform": [60, 130]},
        "mas": {"log_uniform": [0.5, 8]},
        "scatter_ratio": {"uniform": [0.1, 1.2]},
        "scatter_sigma_mm": {"uniform": [40, 90]},
    },
    "opacities": {
        "structure": "lung",
        "probability": 0.75,
        "count": {"log_uniform": [1, 30]},
        "radius_fraction": {"log_uniform": [0.03, 0.45]},
        "filling_g_cm3": {"uniform": [0.05, 0.95]},
    },
    "window": {"low_percentile": {"uniform": [0, 6]}, "high_percentile": {"uniform": [78, 99.8]}},
}

RANDOMISATION: Mapping[str, Any] = {
    "preset": "regular",
    "affine": 0.9,
    "rotation_deg": 8,
    "scale": [0.85, 1.6],
    "stretch": 1.35,
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
}


def lung_field(*lungs: str) -> dict[str, Any]:
    """The field that a radiologist outlines, as a rule on path lengths; see `dataset.recipe.Structure2D`."""
    return {
        "of": list(lungs),
        "minus": ["below_diaphragm"],
        "path_above_mm": 1,
        "minus_above_mm": 30,
        "medial_path_above_mm": 28,
        "medial_row_fraction": 0.3,
        "medial_line": True,
    }


def held_out(people: Sequence[RealPerson]) -> RealPerson | None:
    """The real person who is scored and never trained on: the last but one by name, when there are at least three."""
    return people[-2] if len(people) > 2 else None


def real_entries(people: Sequence[RealPerson]) -> list[dict[str, Any]]:
    """Real people as entries of a recipe; who is held out is in split `val`."""
    scored = held_out(people)
    return [
        {"ct": str(person.folder.resolve()), "split": "val" if person is scored else "train", "name": person.name}
        for person in people
    ]


def real_chest_xrays(folder: Path, structures: Sequence[str], scored: str) -> list[Case]:
    """The real chest X-rays of a folder whose mask of the scored structure is known, in the order of their names.

    Where an `index.json` says which lung masks are usable (`lung_ok`), only those.
    """
    where = {"lung_ok": True} if (folder / "index.json").is_file() else None
    return [case for case in read_folder(folder, where=where).cases(structures) if scored in case.masks]


def chest_recipe(
    name: str, people: Sequence[Mapping[str, Any]], turns: int, rows: int, views_per_person: int, seed: int
) -> dict[str, Any]:
    """A data set of frontal chest X-rays with lung fields, their marches kept.

    Args:
        name: of the set.
        people: entries of the recipe's `people`.
        turns: shards in all, one person each: the number of people with their `count`.
        rows: side of the pictures.
        views_per_person: pictures of each turn.
        seed: of the views.
    """
    return {
        "name": name,
        "seed": seed,
        "images": views_per_person * turns,
        "images_per_shard": views_per_person,
        "people": list(people),
        "views": [{**view, "rows": rows, "target": "lung_left+lung_right", **_ANGLES} for view in _VIEWS],
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
