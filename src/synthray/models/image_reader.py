"""X-ray images from files: PNG, JPEG, TIFF, NumPy and DICOM, all as one grey float array."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from synthray.anatomy.xray_dicom import MOST_PIXELS, one_line_errors, read_pixel_size, read_xray_dicom
from synthray.anatomy.xray_grey import luminance
from synthray.errors import InputError, SynthrayWarning

Grey = npt.NDArray[np.float32]

_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_DICOM = (".dcm", ".dicom", ".ima")
_EXIF_ORIENTATION = 0x0112


def read_image(path: str | Path) -> Grey:
    """The grey values of an X-ray image.

    PNG, JPEG and TIFF of any bit depth (colour becomes luminance, transparency is dropped, the first page counts),
    `.npy` (rows, columns) or with a last axis of 3 or 4 colours, DICOM by its ending or its preamble: as a display
    shows it, see `read_xray_dicom`; of several frames the representative one, else the first, with a warning. Values
    keep their scale otherwise.

    Returns:
        (rows, columns) float32, finite.

    Raises:
        InputError: missing, truncated or unknown file, no pixels, over 100 million pixels, NaN or infinity.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: no such image file")
    values = _read(file, _reader_of(file))
    if values.size == 0:
        raise InputError(f"{file}: holds no pixels")
    if not np.isfinite(values).all():
        raise InputError(f"{file}: holds NaN, infinity or values beyond float32; replace them first")
    return np.ascontiguousarray(values)


def detector_pixel_mm(path: str | Path) -> float | None:
    """Row spacing at the detector that a DICOM file tells; None for other files, and where it isn't told.

    Raises:
        InputError: a damaged file.
    """
    file = Path(path)
    spacing = read_pixel_size(file).detector_mm if _reader_of(file) is _read_dicom else None
    return None if spacing is None else spacing[0]


def _reader_of(file: Path) -> Callable[[Path], npt.NDArray[Any]]:
    ending = file.suffix.lower()
    if ending in _PICTURES:
        return _read_picture
    if ending == ".npy":
        return _read_numpy
    if ending in _DICOM or _has_preamble(file):
        return _read_dicom
    raise InputError(f"{file}: not a known kind of image; use PNG, JPEG, TIFF, NPY or DICOM")


def _has_preamble(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _read(file: Path, reader: Callable[[Path], npt.NDArray[Any]]) -> Grey:
    with one_line_errors(file):
        return reader(file).astype(np.float32)


def _check_size(file: Path, rows: int, columns: int) -> None:
    if rows < 1 or columns < 1:
        raise InputError(f"{file}: holds no pixels ({rows} x {columns})")
    if rows * columns > MOST_PIXELS:
        raise InputError(f"{file}: {rows} x {columns} pixels are more than {MOST_PIXELS // 1_000_000} million")


def _read_picture(file: Path) -> npt.NDArray[Any]:
    with Image.open(file) as image:
        _check_size(file, image.height, image.width)
        if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
            message = f"{file}: its EXIF tag asks for rotation; the pixels are taken as stored"
            warnings.warn(message, SynthrayWarning, stacklevel=4)
        if image.mode == "1":
            return np.asarray(image.convert("L"))
        if image.mode == "L" or image.mode.startswith(("I", "F")):
            return np.asarray(image)
        return luminance(np.asarray(image.convert("RGB")))


def _read_numpy(file: Path) -> npt.NDArray[Any]:
    values = np.load(file, mmap_mode="r", allow_pickle=False)
    if values.dtype.kind not in "iuf":
        raise InputError(f"{file}: holds {values.dtype} values; grey values must be integers or floats")
    coloured = values.ndim == 3 and values.shape[2] in (3, 4)
    if values.ndim != 2 and not coloured:
        raise InputError(f"{file}: has shape {values.shape}; an image is (rows, columns)")
    _check_size(file, values.shape[0], values.shape[1])
    return luminance(values) if coloured else np.asarray(values)


def _read_dicom(file: Path) -> npt.NDArray[Any]:
    xray = read_xray_dicom(file)
    if xray.frames > 1:
        message = f"{file}: {xray.frames} frames; number {xray.frame + 1} is read (read_xray_dicom reads the others)"
        warnings.warn(message, SynthrayWarning, stacklevel=4)
    return xray.image
