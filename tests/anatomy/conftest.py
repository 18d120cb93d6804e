"""An asymmetric phantom: air with five markers, each of its own value, so that any flip or swap shows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from grids import AFFINES
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from synthray.anatomy import Volume
from synthray.geometry import apply

MARKERS = {100: (1, 1, 1), 200: (9, 2, 1), 300: (2, 7, 2), 400: (3, 1, 5), 500: (10, 8, 6)}
SHAPE = (12, 10, 8)


@dataclass(frozen=True)
class Phantom:
    """The markers on a grid whose affine is known."""

    patient_from_voxel: np.ndarray

    @property
    def values(self) -> np.ndarray:
        hu = np.full(SHAPE, -1000, dtype=np.int16)
        for value, index in MARKERS.items():
            hu[index] = value
        return hu

    def expect_in(self, volume: Volume, tolerance_mm: float = 1e-3) -> None:
        """Every marker lies where it was put in patient mm, whatever way the volume stores it."""
        for value, index in MARKERS.items():
            found = np.argwhere(volume.values == value)
            assert len(found) == 1, f"marker {value} found {len(found)} times"
            np.testing.assert_allclose(
                apply(volume.patient_from_voxel, found[0]),
                apply(self.patient_from_voxel, index),
                atol=tolerance_mm,
                err_msg=f"marker {value}",
            )

    def image(self) -> SimpleITK.Image:
        """The phantom as a SimpleITK image: an independent writer of NIfTI, NRRD and MetaImage."""
        image = SimpleITK.GetImageFromArray(np.ascontiguousarray(self.values.T))
        spacing = np.linalg.norm(self.patient_from_voxel[:3, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetDirection((self.patient_from_voxel[:3, :3] / spacing).ravel().tolist())
        image.SetOrigin(self.patient_from_voxel[:3, 3].tolist())
        return image


@pytest.fixture(params=sorted(AFFINES))
def phantom(request: pytest.FixtureRequest) -> Phantom:
    """The phantom in every orientation."""
    return Phantom(AFFINES[request.param])


@pytest.fixture
def upright() -> Phantom:
    """The phantom on LPS axes."""
    return Phantom(AFFINES["lps"])


class DicomWriter:
    """Writes the phantom as DICOM CT slices, k running along `step`, with whatever is asked for gone wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        self.series = generate_uid()

    def write(self, phantom: Phantom, skip: tuple[int, ...] = (), **tags: object) -> None:
        matrix = phantom.patient_from_voxel
        spacing = np.linalg.norm(matrix[:3, :3], axis=0)
        axes = matrix[:3, :3] / spacing
        order = np.random.default_rng(3).permutation(SHAPE[2])  # file names say nothing of the order
        for name, k in zip(order, range(SHAPE[2]), strict=True):
            if k in skip:
                continue
            self.slice(
                f"IM{name:03d}",
                phantom.values[:, :, k].T,
                ImagePositionPatient=apply(matrix, [0, 0, k]).round(6).tolist(),
                ImageOrientationPatient=[round(float(v), 9) for v in (*axes[:, 0], *axes[:, 1])],
                PixelSpacing=[float(spacing[1]), float(spacing[0])],
                **tags,
            )

    def slice(self, name: str, hu: np.ndarray, slope: float = 1, intercept: float = -1024, **tags: object) -> Path:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        data = Dataset()
        data.file_meta = meta
        data.SOPClassUID = CTImageStorage
        data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        data.SeriesInstanceUID = self.series
        data.PatientName = "Doe^Jane"
        data.Modality = "CT"
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.Rows, data.Columns = hu.shape
        data.SamplesPerPixel = 1
        data.PhotometricInterpretation = "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.RescaleSlope, data.RescaleIntercept = slope, intercept
        data.PixelData = np.rint((hu - intercept) / slope).astype("<u2").tobytes()
        for key, value in tags.items():
            setattr(data, key, value)
        path = self.folder / name
        data.save_as(path, enforce_file_format=True)
        return path


@pytest.fixture
def dicom(tmp_path: Path) -> DicomWriter:
    """A folder to write DICOM slices into."""
    return DicomWriter(tmp_path / "dicom")
