"""Raw voxel data of a file whose header has been read: what the header promises against what the file really holds."""

from __future__ import annotations

import gzip
import math
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError, SynthrayWarning

_CHUNK_BYTES: Final = 1 << 22
_HIGHEST_DEFLATE_RATIO: Final = 1032  # no deflate stream expands further than this (zlib technical notes)
_MOST_VOXELS: Final = 1 << 31
# CTs shrink to a half or a tenth, label maps to a few hundredths; what is larger and shrinks further is a trap.
_BOMB_BYTES, _BOMB_RATIO = 1 << 30, 100
_SWAPPED_IS_SMOOTHER: Final = 4.0


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
        if self.offset < 0:
            raise InputError(f"{self.path}: the header puts the voxels at byte {self.offset}; the file is damaged")

    @property
    def n_bytes(self) -> int:
        """Bytes that the voxels take up when unpacked."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> npt.NDArray[Any]:
        """(I, J, K) array, C order, native byte order.

        Memory grows with the data really found, never with what the header claims. Warns when the file holds more
        than its header says, and when its voxels look as if their bytes were swapped.

        Raises:
            InputError: the file is shorter than its header says, its compressed data are damaged, or they unpack to
                more than memory or any CT holds.
        """
        self._check_length()
        try:
            with open_stream(self.path, self.packing == "gzip") as stream:
                skip(stream, self.offset)
                take = _inflate if self.packing == "deflate" else _take
                data, more = take(stream, self.n_bytes)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{self.path}: damaged or cut off ({error}); copy or export it again") from error
        except MemoryError as error:
            raise self._too_large() from error
        if len(data) < self.n_bytes:
            raise InputError(
                f"{self.path}: cut off: the header promises {self.n_bytes} bytes of voxels, the file holds "
                f"{len(data)}; copy or export it again"
            )
        if more:
            _warn(f"{self.path}: holds more than the {list(self.shape)} voxels of its header; the rest was left out")
        try:
            values = np.frombuffer(data, dtype=self.dtype).reshape(self.shape, order="F")
            if _looks_swapped(values):
                _warn(f"{self.path}: its voxels look as if their bytes were swapped; check the header's byte order")
            return np.ascontiguousarray(values, dtype=self.dtype.newbyteorder("="))
        except MemoryError as error:
            raise self._too_large() from error

    def _too_large(self) -> InputError:
        return InputError(f"{self.path}: {self.n_bytes / 2**30:.1f} GiB of voxels don't fit in memory; crop it first")

    def _check_length(self) -> None:
        held = self.path.stat().st_size
        most = held - self.offset if self.packing == "none" else held * _HIGHEST_DEFLATE_RATIO
        if self.n_bytes > most:
            raise InputError(
                f"{self.path}: cut off, or the header lies: it promises {self.n_bytes} bytes of voxels, the file of "
                f"{held} bytes can't hold them; copy or export it again"
            )
        if self.n_bytes > max(_BOMB_BYTES, _BOMB_RATIO * held):
            raise InputError(
                f"{self.path}: {held} bytes that unpack to {self.n_bytes / 2**30:.1f} GiB are no CT; export it again"
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


def _take(stream: IO[bytes], count: int) -> tuple[bytearray, bool]:
    """Up to `count` bytes, and whether there are more; looking for more lets gzip verify its checksum."""
    data = bytearray()
    while len(data) < count:
        block = stream.read(min(_CHUNK_BYTES, count - len(data)))
        if not block:
            return data, False
        data += block
    return data, bool(stream.read(1))


def _inflate(stream: IO[bytes], count: int) -> tuple[bytearray, bool]:
    """Up to `count` bytes of a zlib or gzip stream that starts here, and whether it holds more."""
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    data = bytearray()
    # One byte more than needed makes zlib go on to the stream's end and verify its checksum.
    while len(data) <= count and not unpack.eof:
        block = unpack.unconsumed_tail or stream.read(_CHUNK_BYTES)
        if not block:
            raise EOFError("compressed data end too early")
        data += unpack.decompress(block, count + 1 - len(data))
    more = len(data) > count
    return (data[:count] if more else data), more


def _looks_swapped(values: npt.NDArray[Any]) -> bool:
    """Whether 16-bit values would be much smoother with their two bytes the other way round.

    The mean step between neighbours of the middle slices decides; in a CT it is tens of HU, and thousands when swapped.
    """
    if values.dtype.kind not in "iu" or values.dtype.itemsize != 2:
        return False
    middle = values.shape[2] // 2
    part = values[:, :, max(0, middle - 2) : middle + 3]
    as_read, swapped = (float(np.abs(np.diff(one.astype(np.int32), axis=0)).sum()) for one in (part, part.byteswap()))
    return as_read > _SWAPPED_IS_SMOOTHER * swapped


def _warn(message: str) -> None:
    warnings.warn(message, SynthrayWarning, stacklevel=3)
