"""Arguments of a function as a recipe gives them: numbers that may be drawn, words of which one is picked, lists."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, ValidationError

from synthray.dataset.draws import Draw, as_draw

_NUMBERS = {"int", "float", "None"}
_KINDS = "a number or how to draw one, a word, a list of words of which one is picked, or a list of numbers"


def _parameter(value: Any) -> Any:
    if isinstance(value, bool | str | Draw):
        return value
    if isinstance(value, list | tuple):
        words = all(isinstance(one, str) for one in value)
        numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in value)
        if not value or not (words or numbers):
            raise ValueError(f"give {_KINDS}")
        return tuple(value)
    try:
        return Draw.model_validate(as_draw(value))
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


# The validator settles the type; the union's own messages would name its branches.
Parameter = Annotated[Any, BeforeValidator(_parameter)]


def check_parameters(function: Callable[..., Any], given: Mapping[str, Any], filled: Collection[str]) -> None:
    """Compare what a recipe gives with a function's arguments.

    Args:
        function: that will be called.
        given: names and values in the recipe.
        filled: arguments that the recipe doesn't give, since the caller does.

    Raises:
        ValueError: an unknown argument, one that the function needs is missing, or a word for a number.
    """
    known = {name: one for name, one in inspect.signature(function).parameters.items() if name not in filled}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known) or 'none'}"
            raise ValueError(f"unknown parameter '{name}'; {hint}")
        kinds = _kinds(known[name])
        if kinds <= _NUMBERS and not isinstance(given[name], Draw):
            raise ValueError(f"parameter '{name}' must be a number or how to draw one, not {given[name]!r}")
        if kinds <= {"str", "None"} and not _is_word(given[name]):
            raise ValueError(f"parameter '{name}' must be a word or a list of words")
    for name, one in known.items():
        if one.default is inspect.Parameter.empty and name not in given:
            raise ValueError(f"missing parameter '{name}'")


def draw_parameters(
    function: Callable[..., Any], given: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, float | int | bool | str | tuple[float, ...]]:
    """Values of a call: numbers drawn (whole ones where the function takes whole ones), one word of several picked."""
    arguments = inspect.signature(function).parameters
    drawn: dict[str, Any] = {}
    for name in sorted(given):  # a recipe's keys may come back in another order
        value = given[name]
        if isinstance(value, Draw):
            number = value.spread.draw(rng)
            drawn[name] = round(number) if "int" in _kinds(arguments[name]) else number
        elif isinstance(value, tuple) and isinstance(value[0], str):
            drawn[name] = value[int(rng.integers(len(value)))]
        else:
            drawn[name] = value
    return drawn


def _kinds(argument: inspect.Parameter) -> set[str]:
    """Types that an argument may have, as they are written."""
    return set(str(argument.annotation).split(" | "))


def _is_word(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, tuple) and isinstance(value[0], str))
