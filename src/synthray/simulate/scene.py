"""`Scene`: what stands between the source and the detector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.errors import InputError
from synthray.imaging import composition
from synthray.tools import Part, Tool

_HEAVIEST_G_CM3 = 25.0


@dataclass(frozen=True, eq=False)
class Scene:
    """A patient and what lies in, on and around them.

    Attributes:
        patient: the person.
        tools: posed instruments and implants, with names of their own. Each replaces the tissue where it is, later
            ones also the earlier ones.
        volumes: further CTs in the same patient frame (a table, an implant, an insert). Each replaces what lies under
            its tissue and labels, later ones over earlier ones.

    Raises:
        InputError: two tools of one name, a tool named like a structure, or a material that is unknown or has no
            density.
    """

    patient: Patient
    tools: Sequence[Tool] = ()
    volumes: Sequence[Patient] = ()

    def __post_init__(self) -> None:
        taken = {name for one in (self.patient, *self.volumes) for name in one.structure_names}
        for name, count in Counter(tool.name for tool in self.tools).items():
            if count > 1 or name in taken:
                what = f"{count} tools are" if count > 1 else "a structure of the patient is"
                raise InputError(f"{what} called '{name}'; give each tool a name of its own with .renamed(...)")
        object.__setattr__(self, "tools", tuple(_with_densities(tool) for tool in self.tools))

    @property
    def landmarks_mm(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """Name -> (3,) patient mm: the patient's landmarks, and the tools' as `TOOL_LANDMARK`."""
        of_tools = {f"{tool.name}_{name}": at for tool in self.tools for name, at in tool.landmarks_mm.items()}
        return {**self.patient.landmarks, **of_tools}


def _with_densities(tool: Tool) -> Tool:
    return replace(tool, parts=tuple(_with_density(tool.name, part) for part in tool.parts))


def _with_density(tool: str, part: Part) -> Part:
    try:
        usual = composition(part.material).density_g_cm3
    except InputError as error:
        raise InputError(f"tool '{tool}': {error}") from None
    density = usual if part.density_g_cm3 is None else part.density_g_cm3
    if not 0 < density < _HEAVIEST_G_CM3:
        raise InputError(
            f"tool '{tool}': {part.material} needs density_g_cm3 within 0 to {_HEAVIEST_G_CM3:g}, got {density:g}"
        )
    return replace(part, density_g_cm3=density)
