"""X-ray images from files: PNG, JPEG, TIFF, NumPy and DICOM, all as one grey float array."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk  # noqa: N813 - its own documentation's name
from PIL import Image
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array

from synthray.errors import InputError, SynthrayWarning

Grey = npt.NDArray[np.float32]

MOST_PIXELS = 100_000_000
# ITU-R BT.601 luma.
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_DICOM = (".dcm", ".dicom", ".ima")
_EXIF_ORIENTATION = 0x0112


def read_image(path: str | Path) -> Grey:
    """The grey values of an X-ray image.

    PNG, JPEG and TIFF of any bit depth (colour becomes luminance, transparency is dropped, the first page counts),
    `.npy` (rows, columns) or with a last axis of 3 or 4 colours, DICOM by its ending or its preamble: modality
    rescale applied, MONOCHROME1 inverted so that more is always brighter on a MONOCHROME2 display, padding made dark,
    first frame of several. Values keep their scale otherwise.

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
    try:
        # The libraries warn of sloppy headers; what matters here is checked here.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", SynthrayWarning)
            return reader(file).astype(np.float32)
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{file}: does not fit in memory") from error
    # Each library has its own zoo of exceptions for a damaged file, down to struct.error and SyntaxError.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{file}: damaged or not readable as {file.suffix or 'DICOM'} ({reason[:160]})") from error


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
        return _luminance(np.asarray(image.convert("RGB")))


def _luminance(colours: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return colours[..., :3].astype(np.float32) @ _LUMINANCE


def _read_numpy(file: Path) -> npt.NDArray[Any]:
    values = np.load(file, mmap_mode="r", allow_pickle=False)
    if values.dtype.kind not in "iuf":
        raise InputError(f"{file}: holds {values.dtype} values; grey values must be integers or floats")
    coloured = values.ndim == 3 and values.shape[2] in (3, 4)
    if values.ndim != 2 and not coloured:
        raise InputError(f"{file}: has shape {values.shape}; an image is (rows, columns)")
    _check_size(file, values.shape[0], values.shape[1])
    return _luminance(values) if coloured else np.asarray(values)


def _read_dicom(file: Path) -> npt.NDArray[Any]:
    header = pydicom.dcmread(file, force=False)
    if "PixelData" not in header:
        raise InputError(f"{file}: a DICOM file without pixels ({header.get('Modality', 'unknown modality')})")
    _check_size(file, int(header.Rows), int(header.Columns))
    stored, rescaled = _decode_dicom(file, header)
    if header.get("SamplesPerPixel", 1) > 1:
        return _luminance(rescaled)
    values = rescaled.astype(np.float32)
    valid = _valid_pixels(stored, header)
    if header.get("PhotometricInterpretation") == "MONOCHROME1" and valid.any():
        values = values[valid].max() + values[valid].min() - values
    if valid.any():
        values = np.where(valid, values, values[valid].min())
    return values


def _decode_dicom(file: Path, header: pydicom.Dataset) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """First frame as stored, and after the modality look-up table or rescale."""
    try:
        stored = pixel_array(header, index=0)
        return stored, apply_modality_lut(stored, header)
    except (RuntimeError, NotImplementedError):
        # pydicom has no decoder for this compression; GDCM inside SimpleITK has most, and it rescales by itself.
        image = sitk.ReadImage(str(file))
        rescaled = sitk.GetArrayFromImage(image)[0]
        slope, intercept = float(header.get("RescaleSlope", 1) or 1), float(header.get("RescaleIntercept", 0) or 0)
        return np.rint((rescaled - intercept) / slope), rescaled


def _valid_pixels(stored: npt.NDArray[Any], header: pydicom.Dataset) -> npt.NDArray[np.bool_]:
    """False where the stored value says that the pixel lies outside the image (PS3.3 C.7.5.1.1.2)."""
    padding = header.get("PixelPaddingValue")
    if not isinstance(padding, int):
        return np.ones(stored.shape, dtype=bool)
    limit = header.get("PixelPaddingRangeLimit", padding)
    first, last = sorted((padding, limit if isinstance(limit, int) else padding))
    return (stored < first) | (stored > last)
