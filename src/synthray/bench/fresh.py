"""What can only be measured in a fresh process: the first call, with and without compiled kernels, and peak memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from synthray.errors import SynthrayError

_IMPORT = "import time; began = time.perf_counter(); import synthray; print(time.perf_counter() - began)"
_SMALL = (64, 64, 20)
_LAST_LINES = 3


def first_call(backend: str = "auto") -> dict[str, float]:
    """Seconds that a new user waits, each in a new process.

    Returns:
        `import_s`: `import synthray`; `cold_s`: the first projection with nothing compiled yet; `cached_s`: the
        first projection in a later process, with the kernels read from the cache; `next_s`: the one after it. All
        of a 64³ volume to 64² pixels.

    Raises:
        SynthrayError: a measuring process failed.
    """
    with tempfile.TemporaryDirectory(prefix="synthray-bench-") as cache:
        environment = {"NUMBA_CACHE_DIR": cache, "WARP_CACHE_PATH": cache}
        imported = float(_python(["-c", _IMPORT], environment))
        cold = _child("first_call", backend, _SMALL, environment)
        cached = _child("first_call", backend, _SMALL, environment)
    return {"import_s": imported, "cold_s": cold["first_s"], "cached_s": cached["first_s"], "next_s": cached["next_s"]}


def peak_memory(voxels: int, pixels: int = 512, structures: int = 20, backend: str = "auto") -> dict[str, float]:
    """Resident memory of a process that holds one CT and projects it, in MiB.

    Returns:
        `before_mib`: with everything imported and compiled, before the CT; `peak_mib`: the highest while projecting;
        `growth_mib`: the difference; `ct_mib`: the CT and its labels alone, a part of the growth.

    Raises:
        SynthrayError: the measuring process failed.
    """
    return _child("memory", backend, (voxels, pixels, structures), {})


def main() -> None:
    """The measuring process: its task comes as JSON, its result leaves as JSON."""
    task, backend, sizes = json.loads(sys.argv[1])
    sys.stdout.write(json.dumps(_TASKS[task](backend, *sizes)) + "\n")


def _child(task: str, backend: str, sizes: tuple[int, int, int], environment: dict[str, str]) -> dict[str, float]:
    return json.loads(_python(["-m", "synthray.bench.fresh", json.dumps([task, backend, sizes])], environment))


def _python(arguments: list[str], environment: dict[str, str]) -> str:
    """Standard output's last line of a Python process."""
    done = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SynthrayError("bench: a measuring process failed: " + " | ".join(done.stderr.splitlines()[-_LAST_LINES:]))
    return done.stdout.splitlines()[-1]


def _project(backend: str, voxels: int, pixels: int, structures: int) -> Callable[[], Any]:
    from synthray.bench.phantom import bench_views, make_phantom

    patient, views = make_phantom(structures).patient(voxels), bench_views(pixels)

    def call() -> Any:
        import synthray

        return synthray.project(patient, views, depth=False, backend=backend)

    return call


def _first_call(backend: str, voxels: int, pixels: int, structures: int) -> dict[str, float]:
    call, times = _project(backend, voxels, pixels, structures), [time.perf_counter()]
    for _ in range(2):
        call()
        times.append(time.perf_counter())
    return {"first_s": times[1] - times[0], "next_s": times[2] - times[1]}


def _memory(backend: str, voxels: int, pixels: int, structures: int) -> dict[str, float]:
    _project(backend, *_SMALL)()
    before = _resident_mib("VmRSS")
    call = _project(backend, voxels, pixels, structures)
    _forget_peak()
    call()
    peak = _resident_mib("VmHWM")
    ct_mib = voxels**3 * (2 + 1) / 2**20
    return {"before_mib": before, "peak_mib": peak, "growth_mib": peak - before, "ct_mib": ct_mib}


def _resident_mib(field: str) -> float:
    """Resident memory now (VmRSS) or at its highest (VmHWM); the highest for both where there is no /proc."""
    status = Path("/proc/self/status")
    if not status.exists():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)
    lines = status.read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def _forget_peak() -> None:
    """Start VmHWM anew, so that what compiling and drawing took is not counted; see clear_refs in proc(5)."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5", encoding="ascii")


_TASKS = MappingProxyType({"first_call": _first_call, "memory": _memory})

if __name__ == "__main__":
    main()
