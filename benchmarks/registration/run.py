"""How often, how exactly and how fast `sr.register` finds poses of simulated X-rays, and whether it knows when not.

Usage: python benchmarks/registration/run.py [--range small|large|beyond] [--shots 200] [--out DIR] [--threads 2]
           [--subjects "totalseg_example,body 3 pelvis"] [--negatives] [--rescan] [--deepfluoro FILE]

Writes DIR/trials.jsonl (a line for every trial) and DIR/table.md.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scenes import Shot, Subject, rescanned, shot, subject_named
from table import table

from synthray.geometry import Camera, apply
from synthray.register import Fit, Range, register
from synthray.register.pose import motion_between

# How far the true pose is from the start, and how far the search is told to look.
RANGES = {
    "small": (Range(rotation_deg=10, in_plane_mm=20, depth_mm=50), Range.preset("small")),
    "large": (Range(rotation_deg=30, in_plane_mm=60, depth_mm=60), Range.preset("large")),
    # Starts that the search isn't made for: does the quality say when it failed?
    "beyond": (Range(rotation_deg=40, in_plane_mm=120, depth_mm=150), Range.preset("small")),
}
SUBJECTS = (
    "totalseg_example",
    "onkodicom_thorax",
    "onkodicom_headneck",
    "fnndsc_chest",
    "body 3 pelvis",
    "body 4 chest",
)


@dataclass(frozen=True)
class Options:
    """What is run; see the usage."""

    out: Path
    data: Path
    shots: int
    reach: str
    subjects: tuple[str, ...]
    side: int
    threads: int
    seed: int
    negatives: bool
    rescan: bool
    deepfluoro: Path | None


def main() -> None:
    """Run the trials and print the table."""
    options = parsed()
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with open(options.out / "trials.jsonl", "w", encoding="utf-8") as file:
        for row in simulated_trials(options) if options.deepfluoro is None else real_trials(options):
            rows.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(short(row), flush=True)
    text = table(rows)
    (options.out / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def parsed() -> Options:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("registration-out"))
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--shots", type=int, default=200, help="X-rays in all, or of each person of a file")
    parser.add_argument("--range", dest="reach", choices=sorted(RANGES), default="small")
    parser.add_argument("--subjects", default=",".join(SUBJECTS))
    parser.add_argument("--side", type=int, default=256, help="pixels along a side")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--negatives", action="store_true", help="also X-rays of other people and blank ones")
    parser.add_argument("--deepfluoro", type=Path, help="full-resolution DeepFluoro file: its real X-rays and poses")
    parser.add_argument("--rescan", action="store_true", help="register other CTs of the same people than were X-rayed")
    given = vars(parser.parse_args())
    return Options(**{**given, "subjects": tuple(given["subjects"].split(","))})


def real_trials(options: Options) -> Iterator[dict[str, Any]]:
    """Register real X-rays whose poses are stored, from starts around those."""
    from synthray.evaluate import posed_from_deepfluoro

    start_range, reach = RANGES[options.reach]
    for number, person in enumerate(posed_from_deepfluoro(options.deepfluoro or Path())):
        patient = person.patient()
        points = np.array(list(patient.landmarks.values()))
        subject = Subject(person.name, patient, patient, points.mean(axis=0), points, "ap")
        for index, image in enumerate(islice(person.images(), options.shots)):
            start = start_range.draw(
                image.camera, subject.target_mm, np.random.default_rng([options.seed, number, index])
            )
            taken = Shot(image.image.astype(np.float64), image.camera, image.image)
            yield trial(subject, taken, start, reach, options.threads) | {"range": options.reach}


def simulated_trials(options: Options) -> Iterator[dict[str, Any]]:
    """Register every X-ray; one subject is held at a time."""
    start_range, reach = RANGES[options.reach]
    for number, name in enumerate(options.subjects):
        subject = subject_named(options.data, name)
        rng = np.random.default_rng([options.seed, number])
        if options.rescan or name.startswith("body"):
            subject = rescanned(subject, rng)
        other = subject_named(options.data, stranger_of(name, options.subjects)) if options.negatives else None
        for index in range(number, options.shots, len(options.subjects)):
            rng = np.random.default_rng([options.seed, number, index])
            taken = shot(subject, options.side, rng)
            start = start_range.draw(taken.camera, subject.target_mm, rng)
            yield trial(subject, taken, start, reach, options.threads) | {"range": options.reach}
            if other is not None:
                yield stranger(subject, other, options, rng) | {"range": options.reach}


def stranger_of(name: str, names: tuple[str, ...]) -> str:
    """Another person of the same region where there is one."""
    if name.startswith("body"):
        _, seed, region = name.split()
        return f"body {int(seed) + 7} {region}"
    return "body 11 pelvis" if name == "totalseg_example" else "body 12 chest"


def trial(subject: Subject, taken: Shot, start: Camera, reach: Range, threads: int) -> dict[str, Any]:
    """One X-ray of the right person."""
    began, used = time.perf_counter(), time.process_time()
    fit = register(subject.ct, taken.xray, start, reach=reach, threads=threads)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    motion = motion_between(fit.camera, taken.camera, fit.pivot_mm)
    error = offsets(fit.camera, taken.camera, subject.points_mm)
    return {
        "subject": subject.name,
        "kind": "same",
        "seconds": seconds,
        "cpu_seconds": cpu,
        "start_mm": float(np.linalg.norm(offsets(start, taken.camera, subject.points_mm), axis=1).mean()),
        "error_mm": float(np.linalg.norm(error, axis=1).mean()),
        "in_plane_mm": float(np.linalg.norm(error[:, :2], axis=1).mean()),
        "at_detector_mm": at_detector(fit.camera, taken.camera, subject.points_mm),
        "rotation_deg": float(np.rad2deg(np.linalg.norm(motion[:3]))),
        "motion": motion.tolist(),
        "mahalanobis": float(motion @ np.linalg.solve(fit.covariance, motion)),
    } | described(fit)


def stranger(subject: Subject, other: Subject, options: Options, rng: np.random.Generator) -> dict[str, Any]:
    """An X-ray of somebody else, from a view of the right kind."""
    taken = shot(other, options.side, rng)
    view = taken.camera.camera_from_patient.copy()
    view[:3, 3] += view[:3, :3] @ (other.target_mm - subject.target_mm)
    start = replace(taken.camera, camera_from_patient=view)
    fit = register(subject.ct, taken.xray, start, reach=RANGES[options.reach][1], threads=options.threads)
    return {"subject": subject.name, "kind": "other"} | described(fit)


def described(fit: Fit) -> dict[str, Any]:
    """What the fit says of itself."""
    return fit.quality.to_dict() | {
        "depth_std_mm": fit.depth_std_mm,
        "in_plane_std_mm": float(fit.in_plane_std_mm.max()),
        "rotation_std_deg": float(fit.rotation_std_deg.max()),
        "projections": fit.projections,
    }


def offsets(found: Camera, true: Camera, points_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n, 3) where the points lie in the camera frame by one pose, less where by the other."""
    return apply(found.camera_from_patient, points_mm) - apply(true.camera_from_patient, points_mm)


def at_detector(found: Camera, true: Camera, points_mm: npt.NDArray[np.float64]) -> float:
    """Mean distance of the points' shadows on the detector, mm."""
    gap = (found.project(points_mm) - true.project(points_mm)) * true.pixel_mm
    return float(np.linalg.norm(gap, axis=1).mean())


def short(row: dict[str, Any]) -> str:
    """One trial as a line."""
    if row["kind"] == "same":
        errors = (
            f"{row['start_mm']:6.1f} -> {row['error_mm']:.2f} / {row['in_plane_mm']:.3f} mm, {row['seconds']:.2f} s"
        )
    else:
        errors = "other person"
    return f"{row['subject']}: {errors}; {row['state']} {row['score']:.2f}, {row['reason']}"


if __name__ == "__main__":
    main()
