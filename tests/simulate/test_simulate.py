import json

import numpy as np
import pytest
from PIL import Image

import synthray as sr
from synthray.errors import InputError, SynthrayWarning
from synthray.imaging import ImagingSettings, Tube
from synthray.simulate import expose


@pytest.fixture(scope="module")
def person():
    return sr.body(2, region="pelvis", voxel_mm=4)


@pytest.fixture(scope="module")
def camera(person):
    return sr.CArm.preset("cios-fusion").resized(96).view(person.center_mm, view="ap")


def test_a_sample_has_image_and_truth_with_the_view_first(person, camera):
    sample = sr.simulate(sr.Scene(person, tools=[]), [camera, camera], realism="realistic", seed=7)
    assert sample.image.shape == sample.transmission.shape == sample.depth_mm.shape == (2, 96, 96)
    assert sample.image.dtype == np.float32
    assert sample.masks["hip_left"].shape == (2, 96, 96)
    assert sample.landmarks_px["FH-l"].shape == (2, 2)
    assert np.isfinite(sample.image).all()
    assert sample.display("chest-pa").dtype == np.uint8


def test_left_hip_is_on_the_right_of_an_ap_picture_and_landmarks_lie_on_their_bone(person, camera):
    sample = sr.simulate(person, camera)
    columns = [np.argwhere(sample.masks[f"hip_{side}"][0])[:, 1].mean() for side in ("left", "right")]
    assert columns[0] > columns[1] + 10
    column, row = np.rint(sample.landmarks_px["FH-l"][0]).astype(int)
    assert sample.masks["femur_left"][0][row, column]
    assert sample.visible["FH-l"][0]


def test_same_seed_same_bytes_and_a_batch_equals_its_views(person, camera):
    first, again = (sr.simulate(person, camera, seed=3).image for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert sr.simulate(person, camera, seed=4).image.tobytes() != first.tobytes()
    batch = sr.simulate(person, [camera, camera], seed=3).image
    assert batch[0].tobytes() == first.tobytes()
    assert batch[1].tobytes() != first.tobytes()


def test_a_march_can_be_exposed_again(person, camera):
    projection = sr.project(person, camera)
    hard = expose(projection, person, settings=ImagingSettings(tube=Tube(tube_kvp=120)))
    soft = expose(projection, person, settings=ImagingSettings(tube=Tube(tube_kvp=60)))
    assert soft.image.mean() > hard.image.mean()


def test_levels_differ_and_the_plain_ones_have_no_noise(person, camera):
    naive, heuristic = (sr.simulate(person, camera, realism=level, seed=1).image for level in ("naive", "heuristic"))
    assert naive.tobytes() == sr.simulate(person, camera, realism="naive", seed=2).image.tobytes()
    assert np.abs(naive - heuristic).max() > 0.1


def test_save_writes_picture_masks_and_truth(person, camera, tmp_path):
    written = sr.simulate(person, camera).save(tmp_path / "new" / "shot.png")
    with Image.open(tmp_path / "new" / "shot.png") as picture:
        assert picture.size == (96, 96)
    with Image.open(tmp_path / "new" / "shot__hip_left.png") as mask:
        assert set(np.unique(np.asarray(mask))) == {0, 255}
    truth = json.loads((tmp_path / "new" / "shot.json").read_text())
    assert truth["camera"]["rows"] == 96
    assert sr.Camera.from_dict(truth["camera"]).project(person.landmarks["FH-l"]) == pytest.approx(
        truth["landmarks"]["FH-l"]["px"]
    )
    assert all(path.is_file() for path in written)


def test_wrong_calls_are_refused(person, camera, tmp_path):
    with pytest.raises(InputError, match="realism must be one of"):
        sr.simulate(person, camera, realism="hyper")
    with pytest.raises(InputError, match="seeds are whole numbers"):
        sr.simulate(person, camera, seed=-1)
    with pytest.raises(InputError, match="saved as"):
        sr.simulate(person, camera).save(tmp_path / "shot.gif")
    with pytest.raises(InputError, match="2 views"):
        _ = sr.simulate(person, [camera, camera]).camera


def test_a_camera_without_detector_distance_is_assumed_one_with_a_warning(person, camera):
    bare = sr.Camera.from_matrix(camera.K, camera.camera_from_patient, 96, 96)
    with pytest.warns(SynthrayWarning, match="1000 mm is assumed"):
        sr.simulate(person, bare)


def test_rooms_named_like_their_function_can_be_called():
    import synthray.simulate.sample  # noqa: F401  # binds the room in the package, over the function

    assert callable(sr.simulate)
    assert callable(sr.train)
    assert callable(sr.evaluate)
