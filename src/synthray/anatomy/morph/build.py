"""Deformations of a person: random smooth ones that keep bones nearly rigid, and turned legs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from synthray.anatomy.hounsfield import is_bone
from synthray.anatomy.morph.deformation import Deformation, node_grid
from synthray.anatomy.morphology import distance
from synthray.anatomy.patient import Patient
from synthray.errors import InputError
from synthray.geometry import apply, compose, rotation_about

Floats = npt.NDArray[np.float64]

_NODE_MM = 4.0
# Over this distance a bone's rigid motion gives way to that of the flesh around it.
_BONE_REACH_MM = 20.0
# Between two bones this near to each other their motions mix.
_JOINT_MM = 3.0
_RIGIDITY = (1.0, 0.8, 0.6, 0.4, 0.2)
_LEAST_JACOBIAN = 0.15
# Flesh follows a leg's bone over this distance.
_LEG_REACH_MM = 60.0
_LARGEST_TURN_DEG = 30.0


def random_deformation(
    patient: Patient, seed: int, *, amplitude_mm: float = 8.0, smoothness_mm: float = 80.0, rigid_bones: bool = True
) -> Deformation:
    """A random smooth deformation of a person; `.apply(patient)` makes the new one.

    The displacement is Gaussian noise with a standard deviation of `amplitude_mm` along each axis, smoothed with a
    Gaussian of `smoothness_mm`. With `rigid_bones` each labelled bone moves as the smooth field moves it on average
    (least squares), and the flesh around it blends over two centimetres. Where two bones that touch would have to slide
    past each other, space would fold: all bones then give way a little, in steps of a fifth, until it doesn't.

    Args:
        patient: who.
        seed: equal seeds give equal deformations.
        amplitude_mm: 0 to 60.
        smoothness_mm: 10 to 300.
        rigid_bones: keep bones in shape, where labels name them.

    Raises:
        InputError: a number is out of range.
    """
    if not 0 <= amplitude_mm <= 60 or not 10 <= smoothness_mm <= 300:
        raise InputError(
            f"amplitude_mm={amplitude_mm:g}, smoothness_mm={smoothness_mm:g} must lie within 0 to 60 and 10 to 300"
        )
    shape, affine, every = node_grid(patient.ct, _NODE_MM)
    rng = np.random.Generator(np.random.Philox(key=[seed, 0xDEF0]))
    forward = _smooth_noise(rng, shape, smoothness_mm / np.linalg.norm(affine[:3, :3], axis=0)) * amplitude_mm
    flesh = Deformation(-forward, affine)
    if not rigid_bones or patient.labels is None:
        return flesh
    codes = patient.labels.codes[:: every[0], :: every[1], :: every[2]]
    motions = {}
    for name, members in patient.labels.structures.items():
        where = np.argwhere(np.isin(codes, members)) if is_bone(name) else np.empty((0, 3))
        if len(where) > 3:
            points = apply(affine, where)
            motions[name] = _rigid_fit(points, points + forward[tuple(where.T.astype(int))])
    stiff = _with_rigid(flesh, patient, motions, every)
    for share in _RIGIDITY:
        mixed = flesh.displacement_mm + share * (stiff.displacement_mm - flesh.displacement_mm)
        if Deformation(mixed, affine).smallest_jacobian > _LEAST_JACOBIAN:
            return Deformation(mixed, affine)
    return flesh


def turned_legs(
    patient: Patient,
    *,
    flexion_deg: Mapping[str, float] | float = 0.0,
    abduction_deg: Mapping[str, float] | float = 0.0,
    rotation_deg: Mapping[str, float] | float = 0.0,
) -> Deformation:
    """Thighs turned about the centres of their femoral heads; hip bones, sacrum and spine stay where they are.

    Args:
        patient: with labels `femur_left` and `femur_right` and the landmarks `FH-l` and `FH-r`; one side may be
            missing and stays.
        flexion_deg: knee towards the front; one number or {"left": …, "right": …}.
        abduction_deg: knee away from the middle.
        rotation_deg: toes outwards.

    Raises:
        InputError: there is no femur with its centre, or an angle beyond 30°.
    """
    motions = {}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        name, center = f"femur_{side}", patient.landmarks.get(f"FH-{side[0]}")
        if name not in patient.structure_names or center is None:
            continue
        angles = [_of_side(one, side) for one in (flexion_deg, abduction_deg, rotation_deg)]
        if max(map(abs, angles)) > _LARGEST_TURN_DEG:
            raise InputError(f"{patient.name}: legs can be turned by up to {_LARGEST_TURN_DEG:g}°, got {angles}")
        flexion, abduction, rotation = np.deg2rad(angles)
        turn = (
            rotation_about((1, 0, 0), -flexion)
            @ rotation_about((0, 1, 0), -sign * abduction)
            @ rotation_about((0, 0, 1), sign * rotation)
        )
        motions[name] = compose(turn, center - turn @ center)
    if not motions:
        raise InputError(f"{patient.name}: turning legs needs labels femur_left/femur_right and landmarks FH-l/FH-r")
    shape, affine, every = node_grid(patient.ct, _NODE_MM)
    still = Deformation(np.zeros((*shape, 3)), affine)
    thighs = _with_rigid(still, patient, motions, every, _LEG_REACH_MM)
    rest = {name: np.eye(4) for name in patient.structure_names if is_bone(name) and name not in motions}
    return _with_rigid(thighs, patient, motions | rest, every)


def _of_side(given: Mapping[str, float] | float, side: str) -> float:
    return float(given.get(side, 0.0) if isinstance(given, Mapping) else given)


def _smooth_noise(rng: np.random.Generator, shape: Sequence[int], sigma: Floats) -> Floats:
    """(I, J, K, 3) smooth noise of unit standard deviation: of the process, not of the piece of it that is drawn."""
    import SimpleITK

    margin = [int(3 * s) for s in sigma]
    # White noise under a Gaussian of standard deviation s keeps 1 / (2 sqrt(pi) s) of its variance along each axis.
    gain = np.sqrt(np.prod(2 * np.sqrt(np.pi) * sigma))
    whole = [n + 2 * m for n, m in zip(shape, margin, strict=True)]
    inner = tuple(slice(m, m + n) for n, m in zip(shape, margin, strict=True))
    parts = []
    for _ in range(3):
        noise = SimpleITK.GetImageFromArray(rng.standard_normal(whole[::-1]))
        smooth = SimpleITK.GetArrayFromImage(SimpleITK.SmoothingRecursiveGaussian(noise, sigma.tolist())).T
        parts.append(smooth[inner] * gain)
    return np.stack(parts, axis=-1)


def _rigid_fit(points: Floats, moved: Floats) -> Floats:
    """(4, 4) rigid motion that carries points closest to their new places (Kabsch)."""
    center, target = points.mean(axis=0), moved.mean(axis=0)
    left, _, right = np.linalg.svd((points - center).T @ (moved - target))
    turn = right.T @ np.diag([1, 1, np.sign(np.linalg.det(right.T @ left.T))]) @ left.T
    return compose(turn, target - turn @ center)


def _with_rigid(
    flesh: Deformation,
    patient: Patient,
    motions: Mapping[str, Floats],
    every: Sequence[int],
    reach_mm: float = _BONE_REACH_MM,
) -> Deformation:
    """A deformation in which each bone moves as told; where the bone will be, and around it."""
    affine, shape = flesh.patient_from_node, flesh.displacement_mm.shape[:3]
    codes = np.zeros((1, 1, 1)) if patient.labels is None else patient.labels.codes
    node_mm = float(np.linalg.norm(affine[:3, :3], axis=0).mean())
    total, weight, near = np.zeros((*shape, 3)), np.zeros(shape), np.zeros(shape)
    for name, original_to_new in motions.items():
        members = patient.labels.structures[name] if patient.labels else ()
        held = np.isin(codes[:: every[0], :: every[1], :: every[2]], members)
        if not held.any():
            continue
        back = np.linalg.inv(original_to_new)
        where = apply(np.linalg.inv(affine) @ original_to_new @ affine, np.argwhere(held).astype(float))
        margin = 2.5 * reach_mm / node_mm
        box = tuple(
            slice(max(int(low - margin), 0), min(int(high + margin) + 2, n))
            for low, high, n in zip(where.min(axis=0), where.max(axis=0), shape, strict=True)
        )
        nodes = apply(affine, np.stack(np.meshgrid(*[np.arange(s.start, s.stop) for s in box], indexing="ij"), -1))
        original = apply(back, nodes)
        at = np.rint(apply(np.linalg.inv(patient.ct.patient_from_voxel), original)).astype(int)
        inside = np.all((at >= 0) & (at < np.array(codes.shape)), axis=-1)
        at = np.where(inside[..., None], at, 0)
        there = inside & np.isin(codes[at[..., 0], at[..., 1], at[..., 2]], members)
        if not there.any():
            continue
        away = distance(there) * node_mm
        share = 1 / (_JOINT_MM**2 + away.astype(np.float64) ** 2)
        share *= away < 2.5 * reach_mm
        total[box] += share[..., None] * (original - nodes)
        weight[box] += share
        near[box] = np.maximum(near[box], np.exp(-((away / reach_mm) ** 2)) * (away < 2.5 * reach_mm))
    rigid = total / np.maximum(weight, 1e-12)[..., None]
    mixed = near[..., None] * rigid + (1 - near[..., None]) * flesh.displacement_mm
    return Deformation(mixed, affine)
