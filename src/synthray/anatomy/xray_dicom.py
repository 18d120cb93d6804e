"""X-ray DICOM files (DX, CR, XA, RF, secondary capture) as people see them, with what they say of their geometry.

Grey values pass the modality, VOI and presentation steps of PS3.3 C.11.1, C.11.2 and C.11.6. Nothing that identifies
anyone leaves this module: only the elements named in `_TAGS` are read.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.anatomy.xray_grey import inverted, luminance, rises_with_density, shown
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import DicomView

MOST_PIXELS: Final = 100_000_000
_CALIBRATED: Final = ("GEOMETRY", "FIDUCIAL")
_SAME_SPACING: Final = 1e-3
_MOST_SLANT_DEG: Final = 0.1
# Where the receptor stands in views that a header only names (PS3.3 C.8.11.5.1.1, C.8.1.1.1).
_NAMED: Final = {"PA": 0.0, "AP": 180.0, "LL": 90.0, "RL": -90.0}
_TAGS: Final = [
    "Modality", "SOPClassUID", "Rows", "Columns", "NumberOfFrames", "RepresentativeFrameNumber", "SamplesPerPixel",
    "PhotometricInterpretation", "PresentationLUTShape", "PixelRepresentation", "BitsAllocated", "BitsStored",
    "HighBit", "PlanarConfiguration", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope",
    "RescaleIntercept", "ModalityLUTSequence", "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "PixelIntensityRelationship", "PixelIntensityRelationshipSign", "ImagerPixelSpacing", "PixelSpacing",
    "NominalScannedPixelSpacing", "PixelSpacingCalibrationType", "EstimatedRadiographicMagnificationFactor",
    "DistanceSourceToDetector", "DistanceSourceToPatient", "PositionerPrimaryAngle", "PositionerSecondaryAngle",
    "DetectorPrimaryAngle", "DetectorSecondaryAngle", "PositionerMotion", "ViewPosition", "PatientOrientation",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
]  # fmt: skip


@dataclass(frozen=True)
class PixelSize:
    """Size of a pixel (PS3.3 10.7.1.3, basic pixel spacing calibration).

    Attributes:
        detector_mm: (row, column) spacing at the detector, or None.
        object_mm: (row, column) spacing in the patient: calibrated, or the detector's over the magnification; or None.
        magnification: source-detector over source-object distance, estimated by the device; or None.
    """

    detector_mm: tuple[float, float] | None
    object_mm: tuple[float, float] | None
    magnification: float | None


@dataclass(frozen=True, eq=False)
class XrayDicom:
    """One frame of an X-ray DICOM file.

    Attributes:
        image: (rows, columns) float32, finite; more is brighter on a display.
        modality: "DX", "CR", "XA", "RF", …
        frame: which frame, from 0.
        frames: how many the file holds.
        dense_is_bright: whether what absorbs more is brighter; None where the file doesn't say.
        spacing: what the file says of the size of a pixel.
        view: C-arm angles and distances, where the file holds enough of them.
    """

    image: npt.NDArray[np.float32]
    modality: str
    frame: int
    frames: int
    dense_is_bright: bool | None
    spacing: PixelSize
    view: DicomView | None

    def describe(self) -> dict[str, Any]:
        """All but the pixels, as plain numbers and words for JSON."""
        return {
            "modality": self.modality,
            "rows": self.image.shape[0],
            "columns": self.image.shape[1],
            "frames": self.frames,
            "grey_values": [float(self.image.min()), float(self.image.max())],
            "dense_is_bright": self.dense_is_bright,
            **asdict(self.spacing),
            "view": None if self.view is None else asdict(self.view),
        }


def read_xray_dicom(path: str | Path, frame: int | None = None) -> XrayDicom:
    """One frame of an X-ray as people see it: modality, VOI and presentation steps applied, padding made dark.

    The first VOI look-up table counts, else the first window, unless it hides nearly everything. Small values are
    bright when Photometric Interpretation or Presentation LUT Shape says so; both together turn the image once. Colour
    becomes luminance. Values keep the units that these steps give them.

    Args:
        path: the file.
        frame: from 0; by default the file's Representative Frame Number, else the first.

    Raises:
        InputError: not DICOM, damaged, no pixels, too many, no such frame, or a malformed look-up table.
    """
    file = Path(path)
    with one_line_errors(file):
        return _read(file, frame)


def read_pixel_size(path: str | Path) -> PixelSize:
    """What a DICOM file says of the size of its pixels; nothing where it says nothing.

    Raises:
        InputError: not DICOM, or damaged.
    """
    file = Path(path)
    with one_line_errors(file):
        return _spacing(_header(file), str(file))


def read_view(path: str | Path) -> DicomView | None:
    """The C-arm's view that a DICOM file's header tells of its first frame; None where it holds too little.

    Raises:
        InputError: not DICOM, or damaged.
    """
    file = Path(path)
    with one_line_errors(file):
        header = _header(file)
        return _view(header, _spacing(header, str(file)).detector_mm, 0, str(file))


@contextmanager
def one_line_errors(file: Path) -> Iterator[None]:
    """Make one line of whatever a library raises on a damaged image, and pass over its warnings."""
    try:
        # The libraries warn of sloppy headers; what matters is checked here.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.filterwarnings("ignore", module=r"pydicom|PIL|numpy")
            yield
    except (InputError, SynthrayWarning):
        raise
    except MemoryError as error:
        raise InputError(f"{file}: does not fit in memory") from error
    # Each library has its own zoo of exceptions for a damaged file, down to struct.error and SyntaxError.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{file}: damaged or not readable as {file.suffix or 'DICOM'} ({reason[:160]})") from error


def _header(file: Path) -> Any:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError
    from pydicom.filewriter import correct_ambiguous_vr

    try:
        return correct_ambiguous_vr(dcmread(file, stop_before_pixels=True, specific_tags=_TAGS), True)
    except InvalidDicomError:
        # pydicom's own line speaks of its options.
        raise InputError(f"{file}: damaged, or not a readable DICOM file") from None


def _read(file: Path, frame: int | None) -> XrayDicom:
    header = _header(file)
    if "Rows" not in header or "Columns" not in header:
        raise InputError(f"{file}: a DICOM file without pixels ({header.get('Modality', 'unknown modality')})")
    rows, columns = int(header.Rows), int(header.Columns)
    if rows * columns < 1 or rows * columns > MOST_PIXELS:
        raise InputError(f"{file}: {rows} x {columns} pixels; from 1 to {MOST_PIXELS // 1_000_000} million can be read")
    frames = max(1, int(header.get("NumberOfFrames") or 1))
    chosen = frame if frame is not None else min(int(header.get("RepresentativeFrameNumber") or 1), frames) - 1
    if not 0 <= chosen < frames:
        raise InputError(f"{file}: has {frames} frames, so there is no frame {chosen} (they count from 0)")
    image, dense_is_bright = _displayed(file, header, chosen)
    spacing = _spacing(header, str(file))
    return XrayDicom(
        image=image,
        modality=str(header.get("Modality") or "OT"),
        frame=chosen,
        frames=frames,
        dense_is_bright=dense_is_bright,
        spacing=spacing,
        view=_view(header, spacing.detector_mm, chosen, str(file)),
    )


def _displayed(file: Path, header: Any, frame: int) -> tuple[npt.NDArray[np.float32], bool | None]:
    from pydicom.pixels.processing import apply_color_lut

    stored = _stored(file, header, frame)
    if header.get("PhotometricInterpretation") == "PALETTE COLOR" and stored.ndim == 2:
        stored = apply_color_lut(stored, header)
    if stored.ndim == 3:
        return luminance(stored), None
    upside_down = inverted(header, str(file))
    return shown(stored, header, upside_down, str(file)), rises_with_density(header, upside_down)


def _stored(file: Path, header: Any, frame: int) -> npt.NDArray[Any]:
    """One frame as stored: (rows, columns), or with a last axis of colours."""
    from pydicom.pixels.utils import pixel_array

    try:
        return pixel_array(file, index=frame)
    except (RuntimeError, NotImplementedError):
        return _by_gdcm(file, header, frame)


def _by_gdcm(file: Path, header: Any, frame: int) -> npt.NDArray[Any]:
    """For compressions that pydicom has no decoder for: GDCM inside SimpleITK has most.

    It rescales, and turns MONOCHROME1 round, by itself; both are undone (measured with GDCM of SimpleITK 2.5.7).
    """
    import SimpleITK

    decoded = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))[frame]
    if decoded.ndim == 3:
        return decoded
    slope, intercept = float(header.get("RescaleSlope") or 1), float(header.get("RescaleIntercept") or 0)
    stored = np.rint((decoded - intercept) / slope).astype(np.int64)
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        signed = header.get("PixelRepresentation") == 1
        stored = (-1 if signed else (1 << int(header.BitsStored)) - 1) - stored
    return stored


def _spacing(header: Any, where: str) -> PixelSize:
    imager, plain = (_pair(header, name, where) for name in ("ImagerPixelSpacing", "PixelSpacing"))
    if plain is None:
        plain = _pair(header, "NominalScannedPixelSpacing", where)
    magnification = _positive(header, "EstimatedRadiographicMagnificationFactor")
    distances = [_positive(header, name) for name in ("DistanceSourceToDetector", "DistanceSourceToPatient")]
    if magnification is None and distances[0] and distances[1] and distances[0] > distances[1]:
        magnification = distances[0] / distances[1]
    calibrated = str(header.get("PixelSpacingCalibrationType") or "") in _CALIBRATED or (
        imager is not None and plain is not None and not np.allclose(imager, plain, rtol=_SAME_SPACING)
    )
    detector, in_object = (imager, plain) if calibrated else (imager or plain, None)
    if detector is not None and in_object is None and magnification:
        in_object = (detector[0] / magnification, detector[1] / magnification)
    return PixelSize(detector, in_object, magnification)


def _view(header: Any, detector_mm: tuple[float, float] | None, frame: int, where: str) -> DicomView | None:
    """The view, unless it isn't told, has moved by this frame, or the beam meets the detector at a slant."""
    distance = _positive(header, "DistanceSourceToDetector")
    primary = _finite(header, "PositionerPrimaryAngle")
    if primary is None:
        primary = _NAMED.get(str(header.get("ViewPosition") or ""))
    moved = frame and str(header.get("PositionerMotion") or "") == "DYNAMIC"
    slant = max(abs(_finite(header, name) or 0) for name in ("DetectorPrimaryAngle", "DetectorSecondaryAngle"))
    if detector_mm is None or distance is None or primary is None or moved or slant > _MOST_SLANT_DEG:
        return None
    letters = [str(one) for one in header.get("PatientOrientation") or ()]
    try:
        return DicomView(
            primary_deg=primary,
            secondary_deg=_finite(header, "PositionerSecondaryAngle") or 0.0,
            source_to_detector_mm=distance,
            detector_mm=detector_mm,
            rows=int(header.Rows),
            columns=int(header.Columns),
            source_to_patient_mm=_positive(header, "DistanceSourceToPatient"),
            orientation=(letters[0], letters[1]) if len(letters) == 2 and all(letters) else None,
        )
    except InputError as error:
        warnings.warn(f"{where}: its view can't be used: {error}", SynthrayWarning, stacklevel=3)
        return None


def _pair(header: Any, keyword: str, where: str) -> tuple[float, float] | None:
    """(row, column) spacing in mm, or None where it is missing or senseless."""
    held = header.get(keyword)
    if held is None or held == "":
        return None
    try:
        row, column = (float(mm) for mm in held)
    except (TypeError, ValueError):
        row = column = np.nan
    if not (0 < row < np.inf and 0 < column < np.inf):
        warnings.warn(f"{where}: {keyword} is no pair of positive mm and is ignored", SynthrayWarning, stacklevel=3)
        return None
    return row, column


def _positive(header: Any, keyword: str) -> float | None:
    number = _finite(header, keyword)
    return number if number is not None and number > 0 else None


def _finite(header: Any, keyword: str) -> float | None:
    """A number, or None where it is missing, empty or none."""
    try:
        number = float(header.get(keyword))
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
