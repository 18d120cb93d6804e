"""A broken bone: a rough surface through it, and one fragment moved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.anatomy.disease.blobs import structure_box
from synthray.anatomy.disease.field import Box, Floats, check_range, generator, smooth_noise, with_hu, without
from synthray.anatomy.morphology import Mask, dilated
from synthray.anatomy.patient import Patient, Volume
from synthray.anatomy.resample import resample
from synthray.anatomy.working_grid import cropped
from synthray.errors import InputError
from synthray.geometry import apply, compose, rotation_about

_STREAM: Final = 0xF2AC
_BLOOD_HU: Final = 55.0  # clotted blood: 45 to 70 HU
_RIM_HU: Final = 120  # partial voxels of the cortex beyond the label
_LANDMARK_MM: Final = 10.0
_LEAST_VOXELS: Final = 50


@dataclass(frozen=True, eq=False)
class _Break:
    """A rough surface through a bone and the motion of the fragment on its positive side."""

    center_mm: Floats
    normal: Floats
    roughness_mm: float
    noise_seed: int
    new_from_old: Floats

    def side_mm(self, points_mm: Floats) -> Floats:
        """(N,) signed distance from the break's surface."""
        noise = smooth_noise(np.random.Generator(np.random.Philox(key=[self.noise_seed, _STREAM])), points_mm, 14.0)
        return (points_mm - self.center_mm) @ self.normal + self.roughness_mm * noise


def fracture(
    patient: Patient,
    structure: str,
    seed: int,
    *,
    displacement_mm: float | None = None,
    rotation_deg: float | None = None,
    position: float | None = None,
    tilt_deg: float | None = None,
    roughness_mm: float = 1.0,
) -> Patient:
    """A patient with a bone broken in two; the smaller fragment is moved and labelled `fracture_STRUCTURE`, too.

    The break runs across the bone's longest axis. The gap fills with clotted blood (45 to 70 HU). Both fragments keep
    the bone's label; landmarks within a centimetre of the moved fragment move with it. Where the fragment enters its
    other half or a neighbour, the denser one shows (impaction). Flesh and neighbouring bones stay. Displacements and
    angles drawn are our choice.

    Args:
        patient: with the label `structure`.
        structure: the bone's label.
        seed: equal seeds give equal fractures.
        displacement_mm: 0 to 60; drawn from 1 to 10.
        rotation_deg: 0 to 60; drawn from 0 to 12.
        position: of the break along the bone, 0.05 to 0.95 of its voxels; drawn from 0.3 to 0.7.
        tilt_deg: between the break's normal and the bone's axis, 0 to 75; drawn from 0 to 45.
        roughness_mm: standard deviation of the surface, 0 to 5.

    Raises:
        InputError: no such bone, it is too small, broken already, or a number out of range.
    """
    mask, _ = structure_box(patient, structure)
    if f"fracture_{structure}" in patient.structure_names:
        raise InputError(f"{patient.name}: '{structure}' is already broken; break another bone")
    if mask.sum() < _LEAST_VOXELS:
        raise InputError(f"{patient.name}: '{structure}' has fewer than {_LEAST_VOXELS} voxels; give a finer CT")
    rng = generator(seed, _STREAM)
    chosen = {
        "displacement_mm": (displacement_mm, rng.uniform(1, 10), 0, 60),
        "rotation_deg": (rotation_deg, rng.uniform(0, 12), 0, 60),
        "position": (position, rng.uniform(0.3, 0.7), 0.05, 0.95),
        "tilt_deg": (tilt_deg, rng.uniform(0, 45), 0, 75),
        "roughness_mm": (roughness_mm, roughness_mm, 0, 5),
    }
    values = {name: float(drawn if given is None else given) for name, (given, drawn, _, _) in chosen.items()}
    for name, (_, _, low, high) in chosen.items():
        check_range(name, values[name], low, high)
    points = apply(patient.ct.patient_from_voxel, np.argwhere(mask))
    broken = _plan(rng, points, values)
    return _moved(patient, structure, mask, points[broken.side_mm(points) > 0], broken)


