"""A person and an X-ray of them, made once."""

import numpy as np
import pytest
from registration_shots import Taken, pelvic_view, shoot

import synthray as sr


@pytest.fixture(scope="session")
def person():
    return sr.body(3, region="pelvis", voxel_mm=3)


@pytest.fixture(scope="session")
def taken(person):
    camera = pelvic_view(person, lao_deg=7, cran_deg=-5)
    points = np.array(list(person.landmarks.values()))
    near = np.linalg.norm(points - person.structure_center_mm("hip_left", "hip_right"), axis=1) < 130
    return Taken(person, camera, shoot(person, camera), points[near])
