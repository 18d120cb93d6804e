from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthray.errors import InputError
from synthray.evaluate import consistent_landmarks
from synthray.geometry import CArm

CARM = CArm.preset("cios-fusion")
START = CARM.view(target_mm=(0, 0, 0))


def scene(seed, *, lao=20.0, cran=-10.0, noise_px=2.0, outliers=4, flat=False, mirrored=False):
    rng = np.random.default_rng(seed)
    camera = CARM.view(target_mm=(0, 0, 0), lao_deg=lao, cran_deg=cran)
    start = START
    if mirrored:
        K = camera.K * np.array([[-1, 1, 1], [1, 1, 1], [1, 1, 1]])
        camera, start = replace(camera, K=K), replace(START, K=K)
    known = {f"p{i}": rng.uniform(-100, 100, 3) * (1, 0.001 if flat else 1, 1) for i in range(14)}
    seen = {name: camera.project(point) + rng.normal(0, noise_px, 2) for name, point in known.items()}
    bad = [f"p{i}" for i in rng.permutation(14)[:outliers]]
    for name in bad:
        angle = rng.uniform(0, 2 * np.pi)
        seen[name] = seen[name] + rng.uniform(60, 300) * np.array([np.cos(angle), np.sin(angle)])
    return camera, start, known, seen, frozenset(known) - frozenset(bad)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), lao=st.floats(-60, 60), cran=st.floats(-30, 30), outliers=st.integers(0, 5))
def test_outliers_are_found_whatever_the_view(seed, lao, cran, outliers):
    camera, start, known, seen, good = scene(seed, lao=lao, cran=cran, outliers=outliers)
    result = consistent_landmarks(start, known, seen)
    assert result.consistent == good
    # Also where the outliers should have been.
    assert max(np.linalg.norm(result.projected_px[name] - camera.project(known[name])) for name in known) < 15


def test_without_noise_the_pose_is_exact():
    camera, start, known, seen, good = scene(1, noise_px=0)
    result = consistent_landmarks(start, known, seen, tolerance_px=1)
    assert result.consistent == good
    np.testing.assert_allclose(result.camera.camera_from_patient, camera.camera_from_patient, atol=1e-5)
    assert max(result.error_px[name] for name in good) < 1e-5


@pytest.mark.parametrize("change", [{"flat": True}, {"mirrored": True}])
def test_landmarks_in_a_plane_and_mirrored_detectors(change):
    _, start, known, seen, good = scene(2, **change)
    assert consistent_landmarks(start, known, seen).consistent == good


def test_unsure_unknown_and_missing_landmarks_do_not_take_part():
    _, start, known, seen, good = scene(3)
    lost = sorted(good)[0]
    seen[lost] = np.array([np.nan, 3.0])
    seen["elsewhere"] = np.zeros(2)
    confidence = dict.fromkeys(known, 0.9) | {sorted(good)[1]: 0.0}
    result = consistent_landmarks(start, known, seen, confidence)
    assert result.consistent == good - set(sorted(good)[:2])
    assert np.isnan(result.error_px[lost])
    assert np.isfinite(result.projected_px[lost]).all()


def test_a_far_off_camera_does_not_matter():
    _, _, known, seen, good = scene(4)
    behind = CARM.view(target_mm=(300, 200, -100), lao_deg=-95)
    assert consistent_landmarks(behind, known, seen).consistent == good


def test_too_few_landmarks_or_none_that_agree_leave_nothing_consistent():
    _, start, known, seen, _ = scene(5, outliers=0)
    few = {name: seen[name] for name in list(seen)[:5]}
    rng = np.random.default_rng(0)
    noise = {name: rng.uniform(0, 900, 2) for name in known}
    for points in (few, noise, {}):
        result = consistent_landmarks(start, known, points, tolerance_px=3)
        assert result.camera is None
        assert result.consistent == frozenset()
    assert consistent_landmarks(start, {}, {}).consistent == frozenset()


def test_wrong_input_is_refused():
    _, start, known, seen, _ = scene(6)
    with pytest.raises(InputError, match="tolerance_px"):
        consistent_landmarks(start, known, seen, tolerance_px=0)
    with pytest.raises(InputError, match="'p0' must be 3 numbers"):
        consistent_landmarks(start, {**known, "p0": [1, 2]}, seen)
    with pytest.raises(InputError, match="NaN"):
        consistent_landmarks(start, {**known, "p0": [1, 2, np.nan]}, seen)
