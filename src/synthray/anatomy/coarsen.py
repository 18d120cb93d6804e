"""A patient on another voxel size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthray.anatomy.patient import LabelMap, Patient, Volume
from synthray.anatomy.resample import resample
from synthray.anatomy.working_grid import block_mean
from synthray.errors import InputError


def resample_patient(patient: Patient, voxel_mm: float) -> Patient:
    """The patient on voxels of about `voxel_mm` along each of its own axes; the covered box stays the same.

    Whole voxels are averaged before sampling, so that a coarser grid keeps the line integrals; labels take the
    nearest voxel.

    Raises:
        InputError: voxel_mm is not positive.
    """
    if not voxel_mm > 0:
        raise InputError(f"voxel_mm={voxel_mm}: it must be positive")
    ct = patient.ct
    extent = np.array(ct.shape) * ct.voxel_mm
    i, j, k = (max(1, int(n)) for n in np.round(extent / voxel_mm))
    zoom = np.array(ct.shape) / (i, j, k)
    affine = ct.patient_from_voxel.copy()
    affine[:3, 3] += affine[:3, :3] @ ((zoom - 1) / 2)
    affine[:3, :3] *= zoom
    coarse = block_mean(ct, np.maximum(1, np.floor(zoom + 0.1).astype(int)))
    values = np.rint(resample(coarse, (i, j, k), affine, linear=True, outside=-1000)).astype(np.int16)
    labels = patient.labels
    if labels is not None:
        codes = resample(Volume(labels.codes, ct.patient_from_voxel), (i, j, k), affine, linear=False, outside=0)
        labels = LabelMap(codes, labels.structures)
    return replace(patient, ct=Volume(values, affine), labels=labels)
