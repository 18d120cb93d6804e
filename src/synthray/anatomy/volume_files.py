"""One entry to all single-file volume formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from synthray.anatomy.metaimage import read_metaimage
from synthray.anatomy.nifti import read_nifti
from synthray.anatomy.nrrd import read_nrrd
from synthray.anatomy.patient import Volume
from synthray.errors import InputError

FORMATS: Final[Mapping[str, tuple[str, Callable[[Path], Volume]]]] = MappingProxyType(
    {
        ".nii": ("NIfTI", read_nifti),
        ".nii.gz": ("NIfTI", read_nifti),
        ".nrrd": ("NRRD", read_nrrd),
        ".nhdr": ("NRRD", read_nrrd),
        ".mha": ("MetaImage", read_metaimage),
        ".mhd": ("MetaImage", read_metaimage),
    }
)


def read_volume(path: Path) -> Volume:
    """The volume in a .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd file, in patient mm (LPS), values as stored and scaled.

    Raises:
        InputError: no such file, unknown format, a header that makes no sense, cut off or damaged data, NaN.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if not is_volume_file(path):
        raise InputError(f"{path}: not a known volume format; use {', '.join(FORMATS)} or a DICOM folder")
    try:
        volume = FORMATS[_suffix(path)][1](path)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: its header can't be understood ({error}); export it again") from error
    if volume.values.dtype.kind == "f":
        bad = int(np.count_nonzero(~np.isfinite(volume.values)))
        if bad:
            raise InputError(f"{path}: {bad} voxels are NaN or infinite; replace them (air is -1000 HU) first")
    return volume


def is_volume_file(path: Path) -> bool:
    """Whether a file's name ends like a volume format that can be read."""
    return _suffix(path) in FORMATS


def format_name(path: Path) -> str:
    """The format's name: 'NIfTI', 'NRRD' or 'MetaImage'."""
    return FORMATS[_suffix(path)][0]


def stem(path: Path) -> str:
    """The file's name without its format's ending ('ct' of 'ct.nii.gz')."""
    return path.name.removesuffix(path.name[-len(_suffix(path)) :]) if _suffix(path) else path.stem


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((s for s in sorted(FORMATS, key=len, reverse=True) if name.endswith(s)), "")
