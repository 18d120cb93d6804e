"""A trained model as one file for other programs: ONNX or TorchScript, compared with the network before it is named."""

from __future__ import annotations

import copy
import importlib
import inspect
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from synthray.errors import InputError, MissingExtraError, SynthrayError
from synthray.files import write_atomically
from synthray.models.checkpoint import Model, load_model

ExportFormat = Literal["onnx", "torchscript"]

# The key under which model.json is kept inside the file.
METADATA = "synthray"
TOLERANCE = 1e-4
_OPSET = 17
_OUTPUTS = ("masks", "heatmaps")

# (n, 1, size, size) -> masks, heatmaps
Runner = Callable[[Tensor], tuple[Tensor, ...]]


def export(run_dir: str | Path | Model, out: str | Path, format: ExportFormat = "onnx") -> Path:
    """Write a model as one file that needs no synthray.

    Its input `image` is (n, 1, size, size) float32, preprocessed as docs/learning.md says in a few lines of NumPy. Its
    outputs are `masks`, (n, structures, size, size) probabilities, and `heatmaps`, (n, landmarks, size, size); a model
    without structures or landmarks has only the other. `model.json` with names, size, percentiles and thresholds is in
    the file: ONNX metadata `synthray`, TorchScript extra file `synthray`.

    Args:
        run_dir: folder of a trained model, or the model.
        out: file to write; replaced when it exists.
        format: `onnx`, which needs the extra `onnx`, or `torchscript`.

    Returns:
        The file.

    Raises:
        InputError: the run is unusable, the format unknown, the extra missing, or the file can't be written.
        SynthrayError: the file's answers differ from the network's by more than 1e-4.
    """
    if format not in _WRITERS:
        raise InputError(f"format '{format}' is unknown: use one of {', '.join(_WRITERS)}")
    path = Path(out)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file such as {path / 'model.onnx'}")
    model = run_dir if isinstance(run_dir, Model) else load_model(run_dir)
    network = _Probabilities(copy.deepcopy(model.network)).cpu().eval()
    size = model.spec.preprocessing.size
    with _quiet(), torch.inference_mode():
        data, runner = _WRITERS[format](network, torch.zeros(1, 1, size, size), model.spec.model_dump_json())
        _check(network, runner, size)
    write_atomically(path, data)
    return path


class _Probabilities(nn.Module):
    """The network with probabilities instead of logits, and without outputs that have no channels."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        output = self.network(image)
        return tuple(maps for maps in (output.masks.sigmoid(), output.heatmaps) if maps.shape[1])


def _onnx(network: _Probabilities, example: Tensor, described: str) -> tuple[bytes, Runner]:
    onnx, onnxruntime = _optional("onnx"), _optional("onnxruntime")
    names = _output_names(network, example)
    options: dict[str, Any] = {
        "input_names": ["image"],
        "output_names": names,
        "dynamic_axes": {name: {0: "n"} for name in ("image", *names)},
        "opset_version": _OPSET,
    }
    # The other exporter needs onnxscript and takes ten times as long; older versions of torch don't have it.
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        options["dynamo"] = False
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "model.onnx")
        torch.onnx.export(network, (example,), file, **options)
        graph = onnx.load(file)
    onnx.helper.set_model_props(graph, {METADATA: described})
    data = graph.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return data, lambda images: tuple(map(torch.from_numpy, session.run(names, {"image": images.numpy()})))


def _torchscript(network: _Probabilities, example: Tensor, described: str) -> tuple[bytes, Runner]:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(network, example, check_trace=False), stream, _extra_files={METADATA: described})
    return stream.getvalue(), torch.jit.load(io.BytesIO(stream.getvalue()))


_WRITERS: dict[str, Callable[[_Probabilities, Tensor, str], tuple[bytes, Runner]]] = {
    "onnx": _onnx,
    "torchscript": _torchscript,
}


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as absent:
        raise MissingExtraError("export to ONNX", "onnx") from absent


def _output_names(network: _Probabilities, example: Tensor) -> list[str]:
    output = network.network(example)
    return [name for name, maps in zip(_OUTPUTS, output, strict=True) if maps.shape[1]]


def _check(network: nn.Module, runner: Runner, size: int) -> None:
    """Compare on other images and another batch size than those of the tracing; heatmaps by their own scale."""
    noise = np.random.default_rng(0).normal(0, 0.7, size=(2, 1, size, size))
    images = torch.from_numpy(noise.astype(np.float32))
    for ours, theirs in zip(network(images), runner(images), strict=True):
        difference = float((ours - theirs).abs().max() / ours.abs().max().clamp(min=1))
        # Not "greater", so that NaN is refused too.
        if not difference <= TOLERANCE:
            raise SynthrayError(f"the exported network differs from torch by {difference:.2g}; nothing was written")


@contextmanager
def _quiet() -> Iterator[None]:
    """Tracing warns of Python decisions on sizes, which are constants here, and of its own age."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
