"""One job per folder, and what killed processes leave behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from synthray.dataset.layout import LOCK
from synthray.errors import InputError
from synthray.files import PART_SUFFIX

LOCK_WAIT_S = 10.0


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Keep the folder to this process. The kernel frees the lock when the process ends, however it ends.

    Raises:
        InputError: another process has it (named with its machine), or the folder can't be written.
    """
    path = folder / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(f"{folder}: can't be written ({error.strerror or error})") from None
    try:
        _acquire(handle, folder)
        # A full disk mustn't stop a job that has nothing left to make.
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what killed processes left half-written; an orphaned worker may still be finishing its own."""
    for part in folder.glob(f".*{PART_SUFFIX}"):
        owner = part.name.removesuffix(PART_SUFFIX).rpartition(".")[2]
        if owner.isdigit() and _has_ended(int(owner)):
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _acquire(handle: int, folder: Path) -> None:
    """Take the lock, or refuse with its holder's name.

    A worker that a killed job was just starting holds the lock until it has become its own program, some milliseconds
    after that job's death: a lock whose holder is gone is worth waiting for.
    """
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
            if not _is_gone(holder) or time.monotonic() > deadline:
                raise InputError(f"{folder}: in use by {holder}; wait for it or stop it first") from None
        time.sleep(0.02)


def _is_gone(holder: str) -> bool:
    """Whether the process that a lock file names has ended, as far as this machine can tell."""
    words = holder.split()
    known = len(words) == 4 and words[1].isdigit() and words[3] == socket.gethostname()
    return known and _has_ended(int(words[1]))


def _has_ended(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (OSError, OverflowError) as error:
        return isinstance(error, ProcessLookupError)
    return False
