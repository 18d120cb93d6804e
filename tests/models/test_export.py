import json
import sys
import warnings

import numpy as np
import pytest
import torch
from test_networks import KINDS

from synthray.errors import InputError, MissingExtraError, SynthrayError
from synthray.models import ModelSpec, Preprocessing, build_network, export, load_model, predict, save_model

SIZE = 64


def saved(folder, kind="unet", structures=("lung",), landmarks=("a", "b")):
    network = build_network(KINDS[kind], len(structures), len(landmarks))
    # Statistics as after training, so that normalisation does something.
    network.train()
    with torch.no_grad():
        network(torch.randn(8, 1, SIZE, SIZE))
    spec = ModelSpec(
        structures=structures, landmarks=landmarks, network=KINDS[kind], preprocessing=Preprocessing(size=SIZE)
    )
    save_model(folder, network, spec)
    return load_model(folder)


def numpy_input(image, described):
    """The recipe of docs/learning.md."""
    rule = described["preprocessing"]
    size = rule["size"]
    assert image.shape == (size, size), "resize first"
    step = max(1, round((image.size / 96**2) ** 0.5))
    sample = np.sort(image[::step, ::step].ravel())
    low, high = (sample[round((len(sample) - 1) * rule[key] / 100)] for key in ("low_percentile", "high_percentile"))
    return np.clip((image - low) / (high - low) * 2 - 1, -1.5, 1.5).astype(np.float32)[None, None]


@pytest.mark.parametrize("kind", KINDS)
def test_an_onnx_file_alone_predicts_what_the_model_does(tmp_path, kind):
    pytest.importorskip("onnx", reason="needs the extra 'onnx'")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    model = saved(tmp_path / "run", kind)
    path = export(tmp_path / "run", tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(path)
    described = json.loads(session.get_modelmeta().custom_metadata_map["synthray"])
    assert described["structures"] == ["lung"]
    image = np.random.default_rng(1).gamma(2, 300, size=(SIZE, SIZE)).astype(np.float32)
    masks, heatmaps = session.run(["masks", "heatmaps"], {"image": numpy_input(image, described)})
    (expected,) = predict(model, [image])
    assert np.abs(masks[0, 0] - expected.probability("lung")).max() < 1e-4
    row, column = np.unravel_index(heatmaps[0, 1].argmax(), (SIZE, SIZE))
    assert np.abs(expected.landmarks_px["b"] - [column, row]).max() <= 1.5


@pytest.mark.parametrize("kind", KINDS)
def test_a_torchscript_file_predicts_what_the_model_does(tmp_path, kind):
    model = saved(tmp_path / "run", kind)
    path = export(model, tmp_path / "model.pt", format="torchscript")
    extra = {"synthray": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script = torch.jit.load(path, _extra_files=extra)
    assert json.loads(extra["synthray"])["landmarks"] == ["a", "b"]
    images = torch.randn(3, 1, SIZE, SIZE)
    with torch.inference_mode():
        ours, (masks, heatmaps) = model.network(images), script(images)
    assert torch.allclose(ours.masks.sigmoid(), masks, atol=1e-4)
    assert torch.allclose(ours.heatmaps, heatmaps, atol=1e-4)


@pytest.mark.parametrize(("structures", "landmarks"), [(("lung",), ()), ((), ("a",))])
def test_models_of_masks_or_landmarks_alone_have_one_output(tmp_path, structures, landmarks):
    model = saved(tmp_path / "run", structures=structures, landmarks=landmarks)
    export(model, tmp_path / "model.pt", format="torchscript")
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    export(model, tmp_path / "model.onnx")


def test_a_file_that_answers_differently_is_not_written(tmp_path, monkeypatch):
    model = saved(tmp_path / "run")

    def wrong(network, example, described):
        return b"wrong", lambda images: tuple(maps + 2e-4 * maps.abs().max() for maps in network(images))

    monkeypatch.setitem(export.__globals__["_WRITERS"], "torchscript", wrong)
    with pytest.raises(SynthrayError, match="nothing was written"):
        export(model, tmp_path / "model.pt", format="torchscript")
    assert not (tmp_path / "model.pt").exists()


def test_what_cannot_be_exported_is_one_line(tmp_path, monkeypatch):
    model = saved(tmp_path / "run")
    with pytest.raises(InputError, match="format 'coreml' is unknown"):
        export(model, tmp_path / "a", format="coreml")
    with pytest.raises(InputError, match="is a folder"):
        export(model, tmp_path)
    with pytest.raises(InputError, match="can't be read"):
        export(tmp_path / "nothing", tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"synthray\[onnx\]"):
        export(model, tmp_path / "a.onnx")
