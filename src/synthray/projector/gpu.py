"""The march on a GPU, by NVIDIA Warp.

The volume is uploaded once and stays on the device until `release` or until the volume itself is gone. `march` returns
NumPy arrays; `march_device` leaves the results where they are, and `as_torch` shows them to PyTorch without a copy.
Everything also runs on Warp's CPU device (`device="cpu"`), which is slow and meant for tests.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.projector.gpu_device import DEVICE_VARIABLE as DEVICE_VARIABLE
from synthray.projector.gpu_device import LOCK, check_memory, warp_module
from synthray.projector.gpu_device import DeviceMemoryError as DeviceMemoryError
from synthray.projector.gpu_device import reason_unavailable as reason_unavailable
from synthray.projector.gpu_device import usable_device as usable_device
from synthray.projector.rays import RayBundle
from synthray.projector.result import Marched, Wanted
from synthray.projector.volume import MarchVolume

# Host memory that a volume is uploaded through at a time, and results of one launch of `march`.
_SLAB_BYTES = 64 << 20
_LAUNCH_BYTES = 64 << 20


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
    with LOCK:
        target = usable_device(device)
        wp = warp_module()
        result = out or _empty_host(volume, rays, wanted)
        streams = [wp.Stream(target), wp.Stream(target)] if target.is_cuda else [None, None]
        before: tuple[slice, DeviceMarched, Any, Any] | None = None
        for number, views in enumerate(_launches(volume, rays, wanted)):
            stream = streams[number % 2]
            with wp.ScopedStream(stream):
                now, inputs = _launch(volume, _some(rays, views), wanted, target, None)
            if before is not None:
                _fetch(*before[:3], result)
            # Warp frees memory on the null stream, which all others wait for: inputs go after results have arrived.
            before = views, now, stream, inputs
        if before is not None:
            _fetch(*before[:3], result)
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
    with LOCK:
        return _launch(volume, rays, wanted, usable_device(device), out)[0]


def march_tensors(
    volume: MarchVolume, origin: Any, matrix: Any, inverse_K: Any, rows: int, columns: int, gradient: bool
) -> tuple[Any, Any]:
    """Area densities of PyTorch's rays as its tensors, one ray per pixel, on the device where the rays lie.

    It runs on PyTorch's current stream and in PyTorch's memory, and nothing is copied to the host.

    Args:
        volume: the prepared patient.
        origin: (view, 3) float64, see `RayBundle`.
        matrix: (view, 3, 3) float64.
        inverse_K: (view, 3, 3) float64.
        rows: detector rows.
        columns: detector columns.
        gradient: whether the derivatives are wanted.

    Returns:
        (view, 2, row, column) and (view, 2, 6, row, column) float32 as in `Marched`, the second None if not wanted.

    Raises:
        InputError: no usable device, or too little memory for the volume on it.
    """
    import torch

    with LOCK:
        wp = warp_module()
        target = usable_device(str(wp.device_from_torch(origin.device)))
        _resident(volume, target)
        with wp.ScopedStream(wp.stream_from_torch(origin.device) if target.is_cuda else None):
            size, axis = (len(origin), rows, columns), _fastest(volume, origin)
            density = torch.empty((size[0], 2, *size[1:]), device=origin.device)
            slopes = torch.empty((size[0], 12, *size[1:]), device=origin.device) if gradient else None
            there = DeviceRays(
                wp.from_torch(origin.detach().contiguous(), wp.vec3d),
                wp.from_torch(matrix.detach().contiguous(), wp.mat33d),
                wp.from_torch(inverse_K.detach().contiguous(), wp.mat33d),
                wp.from_torch(axis),
                wp.from_torch(torch.ones_like(axis)),
                rows,
                columns,
            )
            out = DeviceMarched(
                density=wp.from_torch(density),
                words=wp.empty((*size, 0), dtype=wp.uint64, device=target),
                depth=None,
                paths=wp.empty((size[0], 0, *size[1:]), dtype=wp.float32, device=target),
                gradient=None if slopes is None else wp.from_torch(slopes),
            )
            _launch(volume, there, Wanted(masks=False, depth=False, gradient=gradient), target, out)
    return density, None if slopes is None else slopes.unflatten(1, (2, 6))


def as_torch(marched: DeviceMarched) -> DeviceMarched:
    """The same memory as PyTorch tensors; words become int64 of the same bits.

    PyTorch's current stream waits for the march. Warp frees the memory in the order of the device's default stream:
    work on a `torch.cuda.Stream` must be over before the last tensor that shares the memory goes.
    """
    import torch

    wp = warp_module()
    device = marched.density.device
    if device.is_cuda:
        with LOCK:  # Warp's current stream is another one while `march` runs
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
    """Free the memory of a volume and its parts on all devices; it is uploaded again when it is next marched."""
    volume.derived.pop("gpu", None)
    for piece in volume.derived.get("parts", {}).values():
        release(piece)


def resident_bytes(volume: MarchVolume) -> dict[str, int]:
    """Device -> bytes that the volume takes there now."""
    return {name: held.nbytes for name, held in volume.derived.get("gpu", {}).items()}


@functools.cache
def _kernels() -> Any:
    from synthray.projector import gpu_kernels

    return gpu_kernels


def _launch(
    volume: MarchVolume, rays: RayBundle | DeviceRays, wanted: Wanted, device: Any, out: DeviceMarched | None
) -> tuple[DeviceMarched, Any]:
    """Start a march on Warp's current stream; also returns its inputs."""
    wp, kernels = warp_module(), _kernels()
    grid = _resident(volume, device).grid
    there = rays if isinstance(rays, DeviceRays) else _upload_rays(rays, device)
    result = out or _empty_device(volume, there, wanted, device)
    size = len(there.origin), _threads(there.rows, there.columns)
    bundle = _struct(kernels.Rays(), there._asdict())
    members = wp.from_numpy(volume.path_table(wanted.paths), dtype=wp.float32, device=device)
    depth = wp.empty((0, 0, 0), dtype=wp.float32, device=device) if result.depth is None else result.depth
    wp.launch(
        kernels.march,
        size,
        inputs=[grid, bundle, members],
        outputs=[result.density, result.words, depth, result.paths],
        device=device,
    )
    if result.gradient is not None:
        wp.launch(kernels.differentiate, size, inputs=[grid, bundle], outputs=[result.gradient], device=device)
    return result, (there, members)


