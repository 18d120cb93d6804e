"""From stored DICOM values to what a display shows: modality, VOI and presentation steps (PS3.3 C.11), padding.

Pure functions of a header and an array.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError, SynthrayWarning

Values = npt.NDArray[Any]
Header = Any

# Below this share of pixels strictly within a window, the window hides the picture.
_LEAST_IN_WINDOW: Final = 0.01
# XA and XRF.
_FLUOROSCOPY: Final = ("1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.12.2")
# ITU-R BT.601 luma.
_LUMINANCE: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def shown(stored: Values, header: Header, upside_down: bool, where: str) -> npt.NDArray[np.float32]:
    """(rows, columns) float32 grey values of one monochrome frame, more is brighter.

    Padding gets the darkest value. The first VOI look-up table counts, else the first window.

    Args:
        stored: (rows, columns) as stored.
        header: its elements.
        upside_down: see `inverted`.
        where: names the file in warnings.

    Raises:
        InputError: a look-up table is malformed.
    """
    valid = _valid_pixels(stored, header)
    if not valid.any():
        valid = np.ones(stored.shape, dtype=bool)
    values = _voi(_modality(stored, header), header, valid, where).astype(np.float32)
    lowest, highest = values[valid].min(), values[valid].max()
    if upside_down:
        values = highest + lowest - values
    return np.where(valid, values, lowest)


def rises_with_density(header: Header, upside_down: bool) -> bool | None:
    """Whether what absorbs more is brighter once `shown`; None where the header doesn't say.

    Pixel Intensity Relationship Sign says so; the stored values of XA and XRF, which have none, rise with the intensity
    unless they were made for display (C.8.7.1.1.2).

    Args:
        header: of the image.
        upside_down: see `inverted`.
    """
    sign = header.get("PixelIntensityRelationshipSign")
    of_fluoroscopy = str(header.get("SOPClassUID", "")) in _FLUOROSCOPY
    if sign is None and of_fluoroscopy and header.get("PixelIntensityRelationship") in ("LIN", "LOG"):
        sign = 1
    if sign not in (1, -1):
        return None
    ends = _modality(_ends(header), header)
    tables = header.get("VOILUTSequence")
    first, last = (_looked_up(ends, tables[0], header) if tables else ends).tolist()
    return bool((sign == -1) != ((last < first) != upside_down))


def inverted(header: Header, where: str) -> bool:
    """Whether small values are bright: either Photometric Interpretation or Presentation LUT Shape says so.

    Where the two contradict each other (which C.7.6.1 forbids), IDENTITY is the one not to be trusted: devices write it
    without thought (https://github.com/dcm4che/dcm4chee-arc-light/issues/3155), and INVERSE hardly so.
    """
    dark_is_high = header.get("PhotometricInterpretation") == "MONOCHROME1"
    shape = str(header.get("PresentationLUTShape") or "")
    if shape in ("IDENTITY", "INVERSE") and (shape == "INVERSE") != dark_is_high:
        kind = "MONOCHROME1" if dark_is_high else "MONOCHROME2"
        message = (
            f"{where}: {kind} and Presentation LUT Shape {shape} contradict each other; small values are shown bright"
        )
        warnings.warn(message, SynthrayWarning, stacklevel=3)
    return dark_is_high or shape == "INVERSE"


def luminance(colours: Values) -> npt.NDArray[np.float32]:
    """(rows, columns) of (rows, columns, 3 or more) colours."""
    return colours[..., :3].astype(np.float32) @ _LUMINANCE


def _ends(header: Header) -> npt.NDArray[np.int64]:
    """The lowest and the highest value that can be stored."""
    bits = int(header.get("BitsStored") or 16)
    lowest = -(1 << (bits - 1)) if header.get("PixelRepresentation") == 1 else 0
    return np.array([lowest, lowest + (1 << bits) - 1], dtype=np.int64)


def _modality(stored: Values, header: Header) -> Values:
    tables = header.get("ModalityLUTSequence")
    # The modality table of XA and XRF leads back to the beam's intensity and is not for display (PS3.17 FFF.2.3.1).
    if tables and str(header.get("SOPClassUID", "")) not in _FLUOROSCOPY:
        return _looked_up(stored, tables[0], header)
    slope, intercept = _number(header, "RescaleSlope", 1.0), _number(header, "RescaleIntercept", 0.0)
    return stored if (slope, intercept) == (1.0, 0.0) else stored * slope + intercept


def _voi(values: Values, header: Header, valid: npt.NDArray[np.bool_], where: str) -> Values:
    tables = header.get("VOILUTSequence")
    if tables:
        return _looked_up(values, tables[0], header)
    centre, width = _number(header, "WindowCenter", np.nan), _number(header, "WindowWidth", np.nan)
    if not np.isfinite([centre, width]).all():
        return values
    function = str(header.get("VOILUTFunction") or "LINEAR")
    # C.11.2.1.2.1: LINEAR counts its width in whole grey values, which moves the centre by half a value.
    low, high = centre - width / 2, centre + width / 2
    if function == "LINEAR":
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    inside = (values > low) & (values < high)
    if width <= 0 or inside[valid].mean() < _LEAST_IN_WINDOW:
        message = f"{where}: its window (centre {centre:g}, width {width:g}) shows next to nothing and is not applied"
        warnings.warn(message, SynthrayWarning, stacklevel=3)
        return values
    if function == "SIGMOID":
        # C.11.2.1.3.1, with the output range of a linear window of that width.
        return low + width / (1 + np.exp(-4 * (values - centre) / width))
    return np.clip(values, low, high)


def _looked_up(values: Values, table: Header, header: Header) -> Values:
    """Values through the look-up table of one sequence item (C.11.1.1.1)."""
    entries, first, bits = (int(n) for n in table.LUTDescriptor)
    entries = entries or 1 << 16
    if header.get("PixelRepresentation") == 1 and first >= 1 << 15:
        first -= 1 << 16
    data = table.LUTData
    if isinstance(data, bytes):
        packed = len(data) < 2 * entries
        data = np.frombuffer(data, dtype=np.uint8 if packed else "<u2")
    held = np.asarray(data).astype(np.int64) & ((1 << min(bits, 16)) - 1)
    if len(held) < entries:
        raise InputError(f"a look-up table promises {entries} entries and holds {len(held)}")
    places = np.clip(np.rint(values).astype(np.int64) - first, 0, entries - 1)
    return held[places]


def _valid_pixels(stored: Values, header: Header) -> npt.NDArray[np.bool_]:
    """False where the stored value says that the pixel lies outside the image (PS3.3 C.7.5.1.1.2)."""
    padding = header.get("PixelPaddingValue")
    if not isinstance(padding, int):
        return np.ones(stored.shape, dtype=bool)
    limit = header.get("PixelPaddingRangeLimit", padding)
    first, last = sorted((padding, limit if isinstance(limit, int) else padding))
    return (stored < first) | (stored > last)


def _number(header: Header, keyword: str, otherwise: float) -> float:
    """The first value of an element, finite, or `otherwise`."""
    value = header.get(keyword)
    first = value[0] if isinstance(value, list | tuple) or hasattr(value, "append") else value
    try:
        number = float(first)
    except (TypeError, ValueError, IndexError):
        return otherwise
    return number if np.isfinite(number) else otherwise
