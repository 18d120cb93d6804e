"""Vertebrae C1 to L5 with their arches and processes, and the discs between them.

Each vertebra is built on its own axes (left, back, up). Widths of pedicles and spans of transverse processes follow
Panjabi et al., Spine 1991;16:888 (cervical: 16:861; lumbar: 1992;17:299), rounded.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthray.anatomy.body.canvas import Canvas, Floats, Shell
from synthray.anatomy.body.frame import Frame, Vertebra
from synthray.anatomy.body.shapes import Part, ball, drum, paint, rod, spline

DISC_HU = 80.0
# Half span of the transverse processes, mm for a scale of 1.
_SPAN_MM = {"L1": 37, "L2": 41, "L3": 47, "L4": 44, "L5": 44, "T12": 23, "T11": 25, "T10": 28}
_SIDES = (-1, 1)


def paint_spine(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> dict[str, Floats]:
    """All vertebrae with discs; returns the bodies' centres and the spinous processes' tips as landmarks."""
    landmarks: dict[str, Floats] = {}
    collapsed = _collapsed(frame, rng)
    for name, _, _ in frame.vertebrae():
        v, short = frame.vertebra(name), name.removeprefix("vertebrae_")
        _paint_disc(canvas, frame, v)
        paint(canvas, vertebra_parts(frame, v, short, collapsed.get(short, 0.0), rng), _shell(frame), name)
        landmarks[f"{name}_center"] = v.center_mm
        if short not in ("C1", "C2"):
            landmarks[f"{name}_spinous_tip"] = v.at(*_spinous_tip(v, short, frame.p.scale))
    return landmarks


def _shell(frame: Frame) -> Shell:
    """Cortex and spongy bone of a vertebral body."""
    return replace(frame.bone(1100, 0, 0.85), spongy_hu=frame.p.trabecular_hu)


def vertebra_parts(frame: Frame, v: Vertebra, short: str, wedge: float, rng: np.random.Generator) -> list[Part]:
    """The parts of one vertebra."""
    # Every vertebra draws, so that a person's fractures do not depend on the region painted.
    beaks = rng.uniform(-0.6, 1, (2, 5))
    if short == "C1":
        return _atlas(frame, v)
    body = drum(v.center_mm, (v.width_mm / 2, v.depth_mm / 2, v.height_mm / 2), v.rotation,
                waist=0.13 if short[0] != "C" else 0.05, hollow_mm=0.05 * v.height_mm, notch_mm=2.0,
                wedge=wedge + {"L5": -0.19, "L4": -0.03}.get(short, 0.0))  # fmt: skip
    arch = {"L": _lumbar_arch, "T": _thoracic_arch, "C": _cervical_arch}[short[0]](frame, v, short)
    dens = [_dens(frame, v)] if short == "C2" else []
    return [body, *arch, *dens, *_osteophytes(frame, v, beaks)]


def _collapsed(frame: Frame, rng: np.random.Generator) -> dict[str, float]:
    """Wedge fractures of porous spines, most often about T12-L1 and T7-T8; the share of the front height lost."""
    levels, share = rng.choice(["T7", "T8", "T12", "L1", "L2"], 2, replace=False), rng.uniform(0.15, 0.4, 2)
    count = int(frame.p.wedge > 0.35) + int(frame.p.wedge > 0.8)
    return {str(level): float(lost) for level, lost in zip(levels[:count], share, strict=False)}


def _paint_disc(canvas: Canvas, frame: Frame, v: Vertebra) -> None:
    center = v.at(0, 0, -v.height_mm / 2 - v.disc_mm / 2)
    radii = np.array([0.47 * v.width_mm, 0.47 * v.depth_mm, v.disc_mm * 0.5 + 1.5])
    canvas.ellipsoid(center, radii * [1, 1, 1.25], DISC_HU, None, rotation=v.rotation)


def _osteophytes(frame: Frame, v: Vertebra, beaks: Floats) -> list[Part]:
    """Bony beaks at the endplates' rims, in old spines."""
    size = 4.2 * frame.p.osteophytes * frame.p.scale * beaks
    parts = []
    for row, up in enumerate((-1, 1)):
        for column, angle in enumerate(np.deg2rad([-100, -50, -10, 190, 230])):
            if size[row, column] > 1.2:
                x, y = 0.5 * v.width_mm * np.cos(angle), 0.5 * v.depth_mm * np.sin(angle)
                at = v.at(1.02 * x, 1.02 * y, up * (0.5 * v.height_mm - 1.5))
                parts.append(ball(at, size[row, column], blend_mm=5))
    return parts


