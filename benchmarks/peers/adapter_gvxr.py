"""gVirtualXray: the ellipsoids as closed surface meshes (it takes no volumes), OpenGL without a window, one density."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from gvxrPython3 import gvxr
from worker import Scene, serve

SEGMENTS = 96
# Densities stand in for attenuation at this many cm²/g, so that the image is a transmission well above 0.
CM2_PER_G = 0.1


def sphere() -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N, 3) and triangles (M, 3), facing outwards, of a unit sphere."""
    theta = np.linspace(0, np.pi, SEGMENTS // 2 + 1)
    phi = np.arange(SEGMENTS) * 2 * np.pi / SEGMENTS
    ring = np.stack([np.cos(phi), np.sin(phi)], axis=-1)
    points = np.concatenate([np.outer(np.sin(theta), np.ones(SEGMENTS))[..., None] * ring,
                             np.outer(np.cos(theta), np.ones(SEGMENTS))[..., None]], axis=-1)  # fmt: skip
    here = np.arange(SEGMENTS // 2)[:, None] * SEGMENTS + np.arange(SEGMENTS)
    beside = np.arange(SEGMENTS // 2)[:, None] * SEGMENTS + (np.arange(SEGMENTS) + 1) % SEGMENTS
    below, across = here + SEGMENTS, beside + SEGMENTS
    first, second = np.stack([here, below, across], -1)[:-1], np.stack([here, across, beside], -1)[1:]
    return points.reshape(-1, 3), np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)])


def prepare(scene: Scene) -> Callable[[], np.ndarray]:
    """Meshes, source and detector."""
    gvxr.createOpenGLContext()
    gvxr.setSourcePosition(*scene.source_mm.tolist(), "mm")
    gvxr.usePointSource()
    gvxr.setMonoChromatic(0.07, "MeV", 1)
    pixels = scene.pixel_mm()
    gvxr.setDetectorPosition(*pixels.mean(axis=(0, 1)).tolist(), "mm")
    right, down = scene.mm_from_camera[:3, 0], scene.mm_from_camera[:3, 1]
    gvxr.setDetectorUpVector(*(-down).tolist())
    gvxr.setDetectorRightVector(*right.tolist())
    gvxr.setDetectorNumberOfPixels(scene.columns, scene.rows)
    spacing = scene.source_to_detector_mm / scene.K[0, 0]
    gvxr.setDetectorPixelSize(spacing, spacing, "mm")
    points, triangles = sphere()
    for index, shape in enumerate(scene.ellipsoids):
        name = f"shape {index}"
        vertices = points * shape["radii_mm"] + shape["center_mm"]
        gvxr.makeTriangularMesh(name, vertices.ravel().tolist(), triangles.ravel().tolist(), "mm")
        gvxr.setLinearAttenuationCoefficient(name, CM2_PER_G * shape["density_g_cm3"], "cm-1")
        if index:
            gvxr.addPolygonMeshAsInnerSurface(name)
        else:
            gvxr.addPolygonMeshAsOuterSurface(name)
    return lambda: np.array(gvxr.computeXRayImage())


def to_image(transmitted: np.ndarray) -> np.ndarray:
    """Area density from the energy that arrives, of one photon a pixel."""
    # Its rows count from the bottom.
    return -np.log(transmitted[::-1] / gvxr.getTotalEnergyWithDetectorResponse()) / CM2_PER_G


if __name__ == "__main__":
    serve(prepare, to_image)
