import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthray.errors import InputError
from synthray.evaluate import Counts, bootstrap_interval, confidence_curve, count_pixels, hausdorff, success_curve

MASKS = arrays(bool, (9, 11))


@given(a=MASKS, b=MASKS)
def test_scores_agree_with_their_definitions_on_sets(a, b):
    predicted, true = set(np.flatnonzero(a)), set(np.flatnonzero(b))
    everything = set(range(a.size))
    counts = count_pixels(a, b)
    scores = counts.scores()
    both = len(predicted & true)
    neither = len(everything - predicted - true)
    assert scores["accuracy"] == pytest.approx((both + neither) / a.size)
    if predicted or true:
        assert scores["dice"] == pytest.approx(2 * both / (len(predicted) + len(true)))
        assert counts.iou == pytest.approx(both / len(predicted | true))
    if true:
        assert scores["sensitivity"] == pytest.approx(both / len(true))
    if len(true) < a.size:
        assert scores["specificity"] == pytest.approx(neither / (a.size - len(true)))
    if predicted:
        assert scores["precision"] == pytest.approx(both / len(predicted))
    if both:
        p, r = scores["precision"], scores["sensitivity"]
        assert scores["f1"] == pytest.approx(2 * p * r / (p + r))
        assert scores["f2"] == pytest.approx(5 * p * r / (4 * p + r))


def test_conventions_for_empty_masks():
    full, empty = np.ones((3, 4), bool), np.zeros((3, 4), bool)
    assert count_pixels(empty, empty).dice == 1
    assert count_pixels(empty, empty).f_score(2) == 1
    assert np.isnan(count_pixels(full, empty).sensitivity)
    assert np.isnan(count_pixels(empty, full).precision)
    assert np.isnan(count_pixels(empty, full).specificity)
    assert count_pixels(empty, full).dice == 0
    assert hausdorff(empty, empty) == 0
    assert np.isnan(hausdorff(full, empty))
    assert np.isnan(hausdorff(empty, full))


def test_counts_add_up_to_pooled_counts():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 6, 5)) > 0.5, rng.random((2, 6, 5)) > 0.5
    assert count_pixels(a[0], b[0]) + count_pixels(a[1], b[1]) == count_pixels(a, b)
    assert Counts(1, 2, 3, 4) + Counts(1, 1, 1, 1) == Counts(2, 3, 4, 5)


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(InputError, match="one shape"):
        count_pixels(np.zeros((2, 3), bool), np.zeros((3, 2), bool))


def brute_force(a, b, percentile):
    def edge(mask):
        rows, columns = mask.shape
        on = []
        for r, c in np.argwhere(mask):
            near = [(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)]
            if any(0 <= y < rows and 0 <= x < columns and not mask[y, x] for y, x in near):
                on.append((r, c))
        return np.array(on, dtype=float)

    first, second = edge(a), edge(b)
    distance = np.linalg.norm(first[:, None] - second[None], axis=-1)
    return max(np.percentile(distance.min(axis=1), percentile), np.percentile(distance.min(axis=0), percentile))


@given(a=MASKS, b=MASKS, percentile=st.sampled_from([95, 100]))
def test_hausdorff_agrees_with_brute_force(a, b, percentile):
    if 0 < a.sum() < a.size and 0 < b.sum() < b.size:
        assert hausdorff(a, b, percentile) == pytest.approx(brute_force(a, b, percentile), abs=1e-4)


def test_hausdorff_of_shifted_discs_is_the_shift():
    rows, columns = np.mgrid[:200, :240]
    disc = (rows - 100) ** 2 + (columns - 90) ** 2 < 50**2
    assert hausdorff(disc, np.roll(disc, 17, axis=1), 100) == pytest.approx(17, abs=0.1)
    assert hausdorff(disc, disc) == 0
    assert hausdorff(np.ones((5, 5), bool), np.ones((5, 5), bool)) == 0


def test_success_curve():
    errors = np.array([1.0, 3.0, np.nan, 5.0])
    assert np.allclose(success_curve(errors, np.array([0.5, 1, 4, 100])), [0, 0.25, 0.5, 0.75])
    assert np.isnan(success_curve(np.array([]), np.array([1.0]))).all()


def test_confidence_curve_takes_the_surest_first():
    fraction, error = confidence_curve(np.array([9.0, 1.0, 2.0]), np.array([0.1, 0.9, 0.5]))
    assert np.allclose(fraction, [1 / 3, 2 / 3, 1])
    assert np.allclose(error, [1, 1.5, 4])


def test_bootstrap_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(200):
        low, high = bootstrap_interval(rng.normal(3, 1, 40), seed=trial, resamples=400)
        inside += low <= 3 <= high
    assert 0.88 < inside / 200 < 0.99


def test_bootstrap_resamples_people_not_images():
    rng = np.random.default_rng(1)
    person = np.repeat(rng.normal(0, 1, 10), 20)
    values = person + rng.normal(0, 0.05, 200)
    groups = [str(i // 20) for i in range(200)]
    naive, honest = bootstrap_interval(values), bootstrap_interval(values, groups)
    assert honest[1] - honest[0] > 3 * (naive[1] - naive[0])


def test_bootstrap_is_repeatable_and_leaves_out_nan():
    values = [1.0, 2.0, np.nan, 4.0]
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values) == bootstrap_interval([1.0, 2.0, 4.0])
    assert np.isnan(bootstrap_interval([np.nan])).all()
    assert bootstrap_interval([2.0]) == (2.0, 2.0)
