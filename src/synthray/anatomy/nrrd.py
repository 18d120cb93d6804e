"""NRRD files (.nrrd, .nhdr). Format: https://teem.sourceforge.net/nrrd/format.html."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.anatomy.metaimage import data_file
from synthray.anatomy.patient import Volume
from synthray.anatomy.raw import RawData
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import check_affine, compose

_TYPES: Final = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
# Name of the file's world space -> signs that carry it to LPS.
_LPS_SIGNS: Final = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
_MOST_HEADER_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class NrrdHeader:
    """The text at the head of a NRRD file.

    Attributes:
        fields: name in lower case -> value.
        pairs: key -> value of `key:=value` lines, which programs use for their own.
        end: the byte after the header.
    """

    fields: Mapping[str, str]
    pairs: Mapping[str, str]
    end: int


def read_nrrd(path: Path) -> Volume:
    """The volume in a .nrrd or .nhdr file.

    Raises:
        InputError: the header is incomplete or not one 3-D scalar volume, or the file is cut off or damaged.
    """
    header = read_header(path)
    return Volume(read_voxels(path, header, _shape(header.fields, path)), patient_from_voxel(header.fields, path))


def read_voxels(path: Path, header: NrrdHeader, shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    """The data of a file as an array whose first axis runs fastest in the file.

    Raises:
        InputError: a type or encoding that can't be read, or the data are cut off or damaged.
    """
    fields = header.fields
    dtype = np.dtype(("<" if fields.get("endian", "little") == "little" else ">") + _type(fields, path))
    named = fields.get("data file", fields.get("datafile"))
    data_path = path if named is None else data_file(path, named)
    encoding = fields.get("encoding", "").lower()
    packing = {"raw": "none", "gzip": "deflate", "gz": "deflate"}.get(encoding)
    byte_skip = int(fields.get("byte skip", fields.get("byteskip", "0")))
    if (
        packing is None
        or fields.get("line skip", fields.get("lineskip", "0")) != "0"
        or (byte_skip and packing != "none")
    ):
        raise InputError(f"{path}: NRRD encoding '{encoding}' or its skips can't be read; save it as raw or gzip")
    offset = (header.end if data_path == path else 0) + byte_skip
    if byte_skip == -1:  # the voxels are the last bytes of the file
        offset = max(0, data_path.stat().st_size - int(np.prod(shape, dtype=np.float64)) * dtype.itemsize)
    return RawData(path=data_path, offset=offset, packing=packing, dtype=dtype, shape=shape).read()


def read_header(path: Path) -> NrrdHeader:
    """The header of a NRRD file.

    Raises:
        InputError: not a NRRD file, or cut off.
    """
    with path.open("rb") as stream:
        head = stream.read(_MOST_HEADER_BYTES)
    if not head.startswith(b"NRRD000"):
        raise InputError(f"{path}: not a NRRD file, or cut off in its header; export it again")
    blank = re.search(rb"\r?\n\r?\n", head)
    end = blank.end() if blank else len(head)
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    for line in head[:end].decode("utf-8", "replace").splitlines()[1:]:
        key, colon, value = line.partition(":")
        if colon and value.startswith("="):
            pairs[key] = value[1:]
        elif colon and not line.startswith("#"):
            fields[key.strip().lower()] = value.strip()
    if blank is None and "data file" not in fields and "datafile" not in fields:
        raise InputError(f"{path}: cut off in its header; export it again")
    return NrrdHeader(fields, pairs, end)


def _shape(fields: Mapping[str, str], path: Path) -> tuple[int, int, int]:
    sizes = fields.get("sizes", "").split()
    if not all(word.isdigit() for word in sizes) or len(sizes) != 3 or fields.get("dimension") != "3":
        raise InputError(
            f"{path}: one 3-D volume with one value per voxel is needed, the header gives the sizes "
            f"{' '.join(sizes) or 'none'}; extract one first"
        )
    return int(sizes[0]), int(sizes[1]), int(sizes[2])


def _type(fields: Mapping[str, str], path: Path) -> str:
    named = fields.get("type", "")
    for dtype, names in _TYPES.items():
        if named in names.split("|"):
            return dtype
    raise InputError(f"{path}: NRRD type '{named}' can't be used; save it as int16 or float")


def patient_from_voxel(fields: Mapping[str, str], path: Path) -> npt.NDArray[np.float64]:
    """(4, 4) voxel index -> patient mm (LPS), of the three spatial axes.

    Raises:
        InputError: directions or origin are missing or malformed.
    """
    signs = _LPS_SIGNS.get(fields.get("space", "").lower())
    if signs is None:
        known = fields.get("space", "none given")
        warnings.warn(f"{path}: world space '{known}' is not known; it is taken as LPS", SynthrayWarning, stacklevel=3)
        signs = (1, 1, 1)
    if "space directions" in fields:
        axes = _vectors(fields["space directions"], path)
    else:
        try:
            axes = np.diag([float(word) for word in fields.get("spacings", "").split()])
        except ValueError as error:
            raise InputError(f"{path}: spacings '{fields['spacings']}' are not numbers; fix the header") from error
    origin = _vectors(fields["space origin"], path) if "space origin" in fields else np.zeros((1, 3))
    if axes.shape != (3, 3) or origin.shape != (1, 3):
        raise InputError(f"{path}: three space directions and one origin are needed in the header; export it again")
    return check_affine(np.diag([*signs, 1.0]) @ compose(axes.T, origin[0]), f"{path}: the affine")


def _vectors(text: str, path: Path) -> np.ndarray:
    """(N, 3) vectors written as (x,y,z)."""
    try:
        rows = [[float(word) for word in row.split(",")] for row in re.findall(r"\(([^)]*)\)", text)]
        return np.array(rows).reshape(-1, 3)
    except ValueError as error:
        raise InputError(f"{path}: '{text}' are not three-dimensional vectors; fix the header") from error
