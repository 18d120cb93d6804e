"""FlashDRR's PyTorch renderer on the CPU (its fused one needs a GPU): one density, 500 samples a ray, lengths in cm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from flashdrr.rendering import VolumeRaycaster
from worker import Scene, serve

SAMPLES = 500


def prepare(scene: Scene) -> Callable[[], torch.Tensor]:
    """The camera's axes as FlashDRR wants them: right, up, forward; its field of view ends at pixel centres."""
    torch.set_num_threads(scene.threads)
    fov_deg = float(2 * np.degrees(np.arctan((scene.rows - 1) / 2 / scene.K[1, 1])))
    size = (scene.columns, scene.rows)
    caster = VolumeRaycaster(ray_samples=SAMPLES, resolution=size, fov=fov_deg, return_tau=True).eval()
    pose = torch.tensor(scene.mm_from_camera * [1, -1, 1, 1], dtype=torch.float32)[None]
    voxel_from_mm = torch.tensor(np.linalg.inv(scene.mm_from_voxel), dtype=torch.float32)
    volume = torch.from_numpy(np.array(scene.density))[None, None]

    def call() -> torch.Tensor:
        with torch.inference_mode():
            return caster(volume, view_mat=pose, ras2ijk=voxel_from_mm)

    return call


if __name__ == "__main__":
    serve(prepare, lambda image: image[0, 0].numpy())
