"""Commands about this machine and the whole job: demo, doctor."""

from __future__ import annotations

import importlib.util
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from synthray.cli.console import JsonFlag, emit, out_console, progress_bar

BASE = ("numpy", "numba", "SimpleITK", "pydicom", "xraylib", "pydantic", "PyYAML", "pillow", "typer", "rich")
EXTRAS = {
    "learn": ("torch", "safetensors"),
    "data": ("pooch",),
    "hdf5": ("h5py",),
    "onnx": ("onnx", "onnxruntime"),
    "gpu": ("warp-lang",),
}


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("demo-out"),
    data: Annotated[Path | None, typer.Option(help="Folder with ct/ and xray/; SYNTHRAY_DATA by default.")] = None,
    minutes: Annotated[
        float, typer.Option(help="Time to take, about; the training gets what the rest leaves.", min=0.2)
    ] = 9.0,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0)] = 0,
    as_json: JsonFlag = False,
) -> None:
    """The main job end to end: CTs -> simulated X-rays -> a network -> real X-rays, with a report.

    Example: synthray demo --out demo-out
    """
    from synthray.demo import run_demo

    result = run_demo(out, data=data, minutes=minutes, seed=seed, progress=progress_bar)
    emit(result.scores, "\n".join([*result.lines, f"report: {result.report}"]), as_json)


def doctor(as_json: JsonFlag = False) -> None:
    """Say what is installed, which devices work, and what to do about those that don't.

    Example: synthray doctor
    """
    facts = _facts()
    if as_json:
        emit(facts, "", True)
        return
    console = out_console()
    console.print(
        f"synthray {facts['synthray']}, Python {facts['python']} on {facts['platform']}, {facts['cores']} cores"
    )
    for row in facts["checks"]:
        mark = {"ok": "[green]ok[/]", "missing": "[red]missing[/]", "optional": "[yellow]not installed[/]"}[
            row["state"]
        ]
        advice = f"  ->  {row['advice']}" if row["advice"] else ""
        console.print(f"{mark}  {row['name']}  {row['detail']}", end="")
        console.print(advice, markup=False)


def _facts() -> dict[str, Any]:
    import synthray

    checks = [_package(name, None) for name in BASE]
    checks += [_package(name, extra) for extra, names in EXTRAS.items() for name in names]
    return {
        "synthray": synthray.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "checks": [*checks, _projector(), _gpu_projector(), _gpu(), _data()],
    }


def _row(name: str, state: str, detail: str = "", advice: str = "") -> dict[str, str]:
    return {"name": name, "state": state, "detail": detail, "advice": advice}


def _package(name: str, extra: str | None) -> dict[str, str]:
    try:
        return _row(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        if extra is None:
            return _row(name, "missing", "", "pip install synthray again")
        return _row(name, "optional", f"(extra '{extra}')", f"pip install 'synthray[{extra}]'")


def _projector() -> dict[str, str]:
    """A small real projection, compared between the backends."""
    try:
        import numpy as np

        import synthray as sr

        hu = np.full((12, 12, 12), -1000, dtype=np.int16)
        hu[3:9, 3:9, 3:9] = 0
        cube = sr.Patient.from_arrays(hu, np.diag([5.0, 5, 5, 1]), name="cube")
        camera = sr.CArm.preset("generic-300mm").resized(16).view(cube.center_mm)
        fast, slow = (sr.project(cube, camera, backend=b).area_density for b in ("cpu", "reference"))
        difference = float(np.abs(fast - slow).max())
    except Exception as error:  # any failure at all is what the doctor is for
        return _row("projector (cpu)", "missing", f"{type(error).__name__}: {error}", "reinstall numba")
    state = "ok" if difference < 1e-3 else "missing"
    return _row("projector (cpu)", state, f"agrees with the reference within {difference:.1e} g/cm²")


def _gpu_projector() -> dict[str, str]:
    from synthray.projector import gpu

    reason = gpu.reason_unavailable()
    if reason is None:
        return _row("projector (gpu)", "ok", str(gpu.usable_device()))
    return _row("projector (gpu)", "optional", reason, "not needed; everything runs on the processor")


def _gpu() -> dict[str, str]:
    if importlib.util.find_spec("torch") is None:
        return _row("training (gpu)", "optional", "unknown without torch", "pip install 'synthray[learn]'")
    import torch

    if torch.cuda.is_available():
        return _row("training (gpu)", "ok", torch.cuda.get_device_name(0))
    built = torch.version.cuda
    why = f"torch {torch.__version__} is a CPU build" if built is None else f"torch built for CUDA {built} sees none"
    return _row("training (gpu)", "optional", f"none: {why}", "not needed; everything runs on the processor")


def _data() -> dict[str, str]:
    from synthray.dataset.public import find_data

    root = find_data(None)
    if root is None:
        return _row("sample data", "optional", "none found", "set SYNTHRAY_DATA, or: synthray data get")
    return _row("sample data", "ok", str(root))


COMMANDS = (demo, doctor)