def _plan(rng: np.random.Generator, points_mm: Floats, values: dict[str, float]) -> _Break:
    """Where a bone breaks and how the smaller fragment moves."""
    center = points_mm.mean(axis=0)
    axis = np.linalg.svd(points_mm[:: max(1, len(points_mm) // 20_000)] - center, full_matrices=False)[2][0]
    along = (points_mm - center) @ axis
    if values["position"] < 0.5:
        axis, along, at = -axis, -along, 1 - values["position"]
    else:
        at = values["position"]
    level = np.quantile(along, at)
    near = np.abs(along - level) <= np.quantile(np.abs(along - level), 0.02)
    middle = points_mm[near].mean(axis=0)
    across = np.cross(axis, rng.standard_normal(3))
    normal = rotation_about(across / np.linalg.norm(across), np.deg2rad(values["tilt_deg"])) @ axis
    turn = rotation_about(_direction(rng), np.deg2rad(values["rotation_deg"]))
    shift = _direction(rng) * values["displacement_mm"]
    # Fragments slide and part more often than they drive into each other.
    shift *= 1 if shift @ normal >= 0 else -1
    motion = compose(turn, middle - turn @ middle + shift)
    return _Break(middle, normal, values["roughness_mm"], int(rng.integers(2**62)), motion)


def _direction(rng: np.random.Generator) -> Floats:
    vector = rng.standard_normal(3)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)


def _moved(patient: Patient, structure: str, mask: Mask, fragment_mm: Floats, broken: _Break) -> Patient:
    """The patient with the fragment at its new place."""
    if not len(fragment_mm):
        raise InputError(f"{patient.name}: the break misses '{structure}'; use less tilt or roughness")
    box = _box_of(patient.ct, np.concatenate([fragment_mm, apply(broken.new_from_old, fragment_mm)]))
    part = cropped(patient.ct, box)
    hu = part.values.astype(np.float32)
    indices = np.argwhere(np.ones(part.shape, dtype=bool))
    positive = (broken.side_mm(apply(part.patient_from_voxel, indices)) > 0).reshape(part.shape)
    bone = mask[box]
    piece = bone & positive
    cortex = piece | (dilated(piece, 1) & positive & (hu > _RIM_HU) & ~bone)
    source = np.linalg.inv(broken.new_from_old) @ part.patient_from_voxel
    # Weighting before sampling keeps the bone's mass; sampling HU and share apart would thin it twice.
    shown, share = (_sampled(cortex * scale, part, source) for scale in (hu, np.float32(1)))
    left = np.where(piece, _BLOOD_HU, np.where(cortex, np.minimum(hu, _BLOOD_HU), hu))
    new = left + shown - share * left
    new = np.where(bone & ~piece, np.maximum(new, left), new)
    now = _sampled(piece, part, source) >= 0.5
    return _relabelled(with_hu(patient, box, new), structure, mask, box, piece, now, fragment_mm, broken)


def _sampled(values: npt.NDArray[Any], part: Volume, source: Floats) -> npt.NDArray[Any]:
    return resample(replace(part, values=values.astype(np.float32)), part.shape, source, linear=True, outside=0)


def _relabelled(
    patient: Patient,
    structure: str,
    mask: Mask,
    box: Box,
    piece: Mask,
    now: Mask,
    fragment_mm: Floats,
    broken: _Break,
) -> Patient:
    bone, fragment = mask.copy(), np.zeros_like(mask)
    bone[box] = (mask[box] & ~piece) | now
    fragment[box] = now
    if patient.labels is not None:
        labels = without(patient.labels, [structure]).with_structure(structure, bone)
        labels = labels.with_structure(f"fracture_{structure}", fragment)
        patient = replace(patient, labels=labels)
    landmarks = dict(patient.landmarks)
    for name, point in landmarks.items():
        near = np.linalg.norm(fragment_mm - point, axis=1).min() <= _LANDMARK_MM
        if near and broken.side_mm(point[None])[0] > 0:
            landmarks[name] = apply(broken.new_from_old, point)
    return replace(patient, landmarks=landmarks)


def _box_of(ct: Volume, points_mm: Floats) -> Box:
    indices = apply(np.linalg.inv(ct.patient_from_voxel), points_mm)
    low = np.clip(np.floor(indices.min(axis=0)).astype(int) - 3, 0, np.array(ct.shape) - 1)
    high = np.clip(np.ceil(indices.max(axis=0)).astype(int) + 4, low + 1, ct.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
