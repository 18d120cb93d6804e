"""synthray itself: two densities and a mask of every structure."""

from __future__ import annotations

from functools import partial

import numpy as np
from worker import Scene, serve

import synthray as sr


def prepare(scene: Scene) -> partial[sr.Projection]:
    """The same voxels as CT numbers and labels."""
    codes = np.load(scene.folder / "codes.npy")
    labels = codes if codes.any() else None
    patient = sr.Patient.from_arrays(np.load(scene.folder / "hu.npy"), scene.mm_from_voxel, labels)
    camera = sr.Camera(scene.K, scene.camera_from_mm, scene.rows, scene.columns, scene.source_to_detector_mm)
    return partial(sr.project, patient, camera, masks=True, depth=False, threads=scene.threads)


if __name__ == "__main__":
    serve(prepare, lambda projection: projection.area_density[0].sum(axis=0))
