"""CycleGAN: simulated X-rays in the look of real ones, learnt from unpaired images (Zhu et al., arXiv 1703.10593)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from synthray.errors import InputError
from synthray.models import Preprocessing
from synthray.models.checkpoint import first_problem
from synthray.models.translation import Generator, PatchDiscriminator, Translator, save_translator
from synthray.train.adaptation.config import CycleGanConfig
from synthray.train.adaptation.session import AdaptResult, Losses, Session
from synthray.train.batches import Batch, BatchSource, to_tensors
from synthray.train.loop import Progress
from synthray.train.unlabelled import Unlabelled, read_unlabelled

_INITIAL_SPREAD = 0.02
_AnyModule = TypeVar("_AnyModule", bound=nn.Module)


@dataclass(eq=False)
class Pool:
    """Translated images of earlier steps, so that a discriminator does not chase the newest (Shrivastava et al. 2017).

    Attributes:
        images: (m, 1, h, w), at most `limit`.
        limit: how many.
    """

    images: Tensor
    limit: int

    def exchange(self, fresh: Tensor, rng: np.random.Generator) -> Tensor:
        """As many images as given: while there is room they are kept, then half of them are swapped for older ones."""
        out = []
        for image in fresh.detach():
            if len(self.images) < self.limit:
                self.images = torch.cat([self.images, image[None]])
                out.append(image)
            elif rng.random() < 0.5:
                place = int(rng.integers(self.limit))
                out.append(self.images[place].clone())
                self.images[place] = image
            else:
                out.append(image)
        return torch.stack(out)


@dataclass(eq=False)
class CycleGan:
    """Generators and discriminators of both looks; `step` is one step of all.

    Attributes:
        config: settings.
        to_real, to_simulated: generators.
        real_judge, simulated_judge: discriminators.
        generators, judges: optimisers.
        source: simulated images; labels are not used.
        images: real, unlabelled.
        seed: of batches and pools.
        pools: of translated images, real look first.
    """

    config: CycleGanConfig
    to_real: Generator
    to_simulated: Generator
    real_judge: PatchDiscriminator
    simulated_judge: PatchDiscriminator
    generators: torch.optim.Optimizer
    judges: torch.optim.Optimizer
    source: BatchSource
    images: Unlabelled
    seed: int
    pools: list[Pool] = field(default_factory=list)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is saved beside the optimisers and pools."""
        return {
            "to_real": self.to_real,
            "to_simulated": self.to_simulated,
            "real_judge": self.real_judge,
            "simulated_judge": self.simulated_judge,
        }

    def extra(self) -> Mapping[str, Tensor]:
        """The pools, for the state."""
        return {f"pool{i}": pool.images for i, pool in enumerate(self.pools)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The pools, from the state."""
        for i, pool in enumerate(self.pools):
            pool.images = tensors[f"pool{i}"].to(pool.images.device)

    def step(self, number: int) -> Losses:
        """One step of the generators, then one of the discriminators."""
        config = self.config
        device = next(self.to_real.parameters()).device
        remaining = 1 - number / config.steps
        for group in (*self.generators.param_groups, *self.judges.param_groups):
            group["lr"] = config.lr * min(1.0, 2 * remaining)
        batch = self.source.batch(number, config.batch, self.seed)
        simulated = to_tensors(batch, Preprocessing(size=config.size), device).images
        real = self.images.batch(number, config.batch, self.seed).to(device)
        as_real, as_simulated = self.to_real(simulated), self.to_simulated(real)
        fool, cycle, identity = self._generator_losses(simulated, real, as_real, as_simulated)
        _descend(self.generators, fool + config.cycle * (cycle + config.identity * identity))
        rng = np.random.default_rng([self.seed, number])
        judged = _judge(self.real_judge, real, self.pools[0].exchange(as_real, rng))
        judged = judged + _judge(self.simulated_judge, simulated, self.pools[1].exchange(as_simulated, rng))
        _descend(self.judges, judged)
        parts = {"cycle": cycle, "identity": identity, "generators": fool, "discriminators": judged}
        return {name: float(value.detach()) for name, value in parts.items()}

    def _generator_losses(
        self, simulated: Tensor, real: Tensor, as_real: Tensor, as_simulated: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fooling both discriminators, coming back to the start, and leaving the wanted look alone."""
        fool = _toward(self.real_judge(as_real), 1.0) + _toward(self.simulated_judge(as_simulated), 1.0)
        back = functional.l1_loss(self.to_simulated(as_real), simulated)
        back = back + functional.l1_loss(self.to_real(as_simulated), real)
        same = functional.l1_loss(self.to_real(real), real)
        same = same + functional.l1_loss(self.to_simulated(simulated), simulated)
        return fool, back, same


def _toward(scores: Tensor, wanted: float) -> Tensor:
    return functional.mse_loss(scores, torch.full_like(scores, wanted))


def _judge(judge: nn.Module, genuine: Tensor, translated: Tensor) -> Tensor:
    return (_toward(judge(genuine), 1.0) + _toward(judge(translated), 0.0)) / 2


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def train_translator(
    source: BatchSource,
    images: Sequence[str | Path] | Unlabelled,
    out: str | Path,
    config: CycleGanConfig | Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    on_progress: Callable[[Progress], None] | None = None,
) -> AdaptResult:
    """Learn to give simulated images the look of real ones, and leave a translator in `out`.

    No label of either is read. Run it again to go on after an interruption.

    Args:
        source: simulated images.
        images: real image files, folders of them, or `read_unlabelled`'s result at `config.size`.
        out: made when absent; must be empty or hold a translation with the same settings.
        config: settings; defaults are the paper's.
        seed: of weights, batches and pools.
        device: torch device.
        on_progress: called after every step.

    Raises:
        InputError: a setting is wrong, or an image or the folder is unusable.
        SynthrayError: a loss became NaN or infinite.
    """
    settings = _checked(config)
    preprocessing = Preprocessing(size=settings.size)
    held = images if isinstance(images, Unlabelled) else read_unlabelled(images, preprocessing)
    if tuple(held.images.shape[-2:]) != (settings.size, settings.size):
        raise InputError(f"the unlabelled images are {tuple(held.images.shape[-2:])} px, but size is {settings.size}")
    gan = _start(settings, source, held, seed, torch.device(device))
    facts = {**settings.model_dump(mode="json"), "seed": seed, "images": len(held.images)}
    session = Session(
        folder=Path(out),
        modules=gan.modules,
        optimisers={"generators": gan.generators, "judges": gan.judges},
        settings=facts,
        steps=settings.steps,
        checkpoint_every=settings.checkpoint_every,
        seed=seed,
        extra=gan.extra,
        restore=gan.restore,
    )
    result = session.run(gan.step, on_progress)
    recipe = {**facts, "reads_labels": False}
    save_translator(Path(out), gan.to_real, settings.translator, preprocessing, recipe)
    return result


def _checked(config: CycleGanConfig | Mapping[str, Any] | None) -> CycleGanConfig:
    if isinstance(config, CycleGanConfig):
        return config
    try:
        return CycleGanConfig.model_validate(dict(config or {}))
    except ValidationError as error:
        raise InputError(f"translation settings: {first_problem(error)}") from error


def _start(
    config: CycleGanConfig, source: BatchSource, images: Unlabelled, seed: int, device: torch.device
) -> CycleGan:
    sizes = config.translator
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        to_real, to_simulated = (_initialised(Generator(sizes)).to(device) for _ in range(2))
        real_judge, simulated_judge = (_initialised(PatchDiscriminator(sizes)).to(device) for _ in range(2))
    generators, judges = (
        torch.optim.Adam([*a.parameters(), *b.parameters()], lr=config.lr, betas=(0.5, 0.999))
        for a, b in ((to_real, to_simulated), (real_judge, simulated_judge))
    )
    empty = torch.zeros(0, 1, config.size, config.size, device=device)
    pools = [Pool(empty, config.pool), Pool(empty.clone(), config.pool)]
    return CycleGan(
        config, to_real, to_simulated, real_judge, simulated_judge, generators, judges, source, images, seed, pools
    )


def _initialised(network: _AnyModule) -> _AnyModule:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=_INITIAL_SPREAD)
    return network


@dataclass(frozen=True, eq=False)
class TranslatedSource:
    """Batches of another source in a translator's look, with labels as they were: for `fit`.

    Attributes:
        source: simulated images.
        translator: what they go through.
    """

    source: BatchSource
    translator: Translator

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of the masks' channels."""
        return self.source.structures

    @property
    def landmarks(self) -> tuple[str, ...]:
        """Names of the landmarks."""
        return self.source.landmarks

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """The source's batch, translated."""
        given = self.source.batch(step, size, seed)
        images = torch.from_numpy(np.ascontiguousarray(given.images, dtype=np.float32))[:, None]
        return replace(given, images=self.translator(images)[:, 0].numpy())
