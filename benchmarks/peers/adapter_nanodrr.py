"""nanodrr on the CPU: trilinear samples through torch, one density, its default of 500 samples a ray."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from nanodrr.data import Subject
from nanodrr.drr.renderer import render
from torchio import ScalarImage
from worker import Scene, serve


def prepare(scene: Scene) -> Callable[[], torch.Tensor]:
    """The volume as it is, without conversion from Hounsfield units."""
    torch.set_num_threads(scene.threads)
    image = ScalarImage(tensor=torch.from_numpy(np.array(scene.density))[None], affine=scene.mm_from_voxel)
    subject = Subject.from_images(image, convert_to_mu=False)
    # nanodrr counts pixels from their corner.
    K = scene.K.copy()
    K[:2, 2] += 0.5
    inverse_K = torch.tensor(np.linalg.inv(K), dtype=torch.float32)[None]
    pose = torch.tensor(scene.mm_from_camera, dtype=torch.float32)[None]
    distance = torch.tensor([scene.source_to_detector_mm])

    def call() -> torch.Tensor:
        with torch.inference_mode():
            return render(subject, inverse_K, pose, distance, scene.rows, scene.columns)

    return call


if __name__ == "__main__":
    serve(prepare, lambda image: 0.1 * image[0, 0].numpy())
