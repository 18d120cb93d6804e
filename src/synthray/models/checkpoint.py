"""A trained model as a folder of two files, weights as safetensors and the rest as JSON: neither can run code."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

import synthray
from synthray.errors import InputError
from synthray.files import write_atomically
from synthray.models.build import build_network
from synthray.models.network import Network, NetworkConfig
from synthray.models.preprocess import Preprocessing

WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
# Names become parts of file names.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.+-]*")


class ModelSpec(BaseModel):
    """Everything about a model but its weights; this is `model.json`.

    Attributes:
        structures: names of the mask channels, in order.
        landmarks: names of the heatmap channels, in order.
        network: architecture.
        preprocessing: from image to network input.
        heatmap_sigma_px: standard deviation of the landmark Gaussians, in network pixels.
        threshold: probability from which a pixel belongs to a structure.
        keep_largest: structure -> how many of its largest connected parts to keep; structures not named keep all.
        confidence: a landmark counts as detected from this confidence on (Gao et al. 2023 use 0.9).
        conditions: what the training images were, for people (views, energies, people, images).
        recipe: the training settings.
        synthray: version that wrote the file.
        weights_sha256: checksum of `model.safetensors`, so that the two files can't be mixed up.
        format: version of this layout.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    structures: tuple[str, ...] = ()
    landmarks: tuple[str, ...] = ()
    network: NetworkConfig = NetworkConfig()
    preprocessing: Preprocessing = Preprocessing()
    heatmap_sigma_px: float = Field(default=2.5, gt=0.5, le=50)
    threshold: float = Field(default=0.5, gt=0, lt=1)
    keep_largest: dict[str, int] = Field(default_factory=dict)
    confidence: float = Field(default=0.9, ge=0, le=1)
    conditions: dict[str, JsonValue] = Field(default_factory=dict)
    recipe: dict[str, JsonValue] = Field(default_factory=dict)
    synthray: str = synthray.__version__
    weights_sha256: str = ""
    format: Literal[1] = 1

    @field_validator("structures", "landmarks")
    @classmethod
    def _usable_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(f"'{name}' can't be part of a file name: use letters, digits, space and _ . + -")
        if len(set(names)) < len(names):
            raise ValueError(f"names must differ, got {', '.join(names)}")
        return names

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        if not self.structures and not self.landmarks:
            raise ValueError("a model needs at least one structure or landmark")
        if self.preprocessing.size % self.network.multiple:
            raise ValueError(
                f"input size {self.preprocessing.size} must be a multiple of {self.network.multiple} for this network"
            )
        unknown = set(self.keep_largest) - set(self.structures)
        if unknown:
            raise ValueError(f"keep_largest names {', '.join(sorted(unknown))}, which the model does not have")
        return self


@dataclass(frozen=True, eq=False)
class Model:
    """A network ready for prediction (in evaluation mode) and what is known about it."""

    spec: ModelSpec
    network: Network

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of the masks it predicts."""
        return self.spec.structures

    @property
    def landmarks(self) -> tuple[str, ...]:
        """Names of the landmarks it predicts."""
        return self.spec.landmarks

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device


def save_model(run_dir: str | Path, network: nn.Module, spec: ModelSpec) -> None:
    """Write `model.safetensors` and `model.json`, each under a temporary name first.

    Raises:
        InputError: the folder can't be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    weights = save_tensors(tensors)
    described = spec.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    write_atomically(Path(run_dir) / WEIGHTS, weights)
    write_atomically(Path(run_dir) / DESCRIPTION, described.model_dump_json(indent=2).encode() + b"\n")


def load_model(run_dir: str | Path, device: str | torch.device = "cpu") -> Model:
    """The model in a run folder.

    Raises:
        InputError: a file is missing, truncated, changed, from another layout, or does not fit the other.
    """
    folder = Path(run_dir)
    spec = _read_spec(folder / DESCRIPTION)
    weights = _read_bytes(folder / WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != spec.weights_sha256:
        raise InputError(
            f"{folder / WEIGHTS}: is truncated or does not belong to {DESCRIPTION} beside it (checksum differs); "
            "copy the whole run folder again or train again"
        )
    network = build_network(spec.network, len(spec.structures), len(spec.landmarks))
    try:
        network.load_state_dict(load_tensors(weights))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"{folder / WEIGHTS}: does not fit the network in {DESCRIPTION}: {reason}") from error
    return Model(spec, network.eval().to(device))


def _read_spec(path: Path) -> ModelSpec:
    try:
        return ModelSpec.model_validate_json(_read_bytes(path))
    except ValidationError as error:
        raise InputError(f"{path}: not a synthray model description: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """The first problem that pydantic found, in one line: where and what."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: can't be read ({error.strerror or error}); a run folder holds {WEIGHTS} and {DESCRIPTION}"
        ) from error
