"""The Warp backend beyond the golden suite: memory, batches, messages. Runs on Warp's CPU device."""

import re
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from test_golden import blobs, views

wp = pytest.importorskip("warp", reason="the GPU backend needs the extra 'gpu'")

from synthray.errors import InputError  # noqa: E402
from synthray.projector import cpu, gpu, gpu_device, gpu_kernels, prepare, project  # noqa: E402
from synthray.projector.rays import bundle  # noqa: E402
from synthray.projector.result import Wanted  # noqa: E402


@pytest.fixture(autouse=True)
def on_the_cpu_device(monkeypatch):
    monkeypatch.setenv(gpu.DEVICE_VARIABLE, "cpu")


def test_results_of_many_launches_are_those_of_one(monkeypatch):
    patient = blobs()
    cameras = views(patient, *[(lao, 5) for lao in range(-60, 61, 20)], pixels=24)
    whole = project(patient, cameras, backend="gpu", paths=("s1",))
    monkeypatch.setattr(gpu, "_LAUNCH_BYTES", 1)
    parts = project(patient, cameras, backend="gpu", paths=("s1",))
    np.testing.assert_array_equal(whole.area_density, parts.area_density)
    np.testing.assert_array_equal(whole.masks.words, parts.masks.words)
    np.testing.assert_array_equal(whole.depth_mm, parts.depth_mm)
    np.testing.assert_array_equal(whole.paths_mm["s1"], parts.paths_mm["s1"])


def test_the_cuda_build_compiles(tmp_path):
    """It needs Warp's own compiler, neither a GPU nor a driver."""
    archs = gpu_device.warp_module().get_cuda_supported_archs()
    if not archs:
        pytest.skip("this build of Warp has no CUDA compiler")
    wp.compile_aot_module(gpu_kernels, arch=[min(archs), 90], module_dir=tmp_path, use_ptx=False)
    assert {path.suffixes[-2] for path in tmp_path.glob("*.cubin")} == {f".sm{min(archs)}", ".sm90"}


def test_a_volume_is_uploaded_once_and_released():
    patient = blobs(seed=5)
    volume = prepare(patient)
    project(patient, views(patient, (0, 0)), backend="gpu")
    held = volume.derived["gpu"]["cpu"]
    project(patient, views(patient, (40, 0)), backend="gpu")
    assert volume.derived["gpu"]["cpu"] is held
    assert gpu.resident_bytes(volume) == {"cpu": held.nbytes}
    assert held.nbytes < 2.5 * volume.nbytes + 4096
    gpu.release(volume)
    assert gpu.resident_bytes(volume) == {}


def test_release_frees_the_parts_too():
    patient = blobs(seed=6)
    project(patient, views(patient, (0, 0)), backend="gpu", densities=("s1",))
    piece = prepare(patient).derived["parts"]["s1"]
    assert gpu.resident_bytes(piece)["cpu"] > 0
    gpu.release(prepare(patient))
    assert gpu.resident_bytes(piece) == {}


def test_several_volumes_are_resident_at_once():
    patients = [blobs(seed=s) for s in (1, 2)]
    images = [project(p, views(p, (10, 0)), backend="gpu").area_density for p in patients]
    again = [project(p, views(p, (10, 0)), backend="gpu").area_density for p in patients]
    for first, second in zip(images, again, strict=True):
        np.testing.assert_array_equal(first, second)
    assert (images[0] != images[1]).any()


def test_tensors_share_the_device_memory():
    torch = pytest.importorskip("torch", reason="tensors need the extra 'learn'")
    patient = blobs()
    volume = prepare(patient)
    rays = bundle(views(patient, (20, 10)), volume)
    wanted = Wanted(masks=True, depth=True, gradient=True)
    there = gpu.march_device(volume, rays, wanted)
    tensors = gpu.as_torch(there)
    assert tensors.density.data_ptr() == there.density.ptr
    expected = cpu.march(volume, rays, wanted)
    assert tensors.gradient.shape == expected.gradient.shape
    assert torch.equal(tensors.words, torch.from_numpy(expected.words.view(np.int64)))
    np.testing.assert_allclose(tensors.density.numpy(), expected.density, atol=1e-4 * expected.density.max())


