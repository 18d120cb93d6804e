"""Things in real X-rays that are not anatomy: tubes, leads, implants, letters, collimator borders, flat bars."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from synthray.augment.operation import Frame, Operation, Params, per_image, uniform

_LINES = 3
_IMPLANTS = 2
_WORDS = 3
_LETTERS = 4
_GLYPHS = "LR0123456789ABCDEFGHIJKMNOPQSTUVWXYZ"
_GLYPH_SIDE = 12


def _plane(images: Tensor, turn: Tensor, center: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates along and across a turned axis, (k, 1, h, w) each, in half image sides around `center` (k, 2)."""
    rows, columns = images.shape[-2:]
    x = torch.linspace(-1, 1, columns, device=images.device).view(1, 1, 1, -1) - per_image(center[:, 0])
    y = torch.linspace(-1, 1, rows, device=images.device).view(1, 1, -1, 1) - per_image(center[:, 1])
    cosine, sine = per_image(turn.cos()), per_image(turn.sin())
    return x * cosine + y * sine, y * cosine - x * sine


def _step(distance: Tensor, softness: Tensor | float) -> Tensor:
    """0 outside, 1 inside, a ramp around distance 0."""
    return (0.5 - distance / softness).clamp(0, 1)


# --- tubes, leads, electrodes ------------------------------------------------------------------------------------


def _draw_lines(rng: np.random.Generator, count: int) -> Params:
    shape = (count, _LINES)
    present = rng.random(shape) < np.array([1, 0.5, 0.25])
    sign = np.where(rng.random((count, 1)) < 0.7, 1, -1)
    return {
        "turn": uniform(rng, 0, 2 * np.pi, shape),
        "center": uniform(rng, -0.8, 0.8, (*shape, 2)),
        "length": uniform(rng, 0.2, 1.6, shape),
        "wave": uniform(rng, -0.25, 0.25, shape),
        "rate": uniform(rng, 0.5, 4, shape),
        "phase": uniform(rng, 0, 2 * np.pi, shape),
        "width": np.exp(uniform(rng, np.log(0.006), np.log(0.05), shape)),
        "hollow": (rng.random(shape) < 0.4).astype(np.float32),
        "knob": uniform(rng, 0.02, 0.09, shape) * (rng.random(shape) < 0.4),
        "strength": (uniform(rng, 0.08, 0.5, shape) * sign * present).astype(np.float32),
    }


