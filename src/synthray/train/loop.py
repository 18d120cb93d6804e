"""The training loop."""

from __future__ import annotations

import copy
import csv
import io
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from synthray.errors import InputError, SynthrayError
from synthray.files import write_atomically
from synthray.models.build import build_network
from synthray.models.checkpoint import ModelSpec, first_problem, save_model
from synthray.train.batches import Batch, BatchSource, batches_ahead, check_batch, to_tensors
from synthray.train.config import TrainConfig
from synthray.train.initial import load_initial
from synthray.train.losses import Losses, combined_loss
from synthray.train.randomise import randomised
from synthray.train.state import Run, load_run, save_run
from synthray.train.validate import Validation, validate

HISTORY = "history.csv"


@dataclass(frozen=True)
class Progress:
    """Where a training stands, after each step.

    Attributes:
        step: steps done.
        steps: steps planned.
        fraction: share of the run that is done, by steps or by time, whichever is further.
        seconds: time spent.
        loss: loss of this step.
        validation: the newest scores, or None before the first.
    """

    step: int
    steps: int
    fraction: float
    seconds: float
    loss: float
    validation: Validation | None


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
        run_dir: holds the model and `history.csv`.
        steps: steps done.
        seconds: time spent, all sessions together.
        waiting: share of this session's time that the network waited for images.
        capped: true when the wall-clock cap ended it before the planned steps.
        history: rows of `history.csv`: step, seconds, lr, loss and, with validation, val_loss, dice_*, landmark_px_*.
        validation: the last scores, or None without a validation source.
    """

    run_dir: Path
    steps: int
    seconds: float
    waiting: float
    capped: bool
    history: tuple[Mapping[str, float], ...]
    validation: Validation | None


def fit(
    source: BatchSource,
    val_source: BatchSource | None,
    config: TrainConfig,
    run_dir: str | Path,
    *,
    seed: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
    conditions: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train a network and leave it in `run_dir`; a run that was interrupted goes on where its last checkpoint is.

    The weights depend on (source, config, seed) alone, interrupted or not, on one kind of machine with one number of
    threads; with `max_seconds` they depend on its speed as well. The model kept is the running average of the weights
    at the end: validation scores are recorded and choose nothing.

    Args:
        source: training images.
        val_source: images of other people, scored without augmentation; None to go without.
        config: settings.
        run_dir: made when absent; must be empty or hold a run with the same settings.
        seed: of the weights, the batches and the augmentation.
        on_progress: called after every step.
        conditions: facts about the training images, kept in `model.json`.

    Raises:
        InputError: the folder holds something else, names differ between sources, or a batch is unusable.
        SynthrayError: the loss became NaN or infinite.
    """
    folder = Path(run_dir)
    _check_sources(source, val_source)
    spec = _spec(source, config, seed, conditions)
    settings = {**config.model_dump(mode="json"), "seed": seed}
    settings |= {"structures": list(source.structures), "landmarks": list(source.landmarks)}
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    run = _new_run(source, config, seed)
    if not load_run(folder, run, settings):
        check_empty(folder)
        if config.initial is not None:
            load_initial(run.network, spec, config.initial)
            run.average.load_state_dict(run.network.state_dict())
    trainer = _Trainer(source, val_source, config, folder, seed, run, settings)
    trainer.train(on_progress)
    ended = {"steps_done": run.step, "capped": run.capped}
    save_model(folder, run.average, spec.model_copy(update={"recipe": {**spec.recipe, **ended}}))
    return TrainResult(
        folder, run.step, run.seconds, trainer.waiting, run.capped, tuple(run.history), trainer.validation
    )


