"""`register`: the pose of an X-ray from the CT of the same person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.errors import InputError
from synthray.geometry import Camera, apply
from synthray.register.fit import Fit
from synthray.register.fixed import fixed_image
from synthray.register.pose import pivot_in_camera
from synthray.register.quality import covariance, judged
from synthray.register.search import Range, Task, first_poses, posed, refined

Floats = npt.NDArray[np.float64]
LEAST_PX = 32
_SIGNS = {"bright": 1, "dark": -1, "unknown": 0}


def register(
    patient: Patient,
    xray: npt.NDArray[Any],
    cameras: Camera | Sequence[Camera],
    *,
    mask: npt.NDArray[np.bool_] | None = None,
    reach: Range | None = None,
    bone: Literal["bright", "dark", "unknown"] = "unknown",
    pivot_mm: npt.ArrayLike | None = None,
    largest_px: int = 256,
    seed: int = 0,
    threads: int | None = None,
) -> Fit:
    """Find the pose of an X-ray.

    The projection of the CT is compared with the X-ray patch by patch (local normalised cross-correlation), so the
    display needs not be known: grey values may be linear or logarithmic, inverted, windowed, vignetted. Random poses
    around the given ones are looked at on a small image, the best are followed by Levenberg-Marquardt with exact
    derivatives, and the best of those is refined on larger and larger images.

    Args:
        patient: the CT.
        xray: (row, column) grey values of any kind.
        cameras: the rough view, of the X-ray's size, or several to start from: `CArm.view`, `camera_from_landmarks`,
            `camera_from_dicom`. The intrinsics are taken as they are.
        mask: (row, column) bool, pixels that count; false on collimators and what was put over the image.
        reach: how far the true pose may be from the first of the given ones.
        bone: how the X-ray shows bone.
        pivot_mm: (3,) patient mm, what poses turn about; where the middle of the picture meets the depth of the CT's
            centre by default.
        largest_px: longer side of the largest image compared; the X-ray is averaged down to it.
        seed: of the random starts.
        threads: of the projector.

    Returns:
        The fit. It is always returned: see `Fit.quality` before using it.

    Raises:
        InputError: the X-ray is not a finite image of the camera's size, is smaller than 32 pixels, or a camera looks
            away from the CT.
    """
    views = (cameras,) if isinstance(cameras, Camera) else tuple(cameras)
    if not views:
        raise InputError("register needs a camera to start from")
    if min(views[0].rows, views[0].columns) < LEAST_PX or largest_px < LEAST_PX:
        raise InputError(f"register needs at least {LEAST_PX} pixels a side, got {views[0].rows} x {views[0].columns}")
    if bone not in _SIGNS:
        raise InputError(f"bone='{bone}': choose one of {', '.join(_SIGNS)}")
    pivot = _pivot(patient, views[0]) if pivot_mm is None else np.asarray(pivot_mm, dtype=np.float64)
    if pivot.shape != (3,) or not np.isfinite(pivot).all() or pivot_in_camera(views[0], pivot)[2] <= 0:
        raise InputError("pivot_mm must be three finite numbers in patient mm, in front of the X-ray source")
    task = Task(fixed_image(xray, mask, views[0]), patient, pivot, threads)
    rng = np.random.default_rng(seed)
    area = reach or Range()
    first = first_poses(task, views, area, _SIGNS[bone], rng)
    best = refined(task, first, largest_px)
    return Fit(
        camera=posed(views[0], best.camera),
        covariance=covariance(best.agreement, area),
        pivot_mm=pivot,
        bone_bright=best.sign > 0,
        quality=judged(task, first, best),
        projections=area.starts + len(views) + best.steps,
    )


def _pivot(patient: Patient, camera: Camera) -> Floats:
    """(3,) where the ray through the middle of the picture is as deep as the CT's centre."""
    depth = float(pivot_in_camera(camera, patient.center_mm)[2])
    if depth <= 0:
        raise InputError(f"{patient.name}: the given camera looks away from the CT; check its camera_from_patient")
    middle = np.linalg.inv(camera.K) @ [(camera.columns - 1) / 2, (camera.rows - 1) / 2, 1]
    return apply(camera.patient_from_camera, middle * depth)
