"""The state of a run, from which training goes on as if it had never stopped: one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from synthray.errors import InputError
from synthray.files import write_atomically
from synthray.models.network import Network
from synthray.train.config import TrainConfig

STATE = "training.safetensors"
_KEY = "synthray"
_EXTRA = "extra"

Modules = Mapping[str, nn.Module]
Optimisers = Mapping[str, torch.optim.Optimizer]


@dataclass(eq=False)
class Run:
    """A training in progress.

    Attributes:
        network: what is trained.
        average: running average of its weights, the model to be.
        optimiser: AdamW with its moments.
        step: steps done.
        seconds: wall-clock time spent, all sessions together.
        history: one row per validation.
        recent: losses since the last row.
        capped: the wall-clock cap ended or shortened it.
    """

    network: Network
    average: Network
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)
    capped: bool = False


def save_run(run_dir: Path, run: Run, settings: dict[str, Any]) -> None:
    """Write everything needed to go on; an interruption leaves the state before.

    Randomness needs no saving: batches and augmentation are functions of (seed, step).
    """
    facts: dict[str, Any] = {"step": run.step, "seconds": run.seconds, "capped": run.capped}
    facts |= {"history": run.history, "recent": run.recent, "settings": settings}
    save_state(run_dir, {"network": run.network, "average": run.average}, {"optimiser": run.optimiser}, facts)


def load_run(run_dir: Path, run: Run, settings: dict[str, Any]) -> bool:
    """Bring a fresh run to the saved state; false when there is none.

    Raises:
        InputError: the state is damaged or was made with other settings.
    """
    modules = {"network": run.network, "average": run.average}
    loaded = load_state(run_dir, modules, {"optimiser": run.optimiser}, settings, _completed)
    if loaded is None:
        return False
    facts, _ = loaded
    run.step, run.seconds = int(facts["step"]), float(facts["seconds"])
    run.history, run.recent, run.capped = facts["history"], facts["recent"], bool(facts["capped"])
    return True


def save_state(
    run_dir: Path,
    modules: Modules,
    optimisers: Optimisers,
    facts: Mapping[str, Any],
    extra: Mapping[str, Tensor] | None = None,
) -> None:
    """Write modules, optimisers, other tensors and facts (plain data, its `settings` checked on loading)."""
    tensors = {
        f"{part}.{name}": value for part, module in modules.items() for name, value in module.state_dict().items()
    }
    for part, optimiser in optimisers.items():
        for number, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"{part}.{number}.{name}": value for name, value in moments.items()}
    tensors |= {f"{_EXTRA}.{name}": value for name, value in (extra or {}).items()}
    held = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_atomically(run_dir / STATE, save_tensors(held, metadata={_KEY: json.dumps(facts)}))


def load_state(
    run_dir: Path,
    modules: Modules,
    optimisers: Optimisers,
    settings: dict[str, Any],
    completed: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Bring modules and optimisers to the saved state; its facts and other tensors, or None when there is none.

    Args:
        run_dir: the run's folder.
        modules: as they were saved.
        optimisers: as they were saved.
        settings: what the saved settings must be.
        completed: gives saved settings the defaults of what came in later versions.

    Raises:
        InputError: the state is damaged or was made with other settings.
    """
    path = run_dir / STATE
    if not path.exists():
        return None
    facts, tensors = _read(path)
    _check_settings(run_dir, completed(facts["settings"]), settings)
    try:
        for part, module in modules.items():
            module.load_state_dict(_under(tensors, f"{part}."))
        for part, optimiser in optimisers.items():
            _load_optimiser(optimiser, _under(tensors, f"{part}."))
    except (RuntimeError, KeyError, ValueError) as error:
        raise InputError(f"{path}: does not fit this training; remove {run_dir} to start again") from error
    return facts, _under(tensors, f"{_EXTRA}.")


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()[_KEY])
            return facts, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is damaged, training can't go on from it; remove it to start again") from error


def _check_settings(run_dir: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    changed = sorted(key for key in saved.keys() | wanted.keys() if saved.get(key) != wanted.get(key))
    if changed:
        raise InputError(
            f"{run_dir}: holds a training with other settings ({', '.join(changed)}); "
            "choose another folder, or remove it to start again"
        )


def _completed(settings: dict[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in settings.items() if key in TrainConfig.model_fields}
    try:
        return settings | TrainConfig.model_validate(known).model_dump(mode="json")
    except ValidationError:
        return settings


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _load_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
