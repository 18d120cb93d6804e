"""Fluoroscopy and runs: many frames of one scene, with pulses, lag, averaging, movement and contrast agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.errors import InputError
from synthray.geometry import Camera
from synthray.imaging import AutomaticExposure, ImagingSettings, Level, log_signal
from synthray.projector import Projection, project
from synthray.simulate.images import expose
from synthray.simulate.sample import Sample
from synthray.simulate.scene import Scene

Image = npt.NDArray[np.float32]

_MG_ML_TO_G_CM3 = 1e-3
_IODINE = "iodine"


@dataclass(frozen=True, kw_only=True)
class Fluoroscopy:
    """How a sequence is taken.

    Attributes:
        frames_per_second: pulses per second, 0.5 to 60.
        exposure: dose per frame; the first frame's measuring field sets voltage and mAs of all.
        averaging: weight of the shown past in each shown frame (recursive filter), 0 to 0.95; the new frame has the
            rest.
    """

    frames_per_second: float = 15.0
    exposure: AutomaticExposure = field(
        default_factory=lambda: AutomaticExposure(detector_kerma_ugy=0.03, kvp_range=(55, 120), mas_range=(0.001, 2.0))
    )
    averaging: float = 0.0

    def __post_init__(self) -> None:
        if not 0.5 <= self.frames_per_second <= 60:
            raise InputError(f"frames_per_second must lie within 0.5 to 60, got {self.frames_per_second:g}")
        if not 0 <= self.averaging <= 0.95:
            raise InputError(f"averaging must lie within 0 to 0.95, got {self.averaging:g}")


@dataclass(frozen=True, kw_only=True)
class Bolus:
    """Contrast agent that passes through a structure.

    Attributes:
        structure: what it fills: a label of the patient, a vessel or an organ.
        curve: (seconds, mg iodine per ml) points in rising order of time; linear between them, constant beyond.
    """

    structure: str
    curve: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        times = [time for time, _ in self.curve]
        if not self.curve or times != sorted(set(times)):
            raise InputError(f"bolus in '{self.structure}': give (seconds, mg/ml) points in rising order of time")
        if not all(np.isfinite(time) and 0 <= amount <= 1000 for time, amount in self.curve):
            raise InputError(f"bolus in '{self.structure}': iodine must lie within 0 to 1000 mg/ml at finite times")

    def iodine_mg_ml(self, seconds: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Concentration at some times."""
        times, amounts = zip(*self.curve, strict=True)
        return np.interp(np.asarray(seconds, dtype=np.float64), times, amounts)


def fluoroscopy(
    scene: Scene | Patient,
    cameras: Camera | Sequence[Camera],
    frames: int | None = None,
    realism: Level = "realistic",
    seed: int = 0,
    *,
    settings: ImagingSettings | None = None,
    mode: Fluoroscopy | None = None,
    boluses: Sequence[Bolus] = (),
    backend: str = "auto",
) -> Sample:
    """A sequence of frames; the first axis of the sample is time.

    Each frame has its own noise. The detector's lag (`Detector.lag`) and the recursive filter carry a part of each
    frame into the next, in the signal domain.

    Args:
        scene: a scene, or a patient alone.
        cameras: one camera for a fixed view, or one per frame for a moving C-arm.
        frames: number of frames with one camera.
        realism: see `simulate`.
        seed: of the noise.
        settings: tube, detector, grid; its exposure control gives way to the mode's unless mAs are set.
        mode: frame rate, dose and averaging.
        boluses: contrast agent.
        backend: see `project`.

    Raises:
        InputError: no or contradictory numbers of frames, or a bolus in a structure that the patient lacks.
    """
    mode = mode or Fluoroscopy()
    views = _views(cameras, frames)
    fixed = isinstance(cameras, Camera)
    whole = Scene(scene) if isinstance(scene, Patient) else scene
    names = tuple(dict.fromkeys(bolus.structure for bolus in boluses))
    projection = project(whole, views[:1] if fixed else views, paths=names, backend=backend)
    if fixed:
        projection = _repeated(projection, views)
    seconds = np.arange(len(views)) / mode.frames_per_second
    density = projection.area_density
    chosen = settings or ImagingSettings()
    if boluses:
        iodine = _iodine_g_cm2(projection, boluses, seconds)
        density = np.concatenate([density, iodine[:, None]], axis=1)
        chosen = replace(chosen, extra_materials=(*chosen.extra_materials, _IODINE))
    chosen = chosen if chosen.mas is not None else replace(chosen, exposure=mode.exposure)
    first = expose(_part(projection, density, slice(0, 1)), whole, realism, seed, settings=chosen)
    if first.doses:
        tube = replace(chosen.tube, tube_kvp=first.doses[0].tube_kvp)
        chosen = replace(chosen, tube=tube, mas=first.doses[0].mas)
    sample = expose(_part(projection, density, slice(None)), whole, realism, seed, settings=chosen)
    shown = carried_over(carried_over(sample.transmission, chosen.detector.lag), mode.averaging)
    return replace(sample, transmission=shown, image=log_signal(shown))


def carried_over(frames: Image, part: float) -> Image:
    """Frames each of which shows a part of the one before: y_n = (1 - part) x_n + part y_(n-1), y_0 = x_0.

    In the steady state white noise falls to sqrt((1 - part) / (1 + part)).

    Args:
        frames: (frame, row, column).
        part: 0 to 1.
    """
    if part == 0:
        return frames
    shown = frames.copy()
    for n in range(1, len(shown)):
        shown[n] = (1 - part) * frames[n] + part * shown[n - 1]
    return shown


def _views(cameras: Camera | Sequence[Camera], frames: int | None) -> tuple[Camera, ...]:
    if isinstance(cameras, Camera):
        if frames is None or not 1 <= frames <= 100_000:
            raise InputError(f"a fixed camera needs a number of frames from 1 to 100000, got {frames}")
        return (cameras,) * frames
    if not cameras or frames not in (None, len(cameras)):
        raise InputError(f"{len(cameras)} cameras make as many frames, got frames={frames}")
    return tuple(cameras)


def _repeated(projection: Projection, views: tuple[Camera, ...]) -> Projection:
    """A projection of one view as one of many frames, without copying its arrays."""

    def many(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.broadcast_to(array, (len(views), *array.shape[1:]))

    return replace(
        projection,
        cameras=views,
        area_density=many(projection.area_density),
        masks={name: np.broadcast_to(m, (len(views), *m.shape[1:])) for name, m in projection.masks.items()},
        depth_mm=None if projection.depth_mm is None else many(projection.depth_mm),
        paths_mm={name: many(path) for name, path in projection.paths_mm.items()},
        buffers=None,
    )


def _iodine_g_cm2(
    projection: Projection, boluses: Sequence[Bolus], seconds: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """(frame, row, column) area density of iodine."""
    total = np.zeros(projection.area_density[:, 0].shape, dtype=np.float32)
    for bolus in boluses:
        density = bolus.iodine_mg_ml(seconds) * _MG_ML_TO_G_CM3
        total += projection.paths_mm[bolus.structure] / 10 * density[:, None, None].astype(np.float32)
    return total


def _part(projection: Projection, density: npt.NDArray[np.float32], frames: slice) -> Projection:
    """Some frames of a projection, with further channels."""
    return replace(
        projection,
        cameras=projection.cameras[frames],
        area_density=density[frames],
        masks={name: mask[frames] for name, mask in projection.masks.items()},
        depth_mm=None if projection.depth_mm is None else projection.depth_mm[frames],
        paths_mm={name: path[frames] for name, path in projection.paths_mm.items()},
        buffers=None,
    )
