"""All diseases by name, with the labels that each adds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType

from synthray.anatomy.disease.blobs import calcifications, lung_nodules
from synthray.anatomy.disease.fracture import fracture
from synthray.anatomy.disease.opacities import lung_opacities
from synthray.anatomy.disease.pleura import pleural_effusion, pneumothorax
from synthray.anatomy.patient import Patient

_MAKERS = (calcifications, fracture, lung_nodules, lung_opacities, pleural_effusion, pneumothorax)
# Every one takes a patient and the keyword `seed`, and gives a patient.
DISEASES: Mapping[str, Callable[..., Patient]] = MappingProxyType({maker.__name__: maker for maker in _MAKERS})

_LABELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "calcifications": ("calcification",),
        "fracture": ("fracture_{}",),
        "lung_nodules": ("nodule",),
        "lung_opacities": ("ggo", "consolidation", "opacity"),
        "pleural_effusion": ("pleural_effusion",),
        "pneumothorax": ("pneumothorax",),
    }
)


def takes_structure(kind: str) -> bool:
    """Whether a disease of `DISEASES` befalls a structure that has to be named."""
    return "structure" in inspect.signature(DISEASES[kind]).parameters


def labels_of(kind: str, structure: str = "") -> tuple[str, ...]:
    """Names of the labels that a disease of `DISEASES` adds; `structure` is the one that it befalls, where it does."""
    return tuple(name.format(structure) for name in _LABELS[kind])
