"""Other people's images with truth: COCO and Perphix, QaTa-COV19, plain folders, SyntheX."""

import json

import numpy as np
import pydicom
import pytest
from deepfluoro_file import write_deepfluoro
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from synthray.cli.app import run
from synthray.dataset import rle
from synthray.errors import InputError, SynthrayWarning
from synthray.evaluate import (
    evaluate,
    open_source,
    read_coco,
    read_deepfluoro,
    read_folder,
    read_pairs,
    read_qata,
    unpack_source,
)
from synthray.evaluate.coco import segmentation_mask
from synthray.models import ModelSpec, NetworkConfig, Preprocessing, build_network, save_model

SHAPE = (24, 32)


def picture(path, seed=0, shape=SHAPE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)).save(path)


def save_mask(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def compressed(mask) -> str:
    """COCO's compressed run lengths, written from the format's description."""
    counts = rle.encode(mask)["counts"]
    text = ""
    for place, count in enumerate(counts):
        number = count - (counts[place - 2] if place > 2 else 0)
        more = True
        while more:
            digit, number = number & 31, number >> 5
            more = not (number == 0 and not digit & 16) and not (number == -1 and digit & 16)
            text += chr(48 + digit + (32 if more else 0))
    return text


@settings(max_examples=200, deadline=None)
@given(mask=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_run_lengths_compressed_or_not(mask):
    for counts in (compressed(mask), compressed(mask).encode(), rle.encode(mask)["counts"]):
        held = segmentation_mask({"size": list(mask.shape), "counts": counts}, mask.shape)
        np.testing.assert_array_equal(held, mask)


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=30) | st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=30))
def test_broken_run_lengths_are_refused(text):
    try:
        held = segmentation_mask({"size": [4, 5], "counts": text}, (4, 5))
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert held.shape == (4, 5)


def test_known_text_of_the_format():
    # A 3 x 3 mask with its middle pixel set: 4 zeros, 1 one, 4 zeros.
    mask = np.zeros((3, 3), bool)
    mask[1, 1] = True
    assert compressed(mask) == "414"
    np.testing.assert_array_equal(segmentation_mask({"size": [3, 3], "counts": "414"}, (3, 3)), mask)


def test_polygons_fill_the_pixels_whose_centres_they_hold():
    # Corners count from the pixel's corner: this box covers rows 2 to 4 and columns 5 to 9.
    box = [5.0, 2.0, 10.0, 2.0, 10.0, 5.0, 5.0, 5.0]
    expected = np.zeros(SHAPE, bool)
    expected[2:5, 5:10] = True
    np.testing.assert_array_equal(segmentation_mask([box], SHAPE), expected)
    second = [20.0, 10.0, 22.0, 10.0, 22.0, 12.0, 20.0, 12.0]
    assert segmentation_mask([box, second], SHAPE).sum() == 15 + 4


def perphix(folder):
    """Two sequences of one case, as Perphix lays them out."""
    masks = np.random.default_rng(1).random((3, 2, *SHAPE)) > 0.6
    images, annotations = [], []
    for n in range(3):
        picture(folder / "pictures" / f"{n:03d}-s1-ap.png", n)
        first = 0 if n < 2 else 2
        images.append({
            "license": 1, "file_name": f"{n:03d}-s1-ap.png", "height": SHAPE[0], "width": SHAPE[1], "id": n,
            "frame_id": n - first, "seq_length": 2, "first_frame_id": first, "case_name": "case-100114",
        })  # fmt: skip
        for category, mask in ((3, masks[n, 0]), (1, masks[n, 1])):
            annotation = {
                "id": len(annotations), "image_id": n, "category_id": category, "iscrowd": 0, "track_id": 1,
                "segmentation": {"size": list(SHAPE), "counts": compressed(mask)}, "area": int(mask.sum()),
            }  # fmt: skip
            if category == 3:
                annotation |= {"keypoints": [4.5, 7.5, 2, 0, 0, 0, 90, 3, 2], "num_keypoints": 2}
            annotations.append(annotation)
    annotations.pop()  # no wire in the last image
    content = {
        "info": {}, "licenses": [], "images": images, "annotations": annotations,
        "categories": [
            {"supercategory": "instrument", "id": 1, "name": "wire"},
            {"supercategory": "patient", "id": 3, "name": "hip_left", "keypoints": ["l_sps", "l_asis", "l_is"],
             "skeleton": []},
            {"supercategory": "corridor", "id": 10, "name": "s1_left"},
        ],
        "sequences": [{"id": 0, "first_frame_id": 0, "seq_length": 2, "seq_category_id": 11}],
        "seq_categories": [{"supercategory": "acquisition", "id": 11, "name": "ap"}],
    }  # fmt: skip
    (folder / "annotations.json").write_text(json.dumps(content))
    return masks, content


