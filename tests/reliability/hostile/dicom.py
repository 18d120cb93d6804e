"""Folders of DICOM CT slices with something wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from hostile.core import ANY, HANDLED, SAFE, STRICT, Case, cut, flipped, overwritten
from hostile.volumes import AFFINE, SHAPE, phantom, reads_as_phantom

_MAY_BE_HARMLESS = {"PhotometricInterpretation", "PixelRepresentation", "BitsAllocated", "SamplesPerPixel"}
SERIES = generate_uid(entropy_srcs=["synthray", "hostile"])


def slice_of(k: int, series: str = SERIES, **tags: Any) -> Dataset:
    """One slice of the phantom."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(k)])
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.Modality, data.ImageType = series, "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Rows, data.Columns = SHAPE[1], SHAPE[0]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.ImagePositionPatient = [-10.0, 20.0, 300.0 + 3 * k]
    data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [2.0, 1.5]
    data.PixelData = (phantom()[:, :, k].T.astype(np.int32) + 1024).astype("<u2").tobytes()
    for key, value in tags.items():
        if value is None:
            delattr(data, key)
        else:
            setattr(data, key, value)
    return data


def write(folder: Path, skip: int | None = None, **tags: Any) -> list[Path]:
    """All slices, with some tags replaced in each."""
    paths = []
    for k in range(SHAPE[2]):
        if k != skip:
            paths.append(folder / f"{k}.dcm")
            slice_of(k, **tags).save_as(paths[-1], enforce_file_format=True)
    return paths


def _tags(**tags: Any) -> Callable[[Path, np.random.Generator], bool]:
    def action(folder: Path, _: np.random.Generator) -> bool:
        write(folder, **tags)
        return reads_as_phantom(folder)

    return action


def _one_slice(k: int = 3, **tags: Any) -> Callable[[Path, np.random.Generator], bool]:
    def action(folder: Path, _: np.random.Generator) -> bool:
        paths = write(folder)
        slice_of(k, **tags).save_as(paths[k], enforce_file_format=True)
        return reads_as_phantom(folder)

    return action


def _damaged(damage: Callable[[bytes, np.random.Generator], bytes]) -> Callable[[Path, np.random.Generator], bool]:
    def action(folder: Path, rng: np.random.Generator) -> bool:
        path = write(folder)[int(rng.integers(SHAPE[2]))]
        path.write_bytes(damage(path.read_bytes(), rng))
        return reads_as_phantom(folder)

    return action


def _extra(name: str, **tags: Any) -> Callable[[Path, np.random.Generator], bool]:
    def action(folder: Path, _: np.random.Generator) -> bool:
        write(folder)
        slice_of(**tags).save_as(folder / name, enforce_file_format=True)
        return reads_as_phantom(folder)

    return action


def _deep(levels: int, closed: bool) -> Callable[[Path, np.random.Generator], bool]:
    """A slice with sequences in sequences, of undefined length, before its pixels."""
    opened = b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"

    def action(folder: Path, _: np.random.Generator) -> bool:
        path = write(folder)[2]
        data = path.read_bytes()
        at = data.rindex(b"\xe0\x7f\x10\x00")
        path.write_bytes(data[:at] + opened * levels + (end * levels if closed else b"") + data[at:])
        return reads_as_phantom(folder)

    return action


def _skewed(tilt: float, shift_mm: float = 0.0) -> Callable[[Path, np.random.Generator], bool]:
    """A tilted gantry: the affine is sheared, which is exact; with a slice out of line it is damage."""

    def action(folder: Path, _: np.random.Generator) -> bool:
        from synthray.anatomy import load_patient

        turn = [1, 0, 0, 0, float(np.cos(tilt)), float(np.sin(tilt))]
        for k in range(SHAPE[2]):
            off = shift_mm if k == 4 else 0.0
            data = slice_of(k, ImageOrientationPatient=turn, ImagePositionPatient=[-10.0 + off, 20.0, 300.0 + 3 * k])
            data.save_as(folder / f"{k}.dcm", enforce_file_format=True)
        ct = load_patient(folder, remove_table=False).ct
        expected = AFFINE.copy()
        expected[:3, 1] = [0, 2 * np.cos(tilt), 2 * np.sin(tilt)]
        return bool(np.allclose(ct.patient_from_voxel, expected, atol=1e-6) and np.array_equal(ct.values, phantom()))

    return action