def _lines(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Waved bands, solid or with two walls, some with a disc at one end, added to the image."""
    soft = 3.0 / images.shape[-1]
    for line in range(_LINES):
        p = {name: value[:, line] for name, value in params.items()}
        along, across = _plane(images, p["turn"], p["center"])
        middle = per_image(p["wave"]) * torch.sin(along * per_image(p["rate"]) + per_image(p["phase"]))
        distance = (across - middle).abs()
        width = per_image(p["width"])
        wall = _step((distance - width).abs() - width * 0.3, soft)
        solid = _step(distance - width, soft)
        shaft = torch.lerp(solid, 0.3 * solid + 0.7 * wall, per_image(p["hollow"]))
        shaft = shaft * _step(along.abs() - per_image(p["length"]), soft)
        tip = middle.gather(3, along.abs().argmin(dim=3, keepdim=True))
        from_tip = (along.square() + (across - tip).square()).sqrt()
        knob = _step(from_tip - per_image(p["knob"]), soft) * (per_image(p["knob"]) > 0)
        images = images + per_image(p["strength"]) * torch.maximum(shaft, knob)
    return images


# --- implants ------------------------------------------------------------------------------------------------------


def _draw_implants(rng: np.random.Generator, count: int) -> Params:
    """Up to two pieces of metal per image: plates with holes, threaded screws or smooth nails, tapered or not."""
    shape = (count, _IMPLANTS)
    kind = rng.integers(3, size=shape)
    present = rng.random(shape) < np.array([1, 0.5])
    width = np.select(
        [kind == 0, kind == 1],
        [uniform(rng, 0.05, 0.12, shape), uniform(rng, 0.02, 0.05, shape)],
        uniform(rng, 0.02, 0.09, shape),
    )
    return {
        "turn": uniform(rng, 0, 2 * np.pi, shape),
        "center": uniform(rng, -0.8, 0.8, (*shape, 2)),
        "length": width * uniform(rng, 4, 12, shape),
        "width": width.astype(np.float32),
        "taper": uniform(rng, 0, 0.6, shape) * (rng.random(shape) < 0.5),
        "bow": uniform(rng, -0.4, 0.4, shape) * (kind != 1),
        "holes": (kind == 0).astype(np.float32),
        "thread": uniform(rng, 0.15, 0.4, shape) * (kind == 1),
        "value": uniform(rng, 0.9, 1.5, shape),
        "opacity": (uniform(rng, 0.5, 1, shape) * present).astype(np.float32),
    }


def _implants(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Bright, sharply bounded bars over the image, as metal is on a radiograph with bone white."""
    soft = 2.5 / images.shape[-1]
    for piece in range(_IMPLANTS):
        p = {name: per_image(value[:, piece]) for name, value in params.items() if name not in ("turn", "center")}
        along, across = _plane(images, params["turn"][:, piece], params["center"][:, piece])
        across = across + p["bow"] * along.square()
        place = along / p["length"]
        # The pitch of thread and holes is a fixed multiple of the width.
        half = p["width"] * (1 - p["taper"] * (place + 1) / 2)
        half = half * (1 + p["thread"] * torch.sin(along / p["width"] * 9))
        shape = _step(torch.maximum(across.abs() - half, along.abs() - p["length"]), soft)
        spacing = 3 * p["width"]
        from_hole = torch.hypot(along - spacing * torch.round(along / spacing), across)
        shape = shape * (1 - p["holes"] * _step(from_hole - 0.45 * p["width"], soft))
        images = torch.lerp(images, p["value"].expand_as(images), shape * p["opacity"])
    return images


# --- letters -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _glyphs() -> npt.NDArray[np.float32]:
    """(glyphs, 12, 12) letters and digits, and last a filled and a framed square."""
    font = ImageFont.load_default()
    drawn = []
    for letter in _GLYPHS:
        tile = Image.new("L", (_GLYPH_SIDE, _GLYPH_SIDE))
        pen = ImageDraw.Draw(tile)
        left, top, right, bottom = pen.textbbox((0, 0), letter, font=font)
        place = ((_GLYPH_SIDE - right - left) / 2, (_GLYPH_SIDE - bottom - top) / 2)
        pen.text(place, letter, fill=255, font=font)
        drawn.append(np.asarray(tile, dtype=np.float32) / 255)
    filled = np.zeros((_GLYPH_SIDE, _GLYPH_SIDE), dtype=np.float32)
    filled[2:-2, 2:-2] = 1
    framed = filled.copy()
    framed[3:-3, 3:-3] = 0
    return np.stack([*drawn, filled, framed])


def _draw_letters(rng: np.random.Generator, count: int) -> Params:
    """Words of one to four glyphs near the image's edge, half of them the single letters L and R."""
    shape = (count, _WORDS)
    lengths = rng.integers(1, _LETTERS + 1, size=shape)
    glyphs = rng.integers(len(_GLYPHS) + 2, size=(*shape, _LETTERS))
    side_mark = rng.random(shape) < 0.5
    glyphs[..., 0] = np.where(side_mark, rng.integers(2, size=shape), glyphs[..., 0])
    lengths = np.where(side_mark, 1, lengths)
    shown = np.arange(_LETTERS) < lengths[..., None]
    edge = rng.choice([-1.0, 1.0], size=(*shape, 2)) * (0.95 - rng.beta(1, 2.5, size=(*shape, 2)))
    present = rng.random(shape) < np.array([1, 0.5, 0.25])
    return {
        "glyphs": glyphs,
        "shown": shown.astype(np.float32),
        "center": edge.astype(np.float32),
        "height": np.exp(uniform(rng, np.log(0.04), np.log(0.16), shape)),
        "turn": np.where(rng.random(shape) < 0.7, 0, rng.normal(0, 0.4, size=shape)).astype(np.float32),
        "mirror": np.where(rng.random(shape) < 0.1, -1, 1).astype(np.float32),
        "value": np.where(rng.random(shape) < 0.75, uniform(rng, 0.8, 1.3, shape), uniform(rng, -0.2, 0.5, shape)),
        "opacity": (uniform(rng, 0.5, 1, shape) * present).astype(np.float32),
    }


def _letters(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    atlas = torch.from_numpy(_glyphs()).to(images.device)
    for word in range(_WORDS):
        p = {name: value[:, word] for name, value in params.items()}
        tiles = atlas[p["glyphs"]] * p["shown"][..., None, None]
        text = tiles.permute(0, 2, 1, 3).flatten(2)[:, None]
        along, across = _plane(images, p["turn"], p["center"])
        height = per_image(p["height"])
        grid = torch.stack([along / height / _LETTERS * per_image(p["mirror"]), across / height], dim=-1)[:, 0]
        ink = functional.grid_sample(text, grid, align_corners=False) * per_image(p["opacity"])
        images = torch.lerp(images, per_image(p["value"]).expand_as(images), ink)
    return images


# --- borders that hide -------------------------------------------------------------------------------------------


def _outside_values(rng: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
    """Mostly black or white, else any grey."""
    kind = rng.random(count)
    return np.select([kind < 0.5, kind < 0.75], [0.0, 1.0], rng.random(count)).astype(np.float32)


def _draw_collimation(rng: np.random.Generator, count: int) -> Params:
    return {
        "turn": (rng.normal(0, 0.06, size=count)).astype(np.float32),
        "center": uniform(rng, -0.1, 0.1, (count, 2)),
        "half": uniform(rng, 0.72, 1.15, (count, 2)),
        "soft": np.exp(uniform(rng, np.log(0.01), np.log(0.08), count)),
        "value": _outside_values(rng, count),
        "residue": uniform(rng, 0, 0.25, count) * (rng.random(count) < 0.5),
    }


def _collimation(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Outside a turned rectangle the image fades to a constant, with a faint residue of scatter in half the cases."""
    along, across = _plane(images, params["turn"], params["center"])
    half = params["half"]
    distance = torch.maximum(along.abs() - per_image(half[:, 0]), across.abs() - per_image(half[:, 1]))
    open_field = _step(distance, per_image(params["soft"]))
    residue = per_image(params["residue"])
    shade = per_image(params["value"]) * (1 - residue) + images * residue
    return torch.lerp(shade, images, open_field), open_field > 0.5


def _draw_borders(rng: np.random.Generator, count: int) -> Params:
    """Bars of up to an eighth of the side along one or both pairs of sides, often equally wide."""
    pair = uniform(rng, 0, 0.125, (count, 2, 1)) * (rng.random((count, 2, 1)) < 0.6)
    unequal = np.where(rng.random((count, 2, 1)) < 0.5, uniform(rng, 0, 2, (count, 2, 2)).clip(0, 1), 1)
    return {"bars": (pair * unequal).astype(np.float32), "value": _outside_values(rng, count)}


def _borders(images: Tensor, params: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    rows, columns = images.shape[-2:]
    across = (torch.arange(columns, device=images.device) + 0.5).view(1, 1, 1, -1) / columns
    down = (torch.arange(rows, device=images.device) + 0.5).view(1, 1, -1, 1) / rows
    bars = params["bars"]
    inside = (across > per_image(bars[:, 0, 0])) & (across < 1 - per_image(bars[:, 0, 1]))
    inside = inside & (down > per_image(bars[:, 1, 0])) & (down < 1 - per_image(bars[:, 1, 1]))
    return torch.where(inside, images, per_image(params["value"])), inside


OVERLAYS: dict[str, Operation] = {
    "lines": Operation(_draw_lines, _lines),
    "letters": Operation(_draw_letters, _letters),
    "implants": Operation(_draw_implants, _implants),
}
FRAMES: dict[str, Frame] = {
    "collimation": Frame(_draw_collimation, _collimation),
    "borders": Frame(_draw_borders, _borders),
}
