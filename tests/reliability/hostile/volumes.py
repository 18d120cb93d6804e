"""CT files: NIfTI, NRRD and MetaImage with damage, lies and bombs."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hostile.core import ANY, HANDLED, SAFE, STRICT, Case, cut, flipped, junk, overwritten

SHAPE = (12, 10, 8)
AFFINE = np.array([[1.5, 0, 0, -10], [0, 2.0, 0, 20], [0, 0, 3.0, 300], [0, 0, 0, 1.0]])
LIES = (-1, 0, 1, 2, 7, 13, 1000, 32767, -32768)
FLOATS = (0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e-30, 1e30, 1e-45)
# NIfTI-1 fields: struct form and offset.
DIMENSIONS = {"dim[0]": 40, "dim[1]": 42, "dim[2]": 44, "dim[3]": 46, "datatype": 70}
LENGTHS = {"pixdim[1]": 80, "pixdim[2]": 84, "pixdim[3]": 88, "vox_offset": 108, "scl_slope": 112, "scl_inter": 116}
POSITIONS = {"quatern_b": 256, "qoffset_x": 268, "srow_x[0]": 280, "srow_x[3]": 292, "srow_y[1]": 300, "srow_z[2]": 320}


def phantom() -> np.ndarray:
    """Air with a few markers, each of its own value."""
    hu = np.full(SHAPE, -1000, dtype=np.int16)
    hu[1, 1, 1], hu[9, 2, 1], hu[3, 1, 5], hu[10, 8, 6] = 100, 200, 400, 500
    return hu


def nifti(hu: np.ndarray | None = None, order: str = "<") -> bytes:
    """A NIfTI-1 file with a qform and an sform that agree."""
    values = phantom() if hu is None else hu
    codes = {"i2": 4, "f4": 16, "f8": 64, "u1": 2}
    kind = values.dtype.str[1:]
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ AFFINE
    head = bytearray(352)
    struct.pack_into(order + "i", head, 0, 348)
    struct.pack_into(order + "8h", head, 40, 3, *values.shape, 1, 1, 1, 1)
    struct.pack_into(order + "hh", head, 70, codes[kind], 8 * values.dtype.itemsize)
    struct.pack_into(order + "8f", head, 76, 1, 1.5, 2, 3, 1, 1, 1, 1)
    struct.pack_into(order + "fff", head, 108, 352, 1, 0)
    struct.pack_into(order + "B", head, 123, 2)
    struct.pack_into(order + "hh", head, 252, 1, 1)
    struct.pack_into(order + "6f", head, 256, 0, 0, 1, *ras[:3, 3])
    struct.pack_into(order + "12f", head, 280, *ras[:3].ravel())
    head[344:348] = b"n+1\0"
    return bytes(head) + values.astype(order + kind).tobytes(order="F")


def metaimage(**fields: str) -> bytes:
    """A MetaImage file; fields replace those of the header, an empty one is left out."""
    held = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "-10 20 300",
        "ElementSpacing": "1.5 2 3",
        "DimSize": "12 10 8",
        "ElementType": "MET_SHORT",
        **fields,
        "ElementDataFile": fields.get("ElementDataFile", "LOCAL"),
    }
    text = "".join(f"{key} = {value}\n" for key, value in held.items() if value)
    return text.encode() + phantom().tobytes(order="F")


def nrrd(**fields: str) -> bytes:
    """A NRRD file; fields replace those of the header (_ for a blank), an empty one is left out."""
    held = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "12 10 8",
        "space directions": "(1.5,0,0) (0,2,0) (0,0,3)",
        "space origin": "(-10,20,300)",
        "endian": "little",
        "encoding": "raw",
        **{key.replace("_", " "): value for key, value in fields.items()},
    }
    text = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in held.items() if value) + "\n"
    return text.encode() + phantom().tobytes(order="F")


def reads_as_phantom(path: Path) -> bool:
    """Whether a CT is read as the phantom in its place."""
    from synthray.anatomy import load_patient

    ct = load_patient(path, remove_table=False).ct
    same_place = np.allclose(ct.patient_from_voxel, AFFINE, atol=1e-3)
    return bool(ct.shape == SHAPE and same_place and np.array_equal(ct.values, phantom()))


Damage = Callable[[np.random.Generator], bytes]


def _file(name: str, damage: Damage) -> Callable[[Path, np.random.Generator], bool]:
    def action(folder: Path, rng: np.random.Generator) -> bool:
        path = folder / name
        path.write_bytes(damage(rng))
        return reads_as_phantom(path)

    return action


def _lie(form: str, offset: int, value: float) -> Damage:
    def damage(_: np.random.Generator) -> bytes:
        data = bytearray(nifti())
        struct.pack_into("<" + form, data, offset, value)
        return bytes(data)

    return damage


def _nifti_lies() -> Iterator[Case]:
    for field, offset in DIMENSIONS.items():
        for value in LIES:
            original = struct.unpack_from("<h", nifti(), offset)[0]
            allowed = SAFE if value == original else HANDLED
            if field == "dim[0]" and value == 7:
                allowed = SAFE  # all further axes have one entry
            yield Case(f"header lie/nii {field}={value}", _file("ct.nii", _lie("h", offset, value)), allowed)
    for field, offset in {**LENGTHS, **POSITIONS}.items():
        for value in FLOATS:
            original = struct.unpack_from("<f", nifti(), offset)[0]
            harmless = value == original or (field, value) in {("vox_offset", 0.0), ("scl_slope", 0.0)}
            # The sform rules over the quaternion and the voxel size, with a warning where they are apart.
            lenient = field.startswith(("pixdim", "q")) or abs(value) < 1e-20 or field == "scl_slope"
            allowed = SAFE if harmless or lenient else HANDLED
            if (field, value) == ("scl_inter", -1.0):
                allowed = ANY  # a valid header of a CT that is one unit darker
            yield Case(f"header lie/nii {field}={value}", _file("ct.nii", _lie("f", offset, value)), allowed)


def _text_lies() -> Iterator[Case]:
    numbers = ("0 0 0", "-1 -1 -1", "nan nan nan", "inf inf inf", "1e308 1e308 1e308", "1 2", "a b c", "1e-300 1 1")
    for words in numbers:
        for field in ("ElementSpacing", "Offset", "DimSize"):
            harmless = field == "Offset" and words in {"0 0 0", "-1 -1 -1", "1e-300 1 1"}  # another, valid place
            allowed = ANY if harmless else HANDLED
            data = metaimage(**{field: words})
            yield Case(f"header lie/mha {field}={words}", _file("ct.mha", lambda _, d=data: d), allowed)
        vector = "(" + words.replace(" ", ",") + ")"
        for field, value in (("sizes", words), ("space_origin", vector), ("space_directions", " ".join([vector] * 3))):
            harmless = field == "space_origin" and words in {"0 0 0", "-1 -1 -1", "1e-300 1 1"}
            data = nrrd(**{field: value})
            yield Case(
                f"header lie/nrrd {field}={words}", _file("ct.nrrd", lambda _, d=data: d), ANY if harmless else HANDLED
            )
    for matrix in (
        "1 0 0 1 0 0 0 0 1",
        "0 0 0 0 0 0 0 0 0",
        "1 2 3",
        "1 0 0 0 1 0 0 0 1e-9",
        "5 0 0 0 5 0 0 0 5",
        "1 0.5 0 0 1 0 0 0 1",
    ):
        data = metaimage(TransformMatrix=matrix)
        yield Case(f"bad affine/mha {matrix}", _file("ct.mha", lambda _, d=data: d), HANDLED)
    for key, value in (
        ("ElementType", "MET_NONSENSE"),
        ("ElementNumberOfChannels", "3"),
        ("ElementNumberOfChannels", "x"),
        ("CompressedData", "True"),
        ("DimSize", ""),
        ("ElementSpacing", ""),
        ("Offset", ""),
        ("NDims", "2"),
        ("NDims", "4"),
        ("DimSize", "12 10 8 5"),
        ("DimSize", "12.7 10 8"),
        ("BinaryData", "False"),
        ("BinaryDataByteOrderMSB", "True"),
    ):
        data = metaimage(**{key: value})
        yield Case(f"header lie/mha {key}={value}", _file("ct.mha", lambda _, d=data: d), HANDLED)
    for key, value in (
        ("type", "block"),
        ("type", ""),
        ("dimension", "4"),
        ("sizes", "12 10 8 2"),
        ("encoding", "bzip2"),
        ("encoding", "gzip"),
        ("encoding", "ascii"),
        ("space", ""),
        ("space", "scanner-xyz"),
        ("byte_skip", "x"),
        ("byte_skip", "-7"),
        ("byte_skip", "99999999999"),
        ("line_skip", "3"),
        ("endian", "big"),
        ("endian", "middle"),
        ("space_directions", ""),
        ("space_directions", "(1,0,0) (1,0,0) (0,0,1)"),
        ("space_directions", "none (1,0,0)"),
        ("space_origin", "(1,2)"),
        ("sizes", "9" * 4000 + " 1 1"),
    ):
        data = nrrd(**{key: value})
        yield Case(f"header lie/nrrd {key}={value[:30]}", _file("ct.nrrd", lambda _, d=data: d), HANDLED)


def _bombs() -> Iterator[Case]:
    def huge(packed: bool, real: bytes, dims: tuple[int, int, int], kind: int = 64) -> Damage:
        def damage(_: np.random.Generator) -> bytes:
            head = bytearray(nifti()[:352])
            struct.pack_into("<8h", head, 40, 3, *dims, 1, 1, 1, 1)
            struct.pack_into("<hh", head, 70, kind, 64)
            return gzip.compress(bytes(head) + real, 9) if packed else bytes(head) + real

        return damage

    for dims in ((1300, 1300, 1300), (32767, 32767, 2), (32767, 32767, 32767)):
        for packed in (False, True):
            name = "ct.nii.gz" if packed else "ct.nii"
            yield Case(f"memory bomb/{name} {dims}", _file(name, huge(packed, bytes(48), dims)), STRICT)
    # Real zeros, a thousand times smaller on disk: 6 GiB in 6 MB.
    yield Case("memory bomb/nii.gz with real zeros", _file("ct.nii.gz", lambda _: _gzip_of_zeros(6 << 30)), STRICT)
    giant = metaimage(DimSize="2000 2000 500", ElementType="MET_DOUBLE")
    yield Case("memory bomb/mha", _file("ct.mha", lambda _: giant), STRICT)
    packed = metaimage(DimSize="2000 2000 500", ElementType="MET_DOUBLE", CompressedData="True").split(b"LOCAL\n")[0]
    yield Case(
        "memory bomb/mha packed", _file("ct.mha", lambda _: packed + b"LOCAL\n" + zlib.compress(bytes(9))), STRICT
    )
    yield Case("memory bomb/nrrd", _file("ct.nrrd", lambda _: nrrd(sizes="99999 99999 99999")), STRICT)
    yield Case("memory bomb/nrrd header", _file("ct.nrrd", lambda _: b"NRRD0004\n" + b"a: b\n" * 900_000), STRICT)
    yield Case("memory bomb/mha header", _file("ct.mha", lambda _: b"a = b\n" * 900_000), STRICT)


def _gzip_of_zeros(count: int) -> bytes:
    """A gzip stream whose header tells of `count` bytes, and holds them: one block of zeros, repeated."""
    dims = (1024, 1024, count // 8 // 1024 // 1024)
    head = bytearray(nifti()[:352])
    struct.pack_into("<8h", head, 40, 3, *dims, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, 64, 64)
    member = gzip.compress(bytes(1 << 24), 9)
    return gzip.compress(bytes(head)) + member * (count >> 24)


def _values() -> Iterator[Case]:
    for what in (np.nan, np.inf, -np.inf):
        hu = phantom().astype(np.float32)
        hu[4, 4, 4] = what
        data = nifti(hu)
        yield Case(f"not finite/nii {what}", _file("ct.nii", lambda _, d=data: d), STRICT)
    for name, hu in (
        ("normalised", (phantom().astype(np.float32) + 1000) / 1500),
        ("offset 1024", phantom() + np.int16(4000)),
        ("constant", np.zeros(SHAPE, np.int16)),
        ("no air", np.full(SHAPE, 50, np.int16)),
        ("1e38", np.where(phantom() > 0, np.float32(1e38), np.float32(-1000))),
        ("1e9", np.where(phantom() > 0, np.float32(1e9), np.float32(-1000))),
        ("1e300", np.where(phantom() > 0, 1e300, -1000.0)),
    ):
        data = nifti(hu)
        yield Case(f"not Hounsfield/{name}", _file("ct.nii", lambda _, d=data: d), HANDLED)
    swapped = bytearray(nifti())
    swapped[352:] = phantom().astype(">i2").tobytes(order="F")
    yield Case("wrong endianness/voxels only", _file("ct.nii", lambda _: bytes(swapped)), HANDLED)
    yield Case("wrong endianness/big, all of it", _file("ct.nii", lambda _: nifti(order=">")), SAFE - HANDLED)


def _places() -> Iterator[Case]:
    def folder_for_file(folder: Path, _: np.random.Generator) -> bool:
        (folder / "ct.nii.gz").mkdir()
        return reads_as_phantom(folder / "ct.nii.gz")

    def pipe(folder: Path, _: np.random.Generator) -> bool:
        os.mkfifo(folder / "ct.nii")
        return reads_as_phantom(folder / "ct.nii")

    def loop(folder: Path, _: np.random.Generator) -> bool:
        (folder / "ct.nii").symlink_to(folder / "ct.nii")
        return reads_as_phantom(folder / "ct.nii")

    def looping_folder(folder: Path, _: np.random.Generator) -> bool:
        (folder / "inner").symlink_to(folder, target_is_directory=True)
        return reads_as_phantom(folder)

    def device(folder: Path, _: np.random.Generator) -> bool:
        (folder / "ct.nii").symlink_to("/dev/zero")
        return reads_as_phantom(folder / "ct.nii")

    def pipe_in_folder(folder: Path, _: np.random.Generator) -> bool:
        os.mkfifo(folder / "slice.dcm")
        return reads_as_phantom(folder)

    for action in (folder_for_file, pipe, loop, looping_folder, device, pipe_in_folder):
        yield Case(f"odd file/{action.__name__.replace('_', ' ')}", action, STRICT)

    def detached(folder: Path, _: np.random.Generator, header: bytes, name: str) -> bool:
        (folder / "secret.raw").write_bytes(phantom().tobytes(order="F"))
        inner = folder / "inner"
        inner.mkdir()
        (inner / name).write_bytes(header)
        return reads_as_phantom(inner / name)

    for named in (
        "../secret.raw",
        "/etc/passwd",
        "..\\secret.raw",
        "/dev/zero",
        "~/secret.raw",
        "LIST",
        "%03d.raw 1 8 1",
        "",
        ".",
        "..",
        "ct.mhd",
        "\0",
        "a" * 5000,
    ):
        for name, header in (
            ("ct.mhd", metaimage(ElementDataFile=named or " ")),
            ("ct.nhdr", nrrd(data_file=named or " ")),
        ):
            yield Case(
                f"path traversal/{name} to {named[:20]!r}",
                lambda f, r, h=header, x=name: detached(f, r, h, x),
                SAFE if named == name else STRICT,
            )


def volume_cases(seeds: range) -> Iterator[Case]:
    """All of them; damage at random places once for each seed."""
    formats = {
        "ct.nii": nifti(),
        "ct.nii.gz": gzip.compress(nifti(), mtime=0),
        "ct.mha": metaimage(),
        "ct.nrrd": nrrd(),
    }
    for _ in seeds:
        for name, data in formats.items():
            packed = name.endswith(".gz")
            head = len(data) - phantom().nbytes
            for count in (1, 3, 20):
                stop = None if packed else head
                damage = lambda rng, d=data, c=count, s=stop: flipped(d, rng, c, stop=s)  # noqa: E731
                yield Case(f"bit flips/{name} {count}", _file(name, damage), SAFE if packed else ANY)
            yield Case(f"truncation/{name}", _file(name, lambda rng, d=data: cut(d, rng)), SAFE)
            yield Case(f"overwritten/{name}", _file(name, lambda rng, d=data: overwritten(d, rng)), ANY)
    for name in formats:
        for what, data in junk():
            yield Case(f"something else/{name} {what}", _file(name, lambda _, d=data: d), STRICT)
    yield from _nifti_lies()
    yield from _text_lies()
    yield from _bombs()
    yield from _values()
    yield from _places()
