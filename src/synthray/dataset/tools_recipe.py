"""The `tools` part of a recipe: which instruments an image shows, in which sizes, and where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from synthray.dataset.draws import Number, Strict, fixed, uniform
from synthray.dataset.parameters import Parameter, check_parameters, draw_parameters
from synthray.tools import TOOLS, Tool, load, random_bend

MANIPULATOR = "continuum_manipulator"
Vector = tuple[float, float, float]


class Along(Strict):
    """The axis runs from one point to another, where the tip lies: a screw's corridor.

    A point is a landmark, structures joined by + (their centre), or `center`.
    """

    start: str
    end: str
    offset_mm: float = Field(0.0, ge=0, description="each point is moved within a ball of this radius")
    beyond_mm: Number = Field(fixed(0), description="how far the tip reaches beyond the end")
    roll_deg: Number = uniform(0, 360)


class Near(Strict):
    """A landmark of the tool lies in a ball around a point; the axis within a cone."""

    target: str
    offset_mm: float = Field(10.0, ge=0)
    tilt_deg: float = Field(180.0, ge=0, le=180, description="half the cone's angle; 180 is any direction")
    direction: Vector = (0.0, 0.0, 1.0)
    landmark: str = "tip"


class Inside(Strict):
    """A landmark of the tool lies in a structure, of several in any of them."""

    structure: str | list[str]
    direction: Vector | None = Field(None, description="of the axis in the patient; any without it")
    landmark: str = "center"


class OnSkin(Strict):
    """The tool lies flat on the skin nearest to a point, or where a line from the point leaves the body."""

    target: str = "center"
    direction: Vector | None = Field(None, description="of that line; (0, -1, 0) is the front")
    offset_mm: float = Field(0.0, ge=0, description="the point is moved within a ball of this radius")


class InView(Strict):
    """A landmark of the tool lies at a random place of the picture, at about the depth of the view's target."""

    landmark: str = "tip"
    margin: float = Field(0.15, ge=0, lt=0.5, description="rim to keep clear, as a share of the picture's sides")
    depth_mm: Number = Field(uniform(-60, 60), description="from the target towards the detector")
    out_of_plane_deg: Number = Field(uniform(-30, 30), description="of the axis; 90 is along the line of sight")


class ToolEntry(Strict):
    """One kind of tool, or the user's own mesh."""

    kind: str | None = Field(None, description="a name in `synthray.tools.TOOLS`")
    file: str | None = Field(None, description="a mesh instead: STL, OBJ, PLY or GLB")
    name: str | None = Field(None, description="of the mask; the kind or the file's name without it")
    probability: float = Field(1.0, ge=0, le=1)
    count: Number = fixed(1)
    parameters: dict[str, Parameter] = Field(default_factory=dict, description="sizes, material, …")
    bend: Number | None = Field(None, description="of a continuum manipulator: 0 straight, 1 its whole range")
    along: Along | None = None
    near: Near | None = None
    inside: Inside | None = None
    on_skin: OnSkin | None = None
    in_view: InView | None = None

    @model_validator(mode="after")
    def _known(self) -> Self:
        if (self.kind is None) == (self.file is None):
            raise ValueError("give either 'kind' or 'file'")
        if self.kind is not None and self.kind not in TOOLS:
            raise ValueError(f"no tool '{self.kind}'; there are {', '.join(TOOLS)}")
        if self.bend is not None and self.kind != MANIPULATOR:
            raise ValueError(f"'bend' goes with kind {MANIPULATOR}")
        filled = {"path", "name"} if self.file else {"control_deg"} if self.bend is not None else set()
        check_parameters(self.maker, self.parameters, filled)
        if sum(getattr(self, one) is not None for one in PLACEMENTS) > 1:
            raise ValueError(f"give one of {', '.join(PLACEMENTS)}")
        if not self.title.replace("_", "").replace("-", "").isalnum():
            raise ValueError(f"a tool's name may hold letters, digits, _ and - only, not '{self.title}'; give 'name'")
        return self

    @property
    def title(self) -> str:
        """Name of the mask."""
        return self.name or self.kind or Path(self.file or "").stem

    @property
    def maker(self) -> Callable[..., Tool]:
        """What makes the tool."""
        return load if self.kind is None else TOOLS[self.kind]

    @property
    def placement(self) -> Along | Near | Inside | OnSkin | InView:
        """Where the tool goes; anywhere in the picture unless said."""
        return self.along or self.near or self.inside or self.on_skin or self.in_view or InView()

    def draw(self, rng: np.random.Generator) -> tuple[Tool, dict[str, Any]]:
        """A tool of this entry, not yet placed, and the arguments it was made with.

        Raises:
            InputError: sizes that don't fit together, or an unusable mesh.
        """
        chosen: dict[str, Any] = draw_parameters(self.maker, self.parameters, rng)
        if self.file is not None:
            return load(self.file, **chosen), chosen
        if self.bend is not None:
            limits = {name: chosen[name] for name in ("joints", "limit_deg") if name in chosen}
            chosen["control_deg"] = random_bend(rng, spread=self.bend.spread.draw(rng), **limits).tolist()
        return self.maker(**chosen), chosen


PLACEMENTS = ("along", "near", "inside", "on_skin", "in_view")
