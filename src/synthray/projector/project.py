"""`project`: one function in front of the backends."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from synthray.anatomy import Patient
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import Camera
from synthray.projector.binning import binned, joined
from synthray.projector.layers import layers, merged
from synthray.projector.pose import pose_jacobian
from synthray.projector.rays import RayBundle, bundle
from synthray.projector.result import Image, Marched, MaskStack, Projection, Wanted
from synthray.projector.volume import MarchVolume, part

BACKENDS = ("auto", "reference", "cpu", "gpu")
March = Callable[..., Marched]


class SceneLike(Protocol):
    """Anything that holds a patient and further volumes; `simulate.Scene` does."""

    @property
    def patient(self) -> Patient:
        """The person in the scene."""

    @property
    def volumes(self) -> Sequence[Patient]:
        """Volumes that replace what lies under them, later ones over earlier ones."""


def project(
    scene: SceneLike | Patient,
    cameras: Camera | Sequence[Camera],
    *,
    masks: bool = True,
    depth: bool = True,
    paths: Sequence[str] = (),
    densities: Sequence[str] = (),
    jacobian: bool = False,
    backend: str = "auto",
    out: Projection | None = None,
    threads: int | None = None,
    supersample: int | None = None,
) -> Projection:
    """March rays through a scene.

    Args:
        scene: a scene, or a patient alone.
        cameras: one view or several of equal size; the first axis of every result is the view.
        masks: return the structures' masks.
        depth: return the depth of the body's surface.
        paths: structures whose path length is wanted.
        densities: structures whose share of the area density is wanted.
        jacobian: return the derivative of the area densities with respect to the pose of the camera, six numbers per
            pixel: camera_from_patient' = exp(ξ) @ camera_from_patient with ξ = (rotation about the source in rad,
            shift in mm), along the camera's axes.
        backend: `reference` (NumPy, slow), `cpu` (numba), `gpu` (Warp, refused with a reason where no GPU works) or
            `auto`: a GPU that works and has the memory, else the CPU.
        out: an earlier result of the same request and image size, whose memory is overwritten and returned.
        threads: CPU threads; all cores by default. Does not change the result.
        supersample: rays along each side of a pixel, 1, 2 or 4; None takes more than one where the shadow of a voxel
            is smaller than a pixel.

    Raises:
        InputError: unknown backend or structure, no camera, cameras of different sizes, or an `out` that doesn't fit.

    Warns:
        SynthrayWarning: a view misses the patient altogether.
    """
    views = (cameras,) if isinstance(cameras, Camera) else tuple(cameras)
    _check_views(views)
    march = _backend(backend)
    volumes = layers(scene if isinstance(scene, Patient) else scene.patient, getattr(scene, "volumes", ()))
    _check_names([*paths, *densities], volumes)
    wanted = Wanted(masks=masks, depth=depth, paths=tuple(paths), gradient=jacobian)
    rays = [bundle(views, volume, supersample) for volume in volumes]
    buffers = None if out is None or len(volumes) > 1 else _fitting(out, views, wanted, volumes[0])
    how = march if not jacobian else partial(_with_jacobian, march, views)
    marched, names = merged(
        [how(volume, ray, wanted, threads, buffers) for volume, ray in zip(volumes, rays, strict=True)], volumes
    )
    _warn_of_misses(marched.density, volumes[0].name)
    return Projection(
        cameras=views,
        area_density=marched.density,
        masks=MaskStack(marched.words, names) if masks else {},
        depth_mm=marched.depth,
        paths_mm={name: marched.paths[:, index] for index, name in enumerate(paths)},
        structure_density={name: _share(march, name, views, volumes, rays, threads) for name in densities},
        jacobian=marched.gradient,
        buffers=marched,
    )


def _with_jacobian(
    march: March,
    views: Sequence[Camera],
    volume: MarchVolume,
    rays: RayBundle,
    wanted: Wanted,
    threads: int | None,
    out: Marched | None,
) -> Marched:
    """March view by view with the pose Jacobian in the place of the gradient."""
    parts = []
    for view, factor in zip(views, rays.supersample.tolist(), strict=True):
        fine = view.resized(view.rows * factor, view.columns * factor) if factor > 1 else view
        single = bundle([fine], volume, 1)
        marched = march(volume, single, wanted, threads, None)
        if marched.gradient is not None:
            marched = marched._replace(gradient=pose_jacobian(marched.gradient, single, [fine], volume))
        parts.append(binned(marched, factor))
    return joined(parts)


def _share(
    march: March,
    name: str,
    views: Sequence[Camera],
    volumes: Sequence[MarchVolume],
    rays: Sequence[RayBundle],
    threads: int | None,
) -> Image:
    """A structure's share of the area densities."""
    wanted = Wanted(masks=False, depth=False)
    pieces = []
    for volume, whole in zip(volumes, rays, strict=True):
        if name in volume.members:
            alone = part(volume, name)
            pieces.append(march(alone, bundle(views, alone, like=whole), wanted, threads, None).density)
    return np.sum(pieces, axis=0) if len(pieces) > 1 else pieces[0]


def _fitting(out: Projection, views: tuple[Camera, ...], wanted: Wanted, volume: MarchVolume) -> Marched:
    """The arrays of an earlier result, when they have the right shapes."""
    size = (len(views), views[0].rows, views[0].columns)
    held = out.buffers
    fits = (
        held is not None
        and held.density.shape == (size[0], 2, *size[1:])
        and held.words.shape == (*size, volume.bit_table().shape[1] if wanted.masks else 0)
        and (held.depth is not None) == wanted.depth
        and held.paths.shape[1] == len(wanted.paths)
        and (held.gradient is not None) == wanted.gradient
    )
    if held is None or not fits:
        raise InputError("project: 'out' must come from a projection of the same size with the same things asked for")
    return held


def _check_names(names: Sequence[str], volumes: Sequence[MarchVolume]) -> None:
    known = {name for volume in volumes for name in volume.structures}
    for name in names:
        if name not in known:
            raise InputError(
                f"no structure '{name}' to measure; this patient has {', '.join(sorted(known)) or 'no structures'}"
            )


def _check_views(views: tuple[Camera, ...]) -> None:
    if not views:
        raise InputError("project needs at least one camera")
    sizes = sorted({(view.rows, view.columns) for view in views})
    if len(sizes) > 1:
        raise InputError(f"the cameras of one batch must have the same size, got rows x columns {sizes}")


def _backend(name: str) -> March:
    if name not in BACKENDS:
        raise InputError(f"unknown backend '{name}'; choose one of {', '.join(BACKENDS)}")
    if name == "reference":
        from synthray.projector import reference

        return reference.march
    from synthray.projector import cpu, gpu

    if name == "auto" and gpu.reason_unavailable() is None:
        return _on_gpu_or_cpu
    return gpu.march if name == "gpu" else cpu.march


def _on_gpu_or_cpu(*request: Any) -> Marched:
    from synthray.projector import cpu, gpu

    try:
        return gpu.march(*request)
    except gpu.DeviceMemoryError:
        return cpu.march(*request)


def _warn_of_misses(density: Image, name: str) -> None:
    missed = np.flatnonzero(~density.any(axis=(1, 2, 3)))
    if len(missed):
        listed = ", ".join(map(str, missed[:8]))
        warnings.warn(
            f"{name}: view {listed} misses the patient, its image is empty; check the target and the distance",
            SynthrayWarning,
            stacklevel=3,
        )
