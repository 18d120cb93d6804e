"""NIfTI-1 and NIfTI-2 single files (.nii, .nii.gz), read header first and written without loss of geometry.

Field offsets and meanings: https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields and the NIfTI-2 header
definition. World coordinates in the file are RAS; ours are LPS.
"""

from __future__ import annotations

import gzip
import math
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.anatomy.patient import Volume
from synthray.anatomy.raw import RawData, is_gzip, open_stream
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import check_affine

LPS_FROM_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])

_TYPES: Final = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_COLOURS: Final = {128, 2304}
_SPACE_UNITS_MM: Final = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
# Header size -> magic and its offset.
_MAGIC: Final = {348: (b"n+1\0", 344), 540: (b"n+2\0\r\n\x1a\n", 4)}
# Header size -> struct format and offset of each field of `_Fields`, in its order.
_LAYOUT: Final = {
    348: "8h 40, h 70, 8f 76, f 108, ff 112, B 123, hh 252, 6f 256, 12f 280",
    540: "8q 16, h 12, 8d 104, q 168, dd 176, i 500, ii 344, 6d 352, 12d 400",
}


@dataclass(frozen=True)
class _Fields:
    dim: tuple[int, ...]
    datatype: tuple[int]
    pixdim: tuple[float, ...]
    vox_offset: tuple[float]
    scaling: tuple[float, float]
    units: tuple[int]
    form_codes: tuple[int, int]
    quaternion: tuple[float, ...]
    sform: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class NiftiHeader:
    """What a NIfTI header says once it has been checked.

    Attributes:
        raw: where and what the voxels are.
        slope: multiplies stored values.
        intercept: is added after that.
        patient_from_voxel: (4, 4) voxel index -> patient mm (LPS).
    """

    raw: RawData
    slope: float
    intercept: float
    patient_from_voxel: npt.NDArray[np.float64]


def read_nifti_header(path: Path) -> NiftiHeader:
    """The checked header of a .nii or .nii.gz file; no voxel is read.

    Warns when the qform and the sform disagree (the sform is used), when there is neither, and when lengths are not mm.

    Raises:
        InputError: not a NIfTI file, not one 3-D scalar volume, or its geometry makes no sense.
    """
    gzipped = is_gzip(path)
    try:
        with open_stream(path, gzipped) as stream:
            head = stream.read(540)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: damaged or cut off ({error}); copy or export it again") from error
    size, order = _size_and_byte_order(head, path)
    places = (place.split() for place in _LAYOUT[size].split(", "))
    fields = _Fields(*(struct.unpack_from(order + form, head, int(at)) for form, at in places))
    slope, intercept = _scaling(fields, path)
    return NiftiHeader(
        raw=RawData(
            path=path,
            offset=_offset(fields, size, path),
            packing="gzip" if gzipped else "none",
            dtype=np.dtype(order + _type(fields, path)),
            shape=_shape(fields, path),
        ),
        slope=slope,
        intercept=intercept,
        patient_from_voxel=_patient_from_voxel(fields, path),
    )


def read_nifti(path: Path) -> Volume:
    """The volume in a .nii or .nii.gz file, values scaled as the header says.

    Raises:
        InputError: see `read_nifti_header`, or the file is cut off or damaged.
    """
    header = read_nifti_header(path)
    stored = header.raw.read()
    return Volume(rescaled(stored, header.slope, header.intercept), header.patient_from_voxel)


def rescaled(stored: npt.NDArray[Any], slope: float, intercept: float) -> npt.NDArray[Any]:
    """`stored * slope + intercept`, int32 where everything is whole, else float32; untouched where nothing changes."""
    if slope == 1 and intercept == 0:
        return stored
    whole = (
        stored.dtype.kind in "iu" and stored.dtype.itemsize < 4 and slope == int(slope) and intercept == int(intercept)
    )
    if whole and abs(slope) < 1 << 14 and abs(intercept) < 1 << 30:
        return stored.astype(np.int32) * int(slope) + int(intercept)
    return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def write_nifti(volume: Volume, path: Path) -> None:
    """Write a volume as NIfTI-1; the same volume gives the same bytes.

    The affine goes into the sform in single precision. There is no qform: it can't hold a sheared grid.

    Raises:
        InputError: the values' type has no NIfTI code.
    """
    values = volume.values
    codes = {name: code for code, name in _TYPES.items()}
    name = values.dtype.newbyteorder("<").str[1:]
    if name not in codes:
        raise InputError(f"{path}: values of type {values.dtype} can't be stored as NIfTI")
    ras_from_voxel = LPS_FROM_RAS @ volume.patient_from_voxel
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *values.shape, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, codes[name], 8 * values.dtype.itemsize)
    struct.pack_into("<8f", head, 76, 1, *volume.voxel_mm, 1, 1, 1, 1)
    struct.pack_into("<fff", head, 108, 352, 1, 0)
    struct.pack_into("<B", head, 123, 2)
    struct.pack_into("<hh", head, 252, 0, 2)
    struct.pack_into("<12f", head, 280, *ras_from_voxel[:3].ravel())
    head[344:348] = b"n+1\0"
    data = bytes(head) + values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes(order="F")
    path.write_bytes(gzip.compress(data, compresslevel=4, mtime=0) if path.suffix == ".gz" else data)


