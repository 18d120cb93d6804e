"""The level `realistic` of `synthray.imaging` on tensors: the same numbers, where the area densities already are.

Settings, spectra, kernels and exposure control are small and come from `synthray.imaging` as they are; only what has
the size of an image is done here. Every step but the noise's draw is differentiable in the area densities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from synthray.errors import InputError
from synthray.imaging import DetectorGeometry, ImagingSettings, Nodes, Scatter, nodes, photons_per_pixel
from synthray.imaging.blur import focal_spot_sigma_mm, gaussian_taps
from synthray.imaging.collimator import opening
from synthray.imaging.exposure import control_exposure
from synthray.imaging.scatter import (
    BLOCKS,
    ladder_shares,
    ladder_spread,
    scatter_kernels,
    scatter_table,
    signal_through_grid,
    source_polynomial,
    water_equivalents,
)
from synthray.imaging.signal import DEFAULT_FLOOR

# Pixels along a side of what the exposure control sees on the host.
_COARSE = 64


def radiograph(
    area_density: torch.Tensor,
    settings: ImagingSettings | Sequence[ImagingSettings],
    geometry: DetectorGeometry | Sequence[DetectorGeometry],
    generator: torch.Generator | None = None,
    *,
    noise: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Radiographs from area densities at the level `realistic`, see `imaging.make_image`.

    Args:
        area_density: (view, M, row, column) float32 g/cm² of adipose, cortical bone and the settings' extra materials.
        settings: for all views, or one for each. Without mas the exposure control decides, on a coarse host copy.
        geometry: for all views, or one for each.
        generator: source of randomness, on the tensor's device.
        noise: False leaves out quantum and read-out noise.

    Returns:
        (view, row, column) -ln(signal / open-field signal), and the signal itself.

    Raises:
        InputError: shapes or counts differ.
    """
    if area_density.ndim != 4:
        raise InputError(f"area density must have shape (view, material, row, column), got {tuple(area_density.shape)}")
    views = len(area_density)
    one_each = _for_each(settings, views, "settings"), _for_each(geometry, views, "geometry")
    shots = [
        _view(density, setting, place, generator, noise)
        for density, setting, place in zip(area_density.float(), *one_each, strict=True)
    ]
    logs, signals = zip(*shots, strict=True)
    return torch.stack(logs), torch.stack(signals)


def _for_each(given: Any, views: int, what: str) -> list[Any]:
    many = list(given) if isinstance(given, Sequence) else [given] * views
    if len(many) != views:
        raise InputError(f"{len(many)} {what} for {views} views; give one, or one for each")
    return many


