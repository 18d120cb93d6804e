"""The statistics of a set against counts made by hand, and the page."""

import json
import re
from typing import Any

import numpy as np
import pytest

from synthray.cli.app import run
from synthray.dataset import Dataset, generate, verify
from synthray.dataset.stats import angles_deg, count, histogram
from synthray.geometry import CArm

RECIPE: dict[str, Any] = {
    "name": "counted <b>",
    "images": 10,
    "images_per_shard": 3,
    "people": [
        {"body": 1, "region": "chest", "voxel_mm": 8},
        {"body": 2, "region": "chest", "voxel_mm": 8, "split": "val"},
    ],
    "views": [{"rows": 32, "lao_deg": {"uniform": [-30, 30]}, "cran_deg": {"uniform": [-9, 9]}}],
    "imaging": {"realism": ["naive", "realistic"], "tube_kvp": {"uniform": [70, 120]}},
    "structures": {"lung": {"of": ["lung_left", "lung_right"]}, "nothing": {"of": ["heart"], "path_above_mm": 9000}},
}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stats") / "set"
    generate(RECIPE, folder, workers=1)
    return folder


def test_counts_are_those_of_the_samples(out):
    found, samples = count(out), list(Dataset.open(out))
    assert found.images == len(samples) == 10
    assert found.people == {("body-1", "train"): 6, ("body-2", "val"): 4}
    assert found.labels["lung"].images == sum(sample.masks["lung"].any() for sample in samples)
    assert found.labels["lung"].shares == [
        sample.masks["lung"].mean() for sample in samples if sample.masks["lung"].any()
    ]
    assert found.labels["nothing"].images == 0
    for name, landmark in found.landmarks.items():
        assert landmark.visible == sum(sample.visible.get(name, False) for sample in samples)
        assert landmark.projected == sum(np.isfinite(sample.landmarks_px[name]).all() for sample in samples)
    assert sum(found.levels.values()) == 10
    assert found.sizes == {(32, 32): 10}
    assert len(found.sheet) == 10
    assert sum(number for _, number in histogram(found.tube_kvp)) == 10
    assert 70 <= min(found.tube_kvp) <= max(found.tube_kvp) <= 120


@pytest.mark.parametrize(("lao", "cran"), [(0, 0), (30, 0), (0, 20), (-45, -15), (90, 0), (100, 10)])
def test_angles_are_those_of_the_c_arm(lao, cran):
    camera = CArm.preset("cios-fusion").view(target_mm=(0, 0, 0), lao_deg=lao, cran_deg=cran)
    assert angles_deg(camera.to_dict()["camera_from_patient"]) == pytest.approx((lao, cran), abs=1e-6)


def test_the_page_needs_no_network_and_escapes_names(out, capsys):
    assert run(["stats", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    page = (out / "stats.html").read_text("utf-8")
    assert facts["images"] == 10
    assert facts["labels"]["nothing"] == {"images": 0, "mean_share": 0.0}
    assert "counted &lt;b&gt;" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert page.count("<img") == 10
    # The page is ours: it isn't told as a stranger.
    assert verify(out, deep=True).problems == ()
    assert run(["stats", str(out.parent)]) == 2
