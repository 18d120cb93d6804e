"""Timing cases, and their error against the closed form."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient
from synthray.bench.cases import Case
from synthray.bench.phantom import SIDE_MM, Phantom, bench_views, make_phantom
from synthray.geometry import Camera
from synthray.projector import prepare, project

# The error is taken on at most this many pixels a side, evenly spread.
_CHECKED_SIDE = 256


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured of a case.

    Attributes:
        case: what was asked.
        threads: CPU threads used.
        ms_per_image: median time of a call, divided by the batch.
        fastest_ms: the fastest call's, the same way.
        images_per_s: from the median.
        volume_mib: what a march has to read at least once per view: packed voxels and label codes.
        gb_per_s: that volume, once per image, over the median time.
        bandwidth_share: `gb_per_s` over the measured read bandwidth of as many threads; None on a GPU.
        gsamples_per_s: billions of samples inside tissue a second, at one sample per layer of voxels crossed.
        error_percent: mean error of the total area density, in percent of its maximum.
        repeats: timed calls.
    """

    case: Case
    threads: int
    ms_per_image: float
    fastest_ms: float
    images_per_s: float
    volume_mib: float
    gb_per_s: float
    bandwidth_share: float | None
    gsamples_per_s: float
    error_percent: float
    repeats: int


def measure(
    cases: Sequence[Case],
    patient: Patient,
    *,
    threads: int,
    backend: str = "auto",
    repeats: int = 10,
    bandwidth_gb_s: Mapping[int, float] | None = None,
) -> list[Row]:
    """Time cases that share a volume, call by call in turn, so that a busy moment of the machine falls on all alike.

    The call before the first timed one, which compiles and prepares, doesn't count.

    Args:
        cases: what to time, all of the same `voxels` and `structures`.
        patient: `make_phantom(case.structures).patient(case.voxels)`.
        threads: CPU threads of cases that don't name their own.
        backend: see `project`.
        repeats: timed calls; the median is reported.
        bandwidth_gb_s: threads -> the machine's read bandwidth.
    """
    phantom = make_phantom(cases[0].structures)
    views = [bench_views(case.pixels, case.batch) for case in cases]
    used = [case.threads or threads for case in cases]
    calls = [_call(c, patient, v, n, backend) for c, v, n in zip(cases, views, used, strict=True)]
    errors = [_error_percent(phantom, v[0], call()[0]) for v, call in zip(views, calls, strict=True)]
    seconds = np.empty((repeats, len(cases)))
    for turn in range(repeats):
        for index, call in enumerate(calls):
            began = time.perf_counter()
            call()
            seconds[turn, index] = (time.perf_counter() - began) / cases[index].batch
    reads = {} if backend == "gpu" else bandwidth_gb_s or {}
    return [
        _row(case, used[n], seconds[:, n], errors[n], needed_bytes(patient), _samples(phantom, views[n], case), reads)
        for n, case in enumerate(cases)
    ]


def _row(
    case: Case,
    threads: int,
    seconds: npt.NDArray[np.float64],
    error_percent: float,
    nbytes: int,
    samples: float,
    bandwidth_gb_s: Mapping[int, float],
) -> Row:
    median = float(np.median(seconds))
    gb_per_s = nbytes / median / 1e9
    return Row(
        case=case,
        threads=threads,
        ms_per_image=1e3 * median,
        fastest_ms=1e3 * float(seconds.min()),
        images_per_s=1 / median,
        volume_mib=nbytes / 2**20,
        gb_per_s=gb_per_s,
        bandwidth_share=gb_per_s / bandwidth_gb_s[threads] if threads in bandwidth_gb_s else None,
        gsamples_per_s=samples / median / 1e9,
        error_percent=error_percent,
        repeats=len(seconds),
    )


def warm(backend: str = "auto") -> tuple[float, float]:
    """Compile and cache everything the other measurements and `simulate` use.

    Returns:
        Seconds of the first round, which compiles what is not cached yet, and of a second one.
    """
    rounds = []
    for _ in range(2):
        began = time.perf_counter()
        for structures in (0, 1, 300):
            patient, views = make_phantom(structures).patient(32), bench_views(32, 2)
            for case in (Case(), Case(masks=False), Case(work="simulate")):
                _call(case, patient, views, 2, backend)()
            project(patient, views, depth=True, paths=patient.structure_names[:1], backend=backend)
        rounds.append(time.perf_counter() - began)
    return rounds[0], rounds[1]


def needed_bytes(patient: Patient) -> int:
    """Bytes of the prepared volume that a march reads: packed densities, and codes where there are labels."""
    return int(prepare(patient).nbytes)


def _call(case: Case, patient: Patient, views: list[Camera], threads: int, backend: str) -> Callable[[], np.ndarray]:
    """A function that does a case's work and returns the area densities."""
    if case.work == "simulate":
        from synthray.simulate import simulate

        whole = partial(simulate, patient, views, "realistic", backend=backend, threads=threads)
        return lambda: whole().area_density
    march = partial(project, patient, views, masks=case.masks, depth=False, backend=backend, threads=threads)
    return lambda: march().area_density


def _error_percent(phantom: Phantom, view: Camera, density: np.ndarray) -> float:
    """Mean error of the total of (2, row, column) densities, in percent of the exact maximum."""
    stride = -(-view.rows // _CHECKED_SIDE)
    source, directions = view.rays()
    exact = phantom.area_density(source, directions[::stride, ::stride]).sum(axis=0)
    image = np.asarray(density).sum(axis=0)[::stride, ::stride]
    return float(100 * np.abs(image - exact).mean() / exact.max())


def _samples(phantom: Phantom, views: Sequence[Camera], case: Case) -> float:
    """Samples inside the body that an image needs at one sample per layer of voxels along the main axis, on average."""
    stride = -(-case.pixels // _CHECKED_SIDE)
    layers = []
    for view in views:
        source, directions = view.rays()
        sparse = directions[::stride, ::stride]
        along = np.abs(sparse[..., np.abs(view.direction).argmax()])
        layers.append((phantom.body.chords_mm(source, sparse) * along).mean() * case.voxels / SIDE_MM)
    return float(np.mean(layers)) * case.pixels**2
