"""Time synthray and other projectors on the same scene, in turn, on the same cores, and check every image.

Usage: python benchmarks/peers/run.py [--out DIR] [--only rtk,nanodrr] [--calls 10] [--threads 2]

Each peer gets a virtual environment of its own under ~/.cache/synthray/peers (several GB for all of them; torch comes
as pip finds it, so a CPU build has to be configured where a CUDA build isn't wanted). Writes peers.json and peers.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from catalogue import PEERS, Comparison, Peer

from synthray.anatomy import basis_densities
from synthray.bench import Phantom, bench_views, describe_machine, make_phantom

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "synthray" / "peers"
# A comparison takes about this long; slow peers get fewer calls, never fewer than LEAST_CALLS, and the table says so.
SECONDS_PER_COMPARISON = 300.0
LEAST_CALLS = 3
LONGEST_ANSWER_S = 900.0
# Mean error in percent of the maximum above which an image is called wrong.
WRONG_PERCENT = 1.0


class PeerError(Exception):
    """A peer can't be installed, imported or run; the message is the result."""


def main() -> None:
    """Run the comparisons."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    names = options.only.split(",") if options.only else list(PEERS)
    results: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for name in names:
        try:
            python = install(name, PEERS[name])
            for comparison in PEERS[name].comparisons(options.threads):
                results.append(compare(name, python, comparison, options))
                _say(results[-1])
        except PeerError as error:
            failed[name] = str(error)
            print(f"{name}: {error}", flush=True)
        _write(options.out, results, failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("peers-out"), help="folder for scenes, images and results")
    parser.add_argument("--only", default="", help=f"comma-separated names among {', '.join(PEERS)}")
    parser.add_argument("--calls", type=int, default=10, help="timed calls of each")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads and cores of each")
    options = parser.parse_args()
    unknown = set(filter(None, options.only.split(","))) - set(PEERS)
    if unknown:
        parser.error(f"unknown peer {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    return options


def install(name: str, peer: Peer) -> Path:
    """The Python of the peer's environment, made on first use; an import is tried."""
    folder = CACHE / name
    python, ready = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join(peer.requirements)
    if not ready.exists() or ready.read_text() != wanted:
        print(f"{name}: installing {', '.join(peer.requirements)} in {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if peer.build:
            _checked([*pip, *peer.build], "pip install fails")
        _checked([*pip, *(["--no-build-isolation"] if peer.build else []), *peer.requirements], "pip install fails")
        ready.write_text(wanted)
    _checked([python, "-c", peer.trial], "fails at import")
    return python


def _checked(command: list[Any], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines()]
        errors = [line for line in lines if "Error:" in line] or lines or ["no message"]
        raise PeerError(f"{what}: {errors[-1]}")


class Worker:
    """A process that holds one projector and answers commands; see `worker.py`."""

    def __init__(self, python: Path | str, name: str, threads: int) -> None:
        self.name = name
        cores = sorted(os.sched_getaffinity(0))[:threads]
        limits = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
        # Threads that spin while the other side is timed would take its cores.
        environment = {**os.environ, **dict.fromkeys(limits, str(threads)), "OMP_WAIT_POLICY": "PASSIVE"}
        self.process = subprocess.Popen(
            [python, HERE / f"adapter_{name}.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        self.said: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.process.stderr or ():
            self.said.append(line.strip())

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command and wait for the answer."""
        assert self.process.stdin
        assert self.process.stdout
        watchdog = threading.Timer(LONGEST_ANSWER_S, self.process.kill)
        watchdog.start()
        try:
            self.process.stdin.write(json.dumps(command, default=str) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watchdog.cancel()
        answer = json.loads(line) if line else {"error": f"ended: {' '.join(self.said[-1:])}"}
        if "error" in answer:
            raise PeerError(f"{self.name} fails at '{command['do']}': {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def compare(name: str, python: Path, comparison: Comparison, options: argparse.Namespace) -> dict[str, Any]:
    """Alternate timed calls of synthray and a peer on one scene."""
    phantom = make_phantom(comparison.structures)
    folder = write_scene(options.out / "scenes", phantom, comparison)
    exact = _exact(phantom, comparison.pixels)
    workers = {
        "ours": Worker(sys.executable, "synthray", comparison.threads),
        "peer": Worker(python, name, comparison.threads),
    }
    try:
        checks: dict[str, dict[str, Any]] = {}
        for side, worker in workers.items():
            worker.ask(do="load", scene=folder, threads=comparison.threads)
            worker.ask(do="call")
            slowest = worker.ask(do="call")["seconds"]
            image = options.out / f"{name if side == 'peer' else 'synthray'}_{folder.name}.npy"
            peak = worker.ask(do="image", to=image)["peak_mib"]
            checks[side] = {**check_image(np.load(image), exact), "peak_mib": round(peak)}
        calls = int(max(LEAST_CALLS, min(options.calls, SECONDS_PER_COMPARISON / slowest)))
        seconds: dict[str, list[float]] = {side: [] for side in workers}
        for _ in range(calls):
            for side, worker in workers.items():
                seconds[side].append(worker.ask(do="call")["seconds"])
    finally:
        for worker in workers.values():
            worker.close()
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    return {
        "name": name,
        "version": PEERS[name].requirements[-1],
        **comparison.to_dict(),
        "calls": calls,
        "ratio": medians["peer"] / medians["ours"],
        **{
            side: {"median_ms": 1e3 * medians[side], "fastest_ms": 1e3 * min(seconds[side]), **checks[side]}
            for side in workers
        },
    }


def write_scene(folder: Path, phantom: Phantom, comparison: Comparison) -> Path:
    """Write the arrays and the camera that every projector gets."""
    scene = folder / f"{comparison.voxels}_{comparison.pixels}_{comparison.structures}"
    if (scene / "scene.json").exists():
        return scene
    scene.mkdir(parents=True, exist_ok=True)
    patient, camera = phantom.patient(comparison.voxels), bench_views(comparison.pixels)[0]
    np.save(scene / "hu.npy", patient.ct.values)
    codes = np.zeros(patient.ct.shape, dtype=np.uint8) if patient.labels is None else patient.labels.codes
    np.save(scene / "codes.npy", codes)
    density = np.stack([basis_densities(plane).sum(axis=-1) for plane in patient.ct.values])
    np.save(scene / "density.npy", density)
    facts = {
        "mm_from_voxel": patient.ct.patient_from_voxel.tolist(),
        "camera_from_mm": camera.camera_from_patient.tolist(),
        "K": camera.K.tolist(),
        "rows": camera.rows,
        "columns": camera.columns,
        "source_to_detector_mm": camera.source_to_detector_mm,
        "ellipsoids": [
            {"center_mm": e.center_mm.tolist(), "radii_mm": e.radii_mm.tolist(), "density_g_cm3": density_of(e.hu)}
            for e in (phantom.body, *phantom.structures)
        ],
    }
    (scene / "scene.json").write_text(json.dumps(facts))
    return scene


def density_of(hu: int) -> float:
    """Total density of both bases in g/cm³."""
    return float(basis_densities(np.array([[[hu]]], dtype=np.int16)).sum())


def _exact(phantom: Phantom, pixels: int) -> np.ndarray:
    source, directions = bench_views(pixels)[0].rays()
    return phantom.area_density(source, directions).sum(axis=0)


def check_image(image: np.ndarray, exact: np.ndarray) -> dict[str, Any]:
    """Mean error in percent of the maximum, and whether the image is right: small error, and smallest as it stands."""

    def error(candidate: np.ndarray) -> float:
        return float(100 * np.abs(candidate - exact).mean() / exact.max())

    turned = [np.rot90(side, n) for side in (image, image.T) for n in range(4)]
    others = min(error(candidate) for candidate in turned[1:])
    return {"error_percent": error(image), "right": error(image) < min(WRONG_PERCENT, others)}


def _say(result: dict[str, Any]) -> None:
    sides = " / ".join(f"{side} {_time(result[side])}" for side in ("ours", "peer"))
    scene = (
        f"{result['voxels']}³ -> {result['pixels']}², {result['structures']} structures, {result['threads']} threads"
    )
    print(f"{result['name']}: {scene}: {sides}, {result['ratio']:.1f} times", flush=True)


def _time(side: dict[str, Any]) -> str:
    wrong = "" if side["right"] else " WRONG IMAGE"
    return f"{side['median_ms']:.0f} ms (error {side['error_percent']:.3f} %){wrong}"


def _write(out: Path, results: list[dict[str, Any]], failed: dict[str, str]) -> None:
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "results": results,
        "failed": failed,
    }
    (out / "peers.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "peers.md").write_text(markdown(report))


def markdown(report: dict[str, Any]) -> str:
    """The results as tables for docs/benchmarks.md."""
    machine = report["machine"]
    lines = [
        f"{report['date'][:10]}, {machine['cpu']} ({machine['vector_unit']}), {machine['cores']} cores, "
        f"{machine['memory_gib']:g} GiB, synthray {machine['synthray']}.",
        "",
        "| peer | volume -> image, structures | threads | peer ms | ours ms | **peer / ours** | peer error | our error "
        "| peer / our peak MiB | calls |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in report["results"]:
        ours, peer = result["ours"], result["peer"]
        lines.append(
            f"| {PEERS[result['name']].title} ({result['version']}) "
            f"| {result['voxels']}³ -> {result['pixels']}², {result['structures']} | {result['threads']} "
            f"| {peer['median_ms']:.0f} | {ours['median_ms']:.1f} | **{result['ratio']:.1f}** "
            f"| {_error(peer)} | {_error(ours)} | {peer['peak_mib']} / {ours['peak_mib']} | {result['calls']} |"
        )
    if report["failed"]:
        lines += ["", "| not compared | why |", "|---|---|"]
        lines += [
            f"| {PEERS[name].title} ({PEERS[name].requirements[-1]}) | {why} |"
            for name, why in report["failed"].items()
        ]
    return "\n".join(lines) + "\n"


def _error(side: dict[str, Any]) -> str:
    return f"{side['error_percent']:.3f} %" + ("" if side["right"] else " **wrong**")


if __name__ == "__main__":
    main()