def _lumbar_arch(frame: Frame, v: Vertebra, short: str) -> list[Part]:
    s, back, number = frame.p.scale, v.depth_mm / 2, int(short[1:])
    wide = (14.0 + 1.0 * number) * s
    thick = np.array([4.2, 4.4, 4.9, 5.8, 7.4])[number - 1] * s
    shell, up = frame.bone(950, 140, 0.9), v.rotation[:, 2]
    span = _SPAN_MM[short] * s
    parts = []
    for side in _SIDES:
        x = side * wide
        pedicle = [v.at(x, back * 0.45, 5 * s), v.at(x, back + 8 * s, 4.5 * s)]
        pars = [
            v.at(x, back + 8 * s, 4 * s),
            v.at(x * 0.92, back + 14 * s, -4 * s),
            v.at(x * 0.85, back + 18 * s, -15 * s),
        ]
        lamina = [v.at(x * 0.8, back + 14 * s, -3 * s), v.at(side * 2, back + 23 * s, -8 * s)]
        superior = [
            v.at(x * 1.02, back + 10 * s, 5 * s),
            v.at(x * 1.12, back + 13 * s, 15 * s),
            v.at(x * 1.08, back + 15 * s, 21 * s),
        ]
        inferior = [v.at(x * 0.84, back + 18 * s, -12 * s), v.at(x * 0.82, back + 20 * s, -23 * s)]
        wing = spline([v.at(x * 1.05, back + 7 * s, 3 * s), v.at(0.6 * side * span + 0.3 * x, back + 11 * s, 4 * s),
                       v.at(side * span, back + 14 * s, 6 * s)], 8)  # fmt: skip
        parts += [
            rod(pedicle, 7.6 * s, thick, axis=up, shell=frame.bone(950, 140, 1.0)),
            rod(pars, np.array([5.5, 4.5, 5]) * s, blend_mm=5, shell=shell),
            rod(lamina, 9.5 * s, 3.2 * s, axis=up, blend_mm=5, shell=shell),
            rod(superior, np.array([5.5, 5.5, 4.5]) * s, blend_mm=4, shell=shell),
            rod(inferior, np.array([5.5, 5.0]) * s, blend_mm=4, shell=shell),
            rod(wing, np.interp(np.arange(8), [0, 3, 6, 7], [6, 5, 5.6, 3.5]) * s, 2.8 * s, axis=up, shell=shell),
        ]
    spine = spline(
        [v.at(0, back + 22 * s, -8 * s), v.at(0, back + 34 * s, -10 * s), v.at(*_spinous_tip(v, short, s))], 8
    )
    tall = (8.0 if number == 5 else 10.5) * s
    return [
        *parts,
        rod(spine, np.linspace(0.9, 1, 8) * tall, np.linspace(2.6, 3.8, 8) * s, axis=up, blend_mm=5, shell=shell),
    ]


def _spinous_tip(v: Vertebra, short: str, s: float) -> tuple[float, float, float]:
    """The spinous process' tip on the vertebra's axes."""
    back, number = v.depth_mm / 2, int(short[1:])
    if short[0] == "L":
        return 0.0, back + (38 if number == 5 else 46) * s, -12 * s
    if short[0] == "T":
        drop = float(np.interp(number, [1, 4, 6, 9, 12], [14, 26, 34, 28, 13]))
        return 0.0, back + float(np.interp(number, [1, 6, 12], [46, 40, 42])) * s, -drop * s
    return (
        0.0,
        back + float(np.interp(number, [3, 6, 7], [30, 36, 46])) * s,
        -float(np.interp(number, [3, 7], [9, 15])) * s,
    )


