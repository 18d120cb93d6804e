"""DiffDRR on the CPU: trilinear samples through torch, one density, its default of 500 samples a ray."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from diffdrr.data import read
from diffdrr.drr import DRR
from torchio import ScalarImage
from worker import Scene, serve


def prepare(scene: Scene) -> Callable[[], torch.Tensor]:
    """Rays are handed over as source and pixel positions, so that no convention of views comes between."""
    torch.set_num_threads(scene.threads)
    density = torch.from_numpy(np.array(scene.density))
    image = ScalarImage(tensor=density[None], affine=scene.mm_from_voxel)
    subject = read(image, orientation=None, center_volume=False)
    width = scene.columns
    module = DRR(subject, scene.source_to_detector_mm, scene.rows, 1.0, width, renderer="trilinear", patch_size=256)
    source = torch.tensor(scene.source_mm, dtype=torch.float32).reshape(1, 1, 3)
    target = torch.tensor(scene.pixel_mm(), dtype=torch.float32).reshape(1, -1, 3)

    def call() -> torch.Tensor:
        with torch.inference_mode():
            return module.render(density, source, target).reshape(scene.rows, scene.columns)

    return call


if __name__ == "__main__":
    serve(prepare, lambda image: 0.1 * image.numpy())
