"""Affine and smooth elastic changes of geometry: one resampling for images and masks, exact for landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from synthray.augment.config import AugmentConfig
from synthray.augment.operation import uniform
from synthray.errors import InputError

Floats = npt.NDArray[np.float32]

_CONTROL_POINTS = 6
_ELASTIC_SHARE = 0.04
# The release crops 320 of 360 pixels.
_CROP_SHARE = 320 / 360
_INVERSION_STEPS = 12


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where each of n images goes.

    Attributes:
        linear: (n, 2, 2) input offset from the image centre, in pixels, -> output offset.
        shift: (n, 2) output shift as a fraction of the image sides (columns, rows).
        elastic: (n, 2, 6, 6) displacement of the sampled place at a grid of control points that spans the image, as
            a fraction of the sides; or None.
        mirrored: (n,) bool, the determinant of `linear` is negative.
    """

    linear: Floats
    shift: Floats
    elastic: Floats | None
    mirrored: npt.NDArray[np.bool_]


def draw_geometry(config: AugmentConfig, count: int, rng: np.random.Generator) -> Geometry | None:
    """Random geometry for `count` images; None when every image stays as it is."""
    turned = rng.random(count) < (config.affine if config.preset != "none" else 0)
    cropped = rng.random(count) < (0.5 if config.preset == "strong" else 0)
    mirrored = rng.random(count) < config.flip
    bent = rng.random(count) < config.elastic
    linear, moved = _affine(config, turned, rng)
    linear[mirrored, :, 0] *= -1
    zoom = np.where(cropped, 1 / _CROP_SHARE, 1).astype(np.float32)
    freedom = (zoom[:, None] - 1) / 2
    shift = (moved * zoom[:, None] + freedom * uniform(rng, -1, 1, (count, 2))).astype(np.float32)
    shape = (count, 2, _CONTROL_POINTS, _CONTROL_POINTS)
    elastic = _ELASTIC_SHARE * uniform(rng, -1, 1, shape) * bent[:, None, None, None]
    if not (turned | cropped | mirrored | bent).any():
        return None
    return Geometry(linear * zoom[:, None, None], shift, elastic if bent.any() else None, mirrored)


def _affine(config: AugmentConfig, turned: npt.NDArray[np.bool_], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(n, 2, 2) rotation x shear x stretch x magnification and (n, 2) shift; identity where not turned."""
    count = len(turned)
    angle = np.deg2rad(uniform(rng, -config.rotation_deg, config.rotation_deg, count)) * turned
    shear = np.tan(np.deg2rad(uniform(rng, -config.shear_deg, config.shear_deg, (count, 2)))) * turned[:, None]
    scale = np.where(turned, uniform(rng, config.scale[0], config.scale[1], count), 1)
    direction = uniform(rng, 0, 2 * np.pi, count)
    length = uniform(rng, 0, config.translation, count) * turned
    rotation = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    shearing = np.tile(np.eye(2), (count, 1, 1))
    shearing[:, 0, 1], shearing[:, 1, 0] = shear[:, 0], shear[:, 1]
    linear = rotation @ shearing * scale[:, None, None]
    if config.stretch > 1:
        ratio = config.stretch ** (uniform(rng, -1, 1, count) * turned)
        linear = linear * np.sqrt(np.stack([1 / ratio, ratio], axis=1))[:, None, :]
    shift = np.stack([np.cos(direction), np.sin(direction)], axis=1) * length[:, None]
    return linear.astype(np.float32), shift.astype(np.float32)


def apply_geometry(
    geometry: Geometry,
    images: Tensor,
    masks: Tensor,
    points: Tensor,
    visible: Tensor,
    orders: tuple[Sequence[int] | None, Sequence[int] | None],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, masks, landmarks and visibility in the new geometry; what lies outside is filled by reflection.

    Raises:
        InputError: an image is mirrored but the order of its mirrored structures or landmarks is not given.
    """
    rows, columns = images.shape[-2:]
    sides = torch.tensor([columns, rows], dtype=torch.float32, device=images.device)
    linear = torch.from_numpy(geometry.linear).to(images.device)
    shift = torch.from_numpy(geometry.shift).to(images.device) * sides
    bend = None if geometry.elastic is None else _dense(geometry.elastic, rows, columns, images.device)
    place = _sampled_places(linear, shift, bend, rows, columns)
    stack = torch.cat([images, masks.to(images.dtype)], dim=1)
    grid = (2 * place + 1) / sides - 1
    moved = functional.grid_sample(stack, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    images, masks = moved[:, :1].contiguous(), moved[:, 1:] > 0.5
    points = _moved_points(points, linear, shift, bend, sides)
    if geometry.mirrored.any():
        mirrored = torch.from_numpy(geometry.mirrored).to(images.device)
        masks = _reordered(masks, mirrored, orders[0], "structure")
        points = _reordered(points, mirrored, orders[1], "landmark")
        visible = _reordered(visible, mirrored, orders[1], "landmark")
    return images, masks, points, visible


def _dense(elastic: Floats, rows: int, columns: int, device: torch.device) -> Tensor:
    """(n, 2, rows, columns) displacement in pixels; the outer control points are the corner pixels' centres."""
    coarse = torch.from_numpy(elastic).to(device)
    fine = functional.interpolate(coarse, size=(rows, columns), mode="bicubic", align_corners=True)
    return fine * torch.tensor([columns, rows], dtype=torch.float32, device=device).view(1, 2, 1, 1)


def _sampled_places(linear: Tensor, shift: Tensor, bend: Tensor | None, rows: int, columns: int) -> Tensor:
    """(n, rows, columns, 2) where in the input each output pixel is read, (column, row)."""
    device = linear.device
    center = torch.tensor([(columns - 1) / 2, (rows - 1) / 2], device=device)
    across, down = torch.arange(columns, device=device), torch.arange(rows, device=device)
    pixel = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1).float()
    inverse = torch.linalg.inv(linear)
    offset = pixel.view(1, -1, 2) - center - shift[:, None]
    place = (offset @ inverse.transpose(1, 2) + center).view(-1, rows, columns, 2)
    return place if bend is None else place + bend.permute(0, 2, 3, 1)


def _moved_points(points: Tensor, linear: Tensor, shift: Tensor, bend: Tensor | None, sides: Tensor) -> Tensor:
    """Where the landmarks are found in the output: the inverse of `_sampled_places`, by fixed-point iteration."""
    center = (sides - 1) / 2

    def forward(source: Tensor) -> Tensor:
        return (source - center) @ linear.transpose(1, 2) + center + shift[:, None]

    found = forward(points)
    if bend is None or points.shape[1] == 0:
        return found
    for _ in range(_INVERSION_STEPS):
        grid = torch.nan_to_num(found[:, None] * 2 / (sides - 1) - 1)
        there = functional.grid_sample(bend, grid, padding_mode="border", align_corners=True)
        found = forward(points - there[:, :, 0].transpose(1, 2))
    return found


def _reordered(values: Tensor, mirrored: Tensor, order: Sequence[int] | None, what: str) -> Tensor:
    if values.shape[1] == 0:
        return values
    if order is None:
        raise InputError(f"mirroring needs the {what} order of a mirrored image: give {what}_order or set flip to 0")
    swapped = values[:, list(order)]
    shape = (-1, *[1] * (values.ndim - 1))
    return torch.where(mirrored.view(shape), swapped, values)
