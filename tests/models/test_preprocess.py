import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from synthray.models import Fit, Preprocessing, fit_images, normalise
from synthray.models.preprocess import fit_masks

SIDES = st.integers(1, 700)


@given(rows=SIDES, columns=SIDES, size=st.sampled_from([32, 64, 192]), fit=st.sampled_from(["letterbox", "stretch"]))
def test_points_come_back_and_corners_stay_inside(rows, columns, size, fit):
    placed = Fit.of(rows, columns, Preprocessing(size=size, fit=fit))
    corners = torch.tensor([[-0.5, -0.5], [columns - 0.5, rows - 0.5]], dtype=torch.float64)
    there = placed.to_network(corners)
    assert torch.allclose(placed.to_image(there), corners, atol=1e-6)
    assert there.min() >= -0.5 - 1e-6
    assert there.max() <= size - 0.5 + 1e-6


def test_letterbox_keeps_the_aspect_ratio_and_pads_with_the_darkest_value():
    image = torch.rand(1, 50, 100, generator=torch.Generator().manual_seed(0))
    inputs, fit = fit_images(image, Preprocessing(size=64))
    assert inputs.shape == (1, 1, 64, 64)
    assert (fit.top, fit.height, fit.left, fit.width) == (16, 32, 0, 64)
    assert (inputs[0, 0, :16] == -1).all()
    assert (inputs[0, 0, 48:] == -1).all()
    assert fit.crop(inputs).shape == (1, 1, 32, 64)


def test_a_bright_pixel_lands_where_its_point_is_mapped():
    image = torch.zeros(1, 96, 128)
    image[0, 40:44, 100:104] = 1
    preprocessing = Preprocessing(size=64, low_percentile=0, high_percentile=100)
    inputs, fit = fit_images(image, preprocessing)
    weight = inputs[0, 0] + 1
    weight[: fit.top] = weight[fit.top + fit.height :] = 0
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    found = torch.stack([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
    assert torch.allclose(found, fit.to_network(torch.tensor([101.5, 41.5])), atol=0.02)


def test_scale_and_offset_of_grey_values_do_not_matter():
    image = torch.rand(2, 64, 64, generator=torch.Generator().manual_seed(1))
    inputs, _ = fit_images(image, Preprocessing(size=64))
    scaled, _ = fit_images(image * 4000 + 12345, Preprocessing(size=64))
    assert torch.allclose(inputs, scaled, atol=2e-3)
    inverted, _ = fit_images(-image, Preprocessing(size=64))
    assert torch.allclose(inputs, -inverted, atol=2e-3)


@pytest.mark.parametrize("value", [1e6, -1e6])
def test_one_extreme_pixel_changes_nothing_elsewhere(value):
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(2))
    spoiled = image.clone()
    spoiled[0, 0, 10, 10] = value
    difference = (normalise(image, Preprocessing(size=64)) - normalise(spoiled, Preprocessing(size=64))).abs()
    difference[0, 0, 10, 10] = 0
    assert difference.max() < 0.01
    assert normalise(spoiled, Preprocessing(size=64)).abs().max() <= 1.5


def test_a_constant_image_becomes_zero():
    assert (normalise(torch.full((1, 1, 32, 32), 7.0), Preprocessing(size=32)) == 0).all()


def test_masks_follow_their_image():
    mask = torch.zeros(1, 1, 100, 200)
    mask[..., 20:60, 50:150] = 1
    fit = Fit.of(100, 200, Preprocessing(size=64))
    small = fit_masks(mask, fit)
    assert small.dtype == torch.bool
    corner = fit.to_network(torch.tensor([49.5, 19.5])).numpy()
    rows, columns = np.nonzero(small[0, 0].numpy())
    assert abs(columns.min() - 0.5 - corner[0]) <= 0.5
    assert abs(rows.min() - 0.5 - corner[1]) <= 0.5


def test_percentiles_must_rise():
    with pytest.raises(ValidationError, match="below"):
        Preprocessing(low_percentile=60, high_percentile=40)
