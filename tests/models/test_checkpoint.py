import json

import pytest
import torch
from pydantic import ValidationError

from synthray.errors import InputError
from synthray.models import ModelSpec, NetworkConfig, Preprocessing, build_network, load_model, save_model

SMALL = NetworkConfig(width=4, levels=3)


def spec(**changes):
    base = {"structures": ("lung",), "landmarks": ("a",), "network": SMALL, "preprocessing": Preprocessing(size=64)}
    return ModelSpec(**{**base, **changes})


@pytest.fixture
def run(tmp_path):
    network = build_network(SMALL, 1, 1)
    save_model(tmp_path / "run", network, spec(conditions={"views": "pa"}, keep_largest={"lung": 2}))
    return tmp_path / "run", network


def test_a_model_comes_back_the_same(run):
    folder, network = run
    model = load_model(folder)
    assert model.structures == ("lung",)
    assert model.spec.conditions == {"views": "pa"}
    assert model.spec.keep_largest == {"lung": 2}
    assert not model.network.training
    for name, value in network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], value)


def test_the_folder_holds_two_files_and_nothing_else(run):
    assert sorted(path.name for path in run[0].iterdir()) == ["model.json", "model.safetensors"]


@pytest.mark.parametrize("kept", [0, 100, 2000])
def test_truncated_weights_are_refused(run, kept):
    weights = run[0] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(InputError, match="truncated"):
        load_model(run[0])


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_file_is_named(run, name):
    (run[0] / name).unlink()
    with pytest.raises(InputError, match=name):
        load_model(run[0])


def edit(folder, **changes):
    path = folder / "model.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps({**described, **changes}))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"structures": ["lung", "heart"]}, "does not fit"),
        ({"structures": ["../lung"]}, "file name"),
        ({"structures": [], "landmarks": []}, "at least one"),
        ({"network": {"kind": "unet", "width": 8, "levels": 3}}, "does not fit"),
        ({"network": {"kind": "other"}}, "network.kind"),
        ({"surprise": 1}, "surprise"),
        ({"format": 2}, "format"),
    ],
)
def test_a_description_that_does_not_match_is_refused_in_one_line(run, changes, says):
    edit(run[0], **changes)
    with pytest.raises(InputError, match=says) as caught:
        load_model(run[0])
    assert "\n" not in str(caught.value)


def test_damaged_json_and_a_pickle_are_refused(run):
    (run[0] / "model.json").write_text('{"structures": ["lu')
    with pytest.raises(InputError, match=r"model\.json"):
        load_model(run[0])
    torch.save({"x": torch.zeros(1)}, run[0] / "model.json")
    with pytest.raises(InputError, match=r"model\.json"):
        load_model(run[0])


def test_unusable_specs_are_refused():
    with pytest.raises(ValidationError, match="multiple"):
        spec(preprocessing=Preprocessing(size=65))
    with pytest.raises(ValidationError, match="differ"):
        spec(structures=("a", "a"))
    with pytest.raises(ValidationError, match="keep_largest"):
        spec(keep_largest={"heart": 1})


def test_an_unwritable_folder_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't be written"):
        save_model(tmp_path / "file" / "run", build_network(SMALL, 1, 1), spec())


@pytest.mark.parametrize(("structures", "landmarks"), [(2, 3), (1, 0), (0, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_network_outputs_have_the_inputs_size(structures, landmarks, stride):
    network = build_network(NetworkConfig(width=4, levels=4, stem_stride=stride), structures, landmarks)
    masks, heatmaps = network(torch.zeros(2, 1, 48, 80))
    assert masks.shape == (2, structures, 48, 80)
    assert heatmaps.shape == (2, landmarks, 48, 80)


def test_the_default_network_is_compact():
    count = sum(p.numel() for p in build_network(NetworkConfig(), 1, 0).parameters())
    assert 1.0e6 < count < 1.4e6
