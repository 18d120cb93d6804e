"""Samples as WebDataset tars, and their parts as PNG and JSON."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from synthray.errors import InputError

Files = Mapping[str, bytes]

# What to do about a damaged shard.
MEND = "run synthray verify --mend to make it again"
_BLOCK, _RECORD = tarfile.BLOCKSIZE, tarfile.RECORDSIZE
_PLAIN = (b"0", b"\0")


def pack(samples: Iterable[tuple[str, Files]]) -> bytes:
    """A tar of samples; each is a key and its files by extension. Times, owners and order are fixed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for key, files in samples:
            for extension in sorted(files):
                entry = tarfile.TarInfo(f"{key}.{extension}")
                entry.size = len(files[extension])
                entry.mode = 0o644
                tar.addfile(entry, io.BytesIO(files[extension]))
    return buffer.getvalue()


def unpack(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The samples of a shard in order; nothing is extracted to disk.

    A shard is what `pack` writes: plain USTAR entries up to a proper end. Links, devices, extended headers, folders in
    names, and sizes beyond the file's end are refused, so no tar can make this read more than the file holds.

    Raises:
        InputError: the file is missing or not a whole shard.
    """
    key, files = "", dict[str, bytes]()
    for name, _, _, content in _entries(path):
        stem, _, extension = name.partition(".")
        if stem != key and files:
            yield key, files
            files = {}
        if extension in files:
            raise InputError(f"{path}: '{name}' is in it twice; {MEND}")
        key = stem
        files[extension] = content
    if not files:
        raise InputError(f"{path}: holds no sample; {MEND}")
    yield key, files


@dataclass(frozen=True)
class Place:
    """Where a file of a sample lies in its shard."""

    extension: str
    offset: int
    size: int


def places(path: Path) -> list[tuple[str, list[Place]]]:
    """Key and files of each sample of a shard; only headers are read.

    Raises:
        InputError: as for `unpack`, but for damage inside the files.
    """
    found: dict[str, list[Place]] = {}
    for name, offset, size, _ in _entries(path, contents=False):
        key, _, extension = name.partition(".")
        found.setdefault(key, []).append(Place(extension, offset, size))
    return list(found.items())


def read_places(path: Path, wanted: Sequence[Place]) -> dict[str, bytes]:
    """The files of a sample by extension.

    Raises:
        InputError: the shard can't be read any more.
    """
    try:
        with path.open("rb") as stream:
            files = {}
            for place in wanted:
                stream.seek(place.offset)
                files[place.extension] = stream.read(place.size)
            return files
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error}); {MEND}") from None


def _entries(path: Path, contents: bool = True) -> Iterator[tuple[str, int, int, bytes]]:
    """Name, offset, size and, when asked for, content of a shard's files."""
    try:
        if not path.is_file():
            raise InputError(f"{path}: missing, or not a plain file; {MEND}")
        with path.open("rb") as stream:
            whole = path.stat().st_size
            at = 0
            while (head := stream.read(_BLOCK)).strip(b"\0"):
                name, size = _header(head)
                at += _BLOCK
                following = at + -(-size // _BLOCK) * _BLOCK
                if following + 2 * _BLOCK > whole:
                    raise ValueError(f"cut off in '{name}'")
                yield name, at, size, stream.read(size) if contents else b""
                at = following
                stream.seek(at)
            _check_end(stream, whole)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a whole shard ({error}); {MEND}") from None


def _header(head: bytes) -> tuple[str, int]:
    """Name and size in a USTAR header (POSIX.1-1988: name 0 to 99, size 124, checksum 148, type 156, prefix 345)."""
    given, counted = int(head[148:156].strip(b"\0 "), 8), sum(head[:148]) + 8 * 32 + sum(head[156:])
    if len(head) < _BLOCK or given != counted:
        raise ValueError("a tar header's checksum is wrong")
    name = head[:100].rstrip(b"\0").decode("ascii")
    size = int(head[124:136].strip(b"\0 "), 8)
    if head[156:157] not in _PLAIN or head[345:500].strip(b"\0") or size < 0:
        raise ValueError(f"'{name}' is not a plain file")
    if not name.isprintable() or "/" in name or "\\" in name or name.startswith("."):
        raise ValueError(f"'{name}' is no name of a sample's file")
    return name, size


def _check_end(stream: IO[bytes], size: int) -> None:
    """After the first empty block there is at least one more, up to a full record of zeros."""
    rest = stream.read(_RECORD + 1)
    if not _BLOCK <= len(rest) <= _RECORD or rest.strip(b"\0") or size % _RECORD:
        raise ValueError("its end is cut off or altered")


def checksum(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def encode_png16(image: npt.NDArray[np.floating[Any]], scale: float) -> bytes:
    """A 16-bit PNG of `image * scale`, rounded; values are clipped to 0 to 65535."""
    values = np.clip(np.rint(image * scale), 0, 65535).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def decode_png16(data: bytes, scale: float, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The float32 image of `encode_png16`.

    Args:
        data: the PNG.
        scale: that it was written with.
        shape: (rows, columns) that it must have; a picture of another size is not unpacked.

    Raises:
        InputError: no 16-bit grey PNG of that size, or damaged.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != shape[::-1] or not image.mode.startswith("I"):
                rows, columns = shape
                raise InputError(f"a picture of {image.size} in mode {image.mode}, not {columns} x {rows} in 16 bits")
            return (np.asarray(image, dtype=np.float32) / np.float32(scale)).astype(np.float32)
    # Pillow raises OSError, SyntaxError and its own error for bombs, which is none of these.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"not a readable PNG ({error})") from None


def encode_json(data: Any) -> bytes:
    """JSON with fixed key order and separators: equal data, equal bytes."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