@dataclass(eq=False)
class _Trainer:
    """One session of one run."""

    source: BatchSource
    val_source: BatchSource | None
    config: TrainConfig
    folder: Path
    seed: int
    run: Run
    settings: dict[str, Any]
    validation: Validation | None = None
    waiting: float = 0.0

    def train(self, on_progress: Callable[[Progress], None] | None) -> None:
        """All steps that are left, with records and checkpoints on the way and at the end."""
        run, config = self.run, self.config
        started, waited = time.monotonic(), 0.0
        began = started - run.seconds
        with closing(batches_ahead(self.source, range(run.step, config.steps), config.batch, self.seed)) as batches:
            while True:
                asked = time.monotonic()
                batch = next(batches, None)
                waited += time.monotonic() - asked
                if batch is None:
                    break
                fraction = _fraction(run.step, time.monotonic() - began, config)
                if fraction >= 1:
                    run.capped = True
                    break
                run.recent.append(self._step(batch, _learning_rate(fraction, config)))
                run.step += 1
                if run.step % config.validate_every == 0:
                    self._record(began)
                run.seconds = time.monotonic() - began
                if run.step % config.checkpoint_every == 0:
                    save_run(self.folder, run, self.settings)
                if on_progress:
                    on_progress(self._progress())
        self.waiting = waited / max(time.monotonic() - started, 1e-9)
        self._finish(began)

    def _step(self, batch: Batch, lr: float) -> float:
        """One optimiser step; returns the loss."""
        run, config = self.run, self.config
        check_batch(batch, self.source.structures, self.source.landmarks)
        for group in run.optimiser.param_groups:
            group["lr"] = lr
        run.network.train()
        with seeded(self.seed, run.step, next(run.network.parameters()).device):
            losses = self._loss(batch)
        loss = float(losses.total.detach())
        if not math.isfinite(loss):
            raise SynthrayError(f"the loss became {loss} at step {run.step}: lower lr (now {config.lr})")
        run.optimiser.zero_grad(set_to_none=True)
        losses.total.backward()
        run.optimiser.step()
        update_average(run.average, run.network, min(config.average, (1 + run.step) / (10 + run.step)))
        return loss

    def _loss(self, batch: Batch) -> Losses:
        config = self.config
        device = next(self.run.network.parameters()).device
        with torch.no_grad():
            # This step's augmentation depends on (seed, step) alone.
            rng = np.random.default_rng([self.seed, self.run.step])
            data = to_tensors(batch, config.preprocessing, device)
            names = tuple(self.source.structures), tuple(self.source.landmarks)
            data = randomised(data, config.augment, *names, config.preprocessing, rng)
        # Only GPUs have fast bfloat16 everywhere; processors without its instructions are nine times slower with it.
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            outputs = self.run.network.supervised(data.images.contiguous(memory_format=torch.channels_last))
        return combined_loss(outputs, data, config)

    def _record(self, began: float) -> None:
        """Validate, and add a row to the history."""
        run, config = self.run, self.config
        row = {"step": run.step, "seconds": round(time.monotonic() - began, 2)}
        row |= {"lr": run.optimiser.param_groups[0]["lr"], "loss": float(np.mean(run.recent)) if run.recent else 0.0}
        if self.val_source is not None:
            self.validation = validate(run.average, self.val_source, config, self.seed)
            row |= {"val_loss": self.validation.loss}
            row |= {f"dice_{name}": value for name, value in self.validation.dice.items()}
            row |= {f"landmark_px_{name}": value for name, value in self.validation.landmark_px.items()}
        run.recent.clear()
        run.history.append(row)
        write_history(self.folder, run.history)

    def _finish(self, began: float) -> None:
        run = self.run
        if not run.history or run.history[-1]["step"] < run.step:
            self._record(began)
        elif self.validation is None and self.val_source is not None:
            self.validation = validate(run.average, self.val_source, self.config, self.seed)
        run.seconds = time.monotonic() - began
        save_run(self.folder, run, self.settings)

    def _progress(self) -> Progress:
        run, config = self.run, self.config
        fraction = min(1.0, _fraction(run.step, run.seconds, config))
        loss = run.recent[-1] if run.recent else run.history[-1]["loss"]
        return Progress(run.step, config.steps, fraction, run.seconds, loss, self.validation)


def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the running average of weights and normalisation statistics towards the network's."""
    with torch.no_grad():
        held, new = average.state_dict(), network.state_dict()
        for name, value in held.items():
            if value.is_floating_point():
                value.lerp_(new[name], 1 - decay)
            else:
                value.copy_(new[name])


@contextmanager
def seeded(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Torch's own randomness (dropout) as a function of (seed, step), so that a resumed run draws the same."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]))
        yield


def _fraction(step: int, seconds: float, config: TrainConfig) -> float:
    by_time = 0.0 if config.max_seconds is None else seconds / config.max_seconds
    return max(step / config.steps, by_time)


def _learning_rate(fraction: float, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine down to zero at fraction 1."""
    warm = 1.0 if config.warmup == 0 else min(1.0, (fraction + 1 / config.steps) / config.warmup)
    return config.lr * warm * 0.5 * (1 + math.cos(math.pi * fraction))


def _new_run(source: BatchSource, config: TrainConfig, seed: int) -> Run:
    device = torch.device(_device(config.device))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(config.network, len(source.structures), len(source.landmarks)).to(device)
    return Run(network, copy.deepcopy(network).eval(), adamw(network, config.lr, config.weight_decay))


def adamw(network: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that leaves biases and the scales and shifts of the normalisation unshrunk: they are no weights."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr)


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda': torch finds no GPU here; use 'cpu' or 'auto'")
    return wanted


def _check_sources(source: BatchSource, val_source: BatchSource | None) -> None:
    if val_source is None:
        return
    for what in ("structures", "landmarks"):
        trained, scored = getattr(source, what), getattr(val_source, what)
        if tuple(trained) != tuple(scored):
            raise InputError(f"training and validation images have different {what}: {trained} and {scored}")


def check_empty(folder: Path) -> None:
    """Refuse a folder with something else in it.

    Raises:
        InputError: it is a file, or not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is not an empty folder and holds no training to go on with; choose another")


def _spec(source: BatchSource, config: TrainConfig, seed: int, conditions: Mapping[str, Any] | None) -> ModelSpec:
    try:
        return ModelSpec(
            structures=tuple(source.structures),
            landmarks=tuple(source.landmarks),
            network=config.network,
            preprocessing=config.preprocessing,
            heatmap_sigma_px=config.heatmap_sigma_px,
            keep_largest=config.keep_largest,
            conditions=dict(conditions or {}),
            recipe={"train": config.model_dump(mode="json"), "seed": seed},
        )
    except ValidationError as error:
        raise InputError(f"this training can't make a model: {first_problem(error)}") from error


def write_history(folder: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write `history.csv`, a column for every name that occurs."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomically(folder / HISTORY, text.getvalue().encode())
