"""`synthray.torch`: values, gradients, and a small registration by gradient descent."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="synthray.torch needs the extra 'learn'")

from synthray.anatomy import Patient  # noqa: E402
from synthray.errors import InputError  # noqa: E402
from synthray.geometry import Camera, CArm  # noqa: E402
from synthray.projector import gpu, prepare, project  # noqa: E402
from synthray.projector.rays import bundle  # noqa: E402
from synthray.projector.reference import march_rays  # noqa: E402
from synthray.projector.result import Wanted  # noqa: E402
from synthray.torch import Projector, se3_exp  # noqa: E402
from synthray.torch import projector as torch_projector  # noqa: E402

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


def test_gradients_are_those_of_the_reference_in_double_precision(patient: Patient) -> None:
    volume = prepare(patient)
    camera = view(patient)
    weights = np.random.default_rng(0).uniform(size=(2, PIXELS, PIXELS))
    K, pose = tensors(camera)

    def value(twist: np.ndarray) -> float:
        moved = (se3_exp(torch.from_numpy(twist)) @ pose)[0].numpy()
        rays = bundle([Camera.from_matrix(camera.K, moved, PIXELS, PIXELS)], volume, 1)
        return float((march_rays(volume, rays, Wanted(masks=False, depth=False), 0).density[0] * weights).sum())

    twist = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    image = Projector(patient, PIXELS, PIXELS)(K, se3_exp(twist) @ pose)
    (torch.from_numpy(weights) * image).sum().backward()
    # Where a reading crosses a voxel's face the slope jumps: the error is in proportion to the step.
    steps = np.diag([1e-7] * 3 + [1e-4] * 3)
    central = [(value(step) - value(-step)) / (2 * step.sum()) for step in steps]
    got = twist.grad[0].numpy()
    for part in (slice(0, 3), slice(3, 6)):
        np.testing.assert_allclose(got[part], central[part], atol=1e-4 * np.abs(central[part]).max())


def test_gradients_by_the_intrinsics_are_those_of_the_reference_in_double_precision(patient: Patient) -> None:
    volume, camera = prepare(patient), view(patient)
    weights = np.random.default_rng(0).uniform(size=(2, PIXELS, PIXELS))
    K, pose = tensors(camera)

    def value(matrix: np.ndarray) -> float:
        rays = bundle([Camera.from_matrix(matrix, camera.camera_from_patient, PIXELS, PIXELS)], volume, 1)
        return float((march_rays(volume, rays, Wanted(masks=False, depth=False), 0).density[0] * weights).sum())

    K.requires_grad_()
    image = Projector(patient, PIXELS, PIXELS)(K, pose)
    (image * torch.from_numpy(weights)).sum().backward()
    for place in ((0, 0), (1, 1), (0, 1), (0, 2), (1, 2)):
        step = np.zeros((3, 3))
        step[place] = 1e-4
        slope = (value(camera.K + step) - value(camera.K - step)) / 2e-4
        assert K.grad[0][place].item() == pytest.approx(slope, rel=1e-3, abs=1e-3 * abs(slope) + 1e-4), place


@pytest.mark.parametrize("gradient", [False, True])
def test_the_path_of_cuda_tensors_gives_the_same_on_warps_cpu_device(patient: Patient, monkeypatch, gradient) -> None:
    pytest.importorskip("warp", reason="the GPU backend needs the extra 'gpu'")
    cameras = view(patient, 35, 35), view(patient, -60, 0), view(patient, 20, 50)  # fastest along y, x and z
    K, pose = tensors(*cameras)
    weights = torch.rand(3, 2, PIXELS, PIXELS, generator=torch.Generator().manual_seed(0))
    images, slopes = [], []
    for march in (torch_projector._on_cpu, gpu.march_tensors):
        monkeypatch.setattr(torch_projector, "_on_cpu", march)
        at = pose.clone().requires_grad_(gradient)
        images.append(Projector(patient, PIXELS, PIXELS)(K, at))
        if gradient:
            (weights * images[-1]).sum().backward()
            slopes.append(at.grad)
    torch.testing.assert_close(images[1], images[0], rtol=0, atol=1e-4 * float(images[0].detach().max()))
    if gradient:
        torch.testing.assert_close(slopes[1], slopes[0], rtol=0, atol=1e-3 * float(slopes[0].abs().max()))


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
    bad_K = (torch.tensor(1.0), pose), (torch.zeros_like(K), pose)
    for bad in ((K[0], pose), (K, pose[:, :3]), (K, pose * float("nan")), *bad_K):
        with pytest.raises(InputError):
            projector(*bad)
    with pytest.raises(InputError, match="at least one row"):
        Projector(patient, 0, 5)
    twist = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    loss = (projector(K, se3_exp(twist) @ pose) ** 2).sum()
    (grad,) = torch.autograd.grad(loss, twist, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
