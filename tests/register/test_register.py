import json
from dataclasses import replace

import numpy as np
import pytest

import synthray as sr
from synthray.errors import InputError
from synthray.geometry import CArm
from synthray.register import Range, register, save_fits
from synthray.register.pose import left_right_flipped, motion_between, opposite, perturbed
from synthray.register.quality import verdict

PIVOT = None
NEAR = Range(rotation_deg=12, in_plane_mm=22, depth_mm=50, starts=24, followed=3)


def start_of(taken):
    return perturbed(taken.camera, [6, -8, 5], [12, -15, 30], taken.points_mm.mean(axis=0))


@pytest.fixture(scope="module")
def fit(taken):
    return register(taken.patient, taken.shown, start_of(taken), reach=NEAR)


def test_moved_and_brought_back(taken, fit):
    """Another physics, noise, an unknown display, half the size of a usual picture."""
    total, in_plane = taken.error_mm(fit.camera)
    assert taken.error_mm(start_of(taken))[0] > 25
    assert in_plane < 0.5
    assert total < 2.5
    assert fit.quality.state == "ok", fit
    assert not fit.bone_bright


def test_the_uncertainty_holds_the_truth_and_says_that_depth_is_weak(taken, fit):
    motion = motion_between(fit.camera, taken.camera, fit.pivot_mm)
    assert motion @ np.linalg.solve(fit.covariance, motion) < 22.5  # 0.999 quantile for 6 degrees of freedom
    assert fit.depth_std_mm > 3 * fit.in_plane_std_mm.max()
    in_plane, depth = fit.point_std_mm(taken.points_mm)
    assert in_plane.shape == depth.shape == (len(taken.points_mm),)
    assert (depth > in_plane).all()
    at_pivot = fit.point_std_mm(fit.pivot_mm)
    np.testing.assert_allclose(at_pivot, [np.hypot(*fit.in_plane_std_mm), fit.depth_std_mm])


@pytest.mark.parametrize("display", ["inverted", "square root", "vignetted"])
def test_the_display_needs_not_be_known(taken, fit, display):
    shown = taken.shown
    row, column = np.mgrid[-1:1:128j, -1:1:128j]
    image = {
        "inverted": 300 - shown,
        "square root": np.sqrt(shown),
        "vignetted": shown * (1 - 0.2 * (row**2 + column**2)),
    }
    other = register(taken.patient, image[display], start_of(taken), reach=NEAR)
    assert other.bone_bright == (display == "inverted")
    assert taken.error_mm(other.camera)[1] < 0.8  # half a pixel
    assert other.quality.state == "ok", other


def test_what_the_mask_leaves_out_does_not_count(taken):
    shown, mask = taken.shown, np.ones((128, 128), dtype=bool)
    rng = np.random.default_rng(0)
    shown[:40, :50] = rng.uniform(0, 255, (40, 50))
    mask[:40, :50] = False
    found = register(taken.patient, shown, start_of(taken), mask=mask, reach=NEAR)
    assert taken.error_mm(found.camera)[1] < 0.5
    assert found.quality.state == "ok", found


def test_the_same_seed_gives_the_same_pose(taken, fit):
    again = register(taken.patient, taken.shown, start_of(taken), reach=NEAR, threads=1)
    np.testing.assert_array_equal(again.camera.camera_from_patient, fit.camera.camera_from_patient)


def test_a_mirrored_picture_is_found_out(taken):
    found = register(taken.patient, taken.shown[:, ::-1], start_of(taken), reach=NEAR)
    assert found.quality.state == "failed"
    assert "mirrored left to right" in found.quality.reason


def test_ap_taken_for_pa_is_found_out(taken):
    """The X-ray is a PA picture; it is registered as if it were AP."""
    pose = opposite(start_of(taken), taken.points_mm.mean(axis=0))
    found = register(taken.patient, taken.shown[:, ::-1], left_right_flipped(pose), reach=NEAR)
    assert found.quality.state == "failed", found
    assert "opposite side" in found.quality.reason


