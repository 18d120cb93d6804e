"""Other people's formats: what is written says the same as the data set."""

import json

import numpy as np
import pytest
from PIL import Image

from synthray.dataset import Dataset, generate, rle
from synthray.dataset.convert import TARGETS, convert
from synthray.errors import InputError, SynthrayWarning

RECIPE = {
    "name": "hips",
    "images": 4,
    "images_per_shard": 2,
    "people": [
        {"body": 1, "region": "pelvis", "voxel_mm": 8},
        {"body": 2, "region": "pelvis", "voxel_mm": 8, "split": "val"},
    ],
    "views": [{"carm": "cios-fusion", "view": "ap", "rows": 48, "target": "hip_left+hip_right"}],
    "structures": {name: {"of": [name]} for name in ("hip_left", "hip_right", "sacrum", "femur_left")},
    "landmarks": ["FH-l", "FH-r", "ASIS-l"],
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "set"
    generate(RECIPE, folder, workers=1)
    return Dataset.open(folder)


def _pixels(path):
    return np.asarray(Image.open(path))


def test_coco_holds_every_mask_box_and_keypoint(dataset, tmp_path):
    assert convert(dataset.folder, tmp_path / "coco", "coco").images == 4
    content = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    points = next(c for c in content["categories"] if c["name"] == "landmarks")["keypoints"]
    assert [annotation["id"] for annotation in content["annotations"]] == list(
        range(1, len(content["annotations"]) + 1)
    )
    assert len({category["id"] for category in content["categories"]}) == len(content["categories"])
    for sample, image in zip(dataset, content["images"], strict=True):
        assert (image["height"], image["width"]) == sample.image.shape
        assert _pixels(tmp_path / "coco" / "images" / image["file_name"]).shape == sample.image.shape
        mine = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        masks = {names[a["category_id"]]: a for a in mine if "segmentation" in a}
        assert set(masks) == {name for name, mask in sample.masks.items() if mask.any()}
        for name, annotation in masks.items():
            mask = rle.decode(annotation["segmentation"])
            np.testing.assert_array_equal(mask, sample.masks[name])
            left, top, width, height = annotation["bbox"]
            assert annotation["area"] == mask.sum() == mask[top : top + height, left : left + width].sum()
            assert mask[top].any()
            assert mask[:, left + width - 1].any()
        (keypoints,) = (a for a in mine if "keypoints" in a)
        for name, x, y, v in zip(points, *(keypoints["keypoints"][n::3] for n in range(3)), strict=True):
            assert (v == 2) == sample.visible[name]
            if v:
                np.testing.assert_allclose([x - 0.5, y - 0.5], sample.landmarks_px[name], atol=1e-3)


def test_coco_masks_are_what_pycocotools_reads(dataset, tmp_path):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    convert(dataset.folder, tmp_path / "coco", "coco")
    read = coco.COCO(str(tmp_path / "coco" / "annotations.json"))
    annotation = next(a for a in read.anns.values() if "segmentation" in a)
    assert read.annToMask(annotation).sum() == annotation["area"]


def test_nnunet_keeps_people_apart_and_small_structures_on_top(dataset, tmp_path):
    with pytest.warns(SynthrayWarning, match="lie in several structures"):
        convert(dataset.folder, tmp_path / "Dataset101_Hips", "nnunet")
    folder = tmp_path / "Dataset101_Hips"
    described = json.loads((folder / "dataset.json").read_text())
    assert described["numTraining"] == 2
    assert sorted(described["labels"].values()) == [0, 1, 2, 3, 4]
    assert len(list((folder / "imagesTs").iterdir())) == 2
    for sample in dataset.samples("train"):
        assert (folder / "imagesTr" / f"{sample.key}_0000.png").is_file()
        labels = _pixels(folder / "labelsTr" / f"{sample.key}.png")
        last = max((name for name in described["labels"]), key=lambda name: described["labels"][name])
        np.testing.assert_array_equal(labels == described["labels"][last], sample.masks[last])
        np.testing.assert_array_equal(labels > 0, np.any(list(sample.masks.values()), axis=0))
    for fold in json.loads((folder / "splits_final.json").read_text()):
        assert not set(fold["train"]) & set(fold["val"])
    with pytest.raises(InputError, match="Dataset101_Hip"):
        convert(dataset.folder, tmp_path / "hips", "nnunet")


def test_plain_pictures_are_what_evaluate_reads(dataset, tmp_path):
    pytest.importorskip("torch")
    from synthray.evaluate import read_folder

    convert(dataset.folder, tmp_path / "png", "png", split="val")
    cases = list(read_folder(tmp_path / "png", where={"split": "val"}).cases(["hip_left", "sacrum"]))
    for case, sample in zip(cases, dataset.samples("val"), strict=True):
        assert case.group == sample.truth["patient"]
        np.testing.assert_array_equal(case.masks["hip_left"], sample.masks["hip_left"])


def test_hdf5_is_what_the_deepfluoro_reader_reads(dataset, tmp_path):
    pytest.importorskip("h5py")
    pytest.importorskip("torch")
    from synthray.evaluate import read_deepfluoro

    convert(dataset.folder, tmp_path / "hips.h5", "hdf5")
    cases = list(read_deepfluoro(tmp_path / "hips.h5"))
    assert [case.group for case in cases] == ["01", "01", "02", "02"]
    by_person = sorted(dataset, key=lambda sample: sample.truth["patient"])
    for case, sample in zip(cases, by_person, strict=True):
        np.testing.assert_allclose(case.image, sample.image)
        # The class of the highest number is never painted over.
        np.testing.assert_array_equal(case.masks["femur_left"], sample.masks["femur_left"])
        assert set(case.landmarks_px) == {name for name, seen in sample.visible.items() if seen}
        for name, at in case.landmarks_px.items():
            np.testing.assert_allclose(at, sample.landmarks_px[name])


def test_nothing_is_left_of_a_conversion_that_failed_and_nothing_is_replaced(dataset, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists already"):
        convert(dataset.folder, tmp_path / "there", "png")
    with pytest.raises(InputError, match="choose one of coco"):
        convert(dataset.folder, tmp_path / "new", "voc")
    with pytest.raises(InputError, match="nobody is in split"):
        convert(dataset.folder, tmp_path / "new", "png", split="test")
    seen = []

    def stop(done, total):
        seen.append(done)
        raise KeyboardInterrupt

    for target in TARGETS:
        if target != "nnunet":
            with pytest.raises(KeyboardInterrupt):
                convert(dataset.folder, tmp_path / "new", target, on_progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