def _size_and_byte_order(head: bytes, path: Path) -> tuple[int, str]:
    for order in "<>":
        size = struct.unpack(order + "i", head[:4])[0] if len(head) >= 4 else 0
        if size in _MAGIC and len(head) >= size:
            magic, at = _MAGIC[size]
            if head[at : at + len(magic)] == magic:
                return size, order
            if head[344:347] == b"ni1":
                raise InputError(f"{path}: a NIfTI header with its voxels in another file; save it as one .nii.gz")
    raise InputError(f"{path}: not a NIfTI file, or cut off in its header ({len(head)} bytes); export it again")


def _shape(fields: _Fields, path: Path) -> tuple[int, int, int]:
    n = fields.dim[0]
    if not 1 <= n <= 7:
        raise InputError(f"{path}: the header claims {n} dimensions; the file is damaged")
    size = fields.dim[1 : n + 1]
    if n < 3 or any(extra > 1 for extra in size[3:]):
        raise InputError(f"{path}: one 3-D volume is needed, the header gives the size {list(size)}; extract one first")
    return size[0], size[1], size[2]


def _type(fields: _Fields, path: Path) -> str:
    code = fields.datatype[0]
    if code in _COLOURS:
        raise InputError(f"{path}: holds colours (RGB), not CT or label values; save it with one value per voxel")
    if code not in _TYPES:
        raise InputError(f"{path}: NIfTI data type {code} can't be used; save it as int16 or float32")
    return _TYPES[code]


def _offset(fields: _Fields, size: int, path: Path) -> int:
    offset = fields.vox_offset[0]
    if offset == 0:
        return size + 4
    if not (math.isfinite(offset) and size <= offset < 1 << 40 and offset == int(offset)):
        raise InputError(f"{path}: the header puts the voxels at byte {offset}; the file is damaged")
    return int(offset)


def _scaling(fields: _Fields, path: Path) -> tuple[float, float]:
    slope, intercept = fields.scaling
    if slope == 0 or math.isnan(slope):  # the standard's way to say "no scaling"
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise InputError(f"{path}: the scaling in the header (slope {slope}, intercept {intercept}) is not finite")
    if slope < 0:
        _warn(f"{path}: the header turns values upside down (slope {slope}); they are read as it says")
    return slope, intercept


def _patient_from_voxel(fields: _Fields, path: Path) -> npt.NDArray[np.float64]:
    spacing = np.array(fields.pixdim[1:4])
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise InputError(f"{path}: voxel size {spacing.tolist()} mm; every one must be above zero, fix the header")
    q_code, s_code = fields.form_codes
    sform = np.vstack([np.reshape(fields.sform, (3, 4)), [0, 0, 0, 1]])
    qform = _qform(fields, path) if q_code > 0 else None
    if s_code > 0:
        chosen = check_affine(sform, f"{path}: the sform")
        if qform is not None:
            _warn_if_apart(chosen, qform, _shape(fields, path), path)
    elif qform is not None:
        chosen = check_affine(qform, f"{path}: the qform")
    else:
        chosen = np.diag([*spacing, 1.0])
        _warn(f"{path}: no orientation in the header; its axes are taken as right, anterior, superior")
    unit_mm = _SPACE_UNITS_MM.get(fields.units[0] & 7, 1.0)
    if unit_mm != 1:
        _warn(f"{path}: lengths are not in mm; they were multiplied by {unit_mm}")
    return LPS_FROM_RAS @ np.diag([unit_mm, unit_mm, unit_mm, 1.0]) @ chosen


def _qform(fields: _Fields, path: Path) -> npt.NDArray[np.float64]:
    """The (4, 4) RAS affine of the quaternion (b, c, d), the offset and the signed voxel size."""
    b, c, d, *offset = fields.quaternion
    if not np.isfinite(fields.quaternion).all() or b * b + c * c + d * d > 1 + 1e-5:
        raise InputError(f"{path}: the qform holds NaN or no rotation; fix the header")
    a = math.sqrt(max(0.0, 1 - (b * b + c * c + d * d)))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handed = -1.0 if fields.pixdim[0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * (np.array(fields.pixdim[1:4]) * [1, 1, handed])
    affine[:3, 3] = offset
    return affine


def _warn_if_apart(
    sform: npt.NDArray[np.float64], qform: npt.NDArray[np.float64], shape: tuple[int, int, int], path: Path
) -> None:
    corners = np.array(np.meshgrid(*([0, n - 1] for n in shape), 1, indexing="ij")).reshape(4, -1)
    apart = float(np.linalg.norm(((sform - qform) @ corners)[:3], axis=0).max())
    if apart > 0.1 * np.linalg.norm(sform[:3, :3], axis=0).min():
        _warn(f"{path}: its qform and sform lie up to {apart:.1f} mm apart; the sform is used")


def _warn(message: str) -> None:
    warnings.warn(message, SynthrayWarning, stacklevel=2)
