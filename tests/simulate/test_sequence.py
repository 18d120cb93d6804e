"""Fluoroscopy: pulses, lag, averaging, movement, contrast agent, and the files."""

import shutil
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from PIL import Image

from synthray.anatomy import Patient
from synthray.errors import InputError
from synthray.geometry import CArm
from synthray.imaging import Detector, ImagingSettings, Scatter
from synthray.simulate import Bolus, Fluoroscopy, fluoroscopy, save_sequence
from synthray.simulate.sequence import carried_over

DEVICE = CArm.preset("generic-300mm").resized(48)
PLAIN = ImagingSettings(scatter=Scatter(strength=0, grid=None))


@pytest.fixture(scope="module")
def patient() -> Patient:
    hu = np.full((40, 40, 40), -1000, dtype=np.int16)
    hu[4:36, 4:36, 4:36] = 20
    labels = np.zeros(hu.shape, dtype=np.uint8)
    labels[16:22, 16:22, 8:32] = 1
    return Patient.from_arrays(hu, np.diag([5, 5, 5, 1.0]), labels, {1: "aorta"})


def test_every_frame_has_its_own_noise_and_the_same_dose(patient: Patient) -> None:
    camera = DEVICE.view(patient.center_mm)
    sample = fluoroscopy(patient, camera, 6, seed=3, settings=PLAIN)
    assert sample.image.shape == (6, 48, 48)
    assert len({dose.mas for dose in sample.doses}) == 1
    assert sample.doses[0].detector_kerma_ugy == pytest.approx(0.03, rel=0.2)
    assert all((a != b).mean() > 0.9 for a, b in zip(sample.image, sample.image[1:], strict=False))
    again = fluoroscopy(patient, camera, 6, seed=3, settings=PLAIN)
    np.testing.assert_array_equal(sample.image, again.image)
    assert sample.masks["aorta"].shape == (6, 48, 48)


def test_averaging_lowers_the_noise_by_its_formula() -> None:
    frames = np.random.default_rng(0).normal(1, 0.1, (60, 80, 80)).astype(np.float32)
    for part in (0.3, 0.7):
        shown = carried_over(frames, part)[30:]
        assert shown.std() / 0.1 == pytest.approx(np.sqrt((1 - part) / (1 + part)), rel=0.03)
        assert shown.mean() == pytest.approx(1, abs=1e-3)


def test_lag_leaves_a_trace_of_what_moved(patient: Patient) -> None:
    moving = [DEVICE.view(patient.center_mm + [x, 0, 0]) for x in (-60, 60)]
    laggy = replace(PLAIN, detector=replace(Detector(), lag=0.2), mas=2.0)
    crisp = replace(laggy, detector=Detector())
    with_lag, without = (fluoroscopy(patient, moving, settings=s).transmission for s in (laggy, crisp))
    np.testing.assert_allclose(with_lag[1], 0.8 * without[1] + 0.2 * without[0], atol=1e-5)


def test_contrast_agent_comes_and_goes(patient: Patient) -> None:
    bolus = Bolus(structure="aorta", curve=((0.0, 0.0), (0.4, 0.0), (0.8, 300.0), (1.6, 0.0)))
    sample = fluoroscopy(
        patient, DEVICE.view(patient.center_mm), 10, settings=replace(PLAIN, mas=5.0), boluses=[bolus],
        mode=Fluoroscopy(frames_per_second=5),
    )  # fmt: skip
    inside = sample.masks["aorta"][0]
    vessel = np.array([frame[inside].mean() for frame in sample.image])
    around = np.array([frame[~inside].mean() for frame in sample.image])
    assert vessel.argmax() == 4
    assert vessel[4] > vessel[0] + 0.5
    assert vessel[9] == pytest.approx(vessel[0], abs=0.05)
    assert np.ptp(around) < 0.02


def test_wrong_sequences_are_refused(patient: Patient) -> None:
    camera = DEVICE.view(patient.center_mm)
    for call, message in (
        (lambda: fluoroscopy(patient, camera), "number of frames"),
        (lambda: fluoroscopy(patient, [camera, camera], 3), "2 cameras"),
        (lambda: fluoroscopy(patient, camera, 2, boluses=[Bolus(structure="vein", curve=((0, 1),))]), "'vein'"),
        (lambda: Bolus(structure="aorta", curve=((1, 1), (0, 1))), "rising order"),
        (lambda: Bolus(structure="aorta", curve=((0, -1),)), "0 to 1000"),
        (lambda: Fluoroscopy(frames_per_second=0), "0.5 to 60"),
        (lambda: Fluoroscopy(averaging=1), "0 to 0.95"),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_files_hold_all_frames(patient: Patient, tmp_path) -> None:
    sample = fluoroscopy(patient, DEVICE.view(patient.center_mm), 5, settings=PLAIN, seed=1)
    for name in ("run.png", "run.gif"):
        with Image.open(save_sequence(sample, tmp_path / name, 10)) as picture:
            assert picture.n_frames == 5
            assert picture.size == (48, 48)
    held = pydicom.dcmread(save_sequence(sample, tmp_path / "run.dcm", 10))
    assert held.NumberOfFrames == 5
    assert held.PatientName == "Simulated^SIMULATED"
    assert float(held.DistanceSourceToDetector) == 1000
    assert held.ImagerPixelSpacing == pytest.approx([DEVICE.pixel_mm] * 2)
    signal_log = held.pixel_array * float(held.RescaleSlope) + float(held.RescaleIntercept)
    np.testing.assert_allclose(-signal_log, np.clip(sample.image, 0, 10.2), atol=0.5 / 400 + 1e-6)
    first = (tmp_path / "run.dcm").read_bytes()
    save_sequence(sample, tmp_path / "run.dcm", 10)
    assert (tmp_path / "run.dcm").read_bytes() == first
    with pytest.raises(InputError, match=r"\.dcm, \.png"):
        save_sequence(sample, tmp_path / "run.avi")
    if shutil.which("ffmpeg"):
        assert save_sequence(sample, tmp_path / "run.mp4", 10).stat().st_size > 500
    else:
        with pytest.raises(InputError, match="apt-get install ffmpeg"):
            save_sequence(sample, tmp_path / "run.mp4")
