"""The loop that all adaptations of more than one pass share: resumable, each step a function of (state, seed, step)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from synthray.errors import InputError, SynthrayError
from synthray.train.loop import Progress, check_empty, seeded, write_history
from synthray.train.state import load_state, save_state

Losses = Mapping[str, float]


@dataclass(frozen=True)
class AdaptResult:
    """A finished adaptation.

    Attributes:
        run_dir: holds the adapted model.
        steps: steps done.
        seconds: time spent, all sessions together.
        history: rows of `history.csv`: step, seconds, and mean losses since the row before.
    """

    run_dir: Path
    steps: int
    seconds: float
    history: tuple[Mapping[str, float], ...] = ()


@dataclass(eq=False)
class Session:
    """One sitting of an adaptation.

    Attributes:
        folder: where state and history go.
        modules, optimisers: what the state is made of, beside `extra`.
        settings: must be the same when it goes on.
        steps: steps in all.
        checkpoint_every: steps between checkpoints.
        seed: of torch's own randomness.
        extra: other tensors of the state, as they are when it is saved.
        restore: takes them back.
    """

    folder: Path
    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]
    settings: dict[str, Any]
    steps: int
    checkpoint_every: int
    seed: int
    extra: Callable[[], Mapping[str, Tensor]] = dict
    restore: Callable[[Mapping[str, Tensor]], None] = lambda tensors: None
    history: list[dict[str, float]] = field(default_factory=list)

    def run(self, step: Callable[[int], Losses], on_progress: Callable[[Progress], None] | None) -> AdaptResult:
        """All steps that are left; `step(number)` does one and returns its losses, the first of which is shown.

        Raises:
            InputError: the folder holds something else, or a state with other settings.
            SynthrayError: a loss became NaN or infinite.
        """
        done, spent = self._resume()
        began = time.monotonic() - spent
        device = next(iter(next(iter(self.modules.values())).parameters())).device
        recent: list[Losses] = []
        for number in range(done, self.steps):
            with seeded(self.seed, number, device):
                losses = step(number)
            _check_finite(losses, number)
            recent.append(losses)
            if (number + 1) % self.checkpoint_every == 0 or number + 1 == self.steps:
                self._save(number + 1, time.monotonic() - began, recent)
                recent = []
            if on_progress:
                fraction = (number + 1) / self.steps
                shown = next(iter(losses.values()))
                on_progress(Progress(number + 1, self.steps, fraction, time.monotonic() - began, shown, None))
        return AdaptResult(self.folder, self.steps, time.monotonic() - began, tuple(self.history))

    def _resume(self) -> tuple[int, float]:
        """Steps done and seconds spent."""
        loaded = load_state(self.folder, self.modules, self.optimisers, self.settings)
        if loaded is None:
            check_empty(self.folder)
            return 0, 0.0
        facts, tensors = loaded
        self.history = facts["history"]
        self.restore(tensors)
        return int(facts["step"]), float(facts["seconds"])

    def _save(self, step: int, seconds: float, recent: list[Losses]) -> None:
        means = {name: float(np.mean([losses[name] for losses in recent if name in losses])) for name in _names(recent)}
        self.history.append({"step": step, "seconds": round(seconds, 2), **means})
        write_history(self.folder, self.history)
        facts = {"step": step, "seconds": seconds, "history": self.history, "settings": self.settings}
        save_state(self.folder, self.modules, self.optimisers, facts, self.extra())


def _names(rows: Iterable[Losses]) -> list[str]:
    return list(dict.fromkeys(name for losses in rows for name in losses))


def _check_finite(losses: Losses, step: int) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            raise SynthrayError(f"{name} became {value} at step {step}: lower lr")


def check_output(run: Path, out: Path) -> None:
    """Refuse to adapt a run in its own folder.

    Raises:
        InputError: the two are one.
    """
    if run.resolve() == out.resolve():
        raise InputError(f"{out}: is the run to adapt itself; choose another folder for the adapted model")
