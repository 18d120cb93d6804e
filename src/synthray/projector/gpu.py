"""The march on a GPU, by NVIDIA Warp.

The volume is uploaded once and stays on the device until `release` or until the volume itself is gone. `march` returns
NumPy arrays; `march_device` leaves the results where they are, and `as_torch` shows them to PyTorch without a copy.
Everything also runs on Warp's CPU device (`device="cpu"`), which is slow and meant for tests.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError, MissingExtraError
from synthray.projector.rays import RayBundle
from synthray.projector.result import Marched, Wanted
from synthray.projector.volume import MarchVolume

# Names the device when none is given: "cuda:1", or "cpu" for Warp's CPU device.
DEVICE_VARIABLE = "SYNTHRAY_WARP_DEVICE"
# Host memory that a volume is uploaded through at a time, and results of one launch of `march`.
_SLAB_BYTES = 64 << 20
_LAUNCH_BYTES = 64 << 20
# Device memory left alone: contexts, kernels and other programs need some.
_RESERVE_BYTES = 256 << 20
_GIB = 1 << 30


class DeviceRays(NamedTuple):
    """A `RayBundle` whose arrays lie on a device, as Warp arrays; fields as there.

    Attributes:
        origin: (view,) vec3d.
        matrix: (view,) mat33d.
        inverse_K: (view,) mat33d.
        axis: (view,) int32.
        supersample: (view,) int32.
        rows: detector rows, in pixels.
        columns: detector columns, in pixels.
    """

    origin: Any
    matrix: Any
    inverse_K: Any
    axis: Any
    supersample: Any
    rows: int
    columns: int


class DeviceMarched(NamedTuple):
    """A `Marched` on a device: Warp arrays, or after `as_torch` tensors; shapes, units and None as there.

    Attributes:
        density: (view, 2, row, column) float32 g/cm².
        words: (view, row, column, word) uint64; as a tensor int64 of the same bits.
        depth: (view, row, column) float32 mm, or None.
        paths: (view, path, row, column) float32 mm.
        gradient: (view, 2, 6, row, column) float32, or None; as a Warp array (view, 12, row, column).
    """

    density: Any
    words: Any
    depth: Any
    paths: Any
    gradient: Any


@dataclass(frozen=True, eq=False)
class _Resident:
    """A volume on a device."""

    grid: Any
    nbytes: int


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
        wp = _warp()
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


def march(
    volume: MarchVolume,
    rays: RayBundle,
    wanted: Wanted,
    threads: int | None = None,
    out: Marched | None = None,
    device: str | None = None,
) -> Marched:
    """Area density, and what else is wanted, of every pixel; see `reference.march` for the same in plain NumPy.

    Large batches are marched in several launches on two streams: results of one are fetched while the next runs.

    Args:
        volume: the prepared patient; uploaded on first use.
        rays: views in voxel coordinates.
        wanted: what to return.
        threads: not used; every backend has the same signature.
        out: arrays to write into.
        device: see `reason_unavailable`.

    Raises:
        InputError: no usable device, or too little memory on it.
    """
    with _lock():
        target = usable_device(device)
        wp = _warp()
        result = out or _empty_host(volume, rays, wanted)
        streams = [wp.Stream(target), wp.Stream(target)] if target.is_cuda else [None, None]
        before: tuple[slice, DeviceMarched, Any] | None = None
        for number, views in enumerate(_launches(volume, rays, wanted)):
            stream = streams[number % 2]
            with wp.ScopedStream(stream):
                now = march_device(volume, _some(rays, views), wanted, str(target))
            if before is not None:
                _fetch(*before, result)
            before = views, now, stream
        if before is not None:
            _fetch(*before, result)
    return result


def march_device(
    volume: MarchVolume,
    rays: RayBundle | DeviceRays,
    wanted: Wanted,
    device: str | None = None,
    out: DeviceMarched | None = None,
) -> DeviceMarched:
    """The same march, left on the device and not waited for: it runs on Warp's current stream.

    Args:
        volume: the prepared patient; uploaded on first use.
        rays: all views of the launch, on the host or on the device.
        wanted: what to return.
        device: see `reason_unavailable`.
        out: Warp arrays on the device to write into, of `shapes`.

    Raises:
        InputError: no usable device, or too little memory on it.
    """
    with _lock():
        target = usable_device(device)
        wp, kernels = _warp(), _kernels()
        grid = _resident(volume, target).grid
        there = rays if isinstance(rays, DeviceRays) else _upload_rays(rays, target)
        result = out or _empty_device(volume, there, wanted, target)
        size = len(there.origin), _threads(there.rows, there.columns)
        bundle = _struct(kernels.Rays(), there._asdict())
        members = wp.from_numpy(volume.path_table(wanted.paths), dtype=wp.float32, device=target)
        depth = wp.empty((0, 0, 0), dtype=wp.float32, device=target) if result.depth is None else result.depth
        wp.launch(
            kernels.march,
            size,
            inputs=[grid, bundle, members],
            outputs=[result.density, result.words, depth, result.paths],
            device=target,
        )
        if result.gradient is not None:
            wp.launch(kernels.differentiate, size, inputs=[grid, bundle], outputs=[result.gradient], device=target)
    return result


def as_torch(marched: DeviceMarched) -> DeviceMarched:
    """The same memory as PyTorch tensors; words become int64 of the same bits.

    PyTorch's current stream waits for the march. Warp frees the memory in the order of the device's default stream:
    work on a `torch.cuda.Stream` must be over before the last tensor that shares the memory goes.
    """
    import torch

    wp = _warp()
    device = marched.density.device
    if device.is_cuda:
        torch.cuda.current_stream(wp.device_to_torch(device)).wait_stream(wp.stream_to_torch(device))
    tensors = DeviceMarched(*(None if array is None else wp.to_torch(array) for array in marched))
    gradient = tensors.gradient
    return tensors._replace(
        words=tensors.words.view(torch.int64),
        gradient=None if gradient is None else gradient.unflatten(1, (2, 6)),
    )


def shapes(volume: MarchVolume, views: int, rows: int, columns: int, wanted: Wanted) -> dict[str, tuple[int, ...]]:
    """Field of `Marched` -> shape, of the fields that are wanted."""
    held = {
        "density": (views, 2, rows, columns),
        "words": (views, rows, columns, volume.bit_table().shape[1] if wanted.masks else 0),
        "depth": (views, rows, columns) if wanted.depth else None,
        "paths": (views, len(wanted.paths), rows, columns),
        "gradient": (views, 2, 6, rows, columns) if wanted.gradient else None,
    }
    return {name: shape for name, shape in held.items() if shape is not None}


def release(volume: MarchVolume) -> None:
    """Free a volume's memory on all devices; it is uploaded again when it is next marched."""
    volume.derived.pop("gpu", None)


