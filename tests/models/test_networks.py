import numpy as np
import pytest
import torch
from pydantic import ValidationError

from synthray.errors import InputError
from synthray.models import (
    ModelSpec,
    NetworkConfig,
    Preprocessing,
    TransUNetConfig,
    build_network,
    load_model,
    load_vit_weights,
    save_model,
)

MINIATURE = TransUNetConfig(
    width=8, units=(1, 2, 1), hidden=24, mlp=40, heads=3, layers=2, decoder=(16, 8, 8, 8), grid=4
)
KINDS = {
    "unet": NetworkConfig(width=4, levels=3),
    "resunet": NetworkConfig(kind="resunet", width=4, levels=4, deep_supervision=True),
    "transunet": NetworkConfig(kind="transunet", transunet=MINIATURE),
}


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("structures", "landmarks"), [(2, 3), (2, 0), (0, 3)])
def test_every_kind_answers_at_the_size_of_its_input_and_reaches_all_its_weights(kind, structures, landmarks):
    network = build_network(KINDS[kind], structures, landmarks)
    images = torch.randn(2, 1, 64, 96)
    outputs = network.supervised(images)
    for output in outputs:
        assert output.masks.shape == (2, structures, 64, 96)
        assert output.heatmaps.shape == (2, landmarks, 64, 96)
    sum((output.masks.square().sum() + output.heatmaps.square().sum()) for output in outputs).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back_from_its_file_the_same(kind, tmp_path):
    network = build_network(KINDS[kind], 1, 1).eval()
    spec = ModelSpec(structures=("a",), landmarks=("p",), network=KINDS[kind], preprocessing=Preprocessing(size=64))
    save_model(tmp_path, network, spec)
    images = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        for mine, theirs in zip(network(images), load_model(tmp_path).network(images), strict=True):
            assert torch.equal(mine, theirs)


def test_the_full_transunet_has_the_published_number_of_parameters():
    # 224 px and two classes, as counted in a public implementation.
    config = NetworkConfig(kind="transunet", transunet=TransUNetConfig(grid=14))
    with torch.device("meta"):
        assert parameters(build_network(config, 2, 0)) == 105_276_066
        assert 105.5e6 < parameters(build_network(NetworkConfig(kind="transunet"), 6, 14)) < 105.7e6


def test_deep_supervision_adds_outputs_in_training_only():
    config = KINDS["resunet"]
    shallow = build_network(config.model_copy(update={"deep_supervision": False}), 2, 1)
    deep = build_network(config, 2, 1).eval()
    images = torch.randn(1, 1, 64, 64)
    assert len(shallow.supervised(images)) == 1
    outputs = deep.supervised(images)
    assert len(outputs) == 3
    assert torch.equal(outputs[0].masks, deep(images).masks)
    deep.load_state_dict(shallow.state_dict(), strict=False)


def test_more_blocks_make_a_deeper_network():
    two, three = (build_network(NetworkConfig(kind="resunet", width=4, levels=3, blocks=n), 1, 0) for n in (2, 3))
    assert parameters(three) > 1.3 * parameters(two)


def test_transunet_takes_other_sizes_than_its_grid():
    network = build_network(KINDS["transunet"], 1, 0).eval()
    images = torch.randn(1, 1, 128, 160)
    without = network(images).masks
    torch.nn.init.normal_(network.position)
    assert without.shape == (1, 1, 128, 160)
    assert not torch.equal(network(images).masks, without)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "unet", "blocks": 3}, "'blocks' does not concern a unet"),
        ({"kind": "transunet", "width": 32}, "'width' does not concern a transunet"),
        ({"kind": "resunet", "transunet": {"layers": 2}}, "'transunet' does not concern"),
        ({"kind": "transunet", "transunet": {"hidden": 50, "heads": 3}}, "multiple of heads"),
        ({"kind": "transunet", "transunet": {"units": [1, 0, 1]}}, "at least 1"),
        ({"kind": "vnet"}, "unet"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, says):
    with pytest.raises(ValidationError, match=says):
        NetworkConfig.model_validate(settings)


# --- public weights ----------------------------------------------------------------------------------------------


