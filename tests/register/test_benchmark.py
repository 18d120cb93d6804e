"""The registration benchmark: its table, and that it reads real X-rays in the DeepFluoro layout."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench(monkeypatch):
    """Modules of the benchmark, and of the tests' DeepFluoro writer, imported by their bare names as it does itself."""
    names = ("run", "scenes", "table")
    for folder in ("benchmarks/registration", "tests/evaluate"):
        monkeypatch.syspath_prepend(ROOT / folder)
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield __import__
    for name in names:
        sys.modules.pop(name, None)


def row(error, score, state="ok", kind="same"):
    """A trial."""
    return {
        "kind": kind, "subject": "p", "error_mm": error, "at_detector_mm": error, "in_plane_mm": error / 5,
        "seconds": 1.0, "cpu_seconds": 1.0, "mahalanobis": 5.0, "score": score, "state": state,
    }  # fmt: skip


def test_the_table_counts_what_it_says(bench):
    table = bench("table")
    rows = [row(0.5, 0.9), row(1.0, 0.8), row(30.0, 0.1, "failed"), row(0, 0.2, "failed", "other")]
    text = table.table(rows)
    assert "| **all** | 3 | 67 % | 33 % |" in text
    assert "| other person | 1 | 0 | 0 | 1 |" in text
    assert "ROC of the quality's score: 1.000" in text
    assert table.area(np.array([1.0, 2]), np.array([2.0, 0])) == pytest.approx(0.625)


def test_displays_are_never_too_faint_to_read(bench):
    scenes = bench("scenes")
    rng = np.random.default_rng(0)
    log_image = np.linspace(0, 6, 64 * 64, dtype=np.float32).reshape(64, 64)
    for _ in range(5):
        grey = scenes.displayed(log_image, rng)
        assert np.subtract(*np.percentile(grey, [75, 25])) >= scenes.LEAST_SPREAD


def test_a_deepfluoro_file_is_registered_against_its_stored_poses(bench, tmp_path, monkeypatch, capsys):
    pytest.importorskip("h5py")
    bench("deepfluoro_file").write_deepfluoro(tmp_path / "small.h5", specimens=("17-1882",))
    line = ["--deepfluoro", tmp_path / "small.h5", "--shots", "1", "--out", tmp_path / "out", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["run.py", *map(str, line)])
    bench("run").main()
    (trial,) = (json.loads(one) for one in (tmp_path / "out" / "trials.jsonl").read_text().splitlines())
    assert trial["subject"] == "17-1882"
    assert 1 < trial["start_mm"] < 100
    # The file's pictures hold noise.
    assert trial["state"] == "failed"
    assert "| **all** | 1 |" in capsys.readouterr().out
