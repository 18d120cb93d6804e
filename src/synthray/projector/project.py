"""`project`: one function in front of the backends."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import Camera
from synthray.projector.march import MaskStack, Projection, bundle, prepare

BACKENDS = ("auto", "reference", "cpu")


class SceneLike(Protocol):
    """Anything that holds a patient; `simulate.Scene` does."""

    @property
    def patient(self) -> Patient:
        """The person in the scene."""


def project(
    scene: SceneLike | Patient,
    cameras: Camera | Sequence[Camera],
    *,
    masks: bool = True,
    depth: bool = True,
    paths: Sequence[str] = (),
    backend: str = "auto",
    threads: int | None = None,
) -> Projection:
    """March rays through a scene.

    Args:
        scene: a scene, or a patient alone.
        cameras: one view or several of equal size; the first axis of every result is the view.
        masks: return the structures' masks.
        depth: return the depth of the body's surface.
        paths: structures whose path length is wanted.
        backend: `auto`, `reference` (NumPy, slow) or `cpu` (numba).
        threads: CPU threads; all cores by default. Does not change the result.

    Raises:
        InputError: unknown backend or structure, no camera, or cameras of different sizes.

    Warns:
        SynthrayWarning: a view misses the patient altogether.
    """
    patient = scene if isinstance(scene, Patient) else scene.patient
    views = (cameras,) if isinstance(cameras, Camera) else tuple(cameras)
    _check_views(views)
    volume = prepare(patient)
    march = _backend(backend)
    rays = bundle(views, volume)
    density, words, surface, lengths = march(volume, rays, volume.path_table(paths), threads)
    _warn_of_misses(density, patient.name)
    return Projection(
        cameras=views,
        area_density=density,
        masks=MaskStack(words, volume.structures) if masks else {},
        depth_mm=surface if depth else None,
        paths_mm={name: lengths[:, index] for index, name in enumerate(paths)},
    )


def _check_views(views: tuple[Camera, ...]) -> None:
    if not views:
        raise InputError("project needs at least one camera")
    sizes = sorted({(view.rows, view.columns) for view in views})
    if len(sizes) > 1:
        raise InputError(f"the cameras of one batch must have the same size, got rows x columns {sizes}")


def _backend(name: str) -> Callable[..., tuple[Any, Any, Any, Any]]:
    if name not in BACKENDS:
        raise InputError(f"unknown backend '{name}'; choose one of {', '.join(BACKENDS)}")
    if name == "reference":
        from synthray.projector import reference

        return reference.march
    from synthray.projector import cpu

    return cpu.march


def _warn_of_misses(density: npt.NDArray[np.float32], name: str) -> None:
    missed = np.flatnonzero(~density.any(axis=(1, 2, 3)))
    if len(missed):
        listed = ", ".join(map(str, missed[:8]))
        warnings.warn(
            f"{name}: view {listed} misses the patient, its image is empty; check the target and the distance",
            SynthrayWarning,
            stacklevel=3,
        )
