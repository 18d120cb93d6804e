"""The public surface: names, lightness, and promises that hold for the whole package."""

import re
from pathlib import Path

import pytest

import synthray as sr

SOURCE = Path(sr.__file__).parent
CONTRACT = {
    "load_patient",
    "Patient",
    "body",
    "CArm",
    "Camera",
    "Scene",
    "simulate",
    "project",
    "generate",
    "train",
    "evaluate",
}


@pytest.mark.parametrize("name", sr.__all__)
def test_every_public_name_is_there(name):
    assert getattr(sr, name) is not None
    assert name in dir(sr)


def test_the_contract_is_public():
    assert set(sr.__all__) >= CONTRACT


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        _ = sr.simulat


def test_no_pickle_is_ever_read():
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\bimport (pickle|dill|joblib|shelve|marshal)\b", text), path
        assert "allow_pickle=True" not in text, path
        assert "torch.load" not in text, path


def test_shipped_data_is_small():
    for path in SOURCE.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert path.stat().st_size < 300_000, path
