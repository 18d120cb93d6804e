"""The full-resolution DeepFluoro file: what it says falls where its documentation puts it."""

import json

import numpy as np
import pytest
from deepfluoro_file import CENTER, MARKS, SIDE, SPACING, published_pixel, write_deepfluoro
from PIL import Image

from synthray.anatomy import save_patient
from synthray.errors import InputError
from synthray.evaluate import posed_from_deepfluoro, posed_from_list, read_deepfluoro, read_posed_images, read_specimen
from synthray.evaluate.deepfluoro import log_signal
from synthray.projector import project

h5py = pytest.importorskip("h5py")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    path = tmp_path_factory.mktemp("deepfluoro") / "full.h5"
    return path, write_deepfluoro(path)


def _turned(pixels, upside_down):
    return SIDE - 1 - pixels if upside_down else pixels


def test_the_person_has_ct_labels_and_landmarks_in_the_files_own_frame(full):
    patient = read_specimen(full[0], "17-1882", without_table=False)
    np.testing.assert_allclose(patient.ct.voxel_mm, 2)
    np.testing.assert_allclose(patient.center_mm, CENTER, atol=1e-9)
    assert patient.structure_names == ("hip_left", "hip_right", "vertebrae", "sacrum", "femur_left", "femur_right",
                                       "sacrum_lower")  # fmt: skip
    for name, structure in (("FH-l", "hip_left"), ("FH-r", "femur_left"), ("SPS-l", "hip_right")):
        np.testing.assert_allclose(patient.structure_center_mm(structure), patient.landmarks[name], atol=0.6)
        np.testing.assert_allclose(patient.landmarks[name], CENTER + MARKS[name])


@pytest.mark.parametrize("focal_sign", [-1.0, 1.0])
def test_landmarks_of_the_ct_fall_on_those_of_the_images(tmp_path, focal_sign):
    told = write_deepfluoro(tmp_path / "full.h5", focal_sign=focal_sign)
    for specimen, views in told.items():
        patient = read_specimen(tmp_path / "full.h5", specimen, without_table=False)
        images = list(read_posed_images(tmp_path / "full.h5", specimen, border_px=0))
        assert [image.id for image in images] == [f"{specimen}-000", f"{specimen}-001"]
        for image, (pixels, _, upside_down) in zip(images, views, strict=True):
            assert image.camera.source_to_detector_mm == pytest.approx(1020)
            assert image.camera.K[1, 1] > 0
            assert image.camera.mirrored == (focal_sign < 0)
            for name, point in patient.landmarks.items():
                np.testing.assert_allclose(image.landmarks_px[name], _turned(pixels[name], upside_down), atol=1e-6)
                np.testing.assert_allclose(image.camera.project(point), image.landmarks_px[name], atol=2e-3)


def test_bone_of_the_simulated_view_covers_bone_of_the_image_head_up(full):
    path, _ = full
    patient = read_specimen(path, "18-0725", without_table=False)
    for image in read_posed_images(path, "18-0725", border_px=8):
        assert image.image.shape == (SIDE - 16, SIDE - 16)
        bone = project(patient, image.camera, depth=False)
        for name, structure in (("FH-l", "hip_left"), ("SPS-l", "hip_right")):
            row, column = np.argwhere(bone.masks[structure][0]).mean(axis=0)
            np.testing.assert_allclose([column, row], image.landmarks_px[name], atol=0.5)
            row, column = np.argwhere(image.masks[structure]).mean(axis=0)
            np.testing.assert_allclose([column, row], image.landmarks_px[name], atol=0.5)
            assert image.image[image.masks[structure]].min() > 1.5
        # Further towards the head is higher up in the picture.
        assert image.landmarks_px["FH-l"][1] < image.landmarks_px["SPS-l"][1]


def test_a_femur_has_its_own_camera_where_its_pose_is_valid(full):
    path, told = full
    with h5py.File(path) as file:
        intrinsic, extrinsic = file["proj-params/intrinsic"][:], file["proj-params/extrinsic"][:]
    images = read_posed_images(path, "17-1882", border_px=10)
    for image, (_, femur, upside_down) in zip(images, told["17-1882"], strict=True):
        assert set(image.moved) == {"femur_left"}
        expected = _turned(published_pixel(intrinsic, extrinsic, femur, CENTER), upside_down) - 10
        np.testing.assert_allclose(image.moved["femur_left"].project(CENTER), expected, atol=2e-3)


