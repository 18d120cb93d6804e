"""All parametric tools by name, and a random one for domain randomisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from synthray.errors import InputError
from synthray.tools.flexible import catheter, ecg_electrode, endoscope_tip, needle, pacemaker
from synthray.tools.implants import cup, hip_replacement, hip_stem, nail, plate
from synthray.tools.kinematics import random_bend
from synthray.tools.manipulator import continuum_manipulator
from synthray.tools.screws import k_wire, pedicle_construct, pedicle_screw, rod, screw
from synthray.tools.small import button, cutter, drill_tip, marker, marker_grid, zip_fastener
from synthray.tools.tool import Tool

_MAKERS = (
    button, catheter, continuum_manipulator, cup, cutter, drill_tip, ecg_electrode, endoscope_tip, hip_replacement,
    hip_stem, k_wire, marker, marker_grid, nail, needle, pacemaker, pedicle_construct, pedicle_screw, plate, rod, screw,
    zip_fastener,
)  # fmt: skip
TOOLS: Mapping[str, Callable[..., Tool]] = MappingProxyType({maker.__name__: maker for maker in _MAKERS})


def random_tool(rng: np.random.Generator, kinds: tuple[str, ...] = ()) -> Tool:
    """A tool of a random kind, of its usual size; a manipulator is bent at random, wires and screws vary in length.

    Args:
        rng: source of kind and shape.
        kinds: names in `TOOLS` to choose from; all by default.
    """
    names = kinds or tuple(TOOLS)
    unknown = [name for name in names if name not in TOOLS]
    if unknown:
        raise InputError(f"random_tool: no tool '{unknown[0]}'; there are {', '.join(TOOLS)}")
    kind = names[int(rng.integers(len(names)))]
    if kind == "continuum_manipulator":
        return continuum_manipulator(control_deg=random_bend(rng))
    if kind == "screw":
        return screw(length_mm=float(rng.uniform(40, 110)))
    if kind == "k_wire":
        return k_wire(length_mm=float(rng.uniform(100, 280)), diameter_mm=float(rng.uniform(1.0, 3.0)))
    if kind == "pedicle_screw":
        return pedicle_screw(length_mm=float(rng.uniform(35, 55)))
    return TOOLS[kind]()