def resident_bytes(volume: MarchVolume) -> dict[str, int]:
    """Device -> bytes that the volume takes there now."""
    return {name: held.nbytes for name, held in volume.derived.get("gpu", {}).items()}


def usable_device(device: str | None = None) -> Any:
    """The Warp device to march on.

    Raises:
        InputError: there is none; the message is that of `reason_unavailable`.
    """
    reason = reason_unavailable(device)
    if reason is not None:
        raise InputError(f"backend='gpu': {reason}")
    wp = _warp()
    return wp.get_device(device or os.environ.get(DEVICE_VARIABLE) or "cuda:0")


@functools.cache
def _lock() -> threading.RLock:
    """Warp keeps a current stream for each device and loads modules on first launch: one caller at a time."""
    return threading.RLock()


@functools.cache
def _driver_present() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


@functools.cache
def _warp() -> Any:
    """Warp, started up without its greeting."""
    try:
        import warp
    except ImportError:
        raise MissingExtraError("the GPU backend", "gpu") from None
    warp.config.log_level = warp.LOG_WARNING
    with _without_driver_warning():
        warp.init()
    return warp


@functools.cache
def _kernels() -> Any:
    from synthray.projector import gpu_kernels

    return gpu_kernels


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


def _resident(volume: MarchVolume, device: Any) -> _Resident:
    held: dict[str, _Resident] = volume.derived.setdefault("gpu", {})
    if str(device) not in held:
        held[str(device)] = _upload(volume, device)
    return held[str(device)]


