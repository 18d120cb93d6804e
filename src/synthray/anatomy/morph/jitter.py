"""Other Hounsfield units for the same person: bone density, soft parts, lungs, texture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from synthray.anatomy.patient import Patient, Volume
from synthray.errors import InputError

_BONE_HU, _FLESH_HU, _LUNG_HU, _AIR_HU = 180.0, -250.0, -500.0, -950.0
_COARSE_VOXELS = 6.0


def jittered(
    patient: Patient,
    seed: int,
    *,
    bone: float = 0.12,
    soft_hu: float = 12.0,
    lung_hu: float = 35.0,
    texture_hu: float = 10.0,
) -> Patient:
    """The person with other tissues: shape, labels and landmarks stay.

    Args:
        patient: who.
        seed: equal seeds give equal people.
        bone: standard deviation of the factor on Hounsfield units above soft tissue (bone density).
        soft_hu: standard deviation of the shift of soft tissue and fat.
        lung_hu: standard deviation of the shift of lung.
        texture_hu: standard deviation of texture, half of it fine and half a few voxels wide.

    Raises:
        InputError: a strength is negative or absurd.
    """
    for name, value, most in (("bone", bone, 1), ("soft_hu", soft_hu, 200), ("lung_hu", lung_hu, 300)):
        if not 0 <= value <= most:
            raise InputError(f"{name}={value:g} must lie within 0 to {most}")
    if not 0 <= texture_hu <= 200:
        raise InputError(f"texture_hu={texture_hu:g} must lie within 0 to 200")
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x4855]))
    factor, flesh, lung = np.clip(rng.standard_normal(3), -2.5, 2.5) * [bone, soft_hu, lung_hu]
    anchors = [-1100, _AIR_HU, _LUNG_HU - 200, _LUNG_HU, _FLESH_HU, _BONE_HU]
    shifts = [0, 0, lung, lung, flesh, flesh]
    hu = patient.ct.values.astype(np.float32)
    shift = np.interp(hu, anchors, shifts).astype(np.float32)
    shift += np.float32(factor) * np.maximum(hu - np.float32(_BONE_HU), 0)
    if texture_hu:
        shift += np.where(hu > _AIR_HU, np.float32(texture_hu), 0) * _texture(rng, hu.shape)
    values = np.clip(hu + shift, -1024, 30000)
    kind = patient.ct.values.dtype
    stored = np.rint(values).astype(kind) if kind.kind in "iu" else values.astype(kind)
    return replace(patient, ct=Volume(stored, patient.ct.patient_from_voxel))


def _texture(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """(I, J, K) noise of unit standard deviation, fine and coarse."""
    import SimpleITK

    fine, base = (rng.standard_normal(shape[::-1], dtype=np.float32) for _ in range(2))
    sigma = min(_COARSE_VOXELS, *(n / 4 for n in shape))
    image = SimpleITK.SmoothingRecursiveGaussian(SimpleITK.GetImageFromArray(base), sigma)
    coarse = SimpleITK.GetArrayFromImage(image)
    return ((fine + coarse / coarse.std()) / np.float32(np.sqrt(2))).T
