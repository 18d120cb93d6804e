"""Reading plain files without being fooled, and writing so that nothing is ever half there."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from synthray.errors import InputError

# A temporary file is named `.NAME.PID.part`, so that its owner, or who cleans up after it, can tell it.
PART_SUFFIX = ".part"
MOST_JSON_BYTES = 64 << 20


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """A plain file's content. Pipes and devices, which may never end, are refused before they are opened.

    Raises:
        FileNotFoundError: no such file.
        InputError: not a plain file, too large, or it can't be read.
    """
    try:
        if not path.is_file():
            if not path.exists():
                raise FileNotFoundError(str(path))
            raise InputError(f"{path}: not a plain file; put the file itself there")
        if path.stat().st_size > most_bytes:
            raise InputError(f"{path}: over {most_bytes >> 20} MiB, too large for what it should be")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read ({getattr(error, 'strerror', None) or error})") from None


def parse_json(text: str | bytes, where: str) -> Any:
    """What JSON text says.

    Raises:
        InputError: not JSON, not UTF-8, or nested too deeply or with numbers too long to be meant.
    """
    try:
        return json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError:
        raise InputError(f"{where}: not readable as JSON: nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{where}: can't be read as JSON ({error})") from None


def read_json(path: Path, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """What a JSON file holds.

    Raises:
        FileNotFoundError: no such file.
        InputError: see `read_bytes` and `parse_json`.
    """
    return parse_json(read_bytes(path, most_bytes), str(path))


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a crash or power cut leaves either the old content or the new, never a part.

    Missing folders are made.

    Raises:
        InputError: the folder can't be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PART_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"{path}: can't be written ({error.strerror or error}); {_remedy(error)}") from error


def _remedy(error: OSError) -> str:
    """What to do about a file that can't be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "make room, then run the same command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "make the folder writable or choose another"
    return "choose another folder"


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
