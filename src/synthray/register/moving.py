"""The CT's side of the comparison: projections of coarser and coarser copies, with derivatives of the pose."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.anatomy.coarsen import resample_patient
from synthray.errors import SynthrayWarning
from synthray.geometry import Camera, apply
from synthray.imaging import basis_attenuation_cm2_g
from synthray.projector import project
from synthray.register.pose import at_pivot, pivot_in_camera

Image = npt.NDArray[np.float32]
# Mean energy behind a body at 80 to 100 kVp. The image is compared patch by patch, so the value matters little.
EFFECTIVE_KEV = 60.0
# Tissue at the rim of the grid: the person goes on beyond it.
_TISSUE_HU = -500


@dataclass(frozen=True, eq=False)
class MovingImage:
    """What a pose shows.

    Attributes:
        image: (row, column) -log transmission at one energy.
        jacobian: (6, row, column) per rad about the pivot and per mm, see `pose.moved`.
    """

    image: Image
    jacobian: Image


def moving_images(patient: Patient, cameras: Sequence[Camera], threads: int | None = None) -> Image:
    """(view, row, column) -log transmission at one energy, linear in the area densities."""
    attenuation = _attenuation()
    with warnings.catch_warnings():
        # A pose that misses the person is the search's business.
        warnings.simplefilter("ignore", SynthrayWarning)
        seen = project(patient, cameras, masks=False, depth=False, backend="cpu", threads=threads)
    return np.einsum("b,vbrc->vrc", attenuation, seen.area_density)


def moving_image(
    patient: Patient, camera: Camera, pivot_mm: npt.NDArray[np.float64], threads: int | None = None
) -> MovingImage:
    """One view with its derivative for turns about a pivot and shifts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SynthrayWarning)
        seen = project(patient, camera, masks=False, depth=False, jacobian=True, backend="cpu", threads=threads)
    attenuation = _attenuation()
    jacobian = np.einsum("b,bkrc->krc", attenuation, np.asarray(seen.jacobian)[0])
    image = np.einsum("b,brc->rc", attenuation, seen.area_density[0])
    return MovingImage(image, at_pivot(jacobian, pivot_in_camera(camera, pivot_mm)))


def _attenuation() -> npt.NDArray[np.float32]:
    return basis_attenuation_cm2_g(EFFECTIVE_KEV).astype(np.float32)


def coarser(patient: Patient, camera: Camera, pivot_mm: npt.NDArray[np.float64]) -> Patient:
    """The patient on voxels about as large as a pixel at the pivot; the patient itself where that gains nothing.

    Made once for every size and kept with the patient.
    """
    depth = float(np.linalg.norm(np.asarray(pivot_mm) - camera.source_mm))
    pixel_mm = depth / min(abs(camera.K[0, 0]), abs(camera.K[1, 1]))
    finest = float(patient.ct.voxel_mm.min())
    # Whole powers of two of the voxel, so that poses share the copies.
    voxel_mm = finest * 2 ** np.floor(np.log2(max(pixel_mm / finest, 1)) + 0.25)
    if voxel_mm < 1.5 * finest:
        return patient
    held = patient.derived.setdefault("register", {})
    if voxel_mm not in held:
        held[voxel_mm] = resample_patient(patient, float(voxel_mm))
    return held[voxel_mm]


def covered(patient: Patient, camera: Camera) -> npt.NDArray[np.bool_]:
    """(row, column) pixels whose ray meets all of the person that it would meet outside of the CT, as far as one can
    tell: it neither enters nor leaves the CT through tissue, nor passes by a face at which the person is cut off.
    """
    ct = patient.ct
    voxel_from_patient = np.linalg.inv(ct.patient_from_voxel)
    source, directions = camera.rays()
    origin = apply(voxel_from_patient, source)
    rays = directions @ voxel_from_patient[:3, :3].T
    last = np.array(ct.shape) - 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([(0 - origin) / rays, (last - origin) / rays])
    enter, leave = np.nanmax(ends.min(axis=0), axis=-1), np.nanmin(ends.max(axis=0), axis=-1)
    # A ray that misses the CT is judged where it is nearest to the CT's middle.
    nearest = ((last / 2 - origin) * rays).sum(axis=-1) / (rays**2).sum(axis=-1)
    hit = leave > np.maximum(enter, 0)
    whole = np.ones(hit.shape, dtype=bool)
    for t in (np.where(hit, enter, nearest), np.where(hit, leave, nearest)):
        index = np.clip(np.rint(origin + t[..., None] * rays), 0, last).astype(int)
        whole &= ct.values[tuple(np.moveaxis(index, -1, 0))] < _TISSUE_HU
    return whole
