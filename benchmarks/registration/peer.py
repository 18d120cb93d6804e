"""`sr.register` and nanodrr (with xvr's optimiser) on the same X-rays, starts and cores.

Usage: python benchmarks/registration/peer.py [--shots 10] [--range small|large] [--subject totalseg_example]
           [--scales 8,4,2] [--threads 2] [--out DIR]

nanodrr is given bone-bright X-rays without the unknown inversion, which it has no means to find. Its environment is
that of `benchmarks/peers`. CPU time is shown beside wall time, since other work on the machine distorts the latter.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(1, str(HERE.parent / "peers"))

from catalogue import PEERS  # noqa: E402
from run import RANGES, at_detector, offsets, trial  # noqa: E402
from scenes import Shot, Subject, shot, subject_named  # noqa: E402
from table import share  # noqa: E402

from synthray.geometry import Camera, invert_rigid  # noqa: E402

PYTHON = (
    Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "synthray" / "peers" / "nanodrr" / "bin" / "python"
)


def main() -> None:
    """Register with both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("registration-peer-out"))
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--shots", type=int, default=10)
    parser.add_argument("--range", dest="reach", choices=("small", "large"), default="small")
    parser.add_argument("--subject", default="totalseg_example")
    parser.add_argument("--scales", default="8,4,2")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    if not PYTHON.exists():
        parser.error(f"no {PYTHON}; run benchmarks/peers/run.py --only nanodrr first ({PEERS['nanodrr'].requirements})")
    options.out.mkdir(parents=True, exist_ok=True)
    subject = subject_named(options.data, options.subject)
    cases = taken(subject, options.shots, options.reach)
    ours = [trial(subject, one, start, RANGES[options.reach][1], options.threads) for one, start in cases]
    written(options.out, subject, cases)
    worker = [PYTHON, HERE / "nanodrr_worker.py", options.out, str(options.threads), options.scales]
    subprocess.run(worker, check=True, env={**os.environ, "OMP_NUM_THREADS": str(options.threads)})
    theirs = [answered(options.out / f"shot-{n:03}.json", subject, one) for n, (one, _) in enumerate(cases)]
    text = table({"synthray": ours, f"nanodrr, scales {options.scales}": theirs})
    (options.out / "peer.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def taken(subject: Subject, count: int, reach: str) -> list[tuple[Shot, Camera]]:
    """X-rays and starts."""
    cases = []
    for index in range(count):
        rng = np.random.default_rng([1, index])
        one = shot(subject, 256, rng)
        cases.append((one, RANGES[reach][0].draw(one.camera, subject.target_mm, rng)))
    return cases


def written(folder: Path, subject: Subject, cases: list[tuple[Shot, Camera]]) -> None:
    """The CT and the X-rays as files for the worker."""
    ct = subject.ct.ct
    np.savez(folder / "ct.npz", hu=ct.values, mm_from_voxel=ct.patient_from_voxel)
    for number, (one, start) in enumerate(cases):
        sign = np.sign(np.corrcoef(one.xray.ravel(), one.log_image.ravel())[0, 1])
        np.savez(
            folder / f"shot-{number:03}.npz",
            xray=sign * one.xray,
            K=start.K,
            camera_from_mm=start.camera_from_patient,
            source_to_detector_mm=start.source_to_detector_mm,
        )


def answered(path: Path, subject: Subject, one: Shot) -> dict[str, Any]:
    """The worker's answer as a trial."""
    told = json.loads(path.read_text())
    pose = np.array(told["mm_from_camera"])
    left, _, right = np.linalg.svd(pose[:3, :3])
    pose[:3, :3] = left @ right
    found = replace(one.camera, camera_from_patient=invert_rigid(pose))
    error = offsets(found, one.camera, subject.points_mm)
    return {
        "seconds": told["seconds"],
        "cpu_seconds": told["cpu_seconds"],
        "error_mm": float(np.linalg.norm(error, axis=1).mean()),
        "in_plane_mm": float(np.linalg.norm(error[:, :2], axis=1).mean()),
        "at_detector_mm": at_detector(found, one.camera, subject.points_mm),
    }


def table(rows: dict[str, list[dict[str, Any]]]) -> str:
    """A row for each program."""
    lines = [
        "| | X-rays | mean error < 2 mm | < 1 mm at the detector | median mm | median s | median CPU s |",
        "|---" * 7 + "|",
    ]
    for name, held in rows.items():
        cells = [f"{np.median([row[key] for row in held]):.2f}" for key in ("error_mm", "seconds", "cpu_seconds")]
        good = share([row["error_mm"] < 2 for row in held]), share([row["at_detector_mm"] < 1 for row in held])
        lines.append(f"| {name} | {len(held)} | {' | '.join([*good, *cells])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
