"""Registration by nanodrr as its author's xvr does it; runs in nanodrr's own environment, which lacks synthray.

Usage: nanodrr_worker.py FOLDER THREADS SCALE,SCALE,…

xvr's defaults (xvr/register/base.py): Adam with 0.01 rad and 1 mm a step, halved at each scale, reduced tenfold on
plateaus of 5 steps, ended at the third; half multi-scale, half gradient normalised cross-correlation; at most 500
steps a scale.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from nanodrr.data import Subject
from nanodrr.metrics import GradientNormalizedCrossCorrelation2d, MultiscaleNormalizedCrossCorrelation2d
from nanodrr.registration import Registration
from torchio import ScalarImage

STEPS, PATIENCE, PLATEAUS, REDUCTION, THRESHOLD = 500, 5, 2, 0.1, 1e-4


def main(folder: Path, threads: int, scales: list[float]) -> None:
    """Register every X-ray of the folder."""
    torch.set_num_threads(threads)
    ct = np.load(folder / "ct.npz")
    image = ScalarImage(tensor=torch.from_numpy(ct["hu"].astype(np.float32))[None], affine=ct["mm_from_voxel"])
    subject = Subject.from_images(image)
    for path in sorted(folder.glob("shot-*.npz")):
        began, used = time.perf_counter(), time.process_time()
        pose, steps = registered(subject, np.load(path), scales)
        answer = {
            "mm_from_camera": pose.tolist(),
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - used,
            "steps": steps,
        }
        path.with_suffix(".json").write_text(json.dumps(answer))
        print(path.stem, f"{answer['seconds']:.0f} s, {steps} steps", flush=True)


def registered(subject: Subject, shot: np.lib.npyio.NpzFile, scales: list[float]) -> tuple[np.ndarray, int]:
    """(4, 4) camera to patient, and how many steps it took."""
    xray = torch.from_numpy(shot["xray"].astype(np.float32))[None, None]
    # nanodrr counts pixels from their corner.
    K = shot["K"].copy()
    K[:2, 2] += 0.5
    inverse_K = torch.tensor(np.linalg.inv(K), dtype=torch.float32)[None]
    start = torch.tensor(np.linalg.inv(shot["camera_from_mm"]), dtype=torch.float32)[None]
    distance = torch.tensor([float(shot["source_to_detector_mm"])])
    reg = Registration(subject, start, inverse_K, distance, *xray.shape[-2:])
    blocks = MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5])
    edges = GradientNormalizedCrossCorrelation2d(11, 0.0)
    total, before = 0, 1.0
    for stage, scale in enumerate(scales):
        rescale(reg, before / scale)
        before = scale
        true = torch.nn.functional.interpolate(xray, (reg.height, reg.width), mode="area")
        total += climbed(reg, lambda seen, true=true: 0.5 * (blocks(true, seen) + edges(true, seen)), stage)
    return reg.pose.detach()[0].double().numpy(), total


def rescale(reg: Registration, scale: float) -> None:
    """Change the pixel size; its own `rescale_` leaves the principal point where pixels are counted from the corner."""
    with torch.no_grad():
        reg.k_inv[..., :2, :2] /= scale
    reg.height, reg.width = round(reg.height * scale), round(reg.width * scale)


def climbed(reg: Registration, similarity: object, stage: int) -> int:
    """Steps on one scale, until the similarity stays where it is."""
    groups = [{"params": [reg._rot], "lr": 1e-2 / 2**stage}, {"params": [reg._xyz], "lr": 1.0 / 2**stage}]
    optimizer = torch.optim.Adam(groups, maximize=True)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", REDUCTION, PATIENCE, THRESHOLD)
    rate, plateaus = float("inf"), 0
    for step in range(STEPS):
        optimizer.zero_grad()
        value = similarity(reg())
        value.backward()
        optimizer.step()
        plateau.step(value.detach())
        if min(plateau.get_last_lr()) < rate:
            rate, plateaus = min(plateau.get_last_lr()), plateaus + 1
        if plateaus > PLATEAUS:
            return step + 1
    return STEPS


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), [float(scale) for scale in sys.argv[3].split(",")])
