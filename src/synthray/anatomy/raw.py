"""Raw voxel data of a file whose header has been read: what the header promises against what the file really holds."""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError

_CHUNK_BYTES: Final = 1 << 22
_HIGHEST_DEFLATE_RATIO: Final = 1032  # no deflate stream expands further than this (zlib technical notes)
_MOST_VOXELS: Final = 1 << 31


@dataclass(frozen=True, kw_only=True)
class RawData:
    """Where the voxels lie and what they are.

    Attributes:
        path: the file that holds them.
        offset: bytes before the first voxel, in the decompressed stream where `packing` is "gzip".
        packing: "none", "gzip" (the whole file is one gzip stream) or "deflate" (zlib or gzip data after `offset`).
        dtype: NumPy type with byte order.
        shape: (I, J, K), i running fastest.
    """

    path: Path
    offset: int
    packing: str
    dtype: np.dtype[Any]
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise InputError(f"{self.path}: the header gives the size {list(self.shape)}; every axis needs a voxel")
        if math.prod(self.shape) > _MOST_VOXELS:
            raise InputError(f"{self.path}: the header claims {list(self.shape)} voxels, more than 2^31; crop it first")

    @property
    def n_bytes(self) -> int:
        """Bytes that the voxels take up when unpacked."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> npt.NDArray[Any]:
        """(I, J, K) array, C order, native byte order.

        Memory grows with the data really found, never with what the header claims.

        Raises:
            InputError: the file is shorter than its header says, or its compressed data are damaged.
        """
        self._check_length()
        try:
            with open_stream(self.path, self.packing == "gzip") as stream:
                skip(stream, self.offset)
                data = _inflate(stream, self.n_bytes) if self.packing == "deflate" else _take(stream, self.n_bytes)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{self.path}: damaged or cut off ({error}); copy or export it again") from error
        if len(data) < self.n_bytes:
            raise InputError(
                f"{self.path}: cut off: the header promises {self.n_bytes} bytes of voxels, the file holds "
                f"{len(data)}; copy or export it again"
            )
        values = np.frombuffer(data, dtype=self.dtype).reshape(self.shape, order="F")
        return np.ascontiguousarray(values, dtype=self.dtype.newbyteorder("="))

    def _check_length(self) -> None:
        held = self.path.stat().st_size
        most = held - self.offset if self.packing == "none" else held * _HIGHEST_DEFLATE_RATIO
        if self.n_bytes > most:
            raise InputError(
                f"{self.path}: cut off, or the header lies: it promises {self.n_bytes} bytes of voxels, the file of "
                f"{held} bytes can't hold them; copy or export it again"
            )


def open_stream(path: Path, gzipped: bool) -> IO[bytes]:
    """The file's bytes, decompressed where it is a gzip stream."""
    return gzip.open(path, "rb") if gzipped else path.open("rb")  # type: ignore[return-value]


def is_gzip(path: Path) -> bool:
    """Whether the file starts like a gzip stream, whatever its name."""
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def skip(stream: IO[bytes], count: int) -> None:
    """Read past `count` bytes in small steps."""
    while count > 0:
        passed = len(stream.read(min(count, _CHUNK_BYTES)))
        if not passed:
            return
        count -= passed


def _take(stream: IO[bytes], count: int) -> bytearray:
    """Up to `count` bytes; where they are all there, one more read lets gzip verify its checksum."""
    data = bytearray()
    while len(data) < count:
        block = stream.read(min(_CHUNK_BYTES, count - len(data)))
        if not block:
            return data
        data += block
    stream.read(1)
    return data


def _inflate(stream: IO[bytes], count: int) -> bytearray:
    """Up to `count` bytes of a zlib or gzip stream that starts here."""
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    data = bytearray()
    # One byte more than needed makes zlib go on to the stream's end and verify its checksum.
    while len(data) <= count and not unpack.eof:
        block = unpack.unconsumed_tail or stream.read(_CHUNK_BYTES)
        if not block:
            raise EOFError("compressed data end too early")
        data += unpack.decompress(block, count + 1 - len(data))
    return data[:count]