def test_perphix(tmp_path):
    masks, content = perphix(tmp_path)
    cases = list(read_coco(tmp_path / "annotations.json", tmp_path / "pictures"))
    assert len(cases) == 3
    for case, (hip, wire) in zip(cases, masks, strict=True):
        np.testing.assert_array_equal(case.masks["hip_left"], hip)
        np.testing.assert_array_equal(case.masks["wire"], wire if case is not cases[2] else False)
        assert "s1_left" not in case.masks  # never drawn in this file: its truth is not known
        assert case.group == "case-100114"
        assert list(case.landmarks_px) == ["SPS-l"]  # the others are not labelled, or outside the picture
        np.testing.assert_allclose(case.landmarks_px["SPS-l"], [4, 7])
    for image in content["images"]:
        del image["case_name"]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    groups = [case.group for case in read_coco(tmp_path / "annotations.json", tmp_path / "pictures")]
    assert groups == ["0", "0", "2"]
    (tmp_path / "pictures").rename(tmp_path / "images")
    assert len(list(read_coco(tmp_path / "annotations.json"))) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("categories"), "not a COCO"),
        (lambda c: c["annotations"][0].update(category_id=99), "not a COCO"),
        (lambda c: c["annotations"][0].update(image_id=99), "not a COCO"),
        (lambda c: c["images"][0].update(height=9), "the file says 9 x 32"),
        (lambda c: c["images"][0].update(file_name="../annotations.json"), "leads out of"),
        (lambda c: c["images"][0].update(file_name="none.png"), "none.png"),
        (lambda c: c["annotations"][0]["segmentation"].update(size=[10**9, 10**9]), "a mask of size"),
        (lambda c: c["annotations"][0]["segmentation"].update(counts="zz"), "annotation 0"),
        (lambda c: c["annotations"][0].update(keypoints=[1, 2]), "2 numbers for 3 keypoints"),
        (lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3]]), "flat list"),
    ],
)
def test_malformed_coco(tmp_path, change, message):
    _, content = perphix(tmp_path)
    change(content)
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        list(read_coco(tmp_path / "annotations.json", tmp_path / "pictures"))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_annotations(tmp_path):
    for text in ("", "[]", "[" * 100_000, '{"images": 5}', "{}"):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError, match=r"a\.json") as caught:
            open_source(tmp_path / "a.json")
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        open_source(tmp_path / "absent.json")


def test_keypoints_in_two_places_are_told(tmp_path):
    _, content = perphix(tmp_path)
    content["annotations"].append({**content["annotations"][0], "keypoints": [9, 9, 2, 0, 0, 0, 0, 0, 0]})
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with pytest.warns(SynthrayWarning, match="l_sps"):
        next(read_coco(tmp_path / "annotations.json", tmp_path / "pictures"))


def qata(folder, apart):
    images, masks = (folder / "Images", folder / "Ground-truths") if apart else (folder, folder)
    truth = {}
    for n, name in enumerate(("sub-S01_run-1", "sub-S01_run-2", "covid_7", "normal")):
        picture(images / f"{name}.png", n)
        if name != "normal":
            truth[name] = np.random.default_rng(n).random(SHAPE) > 0.5
            save_mask(masks / f"mask_{name}.png", truth[name])
    return truth