def test_out_is_written_into():
    patient = blobs()
    held = project(patient, views(patient, (0, 0)), backend="gpu")
    again = project(patient, views(patient, (30, 0)), backend="gpu", out=held)
    assert again.area_density is held.area_density
    np.testing.assert_array_equal(
        again.area_density, project(patient, views(patient, (30, 0)), backend="gpu").area_density
    )


def test_what_is_missing_is_said_in_one_line(monkeypatch):
    patient = blobs()
    monkeypatch.delenv(gpu.DEVICE_VARIABLE)
    monkeypatch.setattr(gpu_device, "_driver_present", lambda: False)
    with pytest.raises(InputError, match="no NVIDIA driver on this machine: install one, or use backend='cpu'"):
        project(patient, views(patient, (0, 0)), backend="gpu")
    assert project(patient, views(patient, (0, 0)), backend="auto").area_density.any()


@pytest.mark.parametrize(
    ("machine", "device", "message"),
    [
        (
            {"driver": (12, 8)},
            None,
            r"supports CUDA 12\.8 \(warp-lang 1\.19\.0, built with CUDA 13\.4\): update the driver",
        ),
        ({"driver": None}, None, r"could not be started .* update the driver"),
        ({"driver": (13, 0)}, None, r"shows no GPU: look at nvidia-smi and CUDA_VISIBLE_DEVICES"),
        (
            {"driver": (13, 4), "arch": 61},
            None,
            r"GTX has compute capability 6\.1, .* needs 7\.5: pip install 'warp-lang<1\.18'",
        ),
        ({"driver": (13, 4), "arch": 90}, "cuda:3", r"no device 'cuda:3': this machine has cuda:0"),
        ({"driver": (13, 4), "arch": 90}, None, None),
    ],
)
def test_every_reason_against_a_gpu_has_its_line(monkeypatch, machine, device, message):
    cards = ["cuda:0"] if "arch" in machine else []
    fake = SimpleNamespace(
        config=SimpleNamespace(version="1.19.0"),
        get_cuda_driver_version=lambda: machine["driver"],
        get_cuda_toolkit_version=lambda: (13, 4),
        is_cuda_available=lambda: bool(cards),
        get_cuda_devices=lambda: cards,
        get_device=lambda _: SimpleNamespace(name="GTX", arch=machine["arch"]),
        get_cuda_supported_archs=lambda: [75, 90],
    )
    monkeypatch.delenv(gpu.DEVICE_VARIABLE)
    monkeypatch.setattr(gpu_device, "_driver_present", lambda: True)
    monkeypatch.setattr(gpu_device, "warp_module", lambda: fake)
    reason = gpu.reason_unavailable(device)
    if message is None:
        assert reason is None
    else:
        assert re.search(message, reason)
        assert "\n" not in reason


def test_too_little_memory_is_refused_with_the_numbers():
    class Small:
        is_cuda, free_memory, total_memory, name = True, 600 << 20, 1 << 30, "tiny"

        def __str__(self) -> str:
            return "cuda:0"

    with pytest.raises(InputError, match=r"ct: the march needs 2\.00 GiB on cuda:0 \(tiny\), 0\.34 of 1\.0 GiB"):
        gpu_device.check_memory("ct", 2 << 30, Small())
    gpu_device.check_memory("ct", 100 << 20, Small())


def test_auto_takes_the_cpu_where_the_gpu_lacks_memory(monkeypatch):
    def full(name, needed, device):
        raise gpu.DeviceMemoryError(f"{name}: too little memory")

    patient = blobs(seed=7)
    monkeypatch.setattr(gpu, "check_memory", full)
    with pytest.raises(InputError, match="too little memory"):
        project(patient, views(patient, (0, 0)), backend="gpu")
    expected = project(patient, views(patient, (0, 0)), backend="cpu").area_density
    np.testing.assert_array_equal(project(patient, views(patient, (0, 0))).area_density, expected)


def test_threads_may_project_at_once():
    patients = [blobs(seed=s) for s in range(4)]
    expected = [project(p, views(p, (10, 0)), backend="cpu").area_density for p in patients]
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda p: project(p, views(p, (10, 0)), backend="gpu").area_density, patients * 3))
    for image, right in zip(images, expected * 3, strict=True):
        np.testing.assert_allclose(image, right, atol=1e-4 * right.max())