def checkpoint(side=3):
    """Random arrays with the names and layouts of the public file, at the miniature's sizes."""
    rng = np.random.default_rng(0)
    m = MINIATURE
    arrays = {}

    def put(name, *shape):
        arrays[name] = rng.normal(size=shape).astype(np.float32)

    def norm(name, *shape):
        put(f"{name}/scale", *shape)
        put(f"{name}/bias", *shape)

    def dense(name, *shape, bias):
        put(f"{name}/kernel", *shape)
        put(f"{name}/bias", *bias)

    put("conv_root/kernel", 7, 7, 3, m.width)
    norm("gn_root", 1, 1, 1, m.width)
    inputs = m.width
    for block, units in enumerate(m.units, start=1):
        middle = m.width * 2 ** (block - 1)
        for unit in range(1, units + 1):
            at = f"block{block}/unit{unit}"
            convolutions = [("1", 1, inputs, middle), ("2", 3, middle, middle), ("3", 1, middle, 4 * middle)]
            if unit == 1:
                convolutions.append(("_proj", 1, inputs, 4 * middle))
            for part, kernel, a, b in convolutions:
                put(f"{at}/conv{part}/kernel", kernel, kernel, a, b)
                norm(f"{at}/gn{part}", 1, 1, 1, b)
            inputs = 4 * middle
    dense("embedding", 1, 1, inputs, m.hidden, bias=(m.hidden,))
    put("Transformer/posembed_input/pos_embedding", 1, 1 + side * side, m.hidden)
    each = m.hidden // m.heads
    for n in range(m.layers):
        at = f"Transformer/encoderblock_{n}"
        for part in ("query", "key", "value"):
            dense(f"{at}/MultiHeadDotProductAttention_1/{part}", m.hidden, m.heads, each, bias=(m.heads, each))
        dense(f"{at}/MultiHeadDotProductAttention_1/out", m.heads, each, m.hidden, bias=(m.hidden,))
        norm(f"{at}/LayerNorm_0", m.hidden)
        norm(f"{at}/LayerNorm_2", m.hidden)
        dense(f"{at}/MlpBlock_3/Dense_0", m.hidden, m.mlp, bias=(m.mlp,))
        dense(f"{at}/MlpBlock_3/Dense_1", m.mlp, m.hidden, bias=(m.hidden,))
    norm("Transformer/encoder_norm", m.hidden)
    return arrays


def test_public_weights_land_where_they_belong(tmp_path):
    arrays = checkpoint()
    np.savez(tmp_path / "vit.npz", **arrays)
    network = build_network(KINDS["transunet"], 1, 1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    load_vit_weights(network, tmp_path / "vit.npz")
    tokens = torch.randn(1, 5, MINIATURE.hidden)
    at = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1"
    q, k, v, out = (
        (torch.from_numpy(arrays[f"{at}/{part}/kernel"]), torch.from_numpy(arrays[f"{at}/{part}/bias"]))
        for part in ("query", "key", "value", "out")
    )
    # Attention as the JAX code writes it, heads as an axis of their own.
    heads = [torch.einsum("nti,ihd->nthd", tokens, w) + b for w, b in (q, k, v)]
    weights = torch.einsum("nthd,nshd->nhts", heads[0] / (MINIATURE.hidden // MINIATURE.heads) ** 0.5, heads[1])
    mixed = torch.einsum("nhts,nshd->nthd", weights.softmax(dim=-1), heads[2])
    expected = torch.einsum("nthd,hdo->nto", mixed, out[0]) + out[1]
    assert torch.allclose(network.blocks[1].attention(tokens), expected, atol=1e-4, rtol=1e-4)
    root = network.state_dict()["resnet.root.weight"]
    assert root[5, 2, 1, 3] == arrays["conv_root/kernel"][1, 3, 2, 5]
    # Corners of the 3 x 3 grid of position embeddings stay corners of ours; the class token is left out.
    position = arrays["Transformer/posembed_input/pos_embedding"][0]
    assert network.position[0, :, 0, 0].tolist() == pytest.approx(position[1].tolist(), abs=1e-5)
    assert network.position[0, :, 0, -1].tolist() == pytest.approx(position[3].tolist(), abs=1e-5)
    assert network.position[0, :, -1, 0].tolist() == pytest.approx(position[7].tolist(), abs=1e-5)
    unchanged = {name for name, value in network.state_dict().items() if torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in unchanged} == {"bridge", "decoder", "head"}


def test_unusable_weight_files_are_one_line(tmp_path):
    network = build_network(KINDS["transunet"], 1, 0)
    with pytest.raises(InputError, match="no such file of initial weights"):
        load_vit_weights(network, tmp_path / "absent.npz")
    (tmp_path / "noise.npz").write_bytes(b"noise")
    with pytest.raises(InputError, match="not a readable"):
        load_vit_weights(network, tmp_path / "noise.npz")
    np.savez(tmp_path / "object.npz", **{"conv_root/kernel": np.array([{}], dtype=object)})
    with pytest.raises(InputError, match="not a readable"):
        load_vit_weights(network, tmp_path / "object.npz")
    arrays = checkpoint()
    np.savez(tmp_path / "part.npz", **{name: value for name, value in arrays.items() if "LayerNorm_2" not in name})
    with pytest.raises(InputError, match="holds no 'Transformer/encoderblock_0/LayerNorm_2/scale'"):
        load_vit_weights(network, tmp_path / "part.npz")
    np.savez(tmp_path / "wide.npz", **{**arrays, "conv_root/kernel": np.zeros((7, 7, 3, 64), np.float32)})
    with pytest.raises(InputError, match="does not fit"):
        load_vit_weights(network, tmp_path / "wide.npz")
    with pytest.raises(InputError, match="transunet only"):
        load_vit_weights(build_network(KINDS["unet"], 1, 0), tmp_path / "wide.npz")
