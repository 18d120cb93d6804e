import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthray.models import decode_heatmaps, encode_heatmaps


@settings(max_examples=60, deadline=None)
@given(
    column=st.floats(0, 59),
    row=st.floats(0, 39),
    sigma=st.floats(1.2, 5),
    scale=st.floats(0.02, 50),
    offset=st.floats(-5, 5),
)
def test_decode_inverts_encode_within_a_tenth_of_a_pixel(column, row, sigma, scale, offset):
    truth = torch.tensor([[[column, row]]])
    maps = encode_heatmaps(truth, 40, 60, sigma) * scale + offset
    points, confidence = decode_heatmaps(maps, sigma)
    assert (points - truth).abs().max() < 0.1
    assert confidence.item() > 0.99


def test_encode_peaks_at_one_on_the_landmark_pixel_and_is_empty_for_nan():
    points = torch.tensor([[[7.0, 3.0], [float("nan"), 3.0]]])
    maps = encode_heatmaps(points, 10, 12, 2.0)
    assert maps.shape == (1, 2, 10, 12)
    assert maps[0, 0].max() == maps[0, 0, 3, 7] == 1
    assert (maps[0, 1] == 0).all()


def test_confidence_tells_a_gaussian_from_noise_and_from_a_ridge():
    generator = torch.Generator().manual_seed(0)
    peak = encode_heatmaps(torch.tensor([[[20.3, 15.7]]]), 40, 40, 2.5)
    noise = torch.rand(1, 1, 40, 40, generator=generator)
    ridge = peak.amax(dim=2, keepdim=True).expand(1, 1, 40, 40)
    _, confidence = decode_heatmaps(torch.cat([peak + 0.02 * noise, noise, ridge], dim=1), 2.5)
    sure, lost, along = confidence[0].tolist()
    assert sure > 0.95
    assert lost < 0.6
    assert along < 0.9


def test_flat_maps_have_no_confidence():
    points, confidence = decode_heatmaps(torch.full((2, 1, 9, 9), 3.0), 2.0)
    assert torch.isfinite(points).all()
    assert (confidence == 0).all()


def test_no_landmarks_is_fine():
    points, confidence = decode_heatmaps(torch.zeros(3, 0, 8, 8), 2.0)
    assert points.shape == (3, 0, 2)
    assert confidence.shape == (3, 0)
