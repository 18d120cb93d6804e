"""MetaImage files (.mha, .mhd). Positions in the file are patient mm in LPS, as ITK writes and reads them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import numpy as np

from synthray.anatomy.patient import Volume
from synthray.anatomy.raw import RawData
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import check_affine, compose

_TYPES: Final = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
_MOST_HEADER_BYTES: Final = 1 << 16


def read_metaimage(path: Path) -> Volume:
    """The volume in a .mha or .mhd file.

    Raises:
        InputError: the header is incomplete or not one 3-D scalar volume, or the file is cut off or damaged.
    """
    fields, data_offset = _read_fields(path)
    sizes = _numbers(fields, path, "DimSize")
    shape = tuple(int(n) for n in sizes)
    if len(shape) < 3 or any(n != 1 for n in shape[3:]) or list(shape) != sizes or _axes(fields) not in (3, len(shape)):
        raise InputError(
            f"{path}: one 3-D volume is needed, the header gives the size {list(shape)}; extract one first"
        )
    if fields.get("BinaryData", "True").lower() == "false":
        raise InputError(f"{path}: voxels written as text can't be read; save it in binary form")
    if int(fields.get("ElementNumberOfChannels", "1")) != 1:
        raise InputError(f"{path}: holds several values per voxel (colours or vectors), not CT or label values")
    file_type = fields.get("ElementType", "")
    if file_type not in _TYPES:
        raise InputError(f"{path}: ElementType '{file_type}' can't be used; save it as MET_SHORT or MET_FLOAT")
    order = ">" if "true" in (_byte_order(fields)) else "<"
    dtype = np.dtype(order + _TYPES[file_type])
    compressed = fields.get("CompressedData", "False").lower() == "true"
    data_path = data_file(path, fields["ElementDataFile"])
    offset = data_offset if data_path == path else int(fields.get("HeaderSize", "0"))
    if offset < 0:  # -1: the voxels are the last bytes of the file
        offset = max(0, data_path.stat().st_size - int(np.prod(shape[:3], dtype=np.float64)) * dtype.itemsize)
    raw = RawData(
        path=data_path,
        offset=offset,
        packing="deflate" if compressed else "none",
        dtype=dtype,
        shape=(shape[0], shape[1], shape[2]),
    )
    affine = _patient_from_voxel(fields, path)
    return Volume(raw.read(), affine)


def data_file(header: Path, named: str) -> Path:
    """The voxel file that a header names: itself ("LOCAL") or a file in the same folder.

    Raises:
        InputError: a list or pattern of files, a path to another folder, or a file that isn't there.
    """
    if named.upper() == "LOCAL":
        return header
    if named.upper().startswith("LIST") or "%" in named:
        raise InputError(
            f"{header}: its voxels are spread over several files; save it as one file (.mha, .nrrd, .nii.gz)"
        )
    if Path(named).name != named:
        raise InputError(f"{header}: its voxel file '{named}' must lie in the same folder")
    path = header.parent / named
    try:
        there = path.is_file()
    except OSError:  # a name longer than the file system takes
        there = False
    if not there:
        raise InputError(f"{header}: its voxel file {path.name[:80]} does not exist")
    return path


def _axes(fields: dict[str, str]) -> int:
    """Number of axes that the header gives."""
    return int(fields.get("NDims", "3"))


def _read_fields(path: Path) -> tuple[dict[str, str], int]:
    """Header fields, and the byte after the header."""
    with path.open("rb") as stream:
        head = stream.read(_MOST_HEADER_BYTES)
    fields: dict[str, str] = {}
    at = 0
    while "ElementDataFile" not in fields:
        end = head.find(b"\n", at)
        key, equals, value = head[at : end if end >= 0 else len(head)].decode("latin-1").partition("=")
        if not equals:
            raise InputError(f"{path}: not a MetaImage file, or cut off in its header; export it again")
        fields[key.strip()] = value.strip()
        at = end + 1 if end >= 0 else len(head)
    return fields, at


def _byte_order(fields: dict[str, str]) -> str:
    return fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "false")).lower()


def _numbers(fields: dict[str, str], path: Path, *keys: str) -> list[float]:
    for key in keys:
        if key in fields:
            try:
                return [float(word) for word in fields[key].split()]
            except ValueError as error:
                raise InputError(f"{path}: {key} = '{fields[key]}' are not numbers; fix the header") from error
    raise InputError(f"{path}: {keys[0]} is missing in the header; export it again")


def _patient_from_voxel(fields: dict[str, str], path: Path) -> np.ndarray:
    spacing = np.array(_numbers(fields, path, "ElementSpacing", "ElementSize")[:3])
    if len(spacing) < 3 or not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise InputError(f"{path}: voxel size {spacing.tolist()} mm; all three must be above zero, fix the header")
    origin = _numbers(fields, path, "Offset", "Position", "Origin")
    if "TransformMatrix" in fields or "Orientation" in fields or "Rotation" in fields:
        axes = np.array(_numbers(fields, path, "TransformMatrix", "Orientation", "Rotation"))
    else:
        axes = np.eye(3).ravel()
        warnings.warn(
            f"{path}: no orientation in the header; its axes are taken as L, P, S", SynthrayWarning, stacklevel=3
        )
    if axes.size != 9 or len(origin) != 3 or not np.isfinite(axes).all():
        raise InputError(f"{path}: the header's orientation or origin is not three-dimensional; export it again")
    turned = axes.reshape(3, 3)
    if np.abs(np.linalg.norm(turned, axis=1) - 1).max() > 1e-2:
        raise InputError(f"{path}: the header's orientation is not made of unit vectors; the file is damaged")
    # The file lists the direction of each voxel axis in turn; those are the columns of the affine.
    affine = check_affine(compose(turned.T * spacing, origin), f"{path}: the affine")
    if np.abs(turned @ turned.T - np.eye(3)).max() > 1e-2:
        warnings.warn(f"{path}: its axes aren't perpendicular; the sheared grid is kept", SynthrayWarning, stacklevel=3)
    return affine