def _thoracic_arch(frame: Frame, v: Vertebra, short: str) -> list[Part]:
    s, back, number = frame.p.scale, v.depth_mm / 2, int(short[1:])
    shell, up = frame.bone(950, 130, 0.9), v.rotation[:, 2]
    wide = float(np.interp(number, [1, 4, 12], [12.5, 9.5, 14])) * s
    span = float(_SPAN_MM.get(short, np.interp(number, [1, 10], [36, 29]))) * s
    parts = []
    for side in _SIDES:
        x = side * wide
        pedicle = [v.at(x, back * 0.5, 4 * s), v.at(x, back + 8 * s, 4 * s)]
        lamina = [v.at(x * 1.05, back + 11 * s, 1 * s), v.at(side * 1.5, back + 18 * s, -5 * s)]
        wing = [v.at(x * 1.1, back + 10 * s, 3 * s), v.at(0.6 * side * span + 0.3 * x, back + 17 * s, 5 * s),
                v.at(side * span, back + 22 * s, 6 * s)]  # fmt: skip
        facet = [v.at(x * 1.05, back + 10 * s, 12 * s), v.at(x, back + 15 * s, -13 * s)]
        parts += [
            rod(pedicle, 6.6 * s, 3.2 * s, axis=up, shell=shell),
            rod(lamina, 9.5 * s, 2.8 * s, axis=up, blend_mm=4, shell=shell),
            rod(wing, np.array([5.5, 4.6, 5.6]) * s, np.array([4, 4, 5]) * s, axis=up, blend_mm=4, shell=shell),
            rod(facet, 4.5 * s, 2.6 * s, axis=v.rotation[:, 0], blend_mm=4, shell=shell),
        ]
    tip = _spinous_tip(v, short, s)
    spine = spline(
        [
            v.at(0, back + 17 * s, -4 * s),
            v.at(0, 0.55 * (back + 17 * s) + 0.45 * tip[1], 0.55 * tip[2] - 3 * s),
            v.at(*tip),
        ],
        8,
    )
    return [
        *parts,
        rod(spine, np.linspace(7, 4.5, 8) * s, np.linspace(2.8, 3.2, 8) * s, axis=up, blend_mm=5, shell=shell),
    ]


def _cervical_arch(frame: Frame, v: Vertebra, short: str) -> list[Part]:
    s, back, number = frame.p.scale, v.depth_mm / 2, int(short[1:])
    shell, up = frame.bone(1100, 260, 1.1), v.rotation[:, 2]
    parts = []
    for side in _SIDES:
        pillar = [v.at(side * 20 * s, back + 4 * s, 8 * s), v.at(side * 20 * s, back + 8 * s, -9 * s)]
        pedicle = [v.at(side * 9 * s, back * 0.6, 1.5 * s), v.at(side * 19 * s, back + 5 * s, 0)]
        front = [v.at(side * 11 * s, 0, -1 * s), v.at(side * 23 * s, -1 * s, -4 * s), v.at(side * 26 * s, back, -4 * s)]
        lamina = [v.at(side * 18 * s, back + 9 * s, -2 * s), v.at(side * 2, back + 19 * s, -5 * s)]
        uncus = [
            v.at(side * 0.46 * v.width_mm, 1, 0.35 * v.height_mm),
            v.at(side * 0.5 * v.width_mm, 2, 0.5 * v.height_mm + 2.5 * s),
        ]
        parts += [
            rod(pillar, 6.5 * s, 5.5 * s, axis=v.rotation[:, 0], shell=shell),
            rod(pedicle, 3.2 * s, blend_mm=3, shell=shell),
            rod(front, np.array([3, 2.4, 2.6]) * s, blend_mm=2, shell=shell),
            rod(lamina, 6.0 * s, 2.2 * s, axis=up, blend_mm=3, shell=shell),
            rod(uncus, np.array([2.4, 1.4]) * s, blend_mm=2),
        ]
    tip = _spinous_tip(v, short, s)
    spine = rod([v.at(0, back + 18 * s, -5 * s), v.at(*tip)], np.array([5, 4.5 if number == 7 else 3.6]) * s,
                np.array([2.4, 3.2]) * s, axis=up, blend_mm=4, shell=shell)  # fmt: skip
    return [*parts, spine]


def _dens(frame: Frame, v: Vertebra) -> Part:
    s, top = frame.p.scale, v.height_mm / 2
    return rod([v.at(0, 0, top - 4 * s), v.at(0, -1 * s, top + 8 * s), v.at(0, 1 * s, top + 17 * s)], np.array([6.5,
        5, 4.2]) * s,
               shell=frame.bone(1200, 330, 1.2))  # fmt: skip


def _atlas(frame: Frame, v: Vertebra) -> list[Part]:
    s = frame.p.scale
    angle = np.linspace(0, 2 * np.pi, 33)
    ring = np.array([v.at(x, y, 0) for x, y in zip(21 * s * np.cos(angle), (10 + 22 * np.sin(angle)) * s, strict=True)])
    parts = [rod(ring, 4.2 * s, 2.8 * s, axis=v.rotation[:, 2])]
    for side in _SIDES:
        parts.append(
            rod(
                [v.at(side * 19 * s, 2 * s, 7 * s), v.at(side * 18 * s, 2 * s, -8 * s)],
                7 * s,
                8.5 * s,
                axis=v.rotation[:, 0],
            )
        )
        parts.append(rod([v.at(side * 22 * s, 5 * s, 0), v.at(side * 37 * s, 6 * s, -2 * s)], np.array([5, 3.6]) * s))
    return [*parts, ball(v.at(0, -12 * s, 0), 4.2 * s)]
