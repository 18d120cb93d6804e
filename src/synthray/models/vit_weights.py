"""Initial weights of a TransUNet from the public ImageNet-21k checkpoint of the hybrid vision transformer.

The file is `R50+ViT-B_16.npz` of Google's `vision_transformer` release (bucket `vit_models/imagenet21k`; Dosovitskiy
et al., arXiv 2010.11929). Its names are those of the JAX code:

| here | there |
|---|---|
| `resnet.root`, `resnet.gn_root` | `conv_root/kernel`, `gn_root/{scale,bias}` |
| `resnet.stages.S.U.{conv1,conv2,conv3,conv_proj}` | `block{S+1}/unit{U+1}/{...}/kernel` |
| `resnet.stages.S.U.{gn1,gn2,gn3,gn_proj}` | `block{S+1}/unit{U+1}/{...}/{scale,bias}` |
| `embedding`, `position` | `embedding/{kernel,bias}`, `Transformer/posembed_input/pos_embedding` |
| `blocks.N.attention.{query,key,value,out}` | `Transformer/encoderblock_N/MultiHeadDotProductAttention_1/{...}` |
| `blocks.N.{norm_attention,norm_mlp}` | `Transformer/encoderblock_N/{LayerNorm_0,LayerNorm_2}` |
| `blocks.N.{fc1,fc2}` | `Transformer/encoderblock_N/MlpBlock_3/{Dense_0,Dense_1}` |
| `norm` | `Transformer/encoder_norm` |

Decoder and heads are not in it and stay random.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from synthray.errors import InputError
from synthray.models.network import Network
from synthray.models.transunet import TransUNet

Arrays = Mapping[str, npt.NDArray[Any]]

_ATTENTION = "MultiHeadDotProductAttention_1"


def load_vit_weights(network: Network, path: str | Path) -> None:
    """Give a TransUNet's encoder the weights of a public `.npz` checkpoint; position embeddings are resampled.

    Raises:
        InputError: the network is no TransUNet, the file is missing or damaged, or its sizes differ.
    """
    if not isinstance(network, TransUNet):
        raise InputError(f"{path}: ViT weights fit a network of kind transunet only; leave 'initial' out")
    arrays = _read(Path(path))
    state = network.state_dict()
    with torch.no_grad():
        for ours, theirs in _pairs(network):
            if theirs not in arrays:
                raise InputError(
                    f"{path}: holds no '{theirs}'; use the R50+ViT-B_16.npz of the vision_transformer release"
                )
            value = _converted(ours, arrays[theirs], state[ours])
            if value.shape != state[ours].shape:
                shapes = f"{arrays[theirs].shape}, which does not fit {tuple(state[ours].shape)} of {ours}"
                raise InputError(f"{path}: '{theirs}' has shape {shapes}; the network must have R50-ViT-B/16's sizes")
            state[ours].copy_(value)


def _read(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file of initial weights; leave 'initial' out to go without") from error
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise InputError(f"{path}: is not a readable .npz file of weights") from error


def _pairs(network: TransUNet) -> Iterator[tuple[str, str]]:
    """Our name and theirs of everything that is loaded."""
    yield "resnet.root.weight", "conv_root/kernel"
    yield from _norm("resnet.gn_root", "gn_root")
    for s, stage in enumerate(network.resnet.stages):
        for u, unit in enumerate(stage.children()):
            here, there = f"resnet.stages.{s}.{u}", f"block{s + 1}/unit{u + 1}"
            for part in ("1", "2", "3", *(("_proj",) if unit.projected else ())):
                yield f"{here}.conv{part}.weight", f"{there}/conv{part}/kernel"
                yield from _norm(f"{here}.gn{part}", f"{there}/gn{part}")
    yield from _dense("embedding", "embedding")
    yield "position", "Transformer/posembed_input/pos_embedding"
    for n in range(len(network.blocks)):
        here, there = f"blocks.{n}", f"Transformer/encoderblock_{n}"
        for part in ("query", "key", "value", "out"):
            yield from _dense(f"{here}.attention.{part}", f"{there}/{_ATTENTION}/{part}")
        yield from _norm(f"{here}.norm_attention", f"{there}/LayerNorm_0")
        yield from _norm(f"{here}.norm_mlp", f"{there}/LayerNorm_2")
        yield from _dense(f"{here}.fc1", f"{there}/MlpBlock_3/Dense_0")
        yield from _dense(f"{here}.fc2", f"{there}/MlpBlock_3/Dense_1")
    yield from _norm("norm", "Transformer/encoder_norm")


def _norm(here: str, there: str) -> Iterator[tuple[str, str]]:
    yield f"{here}.weight", f"{there}/scale"
    yield f"{here}.bias", f"{there}/bias"


def _dense(here: str, there: str) -> Iterator[tuple[str, str]]:
    yield f"{here}.weight", f"{there}/kernel"
    yield f"{here}.bias", f"{there}/bias"


def _converted(name: str, array: npt.NDArray[Any], target: Tensor) -> Tensor:
    """Their array in our layout: filters are (h, w, in, out) there, matrices (in, out), both possibly split by head."""
    value = torch.from_numpy(np.asarray(array, dtype=np.float32))
    if name == "position":
        return _position(value, target)
    if target.ndim == 4:
        return value.permute(3, 2, 0, 1) if value.ndim == 4 else value
    if target.ndim == 2:
        inputs = target.shape[1]
        return value.reshape(inputs, -1).t() if value.numel() == target.numel() else value
    return value.flatten()


def _position(value: Tensor, target: Tensor) -> Tensor:
    """(1, tokens, hidden), the class token first, as (1, hidden, grid, grid) of our size."""
    if value.ndim != 3:
        return value
    side = int((value.shape[1] - 1) ** 0.5)
    grid = value[:, value.shape[1] - side * side :].transpose(1, 2).unflatten(2, (side, side))
    return functional.interpolate(grid, size=target.shape[-2:], mode="bilinear", align_corners=True)