@pytest.mark.parametrize("apart", [False, True])
def test_qata(tmp_path, apart):
    truth = qata(tmp_path / "Test Set", apart)
    cases = {case.id: case for case in read_qata(tmp_path / "Test Set").cases(["opacity"])}
    assert set(cases) == set(truth)
    for name, mask in truth.items():
        np.testing.assert_array_equal(cases[name].masks["opacity"], mask)
    assert [cases[n].group for n in ("sub-S01_run-1", "sub-S01_run-2", "covid_7")] == ["sub-S01", "sub-S01", None]
    with pytest.raises(InputError, match="Test Set"):
        read_qata(tmp_path)


def test_plain_pairs_of_folders(tmp_path):
    for n in range(3):
        picture(tmp_path / "x" / f"{n}.png", n)
    save_mask(tmp_path / "lung" / "1.png", np.eye(*SHAPE) > 0)
    save_mask(tmp_path / "heart" / "2.png", np.eye(*SHAPE) > 0)
    folder = read_pairs(tmp_path / "x", {"lung": tmp_path / "lung", "heart": tmp_path / "heart"})
    held = {case.id: set(case.masks) for case in folder.cases(["lung", "heart"])}
    assert held == {"1": {"lung"}, "2": {"heart"}}
    with pytest.raises(InputError, match="none of its 3 images"):
        read_pairs(tmp_path / "x", {"lung": tmp_path / "lung"}, prefix="mask_")


def test_dicom_images_of_a_folder_tell_their_pixel_size(tmp_path):
    for name, spacing in (("a", [0.2, 0.3]), ("b", None)):
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3"
        data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 24, 32, 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
        data.PixelData = np.zeros(SHAPE, np.uint8).tobytes()
        if spacing:
            data.ImagerPixelSpacing = spacing
        (tmp_path / "images").mkdir(exist_ok=True)
        data.save_as(tmp_path / "images" / f"{name}.dcm", enforce_file_format=True)
        save_mask(tmp_path / "masks_lung" / f"{name}.png", np.eye(*SHAPE) > 0)
    sizes = {case.id: case.pixel_mm for case in read_folder(tmp_path).cases(["lung"])}
    assert sizes == {"a": 0.2, "b": None}
    (tmp_path / "index.json").write_text(json.dumps([{"stem": "a", "pixel_mm": 0.5}]))
    assert next(read_folder(tmp_path).cases(["lung"])).pixel_mm == 0.5


def test_evaluate_takes_them_by_their_looks(tmp_path):
    spec = ModelSpec(
        structures=("opacity", "hip_left"), landmarks=(), preprocessing=Preprocessing(size=32),
        network=NetworkConfig(width=4, levels=3),
    )  # fmt: skip
    save_model(tmp_path / "run", build_network(spec.network, 2, 0), spec)
    qata(tmp_path / "qata", True)
    result = evaluate(tmp_path / "run", tmp_path / "qata", tmp_path / "a")
    assert [image.id for image in result.images] == ["covid_7", "sub-S01_run-1", "sub-S01_run-2"]
    assert result.scores["data"]["groups"] == 2
    (tmp_path / "perphix").mkdir()
    perphix(tmp_path / "perphix")
    (tmp_path / "perphix" / "pictures").rename(tmp_path / "perphix" / "images")
    result = evaluate(tmp_path / "run", tmp_path / "perphix" / "annotations.json", tmp_path / "b")
    assert [set(image.counts) for image in result.images] == [{"hip_left"}] * 3


