"""Contours of DICOM RT Structure Sets (PS3.3 C.8.8.5, C.8.8.6) as masks on a CT's grid."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.anatomy.patient import Volume
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import apply, polygon_mask

Floats = npt.NDArray[np.float64]
Contours = Mapping[str, Sequence[Floats]]

_CLOSED: Final = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_TAGS: Final = ["Modality", "StructureSetROISequence", "ROIContourSequence"]
# A contour may leave its plane by this part of a slice distance: what rounding to 0.01 mm does.
_FLATNESS: Final = 0.1
_SAME_PLANE: Final = 0.05


def is_rtstruct(path: Path) -> bool:
    """Whether a file is a DICOM RT Structure Set; those of old planning systems lack the preamble."""
    from pydicom import dcmread

    try:
        return str(dcmread(path, specific_tags=["Modality"], force=True).get("Modality", "")) == "RTSTRUCT"
    except Exception:  # pydicom raises nearly anything on damaged files
        return False


def read_contours(path: Path) -> dict[str, list[Floats]]:
    """ROI name -> closed contours, each (N, 3) patient mm (LPS). ROIs without closed contours are left out.

    Only names, types and points are read. Two ROIs of one name count as one.

    Raises:
        InputError: damaged, or no closed contours in it.
    """
    from pydicom import dcmread

    try:
        data = dcmread(path, specific_tags=_TAGS, force=True)
        names = {int(roi.ROINumber): str(roi.ROIName).strip() for roi in data.get("StructureSetROISequence", [])}
        found: dict[str, list[Floats]] = {}
        for roi in data.get("ROIContourSequence", []):
            contours = list(_closed(roi))
            if contours:
                found.setdefault(names[int(roi.ReferencedROINumber)], []).extend(contours)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # pydicom raises nearly anything on damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: its contours can't be read ({reason}); export it again") from error
    if not found:
        raise InputError(f"{path}: no closed contours in this structure set")
    return found


def _closed(roi: Any) -> Iterator[Floats]:
    for contour in roi.get("ContourSequence", []):
        points = np.array(contour.get("ContourData", []), dtype=np.float64)
        if points.size % 3 or not np.isfinite(points).all():
            raise InputError(f"a contour of {points.size} numbers is not a list of points in mm; export it again")
        if str(contour.get("ContourGeometricType", "")) in _CLOSED and points.size >= 9:
            yield points.reshape(-1, 3)


def contour_masks(contours: Contours, ct: Volume, where: str) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Structure by structure its voxels: those whose centre lies in a contour of their slice.

    A contour within a contour of one slice is a hole. Where contours are further apart than slices, each slice takes
    the nearest one, with a warning.

    Args:
        contours: see `read_contours`.
        ct: gives the grid; the contours must lie in planes of its voxels.
        where: names the file in messages.

    Yields:
        Name and (I, J, K) bool.

    Raises:
        InputError: contours are oblique to the grid, or all of them outside it.
    """
    voxel_from_patient = np.linalg.inv(ct.patient_from_voxel)
    inside = False
    for name, shapes in contours.items():
        mask = _mask([apply(voxel_from_patient, one) for one in shapes], ct, f"{where}: contours of '{name}'")
        inside |= bool(mask.any())
        yield name, mask
    if not inside:
        raise InputError(f"{where}: the contours don't overlap the CT in space; are they of the same scan?")


def _mask(contours: list[Floats], ct: Volume, where: str) -> npt.NDArray[np.bool_]:
    """(I, J, K) bool of one structure's contours in voxel coordinates."""
    spreads = np.array([np.ptp(points, axis=0) for points in contours])
    axis = int(np.median(spreads, axis=0).argmin())
    if spreads[:, axis].max() > _FLATNESS:
        raise InputError(f"{where} don't lie in the slices of the CT; draw them on this CT, or export masks instead")
    heights = np.array([points[:, axis].mean() for points in contours])
    planes, members = _planes(heights)
    gap = float(np.median(np.diff(planes))) if len(planes) > 1 else 1.0
    if gap > 1.5:
        message = f"{where} are {gap:.1f} slices apart; slices between take the nearest one"
        warnings.warn(message, SynthrayWarning, stacklevel=4)
    size = ct.shape[axis]
    mask = np.zeros(ct.shape, dtype=bool)
    slices = np.moveaxis(mask, axis, 0)
    flat = [np.delete(points, axis, axis=1) for points in contours]
    middles = (planes[1:] + planes[:-1]) / 2
    reach = max(gap, 1.0) / 2
    # Half-open from middle to middle, so that each slice gets one plane, and one half-way between two gets its upper.
    lower = np.maximum(planes - reach, np.append(-np.inf, middles))
    upper = np.minimum(planes + reach, np.append(middles, np.inf))
    for low, high, held in zip(np.ceil(lower), np.ceil(upper), members, strict=True):
        chosen = slice(max(int(low), 0), min(max(int(high), 0), size))
        if chosen.start < chosen.stop:
            slices[chosen] = np.logical_xor.reduce([polygon_mask(flat[n], slices.shape[1:]) for n in held])
    return mask


def _planes(heights: Floats) -> tuple[Floats, list[list[int]]]:
    """Heights of the planes, ascending, and the contours that lie in each."""
    order = np.argsort(heights, kind="stable")
    starts = np.flatnonzero(np.diff(heights[order], prepend=-np.inf) > _SAME_PLANE)
    groups = np.split(order, starts[1:])
    return np.array([heights[group].mean() for group in groups]), [group.tolist() for group in groups]
