"""Trained models whose two files are damaged or hostile."""

from __future__ import annotations

import hashlib
import json
import struct
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hostile.core import SAFE, STRICT, Case, cut, flipped, junk, overwritten
from hostile.tables import json_bombs

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


@cache
def whole() -> dict[str, bytes]:
    """The two files of a small model."""
    import torch

    from synthray.models.build import build_network
    from synthray.models.checkpoint import ModelSpec, save_model
    from synthray.models.network import NetworkConfig
    from synthray.models.preprocess import Preprocessing

    torch.manual_seed(0)
    network = NetworkConfig.model_validate({"width": 4, "levels": 2})
    spec = ModelSpec(structures=("lung",), network=network, preprocessing=Preprocessing(size=32))
    with tempfile.TemporaryDirectory() as folder:
        save_model(folder, build_network(network, 1, 0), spec)
        return {name: (Path(folder) / name).read_bytes() for name in (WEIGHTS, DESCRIPTION)}


def _load(change: Callable[[dict[str, bytes], np.random.Generator], dict[str, bytes]]) -> Callable[..., bool]:
    def action(folder: Path, rng: np.random.Generator) -> bool:
        import torch

        from synthray.models.checkpoint import load_model

        for name, data in change(dict(whole()), rng).items():
            (folder / name).write_bytes(data)
        found = load_model(folder)
        (folder / "good").mkdir()
        for name, data in whole().items():
            (folder / "good" / name).write_bytes(data)
        expected = load_model(folder / "good").network.state_dict()
        return all(torch.equal(value, expected[name]) for name, value in found.network.state_dict().items())

    return action


def _weights(data: bytes) -> Callable[..., bool]:
    """These weights, with a description whose checksum is theirs: as hostile as can be."""

    def change(files: dict[str, bytes], _: np.random.Generator) -> dict[str, bytes]:
        spec = json.loads(files[DESCRIPTION])
        spec["weights_sha256"] = hashlib.sha256(data).hexdigest()
        return {WEIGHTS: data, DESCRIPTION: json.dumps(spec).encode()}

    return _load(change)


def _described(**changed: Any) -> Callable[..., bool]:
    def change(files: dict[str, bytes], _: np.random.Generator) -> dict[str, bytes]:
        return {**files, DESCRIPTION: json.dumps({**json.loads(files[DESCRIPTION]), **changed}).encode()}

    return _load(change)


def checkpoint_cases(seeds: range) -> Iterator[Case]:
    """All of them; damage at random places once for each seed."""
    for _ in seeds:
        for what, damage in (
            ("bit flips", lambda d, r: flipped(d, r, 2)),
            ("truncation", cut),
            ("overwritten", overwritten),
        ):
            for name in (WEIGHTS, DESCRIPTION):
                change = lambda files, r, n=name, c=damage: {**files, n: c(files[n], r)}  # noqa: E731
                # The description has no checksum: another digit in it is another, valid threshold.
                allowed = SAFE if name == DESCRIPTION else STRICT
                yield Case(f"{what}/{name}", _load(change), allowed)
    for what, data in junk():
        yield Case(f"something else/weights {what}", _weights(data), STRICT)
        yield Case(f"something else/description {what}", _load(lambda f, _, d=data: {**f, DESCRIPTION: d}), STRICT)
    for what, text in json_bombs():
        data = text.encode("latin-1")
        yield Case(f"JSON bomb/description {what}", _load(lambda f, _, d=data: {**f, DESCRIPTION: d}), STRICT)
    for what, head in (
        ("header of 8 EB", struct.pack("<Q", 2**63)),
        ("header of 18 GB", struct.pack("<Q", 18 * 10**9)),
        ("tensor of 18 GB", _header({"a": {"dtype": "F32", "shape": [4500000000], "data_offsets": [0, 18000000000]}})),
        (
            "tensors that overlap",
            _header({n: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for n in "ab"}) + bytes(16),
        ),
        ("negative offsets", _header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]}})),
        ("unknown type", _header({"a": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}) + bytes(8)),
        ("deep header", struct.pack("<Q", 50_000) + b"[" * 50_000),
        ("other tensors", _header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}) + bytes(16)),
    ):
        yield Case(f"hostile weights/{what}", _weights(head), STRICT)
    for key, value in {
        "structures": ["../../x"],
        "landmarks": ["a/b"],
        "threshold": 7,
        "format": 2,
        "weights_sha256": "0",
        "network": {"kind": "os.system"},
        "preprocessing": {"size": 10**9},
        "heatmap_sigma_px": "NaN",
        "extra": 1,
        "keep_largest": {"x": 1},
    }.items():
        yield Case(f"wrong value/description {key}={value}", _described(**{key: value}), STRICT)
    for width in (10**6, 4096):
        spec = json.loads(whole()[DESCRIPTION])["network"]
        yield Case(f"memory bomb/network of width {width}", _described(network={**spec, "width": width}), STRICT)


def _header(tensors: dict[str, Any]) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text
