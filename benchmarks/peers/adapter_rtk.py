"""RTK: Joseph's method in threaded C++, one density."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import itk
import numpy as np
from itk import RTK
from worker import Scene, serve


def prepare(scene: Scene) -> Callable[[], Any]:
    """The volume as an ITK image; the view from source, detector corner and the detector's two directions."""
    itk.MultiThreaderBase.SetGlobalMaximumNumberOfThreads(scene.threads)
    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(scene.threads)
    image_type = itk.Image[itk.F, 3]
    # ITK's arrays are indexed k, j, i.
    volume = itk.image_from_array(np.ascontiguousarray(scene.density.transpose(2, 1, 0)))
    volume.SetSpacing(np.diag(scene.mm_from_voxel)[:3].tolist())
    volume.SetOrigin(scene.mm_from_voxel[:3, 3].tolist())
    geometry = RTK.ThreeDCircularProjectionGeometry.New()
    corner = scene.pixel_mm()[0, 0]
    axes = scene.mm_from_camera[:3, :2].T
    added = geometry.AddProjection(
        itk.Point[itk.D, 3](scene.source_mm.tolist()),
        itk.Point[itk.D, 3](corner.tolist()),
        *(itk.Vector[itk.D, 3](axis.tolist()) for axis in axes),
    )
    if not added:
        raise RuntimeError("RTK refused the geometry")
    detector = RTK.ConstantImageSource[image_type].New()
    detector.SetSpacing([scene.source_to_detector_mm / scene.K[0, 0], scene.source_to_detector_mm / scene.K[1, 1], 1.0])
    detector.SetSize([scene.columns, scene.rows, 1])
    joseph = RTK.JosephForwardProjectionImageFilter[image_type, image_type].New()
    joseph.SetInput(0, detector.GetOutput())
    joseph.SetInput(1, volume)
    joseph.SetGeometry(geometry)

    def call() -> Any:
        # Both are marked as changed so that neither result is taken from the pipeline's memory.
        detector.Modified()
        joseph.Modified()
        joseph.Update()
        return joseph.GetOutput()

    return call


if __name__ == "__main__":
    serve(prepare, lambda image: 0.1 * itk.array_from_image(image)[0])
