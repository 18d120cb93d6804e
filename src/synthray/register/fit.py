"""`Fit`: a pose that was found, with how sure it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.files import write_atomically
from synthray.geometry import Camera, apply
from synthray.register.quality import Quality

Floats = npt.NDArray[np.float64]
# 0.9 quantile of the chi-squared distribution with 6 degrees of freedom.
CHI2_6_90 = 10.6446


@dataclass(frozen=True, eq=False)
class Fit:
    """The pose of one X-ray.

    Attributes:
        camera: the found view, of the X-ray's size.
        covariance: (6, 6) of the motion from the found to the true pose (`pose.moved` about `pivot_mm`): rad about
            and mm along the camera's x, y, z. Calibrated on simulation, see docs/registration.md.
        pivot_mm: (3,) patient mm.
        bone_bright: whether the X-ray shows bone bright.
        quality: whether to believe it, and why not.
        projections: how many were made.
    """

    camera: Camera
    covariance: Floats
    pivot_mm: Floats
    bone_bright: bool
    quality: Quality
    projections: int

    def __repr__(self) -> str:
        turn, shift = self.rotation_std_deg, self.in_plane_std_mm
        return (
            f"Fit({self.quality.state}: {self.quality.reason}; ± {turn.max():.2g}° turn, "
            f"{shift.max():.2g} mm in plane, {self.depth_std_mm:.2g} mm depth)"
        )

    @property
    def rotation_std_deg(self) -> Floats:
        """(3,) standard deviations of the rotation about the camera's x, y, z."""
        return np.rad2deg(np.sqrt(np.diag(self.covariance)[:3]))

    @property
    def in_plane_std_mm(self) -> Floats:
        """(2,) standard deviations of the position along the columns and the rows, at the pivot."""
        return np.sqrt(np.diag(self.covariance)[3:5])

    @property
    def depth_std_mm(self) -> float:
        """Standard deviation of the position along the beam; it dominates."""
        return float(np.sqrt(self.covariance[5, 5]))

    def point_std_mm(self, points_mm: npt.ArrayLike) -> tuple[Floats, Floats]:
        """How sure points of the anatomy are.

        Args:
            points_mm: (..., 3) patient mm.

        Returns:
            (...,) standard deviation parallel to the detector (root of both axes' sum) and along the beam, in mm.
        """
        lever = apply(self.camera.camera_from_patient, points_mm) - apply(
            self.camera.camera_from_patient, self.pivot_mm
        )
        slope = np.zeros((*lever.shape[:-1], 3, 6))
        slope[..., :3] = np.swapaxes(np.cross(np.eye(3), lever[..., None, :]), -1, -2)
        slope[..., 3:] = np.eye(3)
        variance = np.einsum("...ij,jk,...ik->...i", slope, self.covariance, slope)
        return np.sqrt(variance[..., :2].sum(axis=-1)), np.sqrt(variance[..., 2])

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        return {
            "camera": self.camera.to_dict(),
            "pivot_mm": self.pivot_mm.tolist(),
            "bone_bright": self.bone_bright,
            "uncertainty": {
                "rotation_std_deg": self.rotation_std_deg.tolist(),
                "in_plane_std_mm": self.in_plane_std_mm.tolist(),
                "depth_std_mm": self.depth_std_mm,
                "covariance": self.covariance.tolist(),
            },
            "quality": self.quality.to_dict(),
            "projections": self.projections,
        }


def to_json(fits: Mapping[str, Fit], parts: Mapping[str, Mapping[str, Fit]] | None = None) -> dict[str, Any]:
    """Poses as plain data: {X-ray's name: fit}, with the fits of its parts as `parts` where there are any."""
    moved = parts or {}
    return {
        name: fit.to_dict()
        | ({"parts": {part: one.to_dict() for part, one in moved[name].items()}} if name in moved else {})
        for name, fit in fits.items()
    }


def save_fits(path: str | Path, fits: Mapping[str, Fit], parts: Mapping[str, Mapping[str, Fit]] | None = None) -> None:
    """Write poses as JSON, see `to_json`."""
    write_atomically(Path(path), (json.dumps(to_json(fits, parts), indent=1) + "\n").encode())
