"""Published figures that the built-in bodies are held against, and how each is measured on a body's labels.

`FIGURES` is read by the tests, by `benchmarks/body/anthropometry.py` and, through it, by docs/body.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthray.anatomy.body.canvas import Floats
from synthray.anatomy.patient import Patient
from synthray.errors import InputError


@dataclass(frozen=True)
class Figure:
    """A published measure.

    Attributes:
        name: key of `measure`'s result, with its unit.
        female: mean and SD in women.
        male: mean and SD in men.
        source: where the numbers stand.
    """

    name: str
    female: tuple[float, float]
    male: tuple[float, float]
    source: str


_CARMONA = "Carmona et al., Upper Femur Anatomy, 628 healthy people on CT (HAL hal-03553324); both sexes together"
_MAC_THIONG = "Mac-Thiong et al., Eur Spine J 2011;20 Suppl 5:572, 709 adults standing; both sexes together"
_COOK = "Cook & Baker, Int J Spine Surg 2021;15:1072, CT of 196 adults, table 6"
_PELVIS_MODEL = "Statistical models of 100 Malaysian pelves on CT (RG Richards et al., record at mymedr.afpm.org.my)"
_PHEASANT = "Pheasant, Bodyspace: British adults of 19 to 65 years"
_KASHMIR = "Kour et al., NeuroQuantology 2023;21(2), 200 radiographs, both sides, magnified as exposed"

_JOS = "Ekedigwe et al., J Med Trop 2014;16:47, PA films of 59 men and 41 women of 17 to 44 years in Jos"
_IBADAN = "Ibadan, West Afr J Med, May 2007, PA films of 526 adults, magnified as exposed; SD from its limits of normal"

FIGURES = (
    Figure("cardiothoracic_ratio", (0.457, 0.042), (0.46, 0.04), _JOS),
    Figure("lung_height_right_mm", (215.0, 30.0), (229.0, 30.0), _IBADAN),
    Figure("lung_height_left_mm", (226.0, 30.0), (244.0, 30.0), _IBADAN),
    Figure("neck_shaft_deg", (124.7, 6.2), (124.7, 6.2), _CARMONA),
    Figure("neck_version_deg", (14.5, 8.1), (14.5, 8.1), _CARMONA),
    Figure("femoral_offset_mm", (42.9, 6.8), (42.9, 6.8), _CARMONA),
    Figure("femoral_head_radius_mm", (22.4, 1.7), (24.3, 2.0), _KASHMIR),
    Figure("asis_distance_mm", (225.0, 20.0), (227.0, 13.0), _PELVIS_MODEL),
    Figure("aiis_distance_mm", (185.0, 11.0), (187.0, 10.0), _PELVIS_MODEL),
    Figure("true_conjugate_mm", (116.0, 10.0), (105.0, 10.0), _PELVIS_MODEL),
    Figure("sacral_slope_deg", (39.5, 7.8), (39.5, 7.8), _MAC_THIONG),
    Figure("pelvic_incidence_deg", (53.0, 10.5), (53.0, 10.5), _MAC_THIONG),
    Figure("l5_front_height_mm", (29.6, 1.8), (30.7, 1.9), _COOK),
    Figure("l5_back_height_mm", (25.5, 1.6), (26.8, 1.9), _COOK),
    Figure("biacromial_mm", (355.0, 18.0), (400.0, 20.0), _PHEASANT),
)


def measure(patient: Patient) -> dict[str, float]:
    """The measures of `FIGURES` and some without a published match, from the labels and landmarks of a whole trunk.

    Angles in degrees, lengths in mm; left and right averaged. A `trunk` body with its arms down is asked for.
    """
    hips = {side: _head(patient, side) for side in ("left", "right")}
    found = _femurs(patient, {side: center for side, (center, _) in hips.items()})
    found["femoral_head_radius_mm"] = float(np.mean([radius for _, radius in hips.values()]))
    found["hip_distance_mm"] = float(np.linalg.norm(hips["left"][0] - hips["right"][0]))
    found["acetabular_radius_mm"] = float(
        np.mean([_socket_radius(patient, side, center) for side, (center, _) in hips.items()])
    )
    found |= _chest(patient)
    found |= _pelvis(patient, 0.5 * (hips["left"][0] + hips["right"][0]))
    for level in ("L5", "L3", "L1", "T6"):
        front, back = _body_heights(patient, level)
        found[f"{level.lower()}_front_height_mm"], found[f"{level.lower()}_back_height_mm"] = front, back
    found["biacromial_mm"] = _span_x(patient, "scapula_left", "scapula_right")
    ribs = [f"rib_{side}_{n}" for side in ("left", "right") for n in range(4, 11)]
    found["rib_cage_width_mm"] = _span_x(patient, *ribs)
    return found


def _faces(patient: Patient, *names: str) -> Floats:
    """(n, 3) middles of the voxel faces between a structure and what is not it, in patient mm."""
    inside = np.pad(_mask(patient, *names), 1)
    found = []
    for axis in range(3):
        edge = np.argwhere(np.diff(inside, axis=axis)).astype(np.float64) - 1
        edge[:, axis] += 0.5
        found.append(edge)
    affine = patient.ct.patient_from_voxel
    return np.asarray(np.concatenate(found) @ affine[:3, :3].T + affine[:3, 3])


def _mask(patient: Patient, *names: str) -> Floats:
    if patient.labels is None:
        raise InputError(f"{patient.name}: no labels to measure; a built-in body has them")
    return patient.labels.mask(*names)


def _points(patient: Patient, *names: str) -> Floats:
    affine = patient.ct.patient_from_voxel
    return np.asarray(np.argwhere(_mask(patient, *names)) @ affine[:3, :3].T + affine[:3, 3])


def _span_x(patient: Patient, *names: str) -> float:
    x = _faces(patient, *names)[:, 0]
    return float(x.max() - x.min())


def _head(patient: Patient, side: str) -> tuple[Floats, float]:
    """Centre and radius of the sphere that fits a femoral head's upper inner half best."""
    start = patient.landmarks[f"FH-{side[0]}"]
    away = _faces(patient, f"femur_{side}") - start
    inner = away @ np.array([-1.0 if side == "left" else 1.0, 0, 1.0]) > 0
    near = away[inner & (np.linalg.norm(away, axis=1) < 34)]
    solution = np.linalg.lstsq(np.c_[2 * near, np.ones(len(near))], (near**2).sum(axis=1), rcond=None)[0]
    return start + solution[:3], float(np.sqrt(solution[3] + (solution[:3] ** 2).sum()))


