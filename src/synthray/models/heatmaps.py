"""Landmarks as Gaussian heatmaps and back, to a fraction of a pixel."""

from __future__ import annotations

import torch
from torch import Tensor

_REFINEMENTS = 5


def encode_heatmaps(points: Tensor, rows: int, columns: int, sigma_px: float) -> Tensor:
    """One Gaussian of height 1 per landmark.

    Args:
        points: (n, landmarks, 2) as (column, row); a NaN coordinate gives an empty map.
        rows: height of the maps.
        columns: width of the maps.
        sigma_px: standard deviation.

    Returns:
        (n, landmarks, rows, columns) float32.
    """
    across = torch.arange(columns, device=points.device, dtype=torch.float32)
    down = torch.arange(rows, device=points.device, dtype=torch.float32)
    # A Gaussian in the plane is the product of one along the columns and one along the rows.
    along = torch.exp(-((across - points[..., 0:1].float()) ** 2) / (2 * sigma_px**2))
    below = torch.exp(-((down - points[..., 1:2].float()) ** 2) / (2 * sigma_px**2))
    return torch.nan_to_num(below[..., :, None] * along[..., None, :], nan=0.0)


def decode_heatmaps(heatmaps: Tensor, sigma_px: float) -> tuple[Tensor, Tensor]:
    """Positions and confidences of the highest peak of each map.

    The peak is refined by least squares: `a g(x - d) + b` is fitted to the neighbourhood, so that neither scale nor
    offset of the map matters and a peak close to the border is not drawn inwards. The confidence is the normalised
    cross-correlation of that neighbourhood with the ideal Gaussian (Gao et al. 2023), in -1 to 1; a flat map gets 0.

    Args:
        heatmaps: (n, landmarks, rows, columns).
        sigma_px: standard deviation of the Gaussians that were encoded.

    Returns:
        points (n, landmarks, 2) as (column, row), and confidence (n, landmarks).
    """
    count, landmarks, rows, columns = heatmaps.shape
    flat = heatmaps.detach().float().reshape(count * landmarks, rows * columns)
    best = flat.argmax(dim=1)
    peak = torch.stack([best % columns, best // columns], dim=1)
    offsets, inside, values = _neighbourhood(flat, peak, rows, columns, sigma_px)
    shift = _refine(offsets, inside, values, sigma_px)
    confidence = _correlation(_gaussian(offsets - shift[:, None], sigma_px), values, inside)
    points = peak + shift
    return points.view(count, landmarks, 2), confidence.view(count, landmarks)


def _neighbourhood(
    flat: Tensor, peak: Tensor, rows: int, columns: int, sigma_px: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(p, 2) offsets, and for each of m peaks (m, p) inside the image? and map values, within 2.5 sigma."""
    reach = max(2, round(2.5 * sigma_px))
    side = torch.arange(-reach, reach + 1, device=flat.device)
    offsets = torch.cartesian_prod(side, side).flip(1)
    place = peak[:, None] + offsets
    limits = place.new_tensor([columns, rows])
    inside = ((place >= 0) & (place < limits)).all(dim=-1)
    place = place.clamp(min=0).minimum(limits - 1)
    values = flat.gather(1, place[..., 1] * columns + place[..., 0])
    return offsets.float(), inside.float(), values


def _gaussian(offsets: Tensor, sigma_px: float) -> Tensor:
    return torch.exp(-offsets.square().sum(dim=-1) / (2 * sigma_px**2))


def _refine(offsets: Tensor, inside: Tensor, values: Tensor, sigma_px: float) -> Tensor:
    """(m, 2) sub-pixel shift of each peak by Gauss-Newton on `a g(x - d) + b`."""
    shift = torch.zeros(len(values), 2, device=values.device)
    ridge = 1e-6 * torch.eye(4, device=values.device)
    for _ in range(_REFINEMENTS):
        moved = offsets - shift[:, None]
        gaussian = _gaussian(moved, sigma_px)
        slope = moved / sigma_px**2 * gaussian[..., None]
        basis = torch.cat([gaussian[..., None], slope, torch.ones_like(gaussian)[..., None]], dim=-1)
        weighted = basis * inside[..., None]
        normal = weighted.transpose(1, 2) @ basis + ridge
        solution = torch.linalg.solve(normal, weighted.transpose(1, 2) @ values[..., None])[..., 0]
        height = solution[:, :1]
        step = torch.where(height > 1e-6, solution[:, 1:3] / height.clamp(min=1e-6), torch.zeros_like(shift))
        # The true peak lies within a pixel or so of the highest sample; more would be another peak.
        shift = (shift + step.clamp(-1, 1)).clamp(-1.5, 1.5)
    return shift


def _correlation(ideal: Tensor, values: Tensor, inside: Tensor) -> Tensor:
    """(m,) normalised cross-correlation over the pixels inside the image."""
    number = inside.sum(dim=1, keepdim=True)
    first = (ideal - (ideal * inside).sum(dim=1, keepdim=True) / number) * inside
    second = (values - (values * inside).sum(dim=1, keepdim=True) / number) * inside
    norm = first.norm(dim=1) * second.norm(dim=1)
    return torch.where(norm > 1e-12, (first * second).sum(dim=1) / norm.clamp(min=1e-12), torch.zeros_like(norm))