def test_averaging_pixels_keeps_landmarks_on_the_camera(full):
    image = next(read_posed_images(full[0], "17-1882", border_px=3))
    small = image.reduced(4)
    assert small.image.shape == (40, 40)
    assert small.camera.pixel_mm == pytest.approx((4 * SPACING, 4 * SPACING))
    assert small.image.mean() == pytest.approx(image.image[:160, :160].mean(), rel=1e-5)
    patient = read_specimen(full[0], "17-1882", without_table=False)
    for name, at in small.landmarks_px.items():
        np.testing.assert_allclose(small.camera.project(patient.landmarks[name]), at, atol=1e-3)
    case = small.case("17-1882")
    assert (case.group, case.pixel_mm) == ("17-1882", pytest.approx(4 * SPACING))
    assert log_signal(np.array([[100.0, 0.0]], dtype=np.float32))[0].tolist() == pytest.approx([0, np.log(1e5)])


def test_what_is_not_such_a_file_is_refused_in_one_line(full, tmp_path):
    path, _ = full
    with pytest.raises(InputError, match="not a readable HDF5"):
        posed_from_deepfluoro(tmp_path / "none.h5")
    with pytest.raises(InputError, match=r"has no specimen '17'; it has 17-1882, 18-0725"):
        posed_from_deepfluoro(path, specimens=["17"])
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["01/projs"] = np.zeros((1, 4, 4))
    with pytest.raises(InputError, match="has no 'proj-params'"):
        posed_from_deepfluoro(tmp_path / "other.h5")
    write_deepfluoro(tmp_path / "damaged.h5", ("a",), 1)
    with h5py.File(tmp_path / "damaged.h5", "a") as file:
        file["a/projections/000/gt-poses/cam-to-pelvis-vol"][0, 0] = 5
        del file["a/vol-landmarks"]
    with pytest.raises(InputError, match=r"a/projections/000: a pose is not rigid"):
        next(read_posed_images(tmp_path / "damaged.h5", "a"))
    with pytest.raises(InputError, match="vol-landmarks"):
        read_specimen(tmp_path / "damaged.h5", "a")
    with pytest.raises(InputError, match="leave nothing"):
        next(read_posed_images(path, "17-1882", border_px=84))


def test_a_list_of_images_names_their_people(full, tmp_path):
    path, _ = full
    save_patient(read_specimen(path, "17-1882", without_table=False), tmp_path / "p1")
    image = next(read_posed_images(path, "17-1882", border_px=0))
    Image.fromarray(np.uint8(20 * image.image)).save(tmp_path / "one.png")
    Image.fromarray(np.uint8(255 * image.masks["hip_left"])).save(tmp_path / "hip.png")
    image.camera.save(tmp_path / "one.json")
    entry = {"image": "one.png", "camera": "one.json", "patient": "p1"}
    entries = [
        {**entry, "masks": {"hip_left": "hip.png"}, "landmarks_px": {"FH-l": image.landmarks_px["FH-l"].tolist()}},
        {**entry, "camera": image.camera.to_dict(), "name": "two"},
    ]
    (tmp_path / "list.json").write_text(json.dumps(entries))
    (person,) = posed_from_list(tmp_path / "list.json")
    assert person.name == "p1"
    one, two = person.images()
    assert (one.id, two.id) == ("one", "two")
    np.testing.assert_array_equal(one.masks["hip_left"], image.masks["hip_left"])
    np.testing.assert_allclose(one.camera.project(CENTER), two.camera.project(CENTER))
    entries[1]["patient"] = "b/p1/ct.nii.gz"
    (tmp_path / "list.json").write_text(json.dumps(entries))
    first, second = posed_from_list(tmp_path / "list.json")
    assert first.name.endswith("-p1")
    assert first.name != second.name
    for change, message in (
        ({"name": "one"}, "a second image 'one'"),
        ({"pose": 1}, "unknown key 'pose'"),
        ({"name": "../one"}, "can't be a file name"),
    ):
        (tmp_path / "list.json").write_text(json.dumps([entry, {**entry, **change}]))
        with pytest.raises(InputError, match=message):
            posed_from_list(tmp_path / "list.json")
    (tmp_path / "list.json").write_text("{}")
    with pytest.raises(InputError, match="must be a JSON list"):
        posed_from_list(tmp_path / "list.json")


def test_labels_are_found_beside_images_kept_apart(tmp_path):
    classes = np.zeros((1, 8, 8), dtype=np.uint8)
    classes[0, 2:4, 5] = 6
    for name, held in {
        "naive.h5": {"01/projs": np.ones((1, 8, 8))},
        "sim_label.h5": {"01/segs": classes, "01/lands": np.array([[[3.0], [-1.0]]]), "land-names/land-00": "FH-l"},
    }.items():
        with h5py.File(tmp_path / name, "w") as file:
            for key, value in held.items():
                file[key] = value
    (case,) = read_deepfluoro(tmp_path / "naive.h5")
    assert case.masks["femur_right"].sum() == 2
    assert not case.landmarks_px
