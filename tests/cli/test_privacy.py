"""No identity from a DICOM header reaches any output: every element that can hold text carries a canary."""

import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom.datadict import DicomDictionary, keyword_dict
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from synthray.cli.app import run
from synthray.dataset.convert import TARGETS

# What makes an image an image; all else is somebody's.
TECHNICAL = {
    "SpecificCharacterSet", "SOPClassUID", "Modality", "ImageType", "Rows", "Columns", "NumberOfFrames",
    "SamplesPerPixel", "PhotometricInterpretation", "PresentationLUTShape", "PixelIntensityRelationship",
    "VOILUTFunction", "PixelSpacingCalibrationType", "PositionerMotion", "ViewPosition", "PatientOrientation",
    "SeriesInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
}  # fmt: skip
CANARIES = ("CANARY", "19020304", "123456.789", "9876543210", "987Y")
BY_KIND = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"), "CANARY"),
    "DA": "19020304", "TM": "123456.789", "DT": "19020304123456.789", "UI": "1.2.9876543210", "AS": "987Y",
}  # fmt: skip
UID = "1.2.9876543210.7"


def canaries() -> Dataset:
    """A header in which every element of the dictionary that can hold text does."""
    data = Dataset()
    names = {entry[4]: (tag, entry[0]) for tag, entry in DicomDictionary.items()}
    for keyword, (tag, kind) in names.items():
        if keyword and keyword not in TECHNICAL and kind in BY_KIND and tag >> 16 > 7:
            data.add_new(tag, kind, BY_KIND[kind])
    inner = Dataset()
    inner.PatientName, inner.PatientID, inner.ReferencedSOPInstanceUID = "CANARY", "CANARY", UID
    for keyword in ("RequestAttributesSequence", "ReferencedStudySequence", "OtherPatientIDsSequence"):
        data.add_new(keyword_dict[keyword], "SQ", [inner])
    block = data.private_block(0x0011, "CANARY MAKER", create=True)
    block.add_new(0x01, "LO", "CANARY private")
    return data


def write(path: Path, storage: str, pixels: np.ndarray, **elements) -> None:
    data = canaries()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = storage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = UID
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, int(pixels.dtype.kind == "i")
    data.SeriesInstanceUID = UID
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    data.PixelData = pixels.tobytes()
    data.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """`ct/` with a block of water, `two/` with two series, `xrays/` as `evaluate` wants them."""
    root = tmp_path_factory.mktemp("privacy")
    place = {"Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "PixelSpacing": [8, 8]}
    hu = np.full((24, 24), -1000, dtype=np.int16)
    hu[4:20, 4:20] = 40
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for folder, series in (("ct", UID), ("two", UID), ("two", UID + ".8")):
            (root / folder).mkdir(exist_ok=True)
            for k in range(10):
                write(
                    root / folder / f"{series[-1]}-{k}", "1.2.840.10008.5.1.4.1.1.2", hu, SeriesInstanceUID=series,
                    ImagePositionPatient=[0, 0, 8.0 * k], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], **place,
                )  # fmt: skip
        for folder in ("images", "masks_water"):
            (root / "xrays" / folder).mkdir(parents=True)
            pixels = np.random.default_rng(0).integers(0, 4000, (40, 40)).astype(np.uint16)
            shown = pixels if folder == "images" else (pixels > 2000).astype(np.uint16)
            write(root / "xrays" / folder / "a.dcm", "1.2.840.10008.5.1.4.1.1.1.1", shown, Modality="DX")
    (root / "recipe.yaml").write_text(
        f"""
name: water
images: 4
images_per_shard: 2
people: [{{ct: {root}/ct, labels: {root}/labels.nii.gz}}]
views: [{{carm: chest-pa, rows: 32}}]
structures: {{water: {{of: [label_1]}}}}
landmarks: []
"""
    )
    import SimpleITK

    water = np.repeat((hu > 0).astype(np.uint8)[None], 10, axis=0)
    image = SimpleITK.GetImageFromArray(water)
    image.SetSpacing([8.0, 8.0, 8.0])
    SimpleITK.WriteImage(image, str(root / "labels.nii.gz"))
    return root


