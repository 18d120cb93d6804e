"""`synthray bench` as a user meets it."""

import json
import os
import subprocess
import sys

import pytest

from synthray.cli.app import run

TINY = ["bench", "--case", "32,24,3", "--repeats", "2", "--backend", "cpu"]


@pytest.fixture(autouse=True)
def nothing_slow(monkeypatch):
    """First call and memory are measured in new processes that compile for many seconds; see tests/bench."""
    monkeypatch.setattr("synthray.bench.report.first_call", lambda backend: dict.fromkeys(
        ("import_s", "cold_s", "cached_s", "next_s"), 0.1))  # fmt: skip
    monkeypatch.setattr("synthray.bench.report.peak_memory", lambda side, backend: dict.fromkeys(
        ("before_mib", "peak_mib", "growth_mib", "ct_mib"), 1.0))  # fmt: skip


def test_table_json_and_markdown(tmp_path, capsys):
    assert run([*TINY, "--out", str(tmp_path / "b.json"), "--markdown", str(tmp_path / "b.md")]) == 0
    text = capsys.readouterr().out
    assert "32³ → 24²" in text
    assert "memory read bandwidth" in text
    assert json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))["rows"][0]["case"]["pixels"] == 24
    assert "| 32³ → 24² | 3 | 1 |" in (tmp_path / "b.md").read_text(encoding="utf-8")


def test_json_alone_on_standard_output(capsys):
    assert run([*TINY, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["backend"] == "cpu"


def test_warm_says_what_it_did(capsys, monkeypatch):
    monkeypatch.setattr("synthray.bench.warm", lambda backend: (12.3, 0.4))
    assert run(["bench", "--warm"]) == 0
    assert capsys.readouterr().out == "kernels are compiled and cached: first round 12.3 s, second 0.40 s\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--case", "32"],
        ["--case", "32,24,3,0"],
        ["--case", "32,24", "--backend", "abacus"],
        ["--warm", "--backend", "abacus"],
        ["--quick", "--full"],
        ["--quick", "--case", "32,24"],
        ["--threads", "0"],
        ["--repeats", "none"],
        ["--case", "32,24", "--repeats", "1", "--out", "/proc/nowhere/b.json"],
    ],
)
def test_wrong_arguments_end_with_2_and_one_line(arguments, capsys):
    assert run(["bench", *arguments]) == 2
    said = capsys.readouterr()
    assert len([line for line in said.err.splitlines() if line.startswith("error: ")]) == 1
    assert said.out == ""


def test_a_terminal_without_unicode_gets_the_table_too(tmp_path):
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = """
from synthray.cli import main
from synthray.cli.console import out_console
try:
    main(["--version"])
except SystemExit:
    out_console().print("256\\u00b3 \\u2192 512")
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert b"256? ? 512" in done.stdout
