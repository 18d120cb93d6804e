"""Sequences as files: multi-frame DICOM, animated PNG or GIF, and MP4 where ffmpeg is installed."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.files import write_atomically
from synthray.imaging import DisplayPreset, display
from synthray.imaging.display import resolved
from synthray.simulate.sample import Sample

FORMATS = (".dcm", ".png", ".gif", ".mp4")
_XA_STORAGE = "1.2.840.10008.5.1.4.1.1.12.1"
# 12 of 16 bits, as angiography systems store.
_DICOM_BITS = 12
_DICOM_PER_UNIT = 400.0


def save_sequence(
    sample: Sample, path: str | Path, frames_per_second: float = 15.0, preset: str | DisplayPreset = "c-arm"
) -> Path:
    """Write the frames of a sample as one file.

    `.dcm` holds the -log image itself in a standard's X-ray angiographic object, 400 grey values per unit of -ln and
    no identity of anyone; the others hold what `preset` shows, with one window for all frames.

    Args:
        sample: frames along its first axis.
        path: a name that ends in .dcm, .png (animated), .gif or .mp4.
        frames_per_second: playing speed.
        preset: display of the picture formats.

    Raises:
        InputError: unknown format, ffmpeg is missing, or the file can't be written.
    """
    target = Path(path)
    kind = target.suffix.lower()
    if kind not in FORMATS:
        raise InputError(f"{target}: a sequence is saved as {', '.join(FORMATS)}")
    if not 0.1 <= frames_per_second <= 1000:
        raise InputError(f"frames_per_second must lie within 0.1 to 1000, got {frames_per_second:g}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if kind == ".dcm":
            write_atomically(target, _dicom(sample, frames_per_second))
        elif kind == ".mp4":
            _write_mp4(_shown(sample, preset), target, frames_per_second)
        else:
            write_atomically(target, _animation(_shown(sample, preset), kind[1:], frames_per_second))
    except OSError as error:
        raise InputError(f"{target}: can't be written ({error.strerror or error})") from None
    return target


def _shown(sample: Sample, preset: str | DisplayPreset) -> npt.NDArray[np.uint8]:
    """(frame, row, column) 8-bit grey values with the window of the middle frame, so that nothing flickers."""
    chosen = resolved(preset, sample.image[len(sample.image) // 2])
    shown = display(sample.image, chosen)
    return shown if shown.dtype == np.uint8 else (shown >> (chosen.bits - 8)).astype(np.uint8)


def _animation(frames: npt.NDArray[np.uint8], kind: str, frames_per_second: float) -> bytes:
    from PIL import Image

    first, *others = (Image.fromarray(frame) for frame in frames)
    buffer = io.BytesIO()
    first.save(
        buffer, format=kind, save_all=True, append_images=others, duration=round(1000 / frames_per_second), loop=0
    )
    return buffer.getvalue()


def _write_mp4(frames: npt.NDArray[np.uint8], target: Path, frames_per_second: float) -> None:
    program = shutil.which("ffmpeg")
    if program is None:
        raise InputError(f"{target}: MP4 needs the program ffmpeg (apt-get install ffmpeg), or save as .png or .gif")
    rows, columns = frames.shape[1] // 2 * 2, frames.shape[2] // 2 * 2  # the codec wants even sides
    part = target.with_name(f".{target.stem}.part.mp4")
    source = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-s",
        f"{columns}x{rows}",
        "-r",
        f"{frames_per_second:g}",
        "-i",
        "-",
    ]
    sink = ["-an", "-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", str(part)]
    try:
        done = subprocess.run(
            [program, "-y", "-loglevel", "error", *source, *sink],
            input=np.ascontiguousarray(frames[:, :rows, :columns]).tobytes(),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise InputError(f"{target}: ffmpeg failed ({' '.join(last) or 'no message'})")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _dicom(sample: Sample, frames_per_second: float) -> bytes:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    highest = 2**_DICOM_BITS - 1
    pixels = np.clip(np.rint(sample.image * _DICOM_PER_UNIT), 0, highest).astype("<u2")
    # Identifiers follow from the content, so the same sequence gives the same file.
    entropy = [sample.patient_name, str(sample.seed), sample.realism, str(pixels.shape), pixels.tobytes().hex()[:4096]]
    study, series, instance = (generate_uid(entropy_srcs=[*entropy, kind]) for kind in ("study", "series", "image"))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_XA_STORAGE)
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = UID(_XA_STORAGE), instance
    data.StudyInstanceUID, data.SeriesInstanceUID = study, series
    data.StudyDate = data.StudyTime = data.AccessionNumber = data.ReferringPhysicianName = data.StudyID = ""
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = "SIMULATED", "SIMULATED", "", ""
    data.Modality, data.SeriesNumber, data.InstanceNumber = "XA", 1, 1
    data.Manufacturer, data.ImageType = "synthray", ["DERIVED", "PRIMARY", "SINGLE PLANE"]
    data.PatientOrientation, data.ImageComments = "", f"simulated by synthray, realism {sample.realism}"
    data.PixelIntensityRelationship, data.PixelIntensityRelationshipSign = "LOG", -1
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = "0", f"{1 / _DICOM_PER_UNIT:g}", "US"
    data.NumberOfFrames, data.FrameTime = len(pixels), f"{1000 / frames_per_second:.6g}"
    data.FrameIncrementPointer = 0x00181063
    data.RecommendedDisplayFrameRate = round(frames_per_second)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME1"
    data.Rows, data.Columns = pixels.shape[1:]
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, _DICOM_BITS, _DICOM_BITS - 1, 0
    camera = sample.cameras[0]
    if camera.source_to_detector_mm is not None:
        data.DistanceSourceToDetector = f"{camera.source_to_detector_mm:.6g}"
        data.ImagerPixelSpacing = [f"{mm:.6g}" for mm in reversed(camera.pixel_mm)]
    if sample.doses:
        data.KVP, data.RadiationSetting = f"{sample.doses[0].tube_kvp:.6g}", "SC"
    data.PixelData = pixels.tobytes()
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
