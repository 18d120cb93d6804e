"""A simple skull: vault of two tables, base, face with orbits, sinuses and teeth, and the mandible."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats
from synthray.anatomy.body.frame import Frame
from synthray.anatomy.body.shapes import Part, ball, block, paint, rod, sheet, spline

AIR_HU, BRAIN_HU = -980.0, 34.0
_SIDES = (-1, 1)
Place = Callable[..., Floats]


def paint_skull(canvas: Canvas, frame: Frame) -> dict[str, Floats]:
    """Brain, skull, teeth and the air in sinuses and mastoids; returns named points of the face and base."""
    center, size = frame.skull_center_mm(), frame.skull_radii_mm / np.array([73.0, 90.0, 68.0])

    def at(*point: float) -> Floats:
        """A point given in mm from the braincase's middle (left, back, up) for a skull of ordinary size."""
        return np.asarray(center + np.array(point) * size)

    k = float(size.mean())
    _paint_brain(canvas, at, frame.skull_radii_mm, k)
    # TotalSegmentator's `skull` holds the mandible and the teeth.
    paint(
        canvas,
        [*_vault(at, frame, k), *_base(at, k), *_face(at, k), *_hollows(at, k)],
        frame.bone(1250, 380, 1.6),
        "skull",
    )
    paint(canvas, _mandible(at, k), frame.bone(1450, 280, 2.2), "skull")
    _paint_teeth(canvas, at, frame, k)
    for box in _sinuses(at, k):
        canvas.ellipsoid(box[0], box[1], AIR_HU, None)
    return {"nasion": at(0, -90, -26), "menton": at(0, -84, -143), "vertex": at(0, 4, 68), "inion": at(0, 89, -28),
            "sella": at(0, -18, -38)}  # fmt: skip


def _paint_brain(canvas: Canvas, at: Place, radii: Floats, k: float) -> None:
    canvas.ellipsoid(at(0, 0, 2), radii - 6.0 * k, BRAIN_HU, "brain")
    canvas.ellipsoid(at(0, 38, -36), np.array([50, 40, 26]) * k, BRAIN_HU, "brain")


def _vault(at: Place, frame: Frame, k: float) -> list[Part]:
    radii, thick = frame.skull_radii_mm, 6.0 * k
    return [
        ball(at(0, 0, 0), radii),
        ball(at(0, 40, -34), np.array([56, 47, 33]) * k, blend_mm=20),
        ball(at(0, -60, -12), np.array([50, 31, 30]) * k, blend_mm=18),
        ball(at(0, 1, 1), radii - thick).cutting(2),
        ball(at(0, 40, -33), np.array([56, 47, 33]) * k - 0.8 * thick).cutting(8),
        ball(at(0, -56, -8), np.array([42, 24, 22]) * k).cutting(8),
        rod([at(0, 6, -50), at(0, 4, -90)], 15 * k).cutting(3),
    ]


def _base(at: Place, k: float) -> list[Part]:
    """Petrous bones, clivus, mastoids, occipital condyles and the floor between the fossae."""
    rows = [
        [at(x, y, z) for x in (-30, -12, 0, 12, 30)]
        for y, z in ((-62, -34), (-40, -34), (-22, -40), (-12, -52), (-3, -62))
    ]
    parts = [sheet(np.array(rows), np.array([[3] * 5, [3.5] * 5, [6] * 5, [9] * 5, [8] * 5]) * k, blend_mm=5)]
    for side in _SIDES:
        parts += [
            rod(
                [at(side * 60, 12, -46), at(side * 34, 0, -44), at(side * 14, -12, -46)],
                np.array([12, 9, 6]) * k,
                blend_mm=8,
            ),
            rod([at(side * 60, 16, -48), at(side * 54, 14, -76)], np.array([13, 7]) * k, blend_mm=8),
            rod([at(side * 14, 0, -62), at(side * 11, -6, -68)], 6 * k, blend_mm=5),
            rod(
                [at(side * 24, -34, -38), at(side * 50, -38, -28), at(side * 60, -40, -12)],
                np.array([5, 3.5, 4]) * k,
                blend_mm=5,
            ),
            rod(
                [at(side * 16, -30, -50), at(side * 18, -34, -80)],
                np.array([6, 3]) * k,
                np.array([4, 2.5]) * k,
                blend_mm=4,
            ),
        ]
    sella = [
        rod([at(-9, -10, -33), at(9, -10, -33)], 2.4 * k),
        ball(at(0, -18, -34), np.array([9, 6, 5]) * k).cutting(1.5),
    ]
    return [*parts, *sella]