def _fastest(volume: MarchVolume, origin: Any) -> Any:
    """(view,) int32 tensor: the axis of `RayBundle`; the first one where several are equal."""
    import torch

    away = (torch.tensor(volume.shape, device=origin.device, dtype=origin.dtype) - 1) / 2 - origin
    x, y, z = away.abs().unbind(1)
    return torch.where((x >= y) & (x >= z), 0, 2 - (y >= z).int()).int()


def _resident(volume: MarchVolume, device: Any) -> _Resident:
    held: dict[str, _Resident] = volume.derived.setdefault("gpu", {})
    if str(device) not in held:
        held[str(device)] = _upload(volume, device)
    return held[str(device)]


def _upload(volume: MarchVolume, device: Any) -> _Resident:
    wp, kernels = warp_module(), _kernels()
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
    wp.synchronize_device(device)  # it may next be read on a stream that waits for no other
    return _Resident(_struct(kernels.Grid(), parts), nbytes)


def _in_blocks(values: npt.NDArray[Any], cells: int, dtype: Any, kernel: Any, stride: Any, device: Any) -> Any:
    """(I, J, K) values as a Warp array in blocks, uploaded slab by slab."""
    wp = warp_module()
    out = wp.zeros(cells, dtype=dtype, device=device)
    step = max(1, _SLAB_BYTES // max(1, values[:1].size * 4))
    for first in range(0, len(values), step):
        slab = wp.from_numpy(values[first : first + step].astype(wp.dtype_to_numpy(dtype)), dtype=dtype, device=device)
        wp.launch(kernel, slab.shape, inputs=[slab, first, stride], outputs=[out], device=device)
    return out


def _upload_rays(rays: RayBundle, device: Any) -> DeviceRays:
    wp = warp_module()
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
    wp = warp_module()
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
    wp = warp_module()
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