def test_what_convert_writes_as_coco_comes_back(tmp_path):
    from synthray.dataset import Dataset, generate
    from synthray.dataset.convert import convert

    recipe = {
        "name": "hips", "images": 2, "images_per_shard": 1, "people": [{"body": 1, "region": "pelvis", "voxel_mm": 8}],
        "views": [{"carm": "cios-fusion", "view": "ap", "rows": 48, "target": "hip_left+hip_right"}],
        "structures": {"hip_left": {"of": ["hip_left"]}}, "landmarks": ["FH-l", "SPS-r"],
    }  # fmt: skip
    generate(recipe, tmp_path / "set", workers=1)
    convert(tmp_path / "set", tmp_path / "coco", "coco")
    for case, sample in zip(
        read_coco(tmp_path / "coco" / "annotations.json"), Dataset.open(tmp_path / "set"), strict=True
    ):
        assert case.group == sample.truth["patient"]
        assert case.pixel_mm == pytest.approx(1020 / abs(sample.truth["camera"]["K"][1][1]))
        np.testing.assert_array_equal(case.masks["hip_left"], sample.masks["hip_left"])
        assert set(case.landmarks_px) == {name for name, seen in sample.visible.items() if seen}
        for name, at in case.landmarks_px.items():
            np.testing.assert_allclose(at, sample.landmarks_px[name], atol=1e-3)


def test_unpacked_sources_are_folders_with_the_same_cases(tmp_path):
    qata(tmp_path / "qata", True)
    perphix(tmp_path / "perphix")
    (tmp_path / "perphix" / "pictures").rename(tmp_path / "perphix" / "images")
    for source, structures in (("qata", ["opacity"]), ("perphix/annotations.json", ["hip_left", "wire"])):
        out = tmp_path / "out" / source.split("/")[0]
        assert run(["convert", str(tmp_path / source), str(out), "--to", "png"]) == 0
        expected = list(open_source(tmp_path / source).cases(None))
        found = list(read_folder(out).cases(structures))
        for case, back in zip(expected, found, strict=True):
            np.testing.assert_array_equal(back.image, case.image)
            assert back.group == case.group
            assert {n: m.sum() for n, m in back.masks.items()} == {n: m.sum() for n, m in case.masks.items()}
            assert {n: m.tolist() for n, m in back.landmarks_px.items()} == {
                n: m.tolist() for n, m in case.landmarks_px.items()
            }
    assert run(["convert", str(tmp_path / "qata"), str(tmp_path / "no"), "--to", "coco"]) == 2
    assert run(["convert", str(tmp_path / "qata"), str(tmp_path / "out" / "qata"), "--to", "png"]) == 2
    assert run(["convert", str(tmp_path / "absent"), str(tmp_path / "no"), "--to", "png"]) == 2
    assert not (tmp_path / "no").exists()


def test_the_full_resolution_deepfluoro_file_is_a_source(tmp_path):
    pytest.importorskip("h5py")
    write_deepfluoro(tmp_path / "df.h5")
    cases = list(open_source(tmp_path / "df.h5").cases(None))
    assert {case.group for case in cases} == {case.id.rsplit("-", 1)[0] for case in cases}
    assert all(case.pixel_mm and case.masks and case.landmarks_px for case in cases)
    assert unpack_source(tmp_path / "df.h5", tmp_path / "out").images == len(cases)
    assert len(list(read_folder(tmp_path / "out").cases(["hip_left"]))) == len(cases)


def test_real_images_of_synthex_never_take_the_labels_of_simulated_ones(tmp_path):
    h5py = pytest.importorskip("h5py")
    segs = {"real_label": 1, "sim_label": 2}
    for name in ("real", "realistic", "naive", "cyc-realistic", "real_loop1"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["01/projs"] = np.zeros((2, 8, 8), np.float32)
    for name, value in segs.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["01/segs"] = np.full((2, 8, 8), value, np.uint8)
            file["01/lands"] = np.tile(np.array([[3.0, np.inf], [4.0, 5.0]]), (2, 1, 1))
            file["land-names/num-lands"] = 2
            file["land-names/land-00"], file["land-names/land-01"] = "FH-l", "FH-r"
    expected = {"real": "hip_left", "realistic": "hip_right", "naive": "hip_right", "cyc-realistic": "hip_right"}
    for name, structure in expected.items():
        cases = list(read_deepfluoro(tmp_path / f"{name}.h5"))
        assert [case.masks[structure].all() for case in cases] == [True, True]
        assert list(cases[0].landmarks_px) == ["FH-l"]
        np.testing.assert_array_equal(cases[0].landmarks_px["FH-l"], [3, 4])
    assert not next(read_deepfluoro(tmp_path / "real_loop1.h5")).masks  # its labels are missing
