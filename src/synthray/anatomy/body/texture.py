"""Texture inside tissues: periodic tiles of power-law noise, drawn once per person and added in one pass."""

from __future__ import annotations

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.fields import in_slabs

# Edges of the two tiles in voxels; their common period is longer than any body.
_EDGES = (96, 77)
# Spectral exponent of lung, fat, flesh and spongy bone; a projection keeps the exponent of an isotropic field.
_EXPONENTS = (2.6, 2.6, 2.8, 1.8)
# One standard deviation: HU in lung, fat and flesh, share of the HU in spongy bone.
_AMOUNTS = (48.0, 16.0, 14.0, 0.3)


def paint_texture(canvas: Canvas, rng: np.random.Generator) -> None:
    """Add texture to the whole canvas: lung's small vessels, fat's septa, muscle's streaks, trabeculae."""
    from synthray.anatomy.body.soft_kernels import add_tiles

    first, second = (_tiles(edge, canvas.voxel_mm, rng) for edge in _EDGES)
    amounts = np.array(_AMOUNTS)

    def slab(rows: slice) -> None:
        add_tiles(canvas.hu[rows], first, second, amounts, rows.start)

    in_slabs(canvas.hu.shape[0], slab)


def _tiles(edge: int, voxel_mm: float, rng: np.random.Generator) -> Floats:
    """(4, edge, edge, edge) float32 tiles of unit variance for lung, fat, flesh and spongy bone."""
    axis = np.fft.fftfreq(edge, voxel_mm)
    x, y, z = axis[:, None, None], axis[None, :, None], np.fft.rfftfreq(edge, voxel_mm)[None, None, :]
    # Trabeculae of bones and fibres of muscle run mostly up and down, so they vary less along z.
    stretched = (1.0, 1.0, 2.5, 1.8)
    found = np.empty((4, edge, edge, edge), dtype=np.float32)
    for kind, (exponent, along) in enumerate(zip(_EXPONENTS, stretched, strict=True)):
        white = np.fft.rfftn(rng.standard_normal((edge, edge, edge), dtype=np.float32))
        # Nothing varies more slowly than over 6 cm, so that organs keep their mean.
        scale = np.sqrt(x**2 + y**2 + (along * z) ** 2 + (1 / 60) ** 2)
        field = np.fft.irfftn(white * scale ** (-exponent / 2), s=(edge,) * 3, axes=(0, 1, 2))
        field = (field - field.mean()) / field.std()
        if kind == 0:
            # Lung has sparse dense spots (small vessels) on a dark ground.
            field = np.exp(0.7 * field)
        elif kind == 1:
            # Septa: thin sheets where the noise changes sign.
            field = np.exp(-np.abs(field) / 0.35) + 0.25 * field
        found[kind] = (field - field.mean()) / field.std()
    return found
