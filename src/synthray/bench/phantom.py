"""An ellipsoid body with labelled ellipsoids inside: voxels at any resolution, and its exact projection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient, basis_densities
from synthray.geometry import Camera, CArm

SIDE_MM = 256.0
AIR_HU = -1000
BODY_HU = 0
# Lung to dense bone, so that both basis densities vary.
STRUCTURE_HU = (-600, -80, 60, 300, 700, 1200)
# Nothing is centred or mirror symmetric: a flipped or turned image can't pass for the right one.
BODY_CENTER = (0.012, -0.02, 0.015)
BODY_RADII = (0.43, 0.31, 0.45)

# The geometry of the peers' comparison: a 512 mm detector at 1020 mm, the isocentre half-way.
SOURCE_TO_DETECTOR_MM = 1020.0
SOURCE_TO_ISOCENTER_MM = 510.0
DETECTOR_MM = 512.0
GOLDEN_ANGLE_DEG = 137.508
FIRST_LAO_DEG = 20.0
CRAN_DEG = 10.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """An axis-aligned ellipsoid of one CT number.

    Attributes:
        center_mm: (3,) patient mm.
        radii_mm: (3,) half axes.
        hu: CT number inside.
    """

    center_mm: Floats
    radii_mm: Floats
    hu: int

    def chords_mm(self, source_mm: Floats, directions: Floats) -> Floats:
        """Length (...,) of rays from a point along unit directions (..., 3) inside: the roots of |o + t d|² = 1."""
        o, d = (source_mm - self.center_mm) / self.radii_mm, directions / self.radii_mm
        a, b, c = (d * d).sum(-1), (d * o).sum(-1), (o * o).sum(-1) - 1
        return 2 * np.sqrt(np.maximum(b * b - a * c, 0)) / a


@dataclass(frozen=True, eq=False)
class Phantom:
    """A body of soft tissue and the structures inside it, which don't overlap.

    Attributes:
        body: not labelled.
        structures: each with its own label, in order `structure_1`, `structure_2`, ….
    """

    body: Ellipsoid
    structures: tuple[Ellipsoid, ...]

    def patient(self, voxels: int) -> Patient:
        """The phantom on a cube of `voxels`³ of `SIDE_MM`, centred on the origin; a voxel is what its centre is."""
        hu = np.full((voxels,) * 3, AIR_HU, dtype=np.int16)
        codes = np.zeros(hu.shape, dtype=np.uint8 if len(self.structures) < 256 else np.uint16)
        axis_mm: Floats = (np.arange(voxels, dtype=np.float64) - (voxels - 1) / 2) * (SIDE_MM / voxels)
        for code, ellipsoid in enumerate((self.body, *self.structures)):
            _fill(hu, codes, axis_mm, ellipsoid, code)
        affine = np.diag([SIDE_MM / voxels] * 3 + [1.0])
        affine[:3, 3] = axis_mm[0]
        names = {code: f"structure_{code}" for code in range(1, len(self.structures) + 1)}
        labels = codes if names else None
        return Patient.from_arrays(hu, affine, labels, names, name=f"phantom {voxels}³")

    def area_density(self, source_mm: Floats, directions: Floats) -> Floats:
        """Exact (2, ...) g/cm² along rays from a point in unit directions (..., 3); adipose, then cortical bone."""
        numbers = np.array([[[self.body.hu, *(s.hu for s in self.structures)]]], dtype=np.int16)
        density = basis_densities(numbers)[0, 0].astype(np.float64)
        total = np.multiply.outer(density[0], self.body.chords_mm(source_mm, directions))
        for structure, inside in zip(self.structures, density[1:], strict=True):
            total += np.multiply.outer(inside - density[0], structure.chords_mm(source_mm, directions))
        return 0.1 * total


def make_phantom(structures: int, seed: int = 0) -> Phantom:
    """A phantom with that many labelled structures, the same for the same arguments."""
    rng = np.random.Generator(np.random.Philox(key=[seed, structures]))
    body = Ellipsoid(np.array(BODY_CENTER) * SIDE_MM, np.array(BODY_RADII) * SIDE_MM, BODY_HU)
    cells = 1
    while len(places := _cells_inside(cells)) < structures:
        cells += 1
    chosen = rng.permutation(len(places))[:structures]
    return Phantom(body, tuple(_structure(body, places[place], 1 / cells, rng) for place in chosen))


def bench_views(pixels: int, count: int = 1) -> list[Camera]:
    """Oblique views from all around, a golden angle apart, on a square detector of `pixels`²."""
    carm = CArm(
        name="bench",
        rows=pixels,
        columns=pixels,
        pixel_mm=DETECTOR_MM / pixels,
        source_to_detector_mm=SOURCE_TO_DETECTOR_MM,
        source_to_isocenter_mm=SOURCE_TO_ISOCENTER_MM,
        max_orbit_deg=180,
        max_tilt_deg=90,
    )
    angles = [(FIRST_LAO_DEG + GOLDEN_ANGLE_DEG * n + 180) % 360 - 180 for n in range(count)]
    return [carm.view((0, 0, 0), lao_deg=lao, cran_deg=CRAN_DEG, view="ap") for lao in angles]


def _cells_inside(cells: int) -> Floats:
    """Centres (N, 3) of the cells of a cells³ grid over [-1, 1]³ whose middle halves lie in the unit ball."""
    axis = (np.arange(cells) + 0.5) * 2 / cells - 1
    centers = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return centers[np.linalg.norm(centers, axis=1) + 1 / cells <= 1.0 + 1e-9]


def _structure(body: Ellipsoid, cell: Floats, half: float, rng: np.random.Generator) -> Ellipsoid:
    """An ellipsoid somewhere in a cell of half-width `half`, in units of the body's radii around its centre."""
    radii = rng.uniform(0.4, 0.7, 3) * min(half, 0.6)
    center = cell + rng.uniform(-1, 1, 3) * (half - radii) * 0.5
    # Where the shift would push it out of the unit ball, the ellipsoid shrinks.
    radii *= min(1.0, (1 - float(np.linalg.norm(center))) / float(radii.max()))
    hu = int(rng.choice(STRUCTURE_HU))
    return Ellipsoid(body.center_mm + center * body.radii_mm, radii * body.radii_mm, hu)


def _fill(
    hu: npt.NDArray[np.int16], codes: npt.NDArray[np.unsignedinteger], axis_mm: Floats, shape: Ellipsoid, code: int
) -> None:
    """Draw one ellipsoid, plane by plane so that no second volume is needed."""
    squares = [((axis_mm - c) / r) ** 2 for c, r in zip(shape.center_mm, shape.radii_mm, strict=True)]
    i, j, k = (np.flatnonzero(square < 1) for square in squares)
    if not (len(i) and len(j) and len(k)):
        return
    rows, columns = slice(j[0], j[-1] + 1), slice(k[0], k[-1] + 1)
    across = squares[1][rows, None] + squares[2][None, columns]
    for plane in i:
        inside = across < 1 - squares[0][plane]
        hu[plane, rows, columns][inside] = shape.hu
        codes[plane, rows, columns][inside] = code