def _socket_radius(patient: Patient, side: str, center: Floats) -> float:
    """Median distance from the femoral head's centre to the roof of the socket over it."""
    away = _faces(patient, f"hip_{side}") - center
    length = np.linalg.norm(away, axis=1)
    way = away / length[:, None]
    roof = (way[:, 2] > 0.45) & (way[:, 0] * (1 if side == "left" else -1) > -0.55) & (length < 40)
    _, cell = np.unique(np.rint(6 * way[roof]), axis=0, return_inverse=True)
    nearest = np.full(int(cell.max()) + 1, np.inf)
    np.minimum.at(nearest, cell.ravel(), length[roof])
    return float(np.median(nearest))


def _chest(patient: Patient) -> dict[str, float]:
    """Heart's width over the lungs', and from each lung's apex down to the highest point of the diaphragm under it."""
    found = {"cardiothoracic_ratio": _span_x(patient, "heart") / _span_x(patient, "lung_left", "lung_right")}
    below, x = _points(patient, "below_diaphragm"), patient.structure_center_mm("sternum")[0]
    for side, way in (("right", -1), ("left", 1)):
        lung = _points(patient, f"lung_{side}")
        dome = below[(below[:, 0] - x) * way > 35, 2].max()
        found[f"lung_height_{side}_mm"] = float(lung[:, 2].max() - dome)
    return found


def _femurs(patient: Patient, centers: dict[str, Floats]) -> dict[str, float]:
    values = np.array([_femur(_points(patient, f"femur_{side}"), center, side) for side, center in centers.items()])
    angle, version, offset = values.mean(axis=0)
    return {"neck_shaft_deg": float(angle), "neck_version_deg": float(version), "femoral_offset_mm": float(offset)}


