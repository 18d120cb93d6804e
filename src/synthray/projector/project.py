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
from synthray.tools import Tool

BACKENDS = ("auto", "reference", "cpu", "gpu")
March = Callable[..., Marched]


class SceneLike(Protocol):
    """Anything that holds a patient, further volumes and tools; `simulate.Scene` does."""

    @property
    def patient(self) -> Patient:
        """The person in the scene."""

    @property
    def volumes(self) -> Sequence[Patient]:
        """Volumes that replace what lies under them, later ones over earlier ones."""

    @property
    def tools(self) -> Sequence[Tool]:
        """Posed meshes that replace what lies under them, later ones over earlier ones."""


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
    tools = () if isinstance(scene, Patient) else tuple(scene.tools)
    if tools and jacobian:
        raise InputError("the pose Jacobian of a scene with tools is not available; project the scene without them")
    volumes = _volumes(scene)
    _check_names([*paths, *densities], volumes, [tool.name for tool in tools])
    wanted = Wanted(masks, depth, tuple(p for p in paths if p not in {t.name for t in tools}), jacobian)
    plain = _marched(_backend(backend), volumes, views, wanted, tuple(densities), out, threads, supersample)
    whole = with_tools(plain, scene, threads=threads) if tools else plain
    _warn_of_misses(whole.area_density, volumes[0].name)
    return whole


def with_tools(plain: Projection, scene: SceneLike | Patient, *, threads: int | None = None) -> Projection:
    """Put a scene's tools into a projection of the scene without them.

    Only the pixels under the tools are worked on: many poses of a tool in one patient cost one march. What doesn't lie
    under a silhouette stays the same to the bit.

    - `area_density`: the tissue in the tools is taken out, and each material of a tool adds a channel, named in
      `materials`. A pixel is the mean of 16 rays, each with its exact lengths in the meshes.
    - `masks[tool.name]`: the whole silhouette (amodal), also where another tool replaces this one.
    - `paths_mm[tool.name]`: length of ray in what is left of it; zero where it is wholly replaced.
    - `masks` of anatomy stay those of the person without tools; its `paths_mm` and `structure_density` lose what the
      tools replace.
    - `depth_mm`: the nearest surface, of the body or of a tool.

    Args:
        plain: from `project`, of the same patient and volumes without tools.
        scene: with the tools.
        threads: CPU threads; all cores by default.

    Raises:
        InputError: `plain` holds tools already, or a tool reaches behind the X-ray source.
    """
    from synthray.projector.mesh import add_tools

    if plain.materials:
        raise InputError("with_tools: this projection holds tools already; start from one without them")
    tools = () if isinstance(scene, Patient) else tuple(scene.tools)
    return add_tools(plain, tools, _volumes(scene), threads) if tools else plain


def _volumes(scene: SceneLike | Patient) -> list[MarchVolume]:
    return layers(scene, ()) if isinstance(scene, Patient) else layers(scene.patient, scene.volumes)


def _marched(
    march: March,
    volumes: list[MarchVolume],
    views: tuple[Camera, ...],
    wanted: Wanted,
    densities: tuple[str, ...],
    out: Projection | None,
    threads: int | None,
    supersample: int | None,
) -> Projection:
    """The projection of some volumes, without tools."""
    rays = [bundle(views, volume, supersample) for volume in volumes]
    buffers = None if out is None or len(volumes) > 1 else _fitting(out, views, wanted, volumes[0])
    how = march if not wanted.gradient else partial(_with_jacobian, march, views)
    marched, names = merged(
        [how(volume, ray, wanted, threads, buffers) for volume, ray in zip(volumes, rays, strict=True)], volumes
    )
    return Projection(
        cameras=views,
        area_density=marched.density,
        masks=MaskStack(marched.words, names) if wanted.masks else {},
        depth_mm=marched.depth,
        paths_mm={name: marched.paths[:, index] for index, name in enumerate(wanted.paths)},
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


def _check_names(names: Sequence[str], volumes: Sequence[MarchVolume], tools: Sequence[str]) -> None:
    known = {name for volume in volumes for name in volume.structures} | set(tools)
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
