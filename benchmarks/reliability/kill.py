"""Kill a generation job at random moments until it has been killed N times; the bytes must be those of a quiet run.

    python benchmarks/reliability/kill.py --kills 200

Each life of the job ends by SIGKILL of one of three kinds: the job with all its workers (power cut), the job alone
(its workers find out by themselves), or one worker (the kernel's memory killer; the job must carry on). A finished job
is compared with the quiet run byte by byte, and the next one begins in a new folder. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = """\
name: killed
seed: 5
images: {images}
images_per_shard: 6
people:
  - {{body: 1, count: 2, region: chest, voxel_mm: 8}}
  - {{body: 7, region: chest, voxel_mm: 8, split: val}}
views:
  - {{carm: chest-pa, rows: 96, lao_deg: {{uniform: [-9, 9]}}}}
structures:
  lung: {{of: [lung_left, lung_right], path_above_mm: 4}}
keep_area_density: true
imaging: {{realism: naive}}
"""
KINDS = ("everyone", "job", "worker")


def content(folder: Path) -> dict[str, bytes]:
    """Finished files; hidden ones are the lock, and what an orphaned worker may still be finishing."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def start(recipe: Path, out: Path, extra: list[str]) -> subprocess.Popen[bytes]:
    """The job as a process of its own."""
    command = [sys.executable, "-m", "synthray", "generate", str(recipe), str(out), *extra]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


def children(process: int) -> list[int]:
    """Processes that a process started."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(entry.name))
    return found


def kill(process: subprocess.Popen[bytes], kind: str, rng: random.Random) -> bool:
    """End what `kind` says; whether there was something to end."""
    workers = children(process.pid)
    if process.poll() is not None or (kind == "worker" and not workers):
        return False
    victims = {"everyone": [process.pid, *workers], "job": [process.pid], "worker": [rng.choice(workers or [0])]}[kind]
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    return True


def one_life(recipe: Path, out: Path, extra: list[str], rng: random.Random, most_s: float) -> str | None:
    """Start the job, kill it after a random time; the kind of kill, or None when it had finished before."""
    process = start(recipe, out, extra)
    kind = rng.choice(KINDS)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(rng.uniform(0, most_s))
    done = kill(process, kind, rng)
    _, told = process.communicate()
    if done and kind != "worker":
        return kind
    if process.returncode != 0:
        raise SystemExit(f"the job failed by itself ({process.returncode}): {told.decode()[-500:]}")
    return kind if done else None


def main() -> None:
    """Kill, compare, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--images", type=int, default=180)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most-s", type=float, default=6.0, help="longest life of a job")
    parser.add_argument("--ray", help="address of a cluster, or auto: every second job runs there")
    options = parser.parse_args()
    rng, began = random.Random(options.seed), time.monotonic()
    counts, jobs, lives = dict.fromkeys(KINDS, 0), 0, 0
    with tempfile.TemporaryDirectory(prefix="kill-") as place:
        recipe = Path(place) / "recipe.yaml"
        recipe.write_text(RECIPE.format(images=options.images))
        quiet = Path(place) / "quiet"
        if start(recipe, quiet, ["--workers", "2"]).wait() != 0:
            raise SystemExit("the quiet run failed")
        expected = content(quiet)
        while sum(counts.values()) < options.kills:
            out = Path(place) / f"job-{jobs}"
            finished = False
            while not finished:
                where = ["--ray", options.ray] if options.ray and lives % 2 else ["--workers", str(1 + lives % 2)]
                limit = options.most_s if sum(counts.values()) < options.kills else 3600.0
                kind = one_life(recipe, out, where, rng, limit)
                lives += 1
                finished = kind in (None, "worker")
                if kind:
                    counts[kind] += 1
            if content(out) != expected:
                raise SystemExit(f"{out}: not the bytes of the quiet run")
            jobs += 1
            print(f"{sum(counts.values())} kills, {jobs} jobs finished, all identical", file=sys.stderr, flush=True)
    facts = {
        "kills": counts,
        "jobs": jobs,
        "lives": lives,
        "seconds": round(time.monotonic() - began),
        "identical": True,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
