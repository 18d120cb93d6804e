"""Simulated X-rays as DICOM X-Ray Angiographic Image objects (PS3.3 A.14), of nobody.

Every element is set here, none is taken over from a CT's header, so the object can't tell whose CT it was made from.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import synthray
from synthray.geometry import Camera, DicomView

XA_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.12.1"


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What an object says beside its pixels.

    Attributes:
        study: any text; objects of one study share it. Identifiers are hashes of these texts.
        series: likewise within the study.
        instance: likewise within the series.
        number: Instance Number.
        person: Patient ID; a number or "SIMULATED", never a name.
        comment: Image Comments.
        tube_kvp: Peak voltage, or None.
        mas: exposure, or None.
        frames_per_second: of several frames.
    """

    study: str
    series: str
    instance: str
    number: int
    person: str
    comment: str
    tube_kvp: float | None = None
    mas: float | None = None
    frames_per_second: float = 15.0


def angiographic_object(
    image: npt.NDArray[np.float32], camera: Camera, said: Simulated, *, per_unit: float, lowest: float, bits: int
) -> bytes:
    """The bytes of a DICOM file.

    Stored values are `2**bits - 1 - round((image - lowest) * per_unit)`: the logarithm of the signal, more is less
    dense, as angiography is displayed. Rescale Slope and Intercept lead back to `-image`, that is ln(signal).

    Args:
        image: (frames, rows, columns) or (rows, columns), -ln(signal / open-field signal).
        camera: of the first frame; angles and distances are told when its distance to the detector is known.
        said: all else.
        per_unit: grey values per unit of -ln.
        lowest: the -ln that is stored brightest.
        bits: 12 or 16.

    Returns:
        The same bytes for the same arguments.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    highest = 2**bits - 1
    steps = np.rint((np.asarray(image, dtype=np.float64) - lowest) * per_unit)
    pixels = (highest - np.clip(steps, 0, highest)).astype("<u2")
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = UID(XA_STORAGE)
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = UID(
        _uid(said.study, said.series, said.instance, hashlib.sha256(pixels.tobytes()).hexdigest())
    )
    _set(data, _person_and_study(said))
    _set(data, _acquisition(said))
    _set(data, _positioner(camera))
    _set(data, _pixels(pixels, bits, per_unit, highest / per_unit + lowest))
    if image.ndim == 3:
        data.NumberOfFrames, data.FrameTime = len(pixels), _decimal(1000 / said.frames_per_second)
        data.FrameIncrementPointer, data.PositionerMotion = 0x00181063, "STATIC"
        data.RecommendedDisplayFrameRate = round(said.frames_per_second)
    data.PixelData = pixels.tobytes()
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _set(data: Any, elements: dict[str, Any]) -> None:
    for keyword, value in elements.items():
        setattr(data, keyword, value)


def _person_and_study(said: Simulated) -> dict[str, Any]:
    """Patient, study, series and equipment; what must be there and isn't known is empty."""
    empty = (
        "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName",
        "Laterality", "ContentDate", "ContentTime",
    )  # fmt: skip
    return {
        **dict.fromkeys(empty, ""),
        "PatientName": f"Simulated^{said.person}",
        "PatientID": said.person,
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "simulated, no element of any source header is copied",
        "StudyInstanceUID": _uid(said.study),
        "StudyID": "1",
        "SeriesInstanceUID": _uid(said.study, said.series),
        "SeriesNumber": 1,
        "InstanceNumber": said.number,
        "Modality": "XA",
        "Manufacturer": "synthray",
        "SoftwareVersions": synthray.__version__,
        "ImageType": ["DERIVED", "PRIMARY", "SINGLE PLANE"],
        "ImageComments": said.comment,
        "BurnedInAnnotation": "NO",
        "LossyImageCompression": "00",
    }


def _acquisition(said: Simulated) -> dict[str, Any]:
    """X-Ray Acquisition (C.8.7.2): voltage and exposure, whole mAs and µAs."""
    told: dict[str, Any] = {
        "RadiationSetting": "GR",
        "KVP": "" if said.tube_kvp is None else _decimal(said.tube_kvp),
        "XRayTubeCurrent": "",
        "ExposureTime": "",
        "Exposure": "" if said.mas is None else round(said.mas),
    }
    return told if said.mas is None else {**told, "ExposureInuAs": round(1000 * said.mas)}


def _positioner(camera: Camera) -> dict[str, Any]:
    """XA Positioner (C.8.7.5) and Patient Orientation."""
    if camera.source_to_detector_mm is None:
        return {"PositionerPrimaryAngle": "", "PositionerSecondaryAngle": "", "PatientOrientation": ""}
    view = DicomView.of(camera)
    return {
        "PositionerPrimaryAngle": _decimal(view.primary_deg),
        "PositionerSecondaryAngle": _decimal(view.secondary_deg),
        "DistanceSourceToDetector": _decimal(view.source_to_detector_mm),
        "ImagerPixelSpacing": [_decimal(mm) for mm in view.detector_mm],
        "PatientOrientation": list(view.orientation or ()),
    }


def _pixels(pixels: npt.NDArray[np.uint16], bits: int, per_unit: float, darkest: float) -> dict[str, Any]:
    """Image Pixel (C.7.6.3), X-Ray Image (C.8.7.1), which knows MONOCHROME2 only, and Modality LUT (C.11.1)."""
    rows, columns = pixels.shape[-2:]
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 16,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        "PixelIntensityRelationship": "LOG",
        "RescaleSlope": _decimal(1 / per_unit),
        "RescaleIntercept": _decimal(-darkest),
        "RescaleType": "US",
    }


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters."""
    for digits in range(15, 5, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    return f"{value:.5g}"


def _uid(*texts: str) -> str:
    """An identifier under 2.25 (PS3.5 B.2) that follows from texts: the first 128 bits of their SHA-256."""
    digest = hashlib.sha256("\x1f".join(texts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
