import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from synthray.dataset import rle
from synthray.errors import InputError
from synthray.evaluate import posed_from_list
from synthray.register import Fit, Quality, annotate, compared, save_coco, save_posed_list, save_twins
from synthray.register.pose import moved

QUALITY = Quality(
    state="ok", reason="", score=1, ncc=1, fine_ncc=1, detail_ncc=1, agreement=1, counted=1, mistaken_view="",
    mistaken_ncc=0,
)  # fmt: skip


def fit_of(taken, camera=None, covariance=None):
    spread = np.diag([1e-3, 1e-3, 1e-3, 0.1, 0.1, 1.0]) ** 2 if covariance is None else covariance
    return Fit(camera or taken.camera, spread, taken.points_mm.mean(axis=0), False, QUALITY, 1)


def test_labels_land_where_the_anatomy_is(taken):
    carried = annotate(taken.patient, fit_of(taken), ["hip_left", "femur_right"])
    assert set(carried.masks) == {"hip_left", "femur_right"}
    hip = np.argwhere(carried.masks["hip_left"]).mean(axis=0)[::-1]
    assert np.linalg.norm(hip - taken.camera.project(taken.patient.structure_center_mm("hip_left"))) < 12
    head = carried.landmarks_px["FH-r"]
    assert carried.visible["FH-r"]
    assert carried.masks["femur_right"][tuple(np.rint(head[::-1]).astype(int))]
    with pytest.raises(InputError, match="no structure 'wing'"):
        annotate(taken.patient, fit_of(taken), ["wing"])


def test_how_sure_a_landmark_is_follows_from_the_covariance(taken):
    """Against draws from the covariance."""
    fit = fit_of(taken)
    rng = np.random.default_rng(0)
    draws = rng.multivariate_normal(np.zeros(6), fit.covariance, 1000)
    spread = annotate(taken.patient, fit, []).std_px
    for name in ("ASIS-l", "FH-r"):
        at = taken.patient.landmarks[name]
        places = np.array([moved(fit.camera, one, fit.pivot_mm).project(at) for one in draws])
        assert spread[name] == pytest.approx(np.sqrt(places.var(axis=0).sum()), rel=0.1)


def test_coco_holds_masks_keypoints_cameras_and_quality(taken, tmp_path):
    fit = fit_of(taken)
    carried = annotate(taken.patient, fit, ["hip_left", "sacrum"])
    save_coco(tmp_path / "annotations.json", {"shot.png": carried}, {"shot.png": fit})
    held = json.loads((tmp_path / "annotations.json").read_text())
    names = {one["id"]: one["name"] for one in held["categories"]}
    regions = {names[one["category_id"]]: one for one in held["annotations"]}
    assert set(regions) == {"hip_left", "sacrum", "landmarks"}
    np.testing.assert_array_equal(rle.decode(regions["hip_left"]["segmentation"]), carried.masks["hip_left"])
    left, top, width, height = regions["hip_left"]["bbox"]
    assert carried.masks["hip_left"][top : top + height, left : left + width].sum() == regions["hip_left"]["area"]
    keypoints = np.array(regions["landmarks"]["keypoints"]).reshape(-1, 3)
    listed = held["categories"][-1]["keypoints"]
    assert (keypoints[:, 2] > 0).sum() == regions["landmarks"]["num_keypoints"] == sum(carried.visible.values())
    np.testing.assert_allclose(keypoints[listed.index("FH-r"), :2] - 0.5, carried.landmarks_px["FH-r"])
    assert held["images"][0]["quality"]["state"] == "ok"
    assert len({one["id"] for one in held["annotations"]}) == 3


def test_pictures_show_whether_it_fits(taken):
    right = compared(taken.patient, taken.shown, fit_of(taken))
    wrong = compared(
        taken.patient, taken.shown, fit_of(taken, moved(taken.camera, [0, 0, 0.05, 4, 0, 0], taken.points_mm[0]))
    )
    for picture in (right.xray, right.projection, right.checkerboard, right.difference):
        assert picture.shape == taken.shown.shape
        assert picture.dtype == np.uint8
    assert np.corrcoef(right.xray.ravel(), right.projection.ravel())[0, 1] > 0.95
    inner = (slice(20, -20), slice(20, -20))
    assert right.difference[inner].std() < 0.85 * wrong.difference[inner].std()
    from_either = (right.checkerboard == right.xray) | (right.checkerboard == right.projection)
    assert from_either.all()


def test_twins_share_the_name_at_every_level(taken, tmp_path):
    small = fit_of(taken, taken.camera.resized(32, 32))
    pictures = save_twins(taken.patient, {"shot.dcm": small}, tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in pictures] == [
        "naive/shot.png", "heuristic/shot.png", "realistic/shot.png",
    ]  # fmt: skip
    with Image.open(pictures[2]) as picture:
        assert picture.size == (32, 32)
    assert (tmp_path / "realistic" / "shot__hip_left.png").is_file()


def test_the_list_is_what_the_experiments_read(taken, tmp_path):
    Image.fromarray(taken.shown.astype(np.uint8)).save(tmp_path / "shot.png")
    fit = fit_of(taken)
    failed = replace(fit, quality=replace(QUALITY, state="failed"))
    save_posed_list(tmp_path / "xrays.json", {"shot.png": "shot.png", "b.png": "b.png"},
                    {"shot.png": fit, "b.png": failed}, "person")  # fmt: skip
    (person,) = posed_from_list(tmp_path / "xrays.json")
    (image,) = person.images()
    np.testing.assert_allclose(image.camera.camera_from_patient, fit.camera.camera_from_patient)
