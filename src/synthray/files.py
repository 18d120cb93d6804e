"""Writing files so that nothing is ever half there."""

from __future__ import annotations

import os
from pathlib import Path

from synthray.errors import InputError

# A temporary file is named `.NAME.PID.part`, so that its owner, or who cleans up after it, can tell it.
PART_SUFFIX = ".part"


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
        raise InputError(f"{path}: can't be written ({error.strerror or error}); choose another folder") from error


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
