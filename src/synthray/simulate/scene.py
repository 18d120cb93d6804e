"""`Scene`: what stands between the source and the detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthray.anatomy import Patient
from synthray.errors import InputError


@dataclass(frozen=True, eq=False)
class Scene:
    """A patient and what lies in, on and around them.

    Attributes:
        patient: the person.
        tools: posed instruments; this version takes none.
        volumes: further CTs in the same patient frame (a table, an implant, an insert). Each replaces what lies under
            its tissue and labels, later ones over earlier ones.
    """

    patient: Patient
    tools: Sequence[Any] = ()
    volumes: Sequence[Patient] = ()

    def __post_init__(self) -> None:
        if self.tools:
            raise InputError("instruments in a scene are not available in this version; pass tools=[]")
