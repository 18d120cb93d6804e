"""`simulate`: one scene, some views and a seed in, X-ray images with their truth out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import Camera
from synthray.imaging import DetectorGeometry, ImagingSettings, Level, falloff, make_image
from synthray.projector import Projection, project
from synthray.simulate.sample import Sample
from synthray.simulate.scene import Scene

# Where a camera doesn't say how far its detector is.
ASSUMED_SOURCE_TO_DETECTOR_MM = 1000.0


def simulate(
    scene: Scene | Patient,
    cameras: Camera | Sequence[Camera],
    realism: Level = "realistic",
    seed: int = 0,
    *,
    settings: ImagingSettings | Sequence[ImagingSettings] | None = None,
    paths: Sequence[str] = (),
    backend: str = "auto",
    threads: int | None = None,
) -> Sample:
    """X-ray images of a scene, with masks, landmarks, depth and pose.

    Args:
        scene: a scene, or a patient alone.
        cameras: one view or several of equal size.
        realism: `naive`, `heuristic`, `realistic` or `full`; see `imaging.make_image`.
        seed: of the noise. A view's image depends on the seed and its place in the batch, not on other views.
        settings: tube, dose and detector, for all views or one for each.
        paths: structures whose path lengths are to be kept in the sample.
        backend: see `project`.
        threads: see `project`.

    Raises:
        InputError: unusable cameras, settings, structures or seed.
    """
    whole = Scene(scene) if isinstance(scene, Patient) else scene
    if seed < 0:
        raise InputError(f"seed={seed}: seeds are whole numbers from 0")
    projection = project(whole, cameras, paths=paths, backend=backend, threads=threads)
    return expose(projection, whole, realism, seed, settings=settings)


def expose(
    projection: Projection,
    scene: Scene | Patient,
    realism: Level = "realistic",
    seed: int = 0,
    *,
    settings: ImagingSettings | Sequence[ImagingSettings] | None = None,
) -> Sample:
    """The images of a march that is already there: other tube, dose or noise without marching again.

    Args:
        projection: from `project`. Channels after its own materials are those of the settings' `extra_materials`.
        scene: whose landmarks go into the sample.
        realism: see `simulate`.
        seed: see `simulate`.
        settings: see `simulate`.
    """
    whole = Scene(scene) if isinstance(scene, Patient) else scene
    patient = whole.patient
    chosen = settings or ImagingSettings()
    target = patient.center_mm
    geometry = [
        detector_geometry(camera, target, surface)
        for camera, surface in zip(projection.cameras, _surfaces_mm(projection), strict=True)
    ]
    rngs = [np.random.Generator(np.random.Philox(key=[seed, view])) for view in range(len(geometry))]
    result = make_image(projection.area_density, _with_materials(chosen, projection), realism, rngs, geometry)
    pixels = {
        name: np.stack([camera.project(point) for camera in projection.cameras])
        for name, point in whole.landmarks_mm.items()
    }
    return Sample(
        image=result.log_image,
        transmission=result.transmission,
        masks=projection.masks,
        landmarks_px=pixels,
        depth_mm=projection.depth_mm,
        cameras=projection.cameras,
        area_density=projection.area_density,
        paths_mm=projection.paths_mm,
        patient_name=patient.name,
        realism=realism,
        seed=seed,
        doses=result.doses,
        settings=(chosen,) * len(geometry) if isinstance(chosen, ImagingSettings) else tuple(chosen),
    )


def _with_materials(
    settings: ImagingSettings | Sequence[ImagingSettings], projection: Projection
) -> ImagingSettings | Sequence[ImagingSettings]:
    """The settings with the materials of the projection's tools before their own."""
    if not projection.materials:
        return settings
    if not isinstance(settings, ImagingSettings):
        return [replace(one, extra_materials=(*projection.materials, *one.extra_materials)) for one in settings]
    return replace(settings, extra_materials=(*projection.materials, *settings.extra_materials))


def _surfaces_mm(projection: Projection) -> list[float | None]:
    """Depth of each view's nearest skin, where it is known."""
    if projection.depth_mm is None:
        return [None] * len(projection.cameras)
    return [None if np.isnan(depth).all() else float(np.nanmin(depth)) for depth in projection.depth_mm]


def detector_geometry(camera: Camera, target_mm: npt.ArrayLike, surface_mm: float | None = None) -> DetectorGeometry:
    """What the imaging chain needs to know of a view: pixel size, distances, magnification, inverse square.

    Args:
        camera: the view.
        target_mm: (3,) middle of the object in patient mm.
        surface_mm: depth of the skin that is nearest to the source, when known.
    """
    distance = camera.source_to_detector_mm
    if distance is None:
        distance = ASSUMED_SOURCE_TO_DETECTOR_MM
        warnings.warn(
            f"the camera has no source_to_detector_mm: {distance:g} mm is assumed for dose and blur",
            SynthrayWarning,
            stacklevel=3,
        )
    depth = float((camera.camera_from_patient[2, :3] @ np.asarray(target_mm)) + camera.camera_from_patient[2, 3])
    inverse_K = np.linalg.inv(camera.K)
    column, row = np.meshgrid(np.arange(camera.columns), np.arange(camera.rows))
    x = inverse_K[0, 0] * column + inverse_K[0, 1] * row + inverse_K[0, 2]
    y = inverse_K[1, 1] * row + inverse_K[1, 2]
    stretch = np.sqrt(x**2 + y**2 + 1)
    return DetectorGeometry(
        pixel_mm=distance / abs(float(camera.K[1, 1])),
        source_to_detector_mm=distance,
        magnification=float(np.clip(distance / max(depth, 1.0), 1.0, 20.0)),
        source_to_surface_mm=surface_mm,
        principal_px=(float(camera.K[0, 2]), float(camera.K[1, 2])),
        falloff=falloff(distance * stretch, 1 / stretch, distance),
    )
