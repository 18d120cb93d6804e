"""Marches in memory: images with metal and without it in one batch."""

from dataclasses import replace

import numpy as np

from synthray.dataset import Dataset, Redraw, generate
from synthray.train.pool import load_pool

RECIPE = {
    "name": "wires",
    "images": 8,
    "images_per_shard": 8,
    "people": [{"body": 1, "region": "pelvis", "voxel_mm": 8}],
    "views": [{"carm": "cios-fusion", "view": "ap", "rows": 40, "target": "hip_left+hip_right"}],
    "tools": [{"kind": "screw", "probability": 0.5, "parameters": {"length_mm": 80}, "in_view": {}}],
    "keep_area_density": True,
}


def test_images_with_and_without_metal_are_redrawn_in_one_batch(tmp_path):
    generate(RECIPE, tmp_path / "set", workers=1)
    dataset = Dataset.open(tmp_path / "set")
    shown = np.array([bool(sample.masks["screw"].any()) for sample in dataset])
    assert 0 < shown.sum() < len(shown)
    pool = load_pool(dataset, "train", Redraw.model_validate({"imaging": {"realism": "naive"}}), ("screw",))
    assert pool.density.shape[1] == 2 + len(pool.materials) == 3
    metal = pool.density[:, 2].max(axis=(1, 2)) > 0
    np.testing.assert_array_equal(metal, shown)
    batch = pool.batch(0, 12, 0)
    taken_out = pool.density.copy()
    taken_out[:, 2] = 0
    same = replace(pool, density=taken_out).batch(0, 12, 0)
    added = batch.images - same.images
    assert added[batch.masks[:, 0] > 0].mean() > 0.3
    assert not added[~batch.masks.any(axis=(1, 2, 3))].any()
    without = pool.subset(~shown)
    assert not without.batch(0, 4, 0).masks.any()