def _femur(bone: Floats, center: Floats, side: str) -> tuple[float, float, float]:
    """Neck-shaft angle, version against the line behind the condyles, and offset of the head from the shaft's axis."""
    out = np.linalg.norm(bone - center, axis=1)
    neck = _unit(bone[(out > 27) & (out < 36)].mean(axis=0) - center)
    length = center[2] - bone[:, 2].min()
    heights = center[2] - length * np.linspace(0.3, 0.6, 9)
    line = np.array([bone[np.abs(bone[:, 2] - z) < 3].mean(axis=0) for z in heights])
    shaft = _unit(line[-1] - line[0])
    end = bone[bone[:, 2] < bone[:, 2].min() + 0.1 * length]
    middle = np.median(end[:, 0])
    back = [
        end[half][end[half][:, 1].argsort()[-12:]].mean(axis=0) for half in (end[:, 0] < middle, end[:, 0] > middle)
    ]
    across = _unit(back[1] - back[0]) * (1 if side == "left" else -1)
    front = np.cross(across, shaft)
    front = front if front[1] < 0 else -front
    # The neck runs away from the head, so a head ahead of the condyles gives a neck that runs backwards.
    version = np.rad2deg(np.arctan2(-(neck @ front), neck @ across))
    offset = np.linalg.norm(np.cross(center - line[0], shaft))
    return float(np.rad2deg(np.arccos(np.clip(-neck @ shaft, -1, 1)))), float(version), float(offset)


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector))


def _pelvis(patient: Patient, axis: Floats) -> dict[str, float]:
    marks = patient.landmarks
    pubis = 0.5 * (marks["SPS-l"] + marks["SPS-r"])
    top = marks["sacral_endplate"]
    faces = _faces(patient, "sacrum")
    near = faces[(np.abs(faces[:, 0] - top[0]) < 14) & (np.linalg.norm(faces - top, axis=1) < 15)]
    middle = near.mean(axis=0)
    normal = np.linalg.svd(near - middle)[2][2]
    normal = normal if normal[2] > 0 else -normal
    down = _unit((axis - middle) * [0, 1, 1])
    slope = np.rad2deg(np.arctan2(-normal[1], normal[2]))
    incidence = np.rad2deg(np.arccos(np.clip(-_unit(normal * [0, 1, 1]) @ down, -1, 1)))
    return {
        "asis_distance_mm": float(np.linalg.norm(marks["ASIS-l"] - marks["ASIS-r"])),
        "aiis_distance_mm": float(np.linalg.norm(marks["aiis_left"] - marks["aiis_right"])),
        "true_conjugate_mm": float(np.linalg.norm(marks["promontory"] - pubis)),
        "bi_iliac_mm": _span_x(patient, "hip_left", "hip_right"),
        "sacral_slope_deg": float(slope),
        "pelvic_incidence_deg": float(incidence),
    }


def _body_heights(patient: Patient, level: str) -> tuple[float, float]:
    """Front and back heights of a vertebral body, along the line between its neighbours' centres."""
    order = ["sacral_endplate"] + [f"vertebrae_{n}_center" for n in ("L5", "L4", "L3", "L2", "L1", "T12")]
    order += [f"vertebrae_T{n}_center" for n in range(11, 0, -1)]
    at = order.index(f"vertebrae_{level}_center")
    below, center, above = (patient.landmarks[order[at + k]] for k in (-1, 0, 1))
    up = _unit(above - below)
    back = _unit(np.cross(up, [1.0, 0, 0]))
    mask = _mask(patient, f"vertebrae_{level}")
    reach = 11.5 if level[0] == "L" else 8.0
    heights = []
    for depth in (-reach, 0.8 * reach):
        lines = center + back * depth + np.linspace(-6, 6, 5)[:, None] * np.array([1.0, 0, 0])
        heights.append(float(np.mean([_length_inside(patient, mask, point, up) for point in lines])))
    return heights[0], heights[1]


def _length_inside(patient: Patient, mask: Floats, point: Floats, direction: Floats) -> float:
    """Length in mm between a line's first and last point in a mask; a waist between them counts."""
    inverse = np.linalg.inv(patient.ct.patient_from_voxel)
    steps = np.arange(-21, 21.01, 0.25)
    voxels = np.rint((point + steps[:, None] * direction) @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    inside = mask[tuple(np.clip(voxels, 0, np.array(mask.shape) - 1).T)]
    within = np.flatnonzero(inside)
    return float(0.25 * (within.max() - within.min() + 1)) if len(within) else 0.0
