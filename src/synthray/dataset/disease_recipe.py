"""The `disease` part of a recipe's person: what they have, and how much of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from synthray.anatomy import Patient
from synthray.anatomy.disease import DISEASES, labels_of
from synthray.dataset.draws import Strict
from synthray.dataset.parameters import Parameter, check_parameters, draw_parameters
from synthray.errors import InputError

_STREAM = 0xD15E


class Disease(Strict):
    """One disease of a person."""

    kind: str = Field(description="a name in `synthray.disease.DISEASES`")
    probability: float = Field(1.0, ge=0, le=1)
    parameters: dict[str, Parameter] = Field(default_factory=dict, description="what isn't given is drawn")

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.kind not in DISEASES:
            raise ValueError(f"no disease '{self.kind}'; there are {', '.join(DISEASES)}")
        check_parameters(self.maker, self.parameters, {"patient", "seed"})
        return self

    @property
    def maker(self) -> Callable[..., Patient]:
        """What makes a patient ill."""
        return DISEASES[self.kind]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels that it may add."""
        given = self.parameters.get("structure", "")
        structures = (given,) if isinstance(given, str) else given
        return tuple(dict.fromkeys(name for one in structures for name in labels_of(self.kind, one)))


def with_disease(patient: Patient, entries: Sequence[Disease], seed: int, person: int) -> Patient:
    """The patient with what each entry's lot gives them.

    Args:
        patient: healthy.
        entries: in order; each draws from numbers of its own.
        seed: the recipe's.
        person: number of the person in the recipe.

    Raises:
        InputError: an entry doesn't fit this patient; it is named.
    """
    for number, entry in enumerate(entries):
        rng = np.random.Generator(np.random.Philox(key=[seed, _STREAM], counter=[0, 0, person, number]))
        if rng.random() >= entry.probability:
            continue
        chosen = draw_parameters(entry.maker, entry.parameters, rng)
        try:
            patient = entry.maker(patient, seed=int(rng.integers(2**62)), **chosen)
        except InputError as error:
            raise InputError(f"disease[{number}] ({entry.kind}): {error}") from None
    return patient