def test_another_person_has_failed(taken):
    stranger = sr.body(8, region="pelvis", voxel_mm=4)
    moved = start_of(taken).camera_from_patient.copy()
    gap = taken.patient.structure_center_mm("hip_left", "hip_right") - stranger.structure_center_mm(
        "hip_left", "hip_right"
    )
    moved[:3, 3] += moved[:3, :3] @ gap
    found = register(stranger, taken.shown, replace(taken.camera, camera_from_patient=moved), reach=NEAR)
    assert found.quality.state == "failed", found


@pytest.mark.parametrize("image", ["black", "noise"])
def test_an_empty_image_has_failed(taken, image):
    shown = np.zeros((128, 128)) if image == "black" else np.random.default_rng(0).normal(100, 5, (128, 128))
    found = register(taken.patient, shown, start_of(taken), reach=NEAR)
    assert found.quality.state == "failed", found
    assert np.isfinite(found.covariance).all()


def test_a_ct_that_does_not_cover_the_view_has_failed(taken):
    ct = taken.patient.ct
    kept = ct.shape[2] // 8
    slab = sr.Patient.from_arrays(ct.values[:, :, :kept], ct.patient_from_voxel)
    found = register(slab, taken.shown, start_of(taken), reach=NEAR)
    assert found.quality.state == "failed", found
    assert found.quality.counted < 0.5


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({}, "ok", "correlates"),
        ({"detail_ncc": 0.4}, "doubtful", "correlates"),
        ({"detail_ncc": 0.1}, "failed", "correlates"),
        ({"mistaken_ncc": 0.949}, "doubtful", "sign of K"),
        ({"mistaken_ncc": 0.97}, "failed", "sign of K"),
        ({"counted": 0.2}, "doubtful", "covers"),
        ({"counted": 0.05, "detail_ncc": 0.1}, "failed", "covers"),
    ],
)
def test_verdicts(change, state, words):
    numbers = {"counted": 0.9, "detail_ncc": 0.7, "ncc": 0.95, "mistaken_ncc": 0.8, **change}
    found, reason = verdict(numbers, "mirrored")
    assert found == state
    assert words in reason
    assert "\n" not in reason


def test_what_is_refused(taken):
    shown, camera = taken.shown, taken.camera
    away = opposite(camera, camera.source_mm)
    for words, arguments in {
        "a camera to start from": (shown, ()),
        "at least 32 pixels": (shown[:20, :20], CArm.preset("cios-fusion").resized(20).view((0, 0, 0))),
        "looks away": (shown, away),
        "camera.resized": (shown[:100], camera),
    }.items():
        with pytest.raises(InputError, match=words):
            register(taken.patient, *arguments)
    with pytest.raises(InputError, match="bone='dim'"):
        register(taken.patient, shown, camera, bone="dim")
    with pytest.raises(InputError, match="in front of the X-ray source"):
        register(taken.patient, shown, camera, pivot_mm=camera.source_mm - 10 * camera.direction)
    for wrong in ({"rotation_deg": -1}, {"depth_mm": np.inf}, {"starts": -1}, {"followed": 0}):
        with pytest.raises(InputError, match="search"):
            Range(**wrong)
    with pytest.raises(InputError, match="small and large"):
        Range.preset("huge")


def test_poses_as_json(fit, tmp_path):
    save_fits(tmp_path / "poses.json", {"shot.png": fit})
    held = json.loads((tmp_path / "poses.json").read_text())["shot.png"]
    camera = sr.Camera.from_dict(held["camera"])
    np.testing.assert_allclose(camera.camera_from_patient, fit.camera.camera_from_patient)
    assert held["quality"]["state"] == "ok"
    assert held["uncertainty"]["depth_std_mm"] == pytest.approx(fit.depth_std_mm)
    assert "ok" in repr(fit)
