"""Samples as WebDataset tars, and their parts as PNG and JSON."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from synthray.errors import InputError

Files = Mapping[str, bytes]


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

    Raises:
        InputError: the file is missing or not a whole tar.
    """
    try:
        with tarfile.open(path, mode="r:") as tar:
            key, files = "", dict[str, bytes]()
            for entry in tar:
                name, _, extension = entry.name.partition(".")
                content = tar.extractfile(entry)
                if content is None:
                    raise InputError(f"{path}: '{entry.name}' is not a plain file; a shard holds nothing else")
                if name != key and files:
                    yield key, files
                    files = {}
                key = name
                files[extension] = content.read()
            if files:
                yield key, files
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{path}: not a readable shard ({error}); run generate again to mend it") from None


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


def decode_png16(data: bytes, scale: float) -> npt.NDArray[np.float32]:
    """The float32 image of `encode_png16`."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return (np.asarray(image, dtype=np.float32) / np.float32(scale)).astype(np.float32)


def encode_json(data: Any) -> bytes:
    """JSON with fixed key order and separators: equal data, equal bytes."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