def _upload(volume: MarchVolume, device: Any) -> _Resident:
    wp, kernels = _warp(), _kernels()
    side = 1 << kernels.BLOCK_SHIFT
    # One voxel more than the grid has: rounding may lead a reading onto its last plane.
    blocks = [n // side + 1 for n in volume.shape]
    cells = int(np.prod(blocks)) * side**3
    nbytes = cells * (4 + 2 * volume.labelled) + volume.bit_table().nbytes
    if cells >= 1 << 31:
        raise InputError(f"{volume.name}: {volume.shape} voxels are more than 2^31, too many for one GPU volume")
    check_memory(volume.name, nbytes + _SLAB_BYTES, device)
    stride = wp.vec3i(blocks[1] * blocks[2] * side**3, blocks[2] * side**3, side**3)
    packed = np.ascontiguousarray(volume.packed).view(np.uint32)[..., 0]
    words = _in_blocks(packed, cells, wp.uint32, kernels.block_words, stride, device)
    labels = volume.codes if volume.labelled else volume.codes[:0]
    codes = _in_blocks(labels, cells * volume.labelled, wp.uint16, kernels.block_codes, stride, device)
    parts = {
        "words": words,
        "codes": codes,
        "bits": wp.from_numpy(volume.bit_table(), dtype=wp.uint64, device=device),
        "size": wp.vec3i(*volume.shape),
        "stride": stride,
        "scale": wp.vec2f(*volume.scale_g_cm3.tolist()),
    }
    return _Resident(_struct(kernels.Grid(), parts), nbytes)


def _in_blocks(values: npt.NDArray[Any], cells: int, dtype: Any, kernel: Any, stride: Any, device: Any) -> Any:
    """(I, J, K) values as a Warp array in blocks, uploaded slab by slab."""
    wp = _warp()
    out = wp.zeros(cells, dtype=dtype, device=device)
    step = max(1, _SLAB_BYTES // max(1, values[:1].size * 4))
    for first in range(0, len(values), step):
        slab = wp.from_numpy(values[first : first + step].astype(wp.dtype_to_numpy(dtype)), dtype=dtype, device=device)
        wp.launch(kernel, slab.shape, inputs=[slab, first, stride], outputs=[out], device=device)
    return out


def check_memory(name: str, needed: int, device: Any) -> None:
    """Raise InputError when a GPU lacks the memory."""
    if not device.is_cuda:
        return
    free = device.free_memory - _RESERVE_BYTES
    if needed > free:
        raise InputError(
            f"{name}: the march needs {needed / _GIB:.2f} GiB on {device} ({device.name}), {max(free, 0) / _GIB:.2f} "
            f"of {device.total_memory / _GIB:.1f} GiB are free: gpu.release(volume) other volumes, ask for fewer views "
            "at once, or use backend='cpu'"
        )


def _upload_rays(rays: RayBundle, device: Any) -> DeviceRays:
    wp = _warp()
    return DeviceRays(
        wp.from_numpy(rays.origin, dtype=wp.vec3d, device=device),
        wp.from_numpy(rays.matrix, dtype=wp.mat33d, device=device),
        wp.from_numpy(rays.inverse_K, dtype=wp.mat33d, device=device),
        wp.from_numpy(rays.axis.astype(np.int32), dtype=wp.int32, device=device),
        wp.from_numpy(rays.supersample.astype(np.int32), dtype=wp.int32, device=device),
        rays.rows,
        rays.columns,
    )


def _empty_device(volume: MarchVolume, rays: DeviceRays, wanted: Wanted, device: Any) -> DeviceMarched:
    wp = _warp()
    sizes = shapes(volume, len(rays.origin), rays.rows, rays.columns, wanted)
    if wanted.gradient:
        sizes["gradient"] = len(rays.origin), 12, rays.rows, rays.columns  # a Warp array has at most four axes
    check_memory(volume.name, _result_bytes(sizes), device)
    arrays = {
        name: wp.empty(shape, dtype=wp.uint64 if name == "words" else wp.float32, device=device)
        for name, shape in sizes.items()
    }
    return DeviceMarched(*(arrays.get(name) for name in DeviceMarched._fields))


def _empty_host(volume: MarchVolume, rays: RayBundle, wanted: Wanted) -> Marched:
    sizes = shapes(volume, len(rays.origin), rays.rows, rays.columns, wanted)
    arrays = {n: np.empty(shape, dtype=np.uint64 if n == "words" else np.float32) for n, shape in sizes.items()}
    return Marched(arrays["density"], arrays["words"], arrays.get("depth"), arrays["paths"], arrays.get("gradient"))


def _result_bytes(sizes: dict[str, tuple[int, ...]]) -> int:
    return sum(int(np.prod(shape)) * (8 if name == "words" else 4) for name, shape in sizes.items())


def _launches(volume: MarchVolume, rays: RayBundle, wanted: Wanted) -> Iterator[slice]:
    """Views of one launch each: as many as fit into a fixed size of results."""
    each = _result_bytes(shapes(volume, 1, rays.rows, rays.columns, wanted))
    step = max(1, _LAUNCH_BYTES // each)
    for first in range(0, len(rays.origin), step):
        yield slice(first, first + step)


def _some(rays: RayBundle, views: slice) -> RayBundle:
    held = {name: getattr(rays, name)[views] for name in ("origin", "matrix", "inverse_K", "axis", "supersample")}
    return replace(rays, **held)


def _fetch(views: slice, there: DeviceMarched, stream: Any, result: Marched) -> None:
    """Copy one launch's results into the whole; returns when they have arrived."""
    wp = _warp()
    for array, whole in zip(there, result, strict=True):
        if array is not None and whole is not None and array.size:
            part = whole[views].reshape(array.shape)
            host = wp.array(part, dtype=array.dtype, device="cpu", copy=False)
            wp.copy(host, array, stream=stream)
    if stream is not None:
        wp.synchronize_stream(stream)


def _threads(rows: int, columns: int) -> int:
    kernels = _kernels()
    tiles = -(-rows // kernels.TILE_ROWS) * -(-columns // kernels.TILE_COLUMNS)
    return tiles * kernels.TILE_ROWS * kernels.TILE_COLUMNS


def _struct(empty: Any, parts: dict[str, Any]) -> Any:
    for name, value in parts.items():
        setattr(empty, name, value)
    return empty
