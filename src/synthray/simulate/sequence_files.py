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
from synthray.simulate.dicom_object import Simulated, angiographic_object
from synthray.simulate.sample import Sample

FORMATS = (".dcm", ".png", ".gif", ".mp4")
# 12 of 16 bits, as angiography systems store.
_DICOM_BITS = 12
_DICOM_PER_UNIT = 400.0


def save_sequence(
    sample: Sample, path: str | Path, frames_per_second: float = 15.0, preset: str | DisplayPreset = "c-arm"
) -> Path:
    """Write the frames of a sample as one file.

    `.dcm` holds ln(signal), 400 grey values a unit down to -10.2, in a standard's X-ray angiographic object with no
    identity of anyone; the others hold what `preset` shows, with one window for all frames.

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
    # Identifiers follow from the content, so the same sequence gives the same file.
    text = f"{sample.patient_name} {sample.seed} {sample.realism} {sample.image.shape}"
    dose = sample.doses[0] if sample.doses else None
    said = Simulated(
        study=text,
        series="run",
        instance="run",
        number=1,
        person="SIMULATED",
        comment=f"simulated by synthray, realism {sample.realism}",
        tube_kvp=None if dose is None else dose.tube_kvp,
        mas=None if dose is None else dose.mas,
        frames_per_second=frames_per_second,
    )
    return angiographic_object(
        sample.image, sample.cameras[0], said, per_unit=_DICOM_PER_UNIT, lowest=0.0, bits=_DICOM_BITS
    )
