"""Recipes of data sets: YAML bombs, wrong kinds of values, hostile tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hostile.core import ANY, STRICT, Case, cut, flipped, junk
from hostile.tables import LONG_NUMBER

GOOD: dict[str, Any] = {
    "name": "tiny",
    "images": 4,
    "images_per_shard": 2,
    "people": [{"body": 1, "region": "chest", "voxel_mm": 8}],
    "views": [{"carm": "chest-pa", "rows": 16, "lao_deg": {"uniform": [-9, 9]}}],
    "imaging": {"tube_kvp": 90, "realism": "naive"},
    "structures": {"lung": {"of": ["lung_left"]}},
}


def _yaml(text: str | bytes) -> Callable[[Path, np.random.Generator], bool]:
    def action(folder: Path, _: np.random.Generator) -> bool:
        from synthray.dataset import load_recipe, plan

        path = folder / "recipe.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        recipe = load_recipe(path)
        assert recipe.everyone()
        plan(recipe, recipe.images - 1)
        return recipe == load_recipe(GOOD)

    return action


def _with(path: tuple[Any, ...], value: Any) -> str:
    """The good recipe as YAML with one value replaced."""
    held = yaml.safe_load(yaml.safe_dump(GOOD))
    inner = held
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return yaml.safe_dump(held)


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


def recipe_cases(seeds: range) -> Iterator[Case]:
    """All of them; damage at random places once for each seed."""
    good = yaml.safe_dump(GOOD).encode()
    for _ in seeds:
        for count in (1, 4):
            yield Case("bit flips/recipe", lambda f, r, c=count: _yaml(flipped(good, r, c))(f, r), ANY)
        yield Case("truncation/recipe", lambda f, r: _yaml(cut(good, r))(f, r), ANY)
    for what, data in junk():
        yield Case(f"something else/recipe {what}", _yaml(data), STRICT)
    for what, text in (
        ("billion laughs", LAUGHS),
        ("alias", "a: &a [1]\nb: *a\n"),
        ("recursive alias", "&a [*a]\n"),
        ("merge key", "<<: {images: 4}\nimages: 5\n"),
        ("deep list", "a: " + "[" * 5000),
        ("deep list closed", "a: " + "[" * 5000 + "]" * 5000),
        ("very deep list", "a: " + "[" * 1_000_000),
        ("deep mapping", "a: " + "{a: " * 3000),
        ("deep blocks", "".join(" " * n + "a:\n" for n in range(1500))),
        ("deep dashes", "- " * 100_000 + "1"),
        ("long number", f"images: {LONG_NUMBER}\npeople: [{{body: 1}}]\n"),
        ("long key", "a" * 1_000_000 + ": 1\n"),
        ("wide", "a: [" + "1," * 500_000 + "1]\n"),
        ("5 MB", "# " + "x" * 5_000_000),
        ("python object", "!!python/object/apply:os.system ['touch /tmp/synthray-yaml-ran']\n"),
        ("python name", "images: !!python/name:os.system\n"),
        ("unknown tag", "images: !thing 5\n"),
        ("binary", "images: !!binary '%%%'\n"),
        ("impossible date", "images: 2001-99-99\n"),
        ("impossible time", "images: 2001-01-01 99:99:99\n"),
        ("set", "images: !!set {1, 2}\n"),
        ("list as key", "? [1, 2]\n: 5\n"),
        ("two documents", "images: 4\n---\nimages: 5\n"),
        ("tabs", "people:\n\t- body: 1\n"),
        ("surrogate", 'name: "\\ud800"\nimages: 4\npeople: [{body: 1}]\n'),
        ("UTF-16", yaml.safe_dump(GOOD).encode("utf-16")),
        ("NUL", b"name: a\0b\n"),
        ("directive", "%YAML 9.9\n---\nimages: 4\n"),
        ("repeated key", "images: 4\nimages: 5\npeople: [{body: 1}]\n"),
        ("sexagesimal", "images: 1:30\npeople: [{body: 1}]\n"),
    ):
        lenient = what in {"sexagesimal", "surrogate"}
        yield Case(f"YAML bomb/{what}", _yaml(text), ANY if lenient else STRICT)
    wrong = (
        None,
        -1,
        0,
        1.5,
        1e308,
        float("nan"),
        float("inf"),
        True,
        "x",
        "",
        "../../x",
        [],
        {},
        [[]],
        {"a": 1},
        10**30,
    )
    for path in (
        ("images",),
        ("images_per_shard",),
        ("people",),
        ("views",),
        ("imaging",),
        ("structures",),
        ("seed",),
        ("people", 0, "body"),
        ("people", 0, "voxel_mm"),
        ("people", 0, "region"),
        ("views", 0, "rows"),
        ("views", 0, "lao_deg"),
        ("views", 0, "carm"),
        ("imaging", "tube_kvp"),
        ("imaging", "realism"),
        ("structures", "lung", "of"),
    ):
        for value in wrong:
            yield Case(f"wrong value/{'.'.join(map(str, path))}={str(value)[:20]}", _yaml(_with(path, value)), ANY)
    for path, value in (
        (("images",), 10**9),
        (("people", 0, "count"), 10**6),
        (("views", 0, "rows"), 10**6),
        (("nonsense",), 1),
        (("views", 0, "lao_deg"), {"uniform": [9, -9]}),
        (("views", 0, "lao_deg"), {"log_uniform": [-1, 1]}),
        (("views", 0, "lao_deg"), {"normal": [0, -1]}),
        (("views", 0, "weight"), 0),
        (("structures", "../x"), {"of": ["a"]}),
        (("structures", "a/b"), {"of": ["a"]}),
        (("keep_paths",), ["nothing"]),
        (("people", 0, "ct"), "/etc/passwd"),
        (("people", 0, "split"), "test"),
        (("imaging", "detectors"), []),
        (("imaging", "system"), "nonsense"),
        (("people",), [{"body": 1, "count": 100_000}] * 500),
        (("imaging", "tube_kvp"), {"uniform": [1]}),
        (("views",), [{"view": "sideways"}]),
        (("tools",), [{"kind": "spoon"}]),
    ):
        yield Case(f"wrong value/{'.'.join(map(str, path))}={str(value)[:30]}", _yaml(_with(path, value)), STRICT)
    for name, text in (("not there", None), ("a folder", "folder"), ("a pipe", "pipe")):
        yield Case(f"odd file/recipe {name}", _odd(text), STRICT)
    yield Case("odd file/people.ct is no CT", _person, STRICT)


def _person(folder: Path, _: np.random.Generator) -> bool:
    from synthray.dataset import generate

    (folder / "recipe.yaml").write_text(_with(("people",), [{"ct": "../../../../etc/passwd"}]))
    return bool(generate(folder / "recipe.yaml", folder / "out", workers=1).made)


def _odd(kind: str | None) -> Callable[[Path, np.random.Generator], bool]:
    def action(folder: Path, _: np.random.Generator) -> bool:
        import os

        from synthray.dataset import load_recipe

        path = folder / "recipe.yaml"
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        return bool(load_recipe(path))

    return action