def write_structure_set(path: Path) -> None:
    """One contour on each slice of the CT."""
    data = canaries()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = UID
    data.Modality = "RTSTRUCT"
    roi, drawn = canaries(), canaries()
    roi.ROINumber, roi.ROIName, drawn.ReferencedROINumber = 1, "water", 1
    drawn.ContourSequence = []
    for k in range(10):
        contour = canaries()
        contour.ContourGeometricType = "CLOSED_PLANAR"
        contour.ContourData = [v for x, y in ((28, 28), (156, 28), (156, 156), (28, 156)) for v in (x, y, 8 * k)]
        drawn.ContourSequence.append(contour)
    data.StructureSetROISequence, data.ROIContourSequence = [roi], [drawn]
    data.save_as(path, enforce_file_format=True)


def clean(text: bytes | str) -> None:
    data = text.encode() if isinstance(text, str) else text
    for canary in CANARIES:
        assert canary.encode() not in data, canary


def clean_folder(folder: Path, least: int) -> None:
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert len(written) >= least
    for path in written:
        clean(path.read_bytes())
        clean(path.name)


def test_the_canaries_are_there(files):
    data = (files / "ct" / "7-0").read_bytes()
    for canary in CANARIES:
        assert data.count(canary.encode()) > 1
    assert data.count(b"CANARY") > 500
    assert struct.pack("<HH", 0x0010, 0x0010) in data


def test_inspect_simulate_generate_and_convert(files, tmp_path, capsys):
    ct, out = str(files / "ct"), tmp_path / "out"
    out.mkdir()
    assert run(["inspect", ct, "--json", "--picture", str(out / "ct.png")]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_structure_set(tmp_path / "rs.dcm")
    assert run(["inspect", ct, "--labels", str(tmp_path / "rs.dcm"), "--json"]) == 0
    assert run(["simulate", ct, "--labels", str(tmp_path / "rs.dcm"), "--size", "48", "--out", str(out / "w.png")]) == 0
    assert (out / "w__water.png").is_file()
    xray = str(files / "xrays" / "images" / "a.dcm")
    assert run(["inspect", xray, "--json", "--picture", str(out / "xray.png")]) == 0
    assert run(["inspect", xray]) == 0
    assert run(["simulate", ct, "--size", "48", "--out", str(out / "shot.png"), "--json"]) == 0
    assert run(["generate", str(files / "recipe.yaml"), str(out / "set"), "--workers", "1"]) == 0
    for target in TARGETS:
        name = "Dataset101_Water" if target == "nnunet" else f"{target}.h5" if target == "hdf5" else target
        assert run(["convert", str(out / "set"), str(out / name), "--to", target]) == 0
    assert run(["inspect", str(files / "two")]) == 2  # two series: the message lists them
    told = capsys.readouterr()
    clean(told.out)
    clean(told.err)
    clean_folder(out, 20)


def test_predict_and_evaluate(files, tmp_path, capsys):
    pytest.importorskip("torch")
    import torch

    from synthray.models import ModelSpec, NetworkConfig, Preprocessing, build_network, save_model

    torch.manual_seed(0)
    spec = ModelSpec(
        structures=("water",), landmarks=(), preprocessing=Preprocessing(size=32),
        network=NetworkConfig(width=4, levels=3),
    )  # fmt: skip
    save_model(tmp_path / "run", build_network(spec.network, 1, 0), spec)
    image = str(files / "xrays" / "images" / "a.dcm")
    assert run(["predict", str(tmp_path / "run"), image, "--out", str(tmp_path / "out" / "predicted")]) == 0
    data = str(files / "xrays")
    assert run(["evaluate", str(tmp_path / "run"), data, "--out", str(tmp_path / "out" / "scores")]) == 0
    told = capsys.readouterr()
    clean(told.out)
    clean(told.err)
    clean_folder(tmp_path / "out", 5)