def _view(
    density: torch.Tensor,
    settings: ImagingSettings,
    geometry: DetectorGeometry,
    generator: torch.Generator | None,
    noise: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    if len(density) != 2 + len(settings.extra_materials):
        raise InputError(
            f"{len(density)} materials in the area density, {2 + len(settings.extra_materials)} in the settings"
        )
    detector, pixel_mm, distance_mm = settings.detector, geometry.pixel_mm, geometry.source_to_detector_mm
    if settings.table_g_cm2:
        density = torch.cat([density[:1] + settings.table_g_cm2, density[1:]])
    beam, mas, grid = _controlled(density, settings, distance_mm)
    spot_px = focal_spot_sigma_mm(geometry.magnification, settings.focal_spot_mm) / pixel_mm
    primary, variance = (_blurred(one, spot_px) for one in _transmission_and_variance(density, beam))
    if settings.collimator is not None:
        field = _like(primary, opening(settings.collimator, primary.shape[0], primary.shape[1], pixel_mm))
        primary, variance = primary * field, variance * field
    veil = scattered(primary, density, beam, settings.scatter, pixel_mm, distance_mm, settings.extra_materials)
    signal, variance = primary + veil, variance + veil * float(beam.variance_weight.sum())
    photons = grid * photons_per_pixel(beam, mas, distance_mm, pixel_mm)
    readout = detector.electronic_noise_photons * (pixel_mm / detector.pixel_mm) / photons
    if noise:
        signal = _with_quantum_noise(signal, variance, photons, geometry, generator)
    signal = _blurred(signal, detector.blur_sigma_mm / pixel_mm)
    if noise and readout > 0:
        signal = signal + readout * torch.randn(signal.shape, generator=generator, device=signal.device)
    floor = min(1.0, max(DEFAULT_FLOOR, readout))
    return -torch.log(signal.clamp_min(floor)), signal


def _controlled(density: torch.Tensor, settings: ImagingSettings, distance_mm: float) -> tuple[Nodes, float, float]:
    """Beam, mAs and the grid's transmission; see `imaging.levels`."""
    tube, count, extra = settings.tube, settings.energies, settings.extra_materials
    beam = nodes(tube, settings.detector, count, extra)
    if settings.mas is not None:
        return beam, settings.mas, signal_through_grid(settings.scatter, beam)
    step = max(1, min(density.shape[-2:]) // _COARSE)
    coarse = density[:, ::step, ::step].detach().cpu().numpy()
    passing = signal_through_grid(settings.scatter, beam)
    tube, mas = control_exposure(coarse, tube, settings.detector, settings.exposure, distance_mm, passing, extra)
    beam = nodes(tube, settings.detector, count, extra)
    return beam, mas, signal_through_grid(settings.scatter, beam)


def _transmission_and_variance(density: torch.Tensor, beam: Nodes) -> tuple[torch.Tensor, torch.Tensor]:
    attenuation = _like(density, beam.basis_attenuation_cm2_g)
    passed = torch.exp(-torch.einsum("km,mrc->krc", attenuation, density))
    weights = _like(density, [beam.weight, beam.variance_weight])
    both = torch.einsum("sk,krc->src", weights, passed)
    return both[0], both[1]


def _with_quantum_noise(
    signal: torch.Tensor,
    variance: torch.Tensor,
    photons: float,
    geometry: DetectorGeometry,
    generator: torch.Generator | None,
) -> torch.Tensor:
    """Compound Poisson: quanta of equal gain with the right mean and variance; see `imaging.quantum_noise`."""
    per_pixel = torch.full_like(signal, photons)
    if geometry.falloff is not None:
        per_pixel = per_pixel * _like(signal, geometry.falloff)
    lit = (signal > 1e-20) & (variance > 1e-20) & (per_pixel > 1e-12)
    gain = torch.where(lit, variance / (signal * per_pixel).clamp_min(1e-30), torch.zeros_like(signal))
    quanta = torch.where(lit, signal / gain.clamp_min(1e-30), torch.zeros_like(signal))
    return torch.poisson(quanta.detach(), generator=generator) * gain


def _blurred(image: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """Gaussian blur with the taps of `imaging.gaussian`; beyond the image lies its mirror image, edge pixels twice."""
    if sigma_px < 0.1:
        return image
    one_side = _like(image, gaussian_taps(sigma_px))
    taps = torch.cat([one_side[1:].flip(0), one_side])
    for axis in (-2, -1):
        size, radius = image.shape[axis], len(one_side) - 1
        index = torch.arange(-radius, size + radius, device=image.device) % (2 * size)
        padded = image.index_select(axis, torch.minimum(index, 2 * size - 1 - index))
        image = (padded.unfold(axis, len(taps), 1) * taps).sum(-1)
    return image


def scattered(
    primary: torch.Tensor,
    density: torch.Tensor,
    beam: Nodes,
    scatter: Scatter,
    pixel_mm: float,
    source_to_detector_mm: float,
    materials: Sequence[str] = (),
) -> torch.Tensor:
    """Scatter of one view as a fraction of the open field's signal; see `imaging.scattered`.

    Args:
        primary: (row, column).
        density: (M, row, column) g/cm².
        beam: spectrum and detector.
        scatter: gap, grid, strength.
        pixel_mm: pixel pitch at the detector.
        source_to_detector_mm: along the central ray.
        materials: what the channels after the two tissues are of.
    """
    if scatter.strength == 0 or scatter.ratio == 0:
        return torch.zeros_like(primary)
    half_mm, table = min(primary.shape) * pixel_mm / 2, scatter_table()
    amplitude, sigma = scatter_kernels(scatter, beam, source_to_detector_mm, half_mm, table)
    thickness = torch.einsum("m,mrc->rc", _like(density, water_equivalents(materials)), density).clamp(
        0, float(table.thickness_g_cm2[-1])
    )
    source = torch.zeros_like(primary)
    for factor in reversed(source_polynomial(amplitude.sum(axis=1)).tolist()):
        source = source * thickness + factor
    source = source * thickness * primary
    block = -(-max(primary.shape) // BLOCKS)
    strength = _block_means(source, block)
    mean = _block_means(thickness * source, block) / strength.clamp_min(torch.finfo(primary.dtype).tiny)
    rungs, shares = ladder_shares(amplitude, sigma)
    layers = strength * _interpolated(mean, table.thickness_g_cm2, shares)
    down, across = (_like(primary, ladder_spread(tuple(rungs), n, block * pixel_mm)) for n in strength.shape)
    veil = (down @ layers @ across.transpose(-1, -2)).sum(dim=0)
    for axis, size in enumerate(primary.shape):
        position = (torch.arange(size, device=primary.device) + 0.5) / block + 0.5
        lower = position.floor().long()
        part = (position - lower).to(primary)
        part = part[:, None] if axis == 0 else part
        veil = veil.index_select(axis, lower) * (1 - part) + veil.index_select(axis, lower + 1) * part
    return veil


def _block_means(image: torch.Tensor, block: int) -> torch.Tensor:
    rows, columns = image.shape
    full = torch.nn.functional.pad(image, (0, -columns % block, 0, -rows % block))
    return torch.nn.functional.avg_pool2d(full[None, None], block)[0, 0]


def _interpolated(at: torch.Tensor, knots: Any, values: Any) -> torch.Tensor:
    """(L, row, column) values (L, T) between knots (T,), linear, constant beyond."""
    x, y = _like(at, knots), _like(at, values)
    inside = at.clamp(float(x[0]), float(x[-1]))
    upper = torch.searchsorted(x, inside.contiguous()).clamp(1, len(x) - 1)
    part = (inside - x[upper - 1]) / (x[upper] - x[upper - 1])
    return y[:, upper - 1] * (1 - part) + y[:, upper] * part


def _like(other: torch.Tensor, values: Any) -> torch.Tensor:
    """Numbers as a tensor of another's type and device; a copy, since settings are kept read-only."""
    return torch.tensor(np.asarray(values), dtype=other.dtype, device=other.device)
