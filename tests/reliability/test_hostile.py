"""Damaged and hostile inputs: one line that says what is wrong, or a warning and a right result; nothing else."""

import re
from pathlib import Path

import pytest
from crew import wrong
from hostile import FAMILIES

import synthray

# Files that a hostile input would have made had it been able to run code or to write outside its folder.
TRACES = ("synthray-zip-slip", "synthray-tar.json", "synthray-yaml-ran", "synthray-npy-ran")


@pytest.mark.parametrize("family", FAMILIES)
def test_hostile_inputs_end_in_one_line_or_a_right_result(crew, family):
    found = crew.verdicts(family)
    lines = list(wrong(found))
    assert not lines, f"{len(lines)} of {len(found)} went wrong:\n" + "\n".join(lines)
    assert max(verdict.megabytes for _, verdict in found) < 1024
    assert not [name for name in TRACES if (Path("/tmp") / name).exists()]


def test_there_are_over_a_thousand_cases_of_every_class():
    names = [case.name for family in FAMILIES for case in FAMILIES[family](range(1))]
    assert len(names) > 1000
    classes = {name.partition("/")[0] for name in names}
    assert classes >= {
        "bit flips",
        "truncation",
        "overwritten",
        "header lie",
        "memory bomb",
        "not finite",
        "bad affine",
        "wrong endianness",
        "mixed series",
        "missing slice",
        "duplicated slice",
        "gantry tilt",
        "label values",
        "JSON bomb",
        "YAML bomb",
        "hostile tar",
        "hostile sample",
        "hostile manifest",
        "hostile weights",
        "path traversal",
        "odd file",
        "no code",
    }


def test_nothing_in_the_package_reads_pickles():
    # `network.eval()` is PyTorch's switch, not Python's.
    risky = re.compile(
        r"import (pickle|marshal|shelve|joblib|dill)|allow_pickle=True|torch\.load\(|np\.load\((?!.*allow_pickle=False)"
        r"|(?<![.\w])(eval|exec)\(|yaml\.(unsafe_load|full_load|Loader\b)"
    )
    root = Path(synthray.__file__).parent
    lines = ((path, line) for path in root.rglob("*.py") for line in path.read_text("utf-8").splitlines())
    assert not [f"{path.relative_to(root)}: {line.strip()}" for path, line in lines if risky.search(line)]
