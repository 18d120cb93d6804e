"""Texture inside tissues: periodic tiles of power-law noise, drawn once per person and added in one pass."""

from __future__ import annotations

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.fields import in_slabs

# Edges of the two tiles in voxels, which share no divisor, so that their common period is longer than any body.
_EDGES = ((32, 27), (48, 35), (64, 55), (80, 63), (96, 77))
# A tile needs to be a little longer than the slowest variation below.
_TILE_MM = 180.0
# Spectral exponent and one standard deviation in HU of lung, fat, flesh and spongy bone, set so that means over cubes
# of 3, 6 and 12 mm spread as in real CTs (benchmarks/body/texture.py). A projection keeps the exponent.
_EXPONENTS = (2.6, 2.4, 2.4, 2.0)
_AMOUNTS = (46.0, 17.0, 12.0, 42.0)
_BONES = ("vertebrae", "rib_", "sternum", "clavicula", "scapula", "humerus", "ulna", "radius", "hip_", "sacrum",
          "femur", "tibia", "fibula", "patella", "skull")  # fmt: skip


def paint_texture(canvas: Canvas, rng: np.random.Generator) -> None:
    """Add texture to the whole canvas: lung's small vessels, fat's septa, muscle's streaks, trabeculae."""
    from synthray.anatomy.body.soft_kernels import add_tiles

    edges = next((pair for pair in _EDGES if pair[0] * canvas.voxel_mm >= _TILE_MM), _EDGES[-1])
    first, second = (_tiles(edge, canvas.voxel_mm, rng) for edge in edges)
    amounts, bone = np.array(_AMOUNTS), np.zeros(256, dtype=bool)
    for code, name in canvas.names.items():
        bone[code] = name.startswith(_BONES)

    def slab(rows: slice) -> None:
        add_tiles(canvas.hu[rows], canvas.codes[rows], first, second, amounts, bone, rows.start)

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
