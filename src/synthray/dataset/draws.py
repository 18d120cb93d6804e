"""Parts that all recipes are made of: strict models, and numbers that may be drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from synthray.errors import InputError
from synthray.geometry import Spread


class Strict(BaseModel):
    """A part of a recipe: immutable, and no key that isn't known."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, allow_inf_nan=False)


_HOW_TO_DRAW = "give a number, {uniform: [low, high]}, {log_uniform: [low, high]} or {normal: [mean, sd]}"


def as_draw(value: Any) -> Any:
    """A number or a mapping such as `{uniform: [low, high]}` as the fields of a `Draw`.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Mapping):
        raise ValueError(_HOW_TO_DRAW)
    if not isinstance(value, Mapping):
        return {"kind": "fixed", "first": float(value), "second": 0.0}
    if set(value) == {"kind", "first", "second"}:
        return dict(value)
    if len(value) != 1 or next(iter(value)) not in ("uniform", "log_uniform", "normal"):
        raise ValueError(_HOW_TO_DRAW)
    kind, ends = next(iter(value.items()))
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        raise ValueError(f"{kind} takes two numbers in a list")
    return {"kind": kind, "first": ends[0], "second": ends[1]}


class Draw(Strict):
    """How a number is drawn.

    In YAML: a plain number, `{uniform: [low, high]}`, `{log_uniform: [low, high]}` or `{normal: [mean, sd]}`.
    """

    kind: Literal["fixed", "uniform", "log_uniform", "normal"]
    first: float
    second: float

    @model_validator(mode="after")
    def _ends(self) -> Self:
        try:
            self.spread  # noqa: B018  # built once here, so that a bad range is found when the recipe is read
        except InputError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def spread(self) -> Spread:
        """The same as a geometry spread."""
        return Spread(self.kind, self.first, self.second)


Number = Annotated[Draw, BeforeValidator(as_draw)]


def fixed(value: float) -> Draw:
    """A number that is always the same."""
    return Draw(kind="fixed", first=value, second=0)


def uniform(low: float, high: float) -> Draw:
    """A number drawn uniformly from a range."""
    return Draw(kind="uniform", first=low, second=high)
