"""Simulated X-rays with their truth."""

from dataclasses import dataclass

import numpy as np

import synthray as sr
from synthray.imaging import System, display

SIDE = 128


@dataclass(frozen=True)
class Taken:
    """A simulated X-ray with its truth."""

    patient: sr.Patient
    camera: sr.Camera
    log_image: np.ndarray
    points_mm: np.ndarray

    @property
    def shown(self):
        """Grey values, bone dark."""
        return display(self.log_image, "c-arm").astype(float)

    def error_mm(self, camera):
        """Mean distance of the landmarks from where they are, in the camera frame; and along the detector."""
        away = sr.geometry.apply(camera.camera_from_patient, self.points_mm) - sr.geometry.apply(
            self.camera.camera_from_patient, self.points_mm
        )
        return np.linalg.norm(away, axis=1).mean(), np.linalg.norm(away[:, :2], axis=1).mean()


def shoot(patient, camera, seed=1):
    """The -log image at the realistic level."""
    settings = System.preset("mobile-c-arm").settings
    return sr.simulate(patient, camera, "realistic", seed, settings=settings).image[0]


def pelvic_view(patient, side=SIDE, **angles):
    middle = patient.structure_center_mm("hip_left", "hip_right")
    return sr.CArm.preset("cios-fusion").resized(side).view(middle, view="ap", **angles)
