"""A folder of DICOM CT slices -> one volume. All headers are read and checked before any voxel.

Attributes: DICOM PS3.3 C.7.6.2 (image plane) and C.8.2.1 (CT image). DICOM's patient frame is LPS, whatever way
the patient lay, so positions are taken as they are. Nothing that identifies the patient leaves this module.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.anatomy.nifti import rescaled
from synthray.anatomy.patient import Volume
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import check_affine

_TAGS: Final = [
    "SOPInstanceUID", "SeriesInstanceUID", "Modality", "ImageType", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "RescaleSlope", "RescaleIntercept", "NumberOfFrames",
    "SamplesPerPixel",
]  # fmt: skip
_NEEDED: Final = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
_ORIENTATION_TOLERANCE: Final = 1e-3
_POSITION_TOLERANCE: Final = 0.05  # of the slice distance; scanners round positions to about 0.01 mm
_DICOM_ENDINGS: Final = (".dcm", ".dicom", ".ima")
_LINE_TOLERANCE_MM: Final = 0.1


@dataclass(frozen=True)
class Slice:
    """One CT slice's header, as far as geometry and scaling need it."""

    path: Path
    series: str
    size: tuple[int, int]
    position: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    slope: float
    intercept: float


def read_dicom_folder(folder: Path, series: str | None = None) -> tuple[Volume, str]:
    """The CT series in a folder, and a name for it that doesn't tell whose it is.

    Files that are not DICOM, and DICOM files that are not CT slices (scouts, reports, contours), are passed over.
    A tilted gantry gives a sheared affine, which is exact.

    Args:
        folder: is searched with its subfolders.
        series: which one where there are several: a name from the message that lists them, or a SeriesInstanceUID.

    Raises:
        InputError: no CT; several series; slices missing, doubled, or of differing size or orientation; damaged pixels.
    """
    slices = list(_ct_slices(folder))
    if not slices:
        raise InputError(f"{folder}: no CT slices; give a folder of DICOM CT files, or a .nii.gz, .nrrd or .mha file")
    chosen = _in_order(_one_series(slices, folder, series), folder)
    affine = _patient_from_voxel(chosen, folder)
    values = np.stack([_hounsfield(s) for s in chosen], axis=-1)
    return Volume(values, affine), _name(chosen[0].series)


def _ct_slices(folder: Path) -> Iterator[Slice]:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "DICOMDIR"):
        try:
            header = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
            if str(header.get("Modality", "")) == "CT" and "LOCALIZER" not in header.get("ImageType", []):
                yield _slice(path, header)
            elif "Modality" not in header:
                _warn_of(path, "has no modality")
        except (InvalidDicomError, EOFError):
            if path.suffix.lower() in _DICOM_ENDINGS:
                _warn_of(path, "is not DICOM or is cut off")
            continue
        except InputError:
            raise
        except Exception as error:  # pydicom raises nearly anything on damaged files
            raise InputError(f"{path}: its DICOM header can't be understood ({_first_line(error)})") from error


def _warn_of(path: Path, what: str) -> None:
    warnings.warn(f"{path}: {what}; passed over, a slice may be missing at the end", SynthrayWarning, stacklevel=4)