def dicom_cases(seeds: range) -> Iterator[Case]:
    """All of them; damage at random places once for each seed."""
    for _ in seeds:
        for count in (1, 5, 40):
            yield Case(f"bit flips/dicom {count}", _damaged(lambda d, r, c=count: flipped(d, r, c)), ANY)
        yield Case("truncation/dicom", _damaged(cut), HANDLED)
        yield Case("overwritten/dicom", _damaged(overwritten), ANY)
    yield Case("mixed series/two", _extra("other.dcm", k=1, series=generate_uid()), STRICT)
    yield Case("missing slice/one", _tags(skip=4), STRICT)
    yield Case(
        "missing slice/all but one",
        lambda f, r: bool(slice_of(0).save_as(f / "a", enforce_file_format=True)) or reads_as_phantom(f),
        STRICT,
    )
    yield Case("duplicated slice/same file twice", _extra("copy.dcm", k=2), STRICT)
    yield Case(
        "duplicated slice/shifted 0.1 mm", _extra("copy.dcm", k=2, ImagePositionPatient=[-10, 20, 306.1]), STRICT
    )
    yield Case("gantry tilt/20 degrees", _skewed(np.radians(20)), frozenset({"same"}))
    yield Case("gantry tilt/a slice out of line", _skewed(np.radians(20), 3.0), STRICT)
    yield Case(
        "scout among slices/passed over",
        _extra("scout.dcm", k=2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        frozenset({"same"}),
    )
    yield Case("report among slices/passed over", _extra("sr.dcm", k=2, Modality="SR"), frozenset({"same"}))
    for levels in (30, 3000, 100_000):
        for closed in (True, False):
            yield Case(f"deep sequence/{levels} levels {'' if closed else 'un'}closed", _deep(levels, closed), SAFE)
    for key, values in {
        "PixelSpacing": ([0, 0], [-1, 1], [2.0], None, ["nan", "1"], [1e30, 1e30]),
        "ImageOrientationPatient": (
            [1, 0, 0, 1, 0, 0],
            [0] * 6,
            [1, 0, 0],
            None,
            [1, 1, 0, 0, 1, 0],
            [2, 0, 0, 0, 2, 0],
        ),
        "ImagePositionPatient": ([0, 0], [0, 0, 0], None),
        "Rows": (0, 1, 65535, None),
        "Columns": (0, 3, 65535, None),
        "BitsAllocated": (8, 32, 1, 7),
        "BitsStored": (0, 17, 3),
        "SamplesPerPixel": (3, 0),
        "NumberOfFrames": (3, 100000),
        "RescaleSlope": (0, "nan", 1e30, -1),
        "RescaleIntercept": (1e30, "inf"),
        "PixelData": (b"", b"\0\0", bytes(1 << 20)),
        "PixelRepresentation": (1, 2, 999),
        "PhotometricInterpretation": ("RGB", "PALETTE COLOR"),
        "Modality": ("MR", ""),
    }.items():
        for value in values:
            shown = f"{len(value)} bytes" if isinstance(value, bytes) else value
            # Signed or not makes no difference to values below 2^15.
            allowed = SAFE if key in _MAY_BE_HARMLESS else HANDLED
            if key == "BitsStored":
                allowed = ANY  # fewer bits than there are is a valid mask
            yield Case(f"header lie/dicom {key}={shown}", _tags(**{key: value}), allowed)
            if key not in ("Modality",):
                yield Case(f"header lie/dicom one slice {key}={shown}", _one_slice(**{key: value}), allowed)
    for syntax in ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "1.2.3.4"):
        yield Case(f"header lie/dicom compressed {syntax}", lambda f, r, s=syntax: _relabelled(f, s), HANDLED)


def _relabelled(folder: Path, syntax: str) -> bool:
    """Slices that claim to be compressed and are not."""
    for path in write(folder):
        data = path.read_bytes()
        old = str(ExplicitVRLittleEndian).encode()
        at = data.index(old)
        length = len(old) + len(old) % 2
        padded = syntax.encode().ljust(length, b"\0")[:length]
        path.write_bytes(data[:at] + padded + data[at + length :])
    return reads_as_phantom(folder)
