"""`Scene`: what stands between the source and the detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synthray.anatomy import Patient
from synthray.errors import InputError


@dataclass(frozen=True, eq=False)
class Scene:
    """A patient and the instruments in it.

    Attributes:
        patient: the person.
        tools: posed instruments; this version takes none.
    """

    patient: Patient
    tools: tuple[Any, ...] | list[Any] = ()

    def __post_init__(self) -> None:
        if self.tools:
            raise InputError("instruments in a scene are not available in this version; pass tools=[]")
