"""Levenberg-Marquardt over the six numbers of a pose, or over those of several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Poses = TypeVar("Poses")
Floats = npt.NDArray[np.float64]
# Longest step: within what the patches of a coarse level can follow. rad about x, y, z; mm along x, y, z.
LONGEST_STEP = (0.15, 0.15, 0.15, 20.0, 20.0, 60.0)


@dataclass(frozen=True, eq=False)
class System:
    """The problem around one pose, or around n of them.

    Attributes:
        cost: to be minimised.
        gradient: (6 n,) its derivative.
        matrix: (6 n, 6 n) its Gauss-Newton matrix.
    """

    cost: float
    gradient: Floats
    matrix: Floats


@dataclass(frozen=True, eq=False)
class Optimum(Generic[Poses]):
    """Where a search ended.

    Attributes:
        poses: the pose, or all of them.
        system: the problem there.
        steps: systems that were set up.
    """

    poses: Poses
    system: System
    steps: int


def minimise(
    system_at: Callable[[Poses], System],
    start: Poses,
    move: Callable[[Poses, Floats], Poses],
    *,
    most_steps: int = 30,
    tolerance: float = 1e-4,
) -> Optimum[Poses]:
    """The pose of least cost near a start.

    The damping follows the ratio of actual to predicted decrease (Nielsen 1999) and is scaled with the diagonal of the
    matrix (Marquardt 1963), so that radians, millimetres and weak depth need no scales of their own. Ends when the
    decrease that the next step predicts is below `tolerance` of the cost.

    Args:
        system_at: sets up the problem at a pose.
        start: pose to start from.
        move: a pose moved by (6 n,) rad and mm.
        most_steps: systems to set up at most.
        tolerance: smallest predicted decrease worth a step, as a fraction of the cost.
    """
    poses, system = start, system_at(start)
    steps, damping, growth = 1, 1e-3, 2.0
    while steps < most_steps:
        step = bounded(solve(system, damping))
        predicted = -float(system.gradient @ step + 0.5 * step @ system.matrix @ step)
        if not predicted > tolerance * max(system.cost, 1e-12):
            break
        candidate = move(poses, step)
        tried = system_at(candidate)
        steps += 1
        gain = (system.cost - tried.cost) / predicted
        if gain > 0:
            poses, system = candidate, tried
            damping, growth = max(damping * max(1 / 3, 1 - (2 * gain - 1) ** 3), 1e-7), 2.0
        else:
            damping, growth = max(damping, 1e-3) * growth, growth * 2
            if damping > 1e6:
                break
    return Optimum(poses, system, steps)


def solve(system: System, damping: float) -> Floats:
    """(6 n,) damped Gauss-Newton step; zero along what the images don't depend on."""
    diagonal = np.diag(system.matrix)
    largest = float(diagonal.max())
    if not largest > 1e-20:
        return np.zeros(len(diagonal))
    scale = 1 / np.sqrt(np.maximum(diagonal, 1e-12 * largest))
    scaled = system.matrix * np.outer(scale, scale) + damping * np.eye(len(diagonal))
    return -scale * np.linalg.solve(scaled, scale * system.gradient)


def bounded(step: Floats) -> Floats:
    """The step shortened as a whole until no component exceeds `LONGEST_STEP`."""
    return step / max(1.0, float(np.max(np.abs(step) / np.resize(LONGEST_STEP, len(step)))))
