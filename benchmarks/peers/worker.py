"""The side of a benchmark that runs inside a peer's own environment: needs NumPy and the peer, not synthray.

A worker reads one JSON command a line from standard input and answers with one JSON line:
`{"do": "load", "scene": FOLDER, "threads": N}`, `{"do": "call"}` -> seconds, `{"do": "image", "to": FILE.npy}`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scene:
    """What every peer projects.

    Attributes:
        folder: where `density.npy`, `hu.npy` and `codes.npy` lie.
        density: (I, J, K) float32 g/cm³, total of both bases.
        mm_from_voxel: (4, 4) voxel index -> mm.
        camera_from_mm: (4, 4) rigid, mm -> camera mm (x along columns, y down the rows, z to the detector).
        K: (3, 3) intrinsics in pixels; integers are pixel centres.
        rows: of the image.
        columns: of the image.
        source_to_detector_mm: along the camera's z.
        threads: to be used.
        ellipsoids: what the voxels were drawn from: `center_mm`, `radii_mm`, `density_g_cm3`; the body comes first.
    """

    folder: Path
    density: np.ndarray
    mm_from_voxel: np.ndarray
    camera_from_mm: np.ndarray
    K: np.ndarray
    rows: int
    columns: int
    source_to_detector_mm: float
    threads: int
    ellipsoids: list[dict[str, Any]]

    @staticmethod
    def load(folder: Path, threads: int) -> Scene:
        """Read a scene that `run.py` has written."""
        facts = json.loads((folder / "scene.json").read_text())
        matrices = (np.array(facts[name]) for name in ("mm_from_voxel", "camera_from_mm", "K"))
        sizes = facts["rows"], facts["columns"], facts["source_to_detector_mm"]
        return Scene(
            folder, np.load(folder / "density.npy", mmap_mode="r"), *matrices, *sizes, threads, facts["ellipsoids"]
        )

    @property
    def mm_from_camera(self) -> np.ndarray:
        """(4, 4) rigid."""
        return np.linalg.inv(self.camera_from_mm)

    @property
    def source_mm(self) -> np.ndarray:
        """(3,) the X-ray source."""
        return self.mm_from_camera[:3, 3]

    def pixel_mm(self) -> np.ndarray:
        """(rows, columns, 3) pixel centres on the detector."""
        column, row = np.meshgrid(np.arange(self.columns), np.arange(self.rows))
        local = np.stack([column, row, np.ones_like(row)], axis=-1) @ np.linalg.inv(self.K).T
        return self.source_mm + (self.source_to_detector_mm * local) @ self.mm_from_camera[:3, :3].T


def peak_mib() -> float:
    """The process's highest resident memory so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def serve(prepare: Callable[[Scene], Callable[[], Any]], to_image: Callable[[Any], np.ndarray]) -> None:
    """Answer commands until standard input ends.

    Args:
        prepare: scene -> a function that makes one projection; only its calls are timed.
        to_image: what such a call returned -> (rows, columns) in g/cm².
    """
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    call: Callable[[], Any] | None = None
    result: Any = None
    for line in sys.stdin:
        command, answer = json.loads(line), {}
        try:
            if command["do"] == "load":
                call = prepare(Scene.load(Path(command["scene"]), command["threads"]))
            elif command["do"] == "call" and call is not None:
                result = None
                began = time.perf_counter()
                result = call()
                answer["seconds"] = time.perf_counter() - began
            elif command["do"] == "image":
                np.save(command["to"], np.asarray(to_image(result), dtype=np.float32))
            answer["peak_mib"] = peak_mib()
        except Exception as error:  # whatever a peer fails with is a result
            answer["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        answers.write(json.dumps(answer) + "\n")
