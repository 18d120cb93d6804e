import numpy as np
import pytest
import torch
from PIL import Image

from synthray.augment import AugmentConfig
from synthray.dataset import generate
from synthray.errors import InputError
from synthray.models import Preprocessing
from synthray.train import augment_sheet, image_files, load_augment, read_unlabelled

RECIPE = {
    "images": 4,
    "images_per_shard": 2,
    "people": [{"body": 1, "count": 1, "region": "chest", "voxel_mm": 8}],
    "views": [{"carm": "chest-pa", "rows": 32, "target": "lung_left+lung_right"}],
    "structures": {"lung": {"of": ["lung_left", "lung_right"], "path_above_mm": 4}},
    "landmarks": [],
}


def pictures(folder, count=5):
    folder.mkdir()
    for i in range(count):
        grey = np.random.default_rng(i).integers(0, 255, (40 + i, 60), dtype=np.uint8)
        Image.fromarray(grey).save(folder / f"x{i}.png")
    return folder


def test_a_sheet_of_a_data_set_shows_its_labels(tmp_path):
    generate(RECIPE, tmp_path / "set", workers=1)
    path = augment_sheet(tmp_path / "set", tmp_path / "sheet.png", AugmentConfig(flip=0.5), images=2, draws=3, size=64)
    with Image.open(path) as picture:
        sheet = np.asarray(picture).astype(int)
    assert sheet.shape == (2 * 64, 4 * 64, 3)
    coloured = np.ptp(sheet, axis=2) > 50
    for row in range(2):
        for column in range(4):
            assert coloured[64 * row : 64 * (row + 1), 64 * column : 64 * (column + 1)].any()
    again = augment_sheet(tmp_path / "set", tmp_path / "b.png", AugmentConfig(flip=0.5), images=2, draws=3, size=64)
    assert path.read_bytes() == again.read_bytes()


def test_a_sheet_of_pictures_without_labels(tmp_path):
    folder = pictures(tmp_path / "x")
    config = AugmentConfig(preset="none", clahe=1)
    path = augment_sheet(folder, tmp_path / "sheet.png", config, images=3, draws=2, size=32)
    with Image.open(path) as picture:
        assert picture.size == (96, 96)
    with pytest.raises(InputError, match="at least one"):
        augment_sheet(folder, tmp_path / "a.png", config, draws=0)
    with pytest.raises(InputError, match="32 to 2048"):
        augment_sheet(folder, tmp_path / "a.png", config, size=8)
    with pytest.raises(InputError, match="no such file"):
        augment_sheet(tmp_path / "nowhere", tmp_path / "a.png", config)


def test_settings_come_from_a_mapping_or_a_recipe(tmp_path):
    assert load_augment({"preset": "none", "clahe": 0.5}).clahe == 0.5
    (tmp_path / "train.yaml").write_text("data: set\ntraining: {augment: {preset: regular}}\n")
    assert load_augment(tmp_path / "train.yaml").preset == "regular"
    with pytest.raises(InputError, match="did you mean 'clahe'"):
        load_augment({"clah": 1})


def test_unlabelled_images_are_found_and_drawn_by_step_and_seed(tmp_path):
    folder = pictures(tmp_path / "x")
    (folder / "notes.txt").write_text("no image")
    (folder / "masks_lung").mkdir()
    assert [file.name for file in image_files([folder, folder / "x3.png"])] == [
        *(f"x{i}.png" for i in range(5)),
        "x3.png",
    ]
    held = read_unlabelled([folder], Preprocessing(size=32))
    assert held.images.shape == (5, 1, 32, 32)
    assert torch.equal(held.batch(3, 8, 1), held.batch(3, 8, 1))
    assert not torch.equal(held.batch(3, 8, 1), held.batch(4, 8, 1))
    for wrong in ([], [folder / "masks_lung"]):
        with pytest.raises(InputError, match="no images there"):
            image_files(wrong)
