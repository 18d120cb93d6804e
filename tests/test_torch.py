"""`synthray.torch`: values, gradients, and a small registration by gradient descent."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="synthray.torch needs the extra 'learn'")

from synthray.anatomy import Patient  # noqa: E402
from synthray.errors import InputError  # noqa: E402
from synthray.geometry import Camera, CArm  # noqa: E402
from synthray.projector import project  # noqa: E402
from synthray.torch import Projector, se3_exp  # noqa: E402

PIXELS = 40


@pytest.fixture(scope="module")
def patient() -> Patient:
    rng = np.random.default_rng(0)
    coarse = rng.uniform(-800, 1200, (6, 6, 6))
    hu = np.kron(coarse, np.ones((4, 4, 4)))
    index = np.stack(np.meshgrid(*[np.arange(24)] * 3, indexing="ij"), -1) - 11.5
    hu[np.linalg.norm(index, axis=-1) > 11] = -1000
    return Patient.from_arrays(hu.astype(np.int16), np.diag([4, 4, 4, 1.0]))


def view(patient: Patient, lao: float = 20, cran: float = 10) -> Camera:
    return CArm.preset("generic-300mm").resized(PIXELS).view(patient.center_mm, lao, cran)


def tensors(*cameras: Camera):
    return tuple(torch.from_numpy(np.stack([getattr(c, n) for c in cameras])) for n in ("K", "camera_from_patient"))


def test_values_are_those_of_project(patient: Patient) -> None:
    cameras = view(patient), view(patient, -60, 0)
    image = Projector(patient, PIXELS, PIXELS)(*tensors(*cameras))
    assert image.dtype == torch.float32
    expected = project(patient, cameras, supersample=1).area_density
    np.testing.assert_allclose(image.numpy(), expected, atol=1e-5 * expected.max())


def test_gradients_are_the_jacobian(patient: Patient) -> None:
    camera = view(patient)
    K, pose = tensors(camera)
    twist = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(1, 2, PIXELS, PIXELS, generator=torch.Generator().manual_seed(0))
    (weights * Projector(patient, PIXELS, PIXELS)(K, se3_exp(twist) @ pose)).sum().backward()
    jacobian = project(patient, camera, jacobian=True, supersample=1).jacobian
    expected = np.einsum("vbrc,vbkrc->vk", weights.numpy().astype(float), jacobian.astype(float))
    np.testing.assert_allclose(twist.grad.numpy(), expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_the_exponential_is_rigid_and_smooth_at_zero() -> None:
    twist = torch.tensor([[0.3, -0.2, 0.1, 5.0, -3.0, 2.0], [0.0] * 6], dtype=torch.float64, requires_grad=True)
    matrix = se3_exp(twist)
    rotation = matrix[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.transpose(1, 2), torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    torch.testing.assert_close(matrix[1], torch.eye(4, dtype=torch.float64))
    matrix.sum().backward()
    assert torch.isfinite(twist.grad).all()


def test_a_pose_is_found_by_gradient_descent(patient: Patient) -> None:
    K, pose = tensors(view(patient))
    projector = Projector(patient, PIXELS, PIXELS)
    target = projector(K, pose)
    start = torch.tensor([[0.01, -0.008, 0.02, 3.0, -4.0, 8.0]], dtype=torch.float64)
    twist = start.clone().requires_grad_()
    scale = torch.tensor([[0.002, 0.002, 0.01, 1.0, 1.0, 8.0]], dtype=torch.float64)
    step = torch.zeros_like(twist).requires_grad_()
    optimiser = torch.optim.Adam([step], lr=0.3)
    for _ in range(150):
        optimiser.zero_grad()
        loss = ((projector(K, se3_exp(twist.detach() + step * scale) @ pose) - target) ** 2).mean()
        loss.backward()
        optimiser.step()
    left = (start + step.detach() * scale).abs()
    # Where a landmark at the isocentre ends up: rotation about the source moves it by 600 mm per radian.
    centre = torch.from_numpy(np.append(patient.center_mm, 1.0))
    moved = (se3_exp(start + step.detach() * scale) @ pose)[0] @ centre - pose[0] @ centre
    assert moved[:2].norm() < 0.3
    assert left[0, 2] < 0.004


def test_wrong_tensors_are_refused(patient: Patient) -> None:
    K, pose = tensors(view(patient))
    projector = Projector(patient, PIXELS, PIXELS)
    for bad in ((K[0], pose), (K, pose[:, :3]), (K, pose * float("nan"))):
        with pytest.raises(InputError):
            projector(*bad)
    with pytest.raises(InputError, match="at least one row"):
        Projector(patient, 0, 5)
    twist = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    loss = (projector(K, se3_exp(twist) @ pose) ** 2).sum()
    (grad,) = torch.autograd.grad(loss, twist, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
