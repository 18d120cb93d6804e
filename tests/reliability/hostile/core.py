"""What a case is, and damage that fits any file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# What may come of a case.
REFUSED, WARNED, SAME, CHANGED = "refused", "warned", "same", "changed"
STRICT = frozenset({REFUSED})
HANDLED = frozenset({REFUSED, WARNED})
SAFE = frozenset({REFUSED, WARNED, SAME})
# Damage that no reader can see: another digit in a header without a checksum is another, valid header.
ANY = frozenset({REFUSED, WARNED, SAME, CHANGED})

Action = Callable[[Path, np.random.Generator], bool]


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Attributes:
        name: kind of damage / where, for counting and messages.
        action: builds it in a folder and reads it; returns whether the result is that of the undamaged input.
        allowed: outcomes that are right.
    """

    name: str
    action: Action
    allowed: frozenset[str]


@dataclass(frozen=True)
class Verdict:
    """What came of a case: an outcome, or `crash`, `hang`, `died`, `lines` (a message over several lines)."""

    outcome: str
    message: str
    megabytes: int = 0


def flipped(data: bytes, rng: np.random.Generator, count: int, start: int = 0, stop: int | None = None) -> bytes:
    """Data with some bits turned between two offsets."""
    changed = bytearray(data)
    for at in rng.integers(start, len(data) if stop is None else min(stop, len(data)), size=count):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    """Data that end too early."""
    return data[: int(rng.integers(0, len(data)))]


def overwritten(data: bytes, rng: np.random.Generator) -> bytes:
    """Data with a stretch of noise or zeros in them."""
    changed = bytearray(data)
    length = int(rng.integers(1, min(64, len(data))))
    at = int(rng.integers(0, len(data) - length))
    changed[at : at + length] = bytes(length) if rng.random() < 0.5 else rng.bytes(length)
    return bytes(changed)


def junk() -> Iterator[tuple[str, bytes]]:
    """Files that are something else altogether."""
    yield "empty", b""
    yield "one byte", b"\0"
    yield "zeros", bytes(5000)
    yield "noise", np.random.default_rng(0).bytes(5000)
    yield "text", b"lorem ipsum\n" * 300
    yield "zip slip", _zip_slip()
    yield "pickle", b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94."
    yield "html", b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
    yield "git lfs pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 18000000000\n"


def _zip_slip() -> bytes:
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../../../tmp/synthray-zip-slip", "out")
    return buffer.getvalue()
