"""Which GPU the march may run on, by NVIDIA Warp, and in plain words why none can."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from synthray.errors import InputError, MissingExtraError

# Names the device when none is given: "cuda:1", or "cpu" for Warp's CPU device.
DEVICE_VARIABLE = "SYNTHRAY_WARP_DEVICE"
# Warp keeps a current stream for each device and loads modules on first launch: one caller at a time.
LOCK = threading.RLock()
# Device memory left alone: contexts, kernels and other programs need some.
_RESERVE_BYTES = 256 << 20
_GIB = 1 << 30


class DeviceMemoryError(InputError):
    """A GPU works but lacks the memory for a march."""


def reason_unavailable(device: str | None = None) -> str | None:
    """Why no GPU can be used, in one line that also says what to do; None when one can.

    Without an NVIDIA driver this takes no time: Warp is not imported.

    Args:
        device: `cuda:0` and so on, or `cpu` for Warp's CPU device; by default what the environment variable
            SYNTHRAY_WARP_DEVICE names, else the first GPU.
    """
    name = device or os.environ.get(DEVICE_VARIABLE)
    if name != "cpu" and not _driver_present():
        return "no NVIDIA driver on this machine: install one, or use backend='cpu'"
    try:
        wp = warp_module()
    except MissingExtraError as absent:
        return str(absent)
    if name == "cpu":
        return None
    driver, toolkit = wp.get_cuda_driver_version(), wp.get_cuda_toolkit_version()
    if not wp.is_cuda_available():
        return _no_device(wp.config.version, driver, toolkit)
    known = [str(d) for d in wp.get_cuda_devices()]
    if name is not None and name not in known:
        return f"no device '{name}': this machine has {', '.join(known)}"
    gpu, archs = wp.get_device(name or known[0]), wp.get_cuda_supported_archs()
    if archs and gpu.arch < min(archs):
        return (
            f"{gpu.name} has compute capability {gpu.arch / 10}, warp-lang {wp.config.version} needs "
            f"{min(archs) / 10}: pip install 'warp-lang<1.18', or use backend='cpu'"
        )
    return None


def usable_device(device: str | None = None) -> Any:
    """The Warp device to march on.

    Raises:
        InputError: there is none; the message is that of `reason_unavailable`.
    """
    reason = reason_unavailable(device)
    if reason is not None:
        raise InputError(f"backend='gpu': {reason}")
    return warp_module().get_device(device or os.environ.get(DEVICE_VARIABLE) or "cuda:0")


def check_memory(name: str, needed: int, device: Any) -> None:
    """Raise DeviceMemoryError when a GPU lacks the memory."""
    if not device.is_cuda:
        return
    free = device.free_memory - _RESERVE_BYTES
    if needed > free:
        raise DeviceMemoryError(
            f"{name}: the march needs {needed / _GIB:.2f} GiB on {device} ({device.name}), {max(free, 0) / _GIB:.2f} "
            f"of {device.total_memory / _GIB:.1f} GiB are free: gpu.release(volume) other volumes, ask for fewer views "
            "at once, or use backend='cpu'"
        )


@functools.cache
def _driver_present() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


@functools.cache
def warp_module() -> Any:
    """Warp, started up without its greeting."""
    try:
        import warp
    except ImportError:
        raise MissingExtraError("the GPU backend", "gpu") from None
    warp.config.log_level = warp.LOG_WARNING
    with _without_driver_warning():
        warp.init()
    return warp


@contextmanager
def _without_driver_warning() -> Iterator[None]:
    """Where there is no driver Warp's native part says so on stderr, whatever the log level."""
    if _driver_present():
        yield
        return
    sys.stderr.flush()
    held, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(held, 2)
        os.close(held)
        os.close(nowhere)


def _no_device(version: str, driver: Sequence[int] | None, toolkit: Sequence[int] | None) -> str:
    if driver is not None and toolkit is not None and driver[0] >= toolkit[0]:
        return "the NVIDIA driver shows no GPU: look at nvidia-smi and CUDA_VISIBLE_DEVICES, or use backend='cpu'"
    have = "could not be started" if driver is None else f"supports CUDA {driver[0]}.{driver[1]}"
    need = "" if toolkit is None else f", built with CUDA {toolkit[0]}.{toolkit[1]}"
    return (
        f"the NVIDIA driver {have} (warp-lang {version}{need}): update the driver, "
        "or pip install 'warp-lang<1.18' (CUDA 12), or use backend='cpu'"
    )
