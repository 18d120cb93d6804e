"""Weights to start a training from."""

from __future__ import annotations

from pathlib import Path

from synthray.errors import InputError
from synthray.models.checkpoint import ModelSpec, load_model
from synthray.models.network import Network
from synthray.models.vit_weights import load_vit_weights


def load_initial(network: Network, spec: ModelSpec, path: str) -> None:
    """Give a network the weights of a finished run, or a TransUNet those of a public `.npz` file.

    Args:
        network: changed in place.
        spec: what the new model will be.
        path: run folder or `.npz` file.

    Raises:
        InputError: the file or folder is missing or unusable, or the run's network, structures or landmarks differ.
    """
    if path.endswith(".npz"):
        load_vit_weights(network, path)
        return
    model = load_model(Path(path))
    for what in ("network", "structures", "landmarks"):
        if getattr(model.spec, what) != getattr(spec, what):
            raise InputError(f"initial: the run in {path} has {what} of its own; start from a run with the same")
    network.load_state_dict(model.network.state_dict())
