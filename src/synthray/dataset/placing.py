"""Putting a recipe's tools into one image: drawn from the image's own numbers, placed in its person and view."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.dataset.people import target_mm
from synthray.dataset.tools_recipe import Along, Inside, InView, Near, OnSkin, ToolEntry
from synthray.errors import InputError
from synthray.geometry import Camera, apply
from synthray.tools import Skin, Tool, along, find_skin, inside, near, on_skin, place, turned_to

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Placed:
    """One tool in an image.

    Attributes:
        tool: posed, with a name of its own in the scene.
        entry: number of its entry in the recipe's `tools`.
        title: name of its mask, which tools of one entry share.
        parameters: what it was made with.
    """

    tool: Tool
    entry: int
    title: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Placer:
    """Places tools in one person; what it has to look for in the CT it looks for once."""

    patient: Patient

    @cached_property
    def skin(self) -> Skin:
        """The person's skin."""
        return find_skin(self.patient)

    def placed(
        self, entries: Sequence[ToolEntry], camera: Camera, view_target_mm: Floats, stream: Callable[[int], Any]
    ) -> list[Placed]:
        """The tools of one image, in the order of the entries.

        Args:
            entries: of the recipe.
            camera: the image's view.
            view_target_mm: (3,) what the view looks at.
            stream: entry number -> its random numbers for this image.

        Raises:
            InputError: an entry doesn't fit this person; it is named.
        """
        found: list[Placed] = []
        for number, entry in enumerate(entries):
            rng = stream(number)
            count = round(entry.count.spread.draw(rng)) if rng.random() < entry.probability else 0
            for _ in range(count):
                try:
                    tool, chosen = entry.draw(rng)
                    tool = self._place(tool, entry, camera, view_target_mm, rng)
                except InputError as error:
                    raise InputError(f"tools[{number}] ({entry.title}): {error}") from None
                same = sum(one.title == entry.title for one in found)
                name = f"{entry.title}_{same + 1}" if same else entry.title
                found.append(Placed(tool.renamed(name), number, entry.title, chosen))
        return found

    def _place(
        self, tool: Tool, entry: ToolEntry, camera: Camera, view_target_mm: Floats, rng: np.random.Generator
    ) -> Tool:
        where = entry.placement
        if isinstance(where, Along):
            return self._along(tool, where, rng)
        if isinstance(where, Near):
            return near(
                tool,
                target_mm(self.patient, where.target),
                rng,
                offset_mm=where.offset_mm,
                tilt_deg=where.tilt_deg,
                direction=where.direction,
                landmark=where.landmark,
            )
        if isinstance(where, Inside):
            names = [where.structure] if isinstance(where.structure, str) else where.structure
            name = names[int(rng.integers(len(names)))]
            return inside(tool, self.patient, name, rng, direction=where.direction, landmark=where.landmark)
        if isinstance(where, OnSkin):
            at = target_mm(self.patient, where.target) + _in_ball(where.offset_mm, rng)
            return on_skin(tool, self.skin, at, rng, direction=where.direction)
        return _in_view(tool, where, camera, view_target_mm, rng)

    def _along(self, tool: Tool, where: Along, rng: np.random.Generator) -> Tool:
        start, end = (
            target_mm(self.patient, name) + _in_ball(where.offset_mm, rng) for name in (where.start, where.end)
        )
        axis = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
        roll, beyond = where.roll_deg.spread.draw(rng), where.beyond_mm.spread.draw(rng)
        return along(tool, start, end, roll_deg=roll).moved(beyond * axis)


def _in_ball(radius_mm: float, rng: np.random.Generator) -> Floats:
    """(3,) uniform in a ball; the random numbers used don't depend on the radius."""
    vector = rng.normal(size=3)
    return radius_mm * rng.random() ** (1 / 3) * vector / np.linalg.norm(vector)


def _in_view(tool: Tool, where: InView, camera: Camera, view_target_mm: Floats, rng: np.random.Generator) -> Tool:
    """A landmark at a random pixel, the axis turned at random in the picture and tilted out of it."""
    share = rng.uniform(where.margin, 1 - where.margin, 2)
    column, row = share * [camera.columns, camera.rows] - 0.5
    ray = np.linalg.inv(camera.K) @ [column, row, 1.0]
    patient_from_camera = np.linalg.inv(camera.camera_from_patient)
    depth = float(apply(camera.camera_from_patient, view_target_mm)[2]) + where.depth_mm.spread.draw(rng)
    tilt, turn = np.radians(where.out_of_plane_deg.spread.draw(rng)), rng.uniform(0, 2 * np.pi)
    local = [np.cos(tilt) * np.cos(turn), np.cos(tilt) * np.sin(turn), np.sin(tilt)]
    axis = patient_from_camera[:3, :3] @ turned_to(ray, 0.0) @ local
    return place(tool, apply(patient_from_camera, depth * ray), turned_to(axis, rng.uniform(0, 360)), where.landmark)
