import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from synthray.errors import InputError, SynthrayWarning
from synthray.models import (
    Model,
    ModelSpec,
    NetworkConfig,
    NetworkOutput,
    Preprocessing,
    TestTimeAveraging,
    predict,
    predict_files,
    read_image,
)
from synthray.models.predict import largest_parts


class BrightIsLeft(nn.Module):
    """A stand-in network with known answers: bright pixels are 'left', dark ones 'right', one landmark each."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        masks = torch.cat([(images - 0.5) * 40, (-0.5 - images) * 40], dim=1)
        return NetworkOutput(masks, torch.cat([images, -images], dim=1))


def model(**changes):
    base = {
        "structures": ("left", "right"),
        "landmarks": ("p-l", "p-r"),
        "preprocessing": Preprocessing(size=64, low_percentile=0, high_percentile=100),
        "network": NetworkConfig(width=4, levels=3),
    }
    return Model(ModelSpec(**{**base, **changes}), BrightIsLeft().eval())


def scene(rows, columns, dtype=np.float32, top=1.0):
    """Grey, with a bright block on the image's left and a dark one on its right."""
    image = np.full((rows, columns), 0.5)
    third = slice(rows // 3, 2 * rows // 3)
    image[third, columns // 8 : 3 * columns // 8] = 1
    image[third, 5 * columns // 8 : 7 * columns // 8] = 0
    return (image * top).astype(dtype)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (97, 211), (500, 333), (17, 31), (1024, 900)])
@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1e-3), (np.float64, 1)])
def test_masks_have_the_images_size_and_place_for_any_size_and_depth(rows, columns, dtype, top):
    image = scene(rows, columns, dtype, top)
    (found,) = predict(model(), [image])
    assert found.masks["left"].shape == (rows, columns)
    assert dice(found.masks["left"], image == image.max()) > 0.88
    assert dice(found.masks["right"], image == image.min()) > 0.88
    assert found.probability("left").shape == (rows, columns)
    assert np.array_equal(found.probability("left") > 0.5, found.masks["left"])


def test_landmarks_come_back_in_image_pixels():
    rows, columns = 300, 200
    down, across = np.mgrid[:rows, :columns]
    image = np.exp(-((across - 61.3) ** 2 + (down - 222.8) ** 2) / (2 * (2.5 * 300 / 64) ** 2))
    (found,) = predict(model(), [image])
    assert np.abs(found.landmarks_px["p-l"] - [61.3, 222.8]).max() < 0.5
    assert "p-l" in found.detected
    assert found.confidence["p-l"] > 0.98


def test_images_of_different_sizes_go_in_one_batch():
    images = [scene(80, 60), scene(50, 90), scene(64, 64)]
    together = predict(model(), images, batch=3)
    alone = [predict(model(), [image])[0] for image in images]
    for a, b in zip(together, alone, strict=True):
        assert np.array_equal(a.masks["left"], b.masks["left"])


def test_flip_averaging_swaps_the_sides():
    # This network calls brightness a side, wherever it is: its mirror image says the opposite name at the same place.
    (found,) = predict(model(), [scene(64, 64)], flip=True)
    assert np.allclose(found.probability("left"), found.probability("right"), atol=1e-5)
    with pytest.raises(InputError, match="partner"):
        predict(model(structures=("left", "other")), [scene(64, 64)], flip=True)


def test_small_parts_are_dropped_when_asked():
    image = scene(128, 128)
    image[4:10, 4:10] = 1
    assert predict(model(), [image])[0].masks["left"][6, 6]
    cleaned = predict(model(keep_largest={"left": 1}), [image])[0].masks["left"]
    assert not cleaned[6, 6]
    assert cleaned[64, 32]


def test_largest_parts():
    mask = np.zeros((9, 9), dtype=bool)
    mask[0:4, 0:4] = mask[6:8, 6:8] = mask[0, 8] = True
    assert largest_parts(mask, 1).sum() == 16
    assert largest_parts(mask, 2).sum() == 20
    assert largest_parts(mask, 9).sum() == 21
    assert not largest_parts(np.zeros((3, 3), dtype=bool), 1).any()


@pytest.mark.parametrize("image", [np.zeros((0, 4)), np.zeros(4), np.zeros((2, 2, 3)), np.array([[np.nan, 1.0]])])
def test_unusable_arrays_are_refused(image):
    with pytest.raises(InputError):
        predict(model(), [image])


def test_a_constant_image_warns():
    with pytest.warns(SynthrayWarning, match="constant"):
        predict(model(), [np.ones((40, 40))])


def save(folder, name, image):
    folder.mkdir(exist_ok=True)
    Image.fromarray(image).save(folder / name)
    return folder / name


def test_files_are_written_for_each_image(tmp_path):
    paths = [save(tmp_path / "in", f"x{i}.png", scene(60 + i, 80, np.uint8, 255)) for i in range(3)]
    seen = []
    written = predict_files(
        model(), paths, tmp_path / "out", on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [path.name for path in written] == ["x0.json", "x1.json", "x2.json"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted(f"x{i}{end}" for i in range(3) for end in ("__left.png", "__right.png", ".json", ".png"))
    mask = read_image(tmp_path / "out" / "x1__left.png")
    assert mask.shape == (61, 80)
    assert set(np.unique(mask)) == {0, 255}
    assert read_image(tmp_path / "out" / "x1.png").shape == (61, 80)
    described = json.loads(written[1].read_text())
    assert described["structures"]["left"]["area_px"] == (mask > 0).sum()
    assert set(described["landmarks"]) == {"p-l", "p-r"}
    assert predict_files(model(), paths, tmp_path / "out") == written


def test_inputs_are_never_overwritten(tmp_path):
    path = save(tmp_path / "in", "x.png", scene(40, 40, np.uint8, 255))
    with pytest.raises(InputError, match="another folder"):
        predict_files(model(), [path], tmp_path / "in")


@pytest.mark.parametrize("second", ["x.tif", "x__left.png"])
def test_clashing_output_names_are_refused_before_anything_is_written(tmp_path, second):
    paths = [save(tmp_path / "in", name, scene(40, 40, np.uint8, 255)) for name in ("x.png", second)]
    with pytest.raises(InputError, match="both be written"):
        predict_files(model(), paths, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_images(tmp_path):
    with pytest.raises(InputError, match="no images"):
        predict_files(model(), [], tmp_path)


def test_averaging_is_the_mean_over_versions_of_the_image():
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    # The image spans 0 to 1, so that a gamma before and after normalisation is the same.
    image[0, :2] = 0, 1

    def maps(picture, **how):
        return predict(model(), [picture], **how)[0].maps

    averaged = maps(image, tta=TestTimeAveraging(flip=False, gammas=(1.0, 2.0)))
    expected = (maps(image) + maps(image**2)) / 2
    np.testing.assert_allclose(averaged, expected, atol=1e-5)
    assert not np.allclose(maps(image), averaged, atol=1e-2)
    np.testing.assert_allclose(
        maps(image, tta=TestTimeAveraging(flip=True, gammas=(1.0,))), maps(image, flip=True), atol=1e-6
    )


@pytest.mark.parametrize("gammas", [(), (0.0,), (1.0, -1.0), (float("nan"),)])
def test_impossible_gammas_are_refused(gammas):
    with pytest.raises(InputError, match="gammas"):
        TestTimeAveraging(gammas=gammas)