def _face(at: Place, k: float) -> list[Part]:
    parts = [block(at(0, -80, -74), np.array([27, 17, 20]) * k, rounding_mm=9, blend_mm=8),
             rod([at(0, -89, -26), at(0, -99, -46)], np.array([6, 4]) * k, blend_mm=5),
             rod(spline([at(-24, -62, -93), at(-20, -84, -93), at(0, -94, -93), at(20, -84, -93), at(24, -62, -93)],
             20), 7 * k,
                 5.5 * k, blend_mm=4)]  # fmt: skip
    for side in _SIDES:
        rim = np.array([at(side * (34 + 19 * np.cos(a)), -82 + 8 * abs(np.cos(a)) + (8 if np.cos(a) > 0 else 0),
            -39 + 17 * np.sin(a))
                        for a in np.linspace(0, 2 * np.pi, 25)])  # fmt: skip
        parts += [
            rod(rim, 3.6 * k, blend_mm=5),
            rod(
                spline(
                    [at(side * 36, -74, -58), at(side * 54, -62, -58), at(side * 66, -30, -54), at(side * 64, -6, -50)],
                    16,
                ),
                np.interp(np.arange(16), [0, 5, 15], [9, 6, 3.6]) * k,
                np.interp(np.arange(16), [0, 5, 15], [6, 3.5, 2.6]) * k,
                blend_mm=6,
            ),
        ]
    return parts


def _hollows(at: Place, k: float) -> list[Part]:
    """Orbits, nasal cavity and maxillary sinuses as cavities in the bone."""
    parts = [rod([at(0, -100, -66), at(0, -40, -62)], 17 * k, 9 * k).cutting(2)]
    for side in _SIDES:
        orbit = [at(side * 34, -92, -40), at(side * 33, -74, -40), at(side * 20, -40, -38)]
        parts.append(rod(orbit, np.array([18, 17, 4]) * k).cutting(3))
        parts.append(ball(at(side * 27, -68, -68), np.array([13, 16, 14]) * k).cutting(2))
    return parts


def _sinuses(at: Place, k: float) -> list[tuple[Floats, Floats]]:
    """(centre, radii) of the air spaces: frontal, sphenoid, maxillary, nasal, mastoid cells, pharynx."""
    spaces: list[tuple[Floats, tuple[float, float, float]]] = [(at(0, -32, -46), (11, 10, 8)), (at(0, -72, -64), (7,
        28, 16)), (at(0, -26, -82), (11, 7, 20)),
              (at(0, -86, -14), (17, 3, 8)), (at(0, -20, -112), (10, 7, 18))]  # fmt: skip
    for side in _SIDES:
        spaces.append((at(side * 27, -68, -68), (11.5, 14.5, 12.5)))
        spaces += [(at(side * x, y, z), (r, r, r)) for x, y, z, r in ((60, 16, -52, 4.5), (57, 15, -60, 4), (64, 14,
            -58, 3.5),
                                                                         (56, 15, -69, 3), (60, 8, -50,
                                                                         3))]  # fmt: skip
    return [(center, np.array(radii) * k) for center, radii in spaces]


def _mandible(at: Place, k: float) -> list[Part]:
    body = spline([at(-46, -20, -112), at(-38, -52, -122), at(-22, -80, -129), at(0, -90, -131), at(22, -80, -129),
        at(38, -52, -122),
                   at(46, -20, -112)], 40)  # fmt: skip
    parts = [rod(body, 13.5 * k, 5.5 * k, blend_mm=5), ball(at(0, -89, -140), np.array([14, 6, 7]) * k, blend_mm=8)]
    for side in _SIDES:
        ramus = [[at(side * 45, -18, -116), at(side * 46, -33, -110)], [at(side * 48, -11, -88), at(side * 48, -36,
            -88)],
                 [at(side * 50, -6, -68), at(side * 49, -30, -66)]]  # fmt: skip
        parts.append(sheet(np.array(ramus), np.array([[8, 8], [6, 5], [6, 4]]) * k, blend_mm=6))
        parts.append(
            rod(
                [at(side * 50, -6, -68), at(side * 52, -4, -58)],
                np.array([4.5, 6]) * k,
                np.array([4, 4.5]) * k,
                blend_mm=5,
            )
        )
        parts.append(rod([at(side * 49, -30, -68), at(side * 49, -32, -60)], np.array([4, 2]) * k, 2.4 * k, blend_mm=5))
    return parts


def _paint_teeth(canvas: Canvas, at: Place, frame: Frame, k: float) -> None:
    """Two rows of teeth with dense crowns and roots in the jaws; the very old keep their front ones."""
    arch = spline(
        [
            at(-24, -62, 0),
            at(-21, -80, 0),
            at(-11, -92, 0),
            at(0, -95, 0),
            at(11, -92, 0),
            at(21, -80, 0),
            at(24, -62, 0),
        ],
        16,
    )
    arch = arch - at(0, 0, 0) * np.array([0, 0, 1])
    crown, root = frame.bone(2400, 2000, 1.4), frame.bone(1600, 1300, 1.0)
    kept = range(16) if frame.p.age < 75 else range(4, 12)
    parts = []
    for n in kept:
        molar = abs(n - 7.5) > 3.6
        for up in _SIDES:
            foot = arch[n] * [1, 1, 0] + at(0, 0, -107 + 4.5 * up) * np.array([0, 0, 1])
            wide = (4.6 if molar else 3.2) * k
            parts.append(rod([foot, foot + np.array([0, 0, up * 4.0]) * k], wide, blend_mm=0.4, shell=crown))
            parts.append(rod([foot + np.array([0, 0, up * 7]) * k, foot + np.array([0, 1.5, up * 17]) * k],
                np.array([0.8 * wide, 1.2]),
                             blend_mm=0.4, shell=root))  # fmt: skip
    paint(canvas, parts, crown, "skull")
