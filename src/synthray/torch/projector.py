"""Projection as a PyTorch module: tensors in, tensors out, exact pose gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from synthray.anatomy import Patient
from synthray.errors import InputError
from synthray.projector import MarchVolume, cpu, gpu, prepare
from synthray.projector.rays import RayBundle
from synthray.projector.result import Wanted


class Projector(torch.nn.Module):
    """A patient that can be projected inside a network or an optimiser.

    One ray per pixel: there is no supersampling here, so a pixel should not be larger than a voxel's shadow. On the CPU
    the march is the numba backend's; with tensors on a CUDA device it is Warp's, on PyTorch's current stream, and
    nothing but the outcome of the checks is copied to the host.

    Args:
        patient: whom to project, or a prepared volume.
        rows: detector rows.
        columns: detector columns.
    """

    def __init__(self, patient: Patient | MarchVolume, rows: int, columns: int) -> None:
        super().__init__()
        if min(rows, columns) < 1:
            raise InputError(f"a projector needs at least one row and column, got {rows} x {columns}")
        self.volume = patient if isinstance(patient, MarchVolume) else prepare(patient)
        self.rows, self.columns = rows, columns
        self._voxel_from_patient = torch.from_numpy(np.linalg.inv(self.volume.patient_from_voxel))

    def forward(self, K: torch.Tensor, camera_from_patient: torch.Tensor) -> torch.Tensor:
        """Area densities of a batch of views.

        Differentiable with respect to `camera_from_patient` and K, once.

        Args:
            K: (B, 3, 3) intrinsic matrices in pixels; (column, row) integers are pixel centres.
            camera_from_patient: (B, 4, 4) rigid, patient mm (LPS) -> camera mm.

        Returns:
            (B, 2, rows, columns) float32 g/cm² of adipose and cortical bone, on the device of the poses.

        Raises:
            InputError: shapes differ, a matrix is not finite, or K has no inverse.
        """
        views = camera_from_patient.shape[:1]
        if K.shape != (*views, 3, 3) or camera_from_patient.shape != (*views, 4, 4):
            raise InputError(
                f"K must be (B, 3, 3) and camera_from_patient (B, 4, 4), got {tuple(K.shape)} "
                f"and {tuple(camera_from_patient.shape)}"
            )
        if not (torch.isfinite(K).all() and torch.isfinite(camera_from_patient).all()):
            raise InputError("K and camera_from_patient must be finite")
        pose = camera_from_patient.double()
        linear = self._voxel_from_patient.to(pose.device)
        rotation, shift = pose[:, :3, :3].transpose(1, 2), pose[:, :3, 3:]
        inverse_K, singular = torch.linalg.inv_ex(K.double().to(pose.device))
        if singular.any():
            raise InputError("K must have an inverse: focal lengths in pixels on its diagonal, and 1 in the last place")
        origin = (linear[:3, :3] @ (-rotation @ shift))[..., 0] + linear[:3, 3]
        matrix = linear[:3, :3] @ rotation @ inverse_K
        return _March.apply(origin, matrix, inverse_K, self.volume, self.rows, self.columns)


def se3_exp(twist: torch.Tensor) -> torch.Tensor:
    """Rigid matrices of twists: exp(ξ) with ξ = (rotation vector in rad, shift in mm).

    `se3_exp(twist) @ camera_from_patient` moves a camera as `project(jacobian=True)` counts its six parameters.

    Args:
        twist: (..., 6).

    Returns:
        (..., 4, 4) of the same type; differentiable everywhere, at zero too.
    """
    omega, shift = twist[..., :3], twist[..., 3:]
    zero = torch.zeros_like(omega[..., 0])
    x, y, z = omega.unbind(-1)
    rows = [
        torch.stack(row, -1)
        for row in ((zero, -z, y, shift[..., 0]), (z, zero, -x, shift[..., 1]), (-y, x, zero, shift[..., 2]))
    ]
    last = torch.zeros_like(rows[0])
    return torch.linalg.matrix_exp(torch.stack([*rows, last], -2))


class _March(torch.autograd.Function):
    """The march as a function of the rays' common origin and matrix, both in voxel coordinates, and of K⁻¹.

    K⁻¹ turns steps along a ray into millimetres: a ray's density is proportional to the length of K⁻¹ (column, row, 1).
    """

    @staticmethod
    def forward(
        ctx: Any, origin: Any, matrix: Any, inverse_K: Any, volume: MarchVolume, rows: int, columns: int
    ) -> Any:
        needs = any(ctx.needs_input_grad[:3])
        density, gradient = _backend(origin.device)(volume, origin, matrix, inverse_K, rows, columns, needs)
        if needs:
            ctx.save_for_backward(gradient, density, inverse_K)
        return density

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        gradient, density, inverse_K = ctx.saved_tensors
        weighted = torch.einsum("vbrc,vbkrc->vkrc", grads[0], gradient).double()
        rows, columns = weighted.shape[-2:]
        column = torch.arange(columns, device=weighted.device, dtype=torch.float64)
        row = torch.arange(rows, device=weighted.device, dtype=torch.float64)
        pixel = torch.stack([column.expand(rows, -1), row[:, None].expand(-1, columns), column.new_ones(rows, columns)])
        to_matrix = torch.einsum("virc,jrc->vij", weighted[:, 3:], pixel)
        ray = torch.einsum("vij,jrc->virc", inverse_K, pixel)
        share = (grads[0] * density).sum(dim=1).double() / (ray**2).sum(dim=1)
        to_inverse_K = torch.einsum("vrc,virc,jrc->vij", share, ray, pixel)
        return weighted[:, :3].sum(dim=(-2, -1)), to_matrix, to_inverse_K, None, None, None


def _backend(device: torch.device) -> Callable[..., tuple[Any, Any]]:
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"a projector works on cpu and cuda tensors, got '{device.type}'")
    return gpu.march_tensors if device.type == "cuda" else _on_cpu


def _on_cpu(
    volume: MarchVolume, origin: Any, matrix: Any, inverse_K: Any, rows: int, columns: int, gradient: bool
) -> tuple[Any, Any]:
    """As `gpu.march_tensors`, by the CPU backend."""
    source, lines, in_camera = (tensor.detach().numpy() for tensor in (origin, matrix, inverse_K))
    axis = np.abs((np.array(volume.shape) - 1) / 2 - source).argmax(axis=1).astype(np.int64)
    rays = RayBundle(source, lines, in_camera, axis, rows, columns, np.ones(len(axis), dtype=np.int64))
    marched = cpu.march(volume, rays, Wanted(masks=False, depth=False, gradient=gradient))
    slopes = None if marched.gradient is None else torch.from_numpy(marched.gradient)
    return torch.from_numpy(marched.density), slopes
