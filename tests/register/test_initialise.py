import numpy as np
import pydicom
import pytest

from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import CArm, invert_rigid
from synthray.register import camera_from_dicom, camera_from_landmarks


@pytest.fixture
def clicked(person, taken):
    """Landmarks in the X-ray, clicked to a pixel."""
    rng = np.random.default_rng(0)
    pixels = {name: taken.camera.project(at) + rng.normal(0, 0.7, 2) for name, at in person.landmarks.items()}
    return {name: at for name, at in pixels.items() if taken.camera.contains(at)}


def far_off(camera):
    return CArm.preset("cios-fusion").resized(camera.rows).view(target_mm=(0, 0, 0), view="ap")


def test_from_landmarks_with_outliers(person, taken, clicked):
    names = sorted(clicked)
    wrong = {**clicked, names[0]: np.array([3.0, 5]), names[4]: np.array([100.0, 120]), names[7]: np.full(2, np.nan)}
    found = camera_from_landmarks(person, wrong, far_off(taken.camera))
    total, in_plane = taken.error_mm(found)
    assert in_plane < 2
    assert total < 20


@pytest.mark.parametrize("count", [4, 5, 6])
def test_from_a_few_exact_landmarks(person, taken, count):
    names = ("ASIS-r", "ASIS-l", "FH-r", "FH-l", "GSN-l", "IOF-r")
    known = [name for name in names if name in person.landmarks][:count]
    assert len(known) == count
    exact = {name: taken.camera.project(person.landmarks[name]) for name in known}
    found = camera_from_landmarks(person, exact, far_off(taken.camera))
    assert taken.error_mm(found)[0] < 1e-3


def test_what_landmarks_are_refused(person, taken, clicked):
    few = dict(list(clicked.items())[:3])
    with pytest.raises(InputError, match="at least 4"):
        camera_from_landmarks(person, few, taken.camera)
    with pytest.raises(InputError, match="0 landmarks"), pytest.warns(SynthrayWarning, match="no landmark nose"):
        camera_from_landmarks(person, {"nose": (1, 2)}, taken.camera)
    with pytest.raises(InputError, match=r"\(column, row\)"):
        camera_from_landmarks(person, {next(iter(clicked)): (1, 2, 3)}, taken.camera)
    scattered = {name: np.random.default_rng(i).uniform(0, 128, 2) for i, name in enumerate(clicked)}
    with pytest.raises(InputError, match="left and right"):
        camera_from_landmarks(person, scattered, taken.camera, tolerance_px=1)


def header(path, **changes):
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = pydicom.uid.XRayAngiographicImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data.Rows, data.Columns = 512, 512
    data.ImagerPixelSpacing = [0.4, 0.4]
    data.DistanceSourceToDetector, data.DistanceSourceToPatient = 1000, 700
    data.PositionerPrimaryAngle, data.PositionerSecondaryAngle = 25, -10
    for name, value in changes.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


def test_dicom_angles_are_those_of_the_receptor(tmp_path):
    target = np.array([5.0, -100, 30])
    camera = camera_from_dicom(header(tmp_path / "x.dcm"), target)
    np.testing.assert_allclose(camera.project(target), [255.5, 255.5])
    # LAO 25 and caudal 10: the receptor stands in front (-y), to the left (+x), below (-z).
    assert camera.direction[0] == pytest.approx(np.cos(np.deg2rad(10)) * np.sin(np.deg2rad(25)))
    assert camera.direction[2] == pytest.approx(-np.sin(np.deg2rad(10)))
    assert camera.direction[1] < 0
    assert camera.mirrored
    assert np.linalg.norm(camera.source_mm - target) == pytest.approx(700)
    assert camera_from_dicom(tmp_path / "x.dcm", target, shape=(256, 256)).rows == 256


def test_dicom_receptors_behind_the_person(tmp_path):
    """Either way the person's left is on the right of the picture."""
    for primary in (180, -180, 170, -170, 0):
        path = header(tmp_path / "x.dcm", PositionerPrimaryAngle=primary, PositionerSecondaryAngle=0)
        camera = camera_from_dicom(path, (0, 0, 0))
        assert camera.project((50, 0, 0))[0] > camera.project((-50, 0, 0))[0]
        assert camera.direction[1] * (1 if abs(primary) > 90 else -1) > 0.9
        # LAO: towards the person's left, from behind as from the front.
        assert camera.direction[0] == pytest.approx(np.sin(np.deg2rad(primary)), abs=1e-9)
    assert np.isfinite(invert_rigid(camera.camera_from_patient)).all()


def test_what_dicom_files_are_refused(tmp_path):
    for name in ("PositionerPrimaryAngle", "DistanceSourceToPatient", "ImagerPixelSpacing"):
        with pytest.raises(InputError, match=f"tells no view.*{name}"):
            camera_from_dicom(header(tmp_path / "x.dcm", **{name: None}), (0, 0, 0))
    (tmp_path / "y.dcm").write_bytes(b"not dicom")
    with pytest.raises(InputError, match=r"not a readable DICOM|damaged or not readable"):
        camera_from_dicom(tmp_path / "y.dcm", (0, 0, 0))
    with pytest.raises(InputError, match=r"not a readable DICOM|damaged or not readable"):
        camera_from_dicom(tmp_path / "missing.dcm", (0, 0, 0))