def _slice(path: Path, header: Any) -> Slice:
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise InputError(f"{path}: an enhanced (multi-frame) CT; convert it to NIfTI first, for example with dcm2niix")
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise InputError(f"{path}: a colour image among the CT slices; remove it")
    missing = [tag for tag in _NEEDED if header.get(tag) is None]
    if missing:
        raise InputError(f"{path}: {', '.join(missing)} is missing, so its place in space is not known")
    along_row, down_column = np.array(header.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    row_distance, column_distance = (float(v) for v in header.PixelSpacing)
    position = np.array(header.ImagePositionPatient, dtype=np.float64).reshape(3)
    scaling = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
    size = int(header.Columns), int(header.Rows)
    axes = np.stack([along_row * column_distance, down_column * row_distance], axis=-1)
    scaled = 0 < scaling[0] < 1e4 and abs(scaling[1]) < 1e6
    if not (np.isfinite([*axes.ravel(), *position]).all() and min(row_distance, column_distance) > 0 and scaled):
        raise InputError(f"{path}: position, orientation, pixel spacing or scaling is not a sensible number")
    if max(abs(np.linalg.norm([along_row, down_column], axis=1) - 1)) > 1e-2 or abs(along_row @ down_column) > 1e-2:
        raise InputError(f"{path}: its image orientation is not two perpendicular unit vectors; the file is damaged")
    return Slice(path, str(header.get("SeriesInstanceUID", "")), size, position, axes, *scaling)


def _one_series(slices: list[Slice], folder: Path, series: str | None) -> list[Slice]:
    found: dict[str, list[Slice]] = {}
    for item in slices:
        found.setdefault(item.series, []).append(item)
    if series is None and len(found) == 1:
        return slices
    # Series descriptions and UIDs can tell whose scan it is, so a series is named by what it looks like.
    listing = "; ".join(f"{_name(uid)} ({_in_words(held)})" for uid, held in found.items())
    if series is None:
        raise InputError(f"{folder}: {len(found)} CT series; choose one with series=: {listing}")
    for uid, held in found.items():
        if series in (uid, _name(uid)):
            return held
    raise InputError(f"{folder}: no CT series {series}; there is {listing}")


def _name(series: str) -> str:
    """A name for a series that doesn't tell whose it is."""
    return "ct-" + hashlib.sha256(series.encode()).hexdigest()[:8]


def _in_words(slices: list[Slice]) -> str:
    first = slices[0]
    normal = np.cross(first.axes[:, 0], first.axes[:, 1])
    heights = np.sort([float(item.position @ normal) for item in slices]) / np.linalg.norm(normal)
    every = f", {float(np.median(np.diff(heights))):.2g} mm apart" if len(slices) > 1 else ""
    return f"{len(slices)} slices of {first.size[0]} x {first.size[1]}{every}"


def _in_order(slices: list[Slice], folder: Path) -> list[Slice]:
    """Slices along the normal of their plane, all of one size and orientation, evenly spaced, none missing."""
    first = slices[0]
    for item in slices:
        if item.size != first.size:
            raise InputError(
                f"{folder}: slices of different size: {first.path.name} has {first.size}, {item.path.name} has "
                f"{item.size} pixels; keep one series per folder"
            )
        if np.abs(item.axes - first.axes).max() > _ORIENTATION_TOLERANCE * np.abs(first.axes).max():
            raise InputError(
                f"{folder}: {first.path.name} and {item.path.name} differ in orientation or pixel spacing; keep one "
                "series per folder"
            )
    if len(slices) < 2:
        raise InputError(f"{folder}: one CT slice only; a volume needs at least two")
    normal = np.cross(first.axes[:, 0], first.axes[:, 1])
    normal /= np.linalg.norm(normal)
    ordered = sorted(slices, key=lambda s: float(s.position @ normal))
    _check_spacing(np.array([float(s.position @ normal) for s in ordered]), ordered, folder)
    return ordered


def _check_spacing(heights: npt.NDArray[np.float64], ordered: list[Slice], folder: Path) -> None:
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    doubled = int(gaps.argmin())
    if gaps[doubled] < max(1e-3, 0.1 * usual):
        names = f"{ordered[doubled].path.name} and {ordered[doubled + 1].path.name}"
        raise InputError(f"{folder}: two slices at one place, {heights[doubled]:.2f} mm: {names}; remove the copies")
    off = np.flatnonzero(np.abs(gaps - usual) > _POSITION_TOLERANCE * usual)
    if len(off):
        worst = int(off[gaps[off].argmax()])
        raise InputError(
            f"{folder}: slices are missing or unevenly spaced: a gap of {gaps[worst]:.2f} mm between "
            f"{ordered[worst].path.name} and {ordered[worst + 1].path.name} where {usual:.2f} mm is usual "
            f"({len(off)} such gaps); export the whole series"
        )


def _patient_from_voxel(ordered: list[Slice], folder: Path) -> npt.NDArray[np.float64]:
    """The affine of evenly spaced slices; sheared where the gantry was tilted."""
    positions = np.array([s.position for s in ordered])
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    off_mm = np.linalg.norm(positions - (positions[0] + np.arange(len(ordered))[:, None] * step), axis=1)
    limit = max(_LINE_TOLERANCE_MM, _POSITION_TOLERANCE * float(np.linalg.norm(step)))
    if off_mm.max() > limit:
        name = ordered[int(off_mm.argmax())].path.name
        raise InputError(
            f"{folder}: {name} lies {off_mm.max():.2f} mm off the line of the others; export the series again"
        )
    affine = np.eye(4)
    affine[:3, :2] = ordered[0].axes
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    return check_affine(affine, f"{folder}: the affine")


def _hounsfield(item: Slice) -> npt.NDArray[Any]:
    """(columns, rows) Hounsfield units of one slice."""
    from pydicom import dcmread

    try:
        dataset = dcmread(item.path)
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax.is_compressed and not syntax.is_deflated and "RLE" not in syntax.name:
            return _decoded_by_itk(item, dataset)
        stored = dataset.pixel_array
    except Exception as error:  # pydicom and GDCM raise nearly anything on damaged files
        raise InputError(f"{item.path}: its pixels can't be read ({_first_line(error)}); export it again") from error
    if stored.shape != item.size[::-1]:
        raise InputError(f"{item.path}: pixels of shape {stored.shape}, the header gives {item.size[::-1]}")
    return rescaled(stored, item.slope, item.intercept).T


def _decoded_by_itk(item: Slice, header: Any) -> npt.NDArray[Any]:
    """JPEG and JPEG 2000 slices; GDCM applies slope and intercept itself, and turns MONOCHROME1 round before."""
    import SimpleITK

    values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(item.path)))
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        highest = -1 if header.get("PixelRepresentation") == 1 else (1 << int(header.BitsStored)) - 1
        values = item.slope * highest + 2 * item.intercept - values
        values = values.astype(np.int32) if float(item.slope).is_integer() else values
    return values.reshape(item.size[::-1]).T


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
