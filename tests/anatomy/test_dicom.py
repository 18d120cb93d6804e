"""DICOM folders: geometry whatever the patient's position, tilt, scaling; everything doubtful refused."""

import re

import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread
from pydicom.uid import generate_uid

from synthray.anatomy import Volume, load_patient
from synthray.anatomy.dicom import read_dicom_folder
from synthray.errors import InputError


def refused(folder, *words: str, series: str | None = None) -> str:
    with pytest.raises(InputError) as raised:
        load_patient(folder, remove_table=False, series=series)
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


def test_markers_are_where_they_were_put(phantom, dicom):
    dicom.write(phantom)
    ct = load_patient(dicom.folder, remove_table=False).ct
    phantom.expect_in(ct)
    assert ct.values.dtype == np.int16


def test_feet_first_and_prone(upright, dicom):
    for axes in (np.diag([-1.0, 1, -1]), np.diag([-1.0, -1, 1]), np.diag([1.0, -1, -1])):
        for old in dicom.folder.iterdir():
            old.unlink()
        matrix = upright.patient_from_voxel.copy()
        matrix[:3, :3] = axes @ matrix[:3, :3]
        turned = type(upright)(matrix)
        dicom.write(turned)
        turned.expect_in(load_patient(dicom.folder, remove_table=False).ct)


@pytest.mark.parametrize("tilt_deg", [-20, 8, 25])
def test_gantry_tilt_gives_a_sheared_affine(upright, dicom, tilt_deg):
    matrix = upright.patient_from_voxel.copy()
    tilt = np.radians(tilt_deg)
    matrix[:3, 1] = 2.0 * np.array([0, np.cos(tilt), np.sin(tilt)])  # the table still moves along z
    tilted = type(upright)(matrix)
    dicom.write(tilted, GantryDetectorTilt=float(tilt_deg))
    tilted.expect_in(load_patient(dicom.folder, remove_table=False).ct)


def test_scaling_of_each_slice_is_its_own(upright, dicom):
    dicom.write(upright, skip=(5,))
    matrix = upright.patient_from_voxel
    scaled = dicom.slice(
        "other", upright.values[:, :, 5].T, slope=2, intercept=-2000,
        ImagePositionPatient=(matrix[:3, 3] + 5 * matrix[:3, 2]).tolist(), ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        PixelSpacing=[2.0, 1.5],
    )  # fmt: skip
    assert dcmread(scaled).RescaleSlope == 2
    upright.expect_in(load_patient(dicom.folder, remove_table=False).ct)


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_jpeg_slices_hold_the_same_units_whatever_their_polarity(upright, dicom, kind):
    dicom.write(upright)
    writer = SimpleITK.ImageFileWriter()
    writer.SetUseCompression(True)
    writer.SetCompressor("JPEG")
    writer.SetFileName(str(dicom.folder.parent / "packed.dcm"))
    for path in dicom.folder.iterdir():
        data = dcmread(path)
        writer.Execute(SimpleITK.GetImageFromArray(data.pixel_array[None]))
        packed = dcmread(dicom.folder.parent / "packed.dcm")
        data.PixelData, data["PixelData"].VR, data["PixelData"].is_undefined_length = packed.PixelData, "OB", True
        data.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
        data.PhotometricInterpretation = kind
        data.save_as(path)
    upright.expect_in(load_patient(dicom.folder, remove_table=False).ct)


def test_missing_slice_is_named_in_mm(upright, dicom):
    dicom.write(upright, skip=(4,))
    refused(dicom.folder, "6.00 mm", "3.00 mm is usual")


def test_doubled_slice(upright, dicom):
    dicom.write(upright)
    first = sorted(dicom.folder.iterdir())[0]
    (dicom.folder / "copy").write_bytes(first.read_bytes())
    refused(dicom.folder, "two slices at one place", "copy")


def test_several_series_are_listed_by_their_looks_and_can_be_chosen(upright, dicom):
    dicom.write(upright, SeriesDescription="thin of Doe")
    thin = dicom.series
    dicom.series = generate_uid()
    for path in list(dicom.folder.iterdir()):
        path.rename(path.with_name("a" + path.name))
    dicom.write(upright, SeriesDescription="thick", skip=(0,))
    message = refused(dicom.folder, "8 slices of 12 x 10, 3 mm apart", "7 slices of 12 x 10")
    assert not any(word in message for word in (thin, dicom.series, "Doe"))
    name = re.search(r"(ct-\w{8}) \(8 slices", message)[1]
    for chosen in (thin, name):
        upright.expect_in(load_patient(dicom.folder, series=chosen, remove_table=False).ct)
    refused(dicom.folder, "no CT series 1.2.3", name, series="1.2.3")


def test_scouts_reports_and_other_files_are_passed_over(upright, dicom):
    dicom.write(upright)
    dicom.slice("scout", upright.values[:, :, 0], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    dicom.slice("mr", upright.values[:, :, 0], Modality="MR")
    (dicom.folder / "notes.txt").write_text("not DICOM")
    upright.expect_in(load_patient(dicom.folder, remove_table=False).ct)


def test_mixed_sizes_and_orientations(upright, dicom):
    dicom.write(upright, skip=(7,))
    place = {"ImagePositionPatient": [-10, 20, 321], "PixelSpacing": [2.0, 1.5]}
    odd = dicom.slice("odd", upright.values[:, :5, 7].T, ImageOrientationPatient=[1, 0, 0, 0, 1, 0], **place)
    refused(dicom.folder, "different size", "odd")
    odd.unlink()
    dicom.slice("odd", upright.values[:, :, 7].T, ImageOrientationPatient=[0, 1, 0, 1, 0, 0], **place)
    refused(dicom.folder, "orientation", "odd")


def test_a_slice_off_the_line(upright, dicom):
    dicom.write(upright, skip=(3,))
    dicom.slice(
        "shifted", upright.values[:, :, 3].T, ImagePositionPatient=[-4, 20, 309], PixelSpacing=[2.0, 1.5],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
    )  # fmt: skip
    refused(dicom.folder, "shifted", "6.00 mm off the line")


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        ("PixelSpacing", [0.0, 1.5], "not a sensible number"),
        ("ImageOrientationPatient", [0, 0, 0, 0, 0, 0], "perpendicular"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "perpendicular"),
        ("ImagePositionPatient", [1.0, 2.0], "can't be understood"),
        ("NumberOfFrames", 4, "multi-frame"),
    ],
)
def test_headers_that_make_no_sense(upright, dicom, tag, value, words):
    dicom.write(upright)
    path = sorted(dicom.folder.iterdir())[2]
    data = dcmread(path)
    setattr(data, tag, value)
    data.save_as(path)
    refused(dicom.folder, words, path.name)


def test_no_position_at_all(upright, dicom):
    dicom.write(upright)
    path = sorted(dicom.folder.iterdir())[0]
    data = dcmread(path)
    del data.ImagePositionPatient
    data.save_as(path)
    refused(dicom.folder, path.name, "missing")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_cut_off_slice(upright, dicom, share):
    dicom.write(upright)
    path = sorted(dicom.folder.iterdir())[1]
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(dicom.folder)


def test_one_slice_and_one_file(upright, dicom):
    dicom.write(upright, skip=tuple(range(1, 8)))
    refused(dicom.folder, "at least two")
    refused(next(dicom.folder.iterdir()), "give the folder")


def test_nothing_of_the_person_comes_along(upright, dicom):
    dicom.write(upright)
    patient = load_patient(dicom.folder, remove_table=False)
    assert "Doe" not in repr(patient)
    assert patient.name.startswith("ct-")
    assert dicom.series not in patient.name


def test_compressed_slices(upright, dicom, tmp_path):
    dicom.write(upright)
    expected, _ = read_dicom_folder(dicom.folder)
    packed = tmp_path / "jpeg2000"
    packed.mkdir()
    for path in dicom.folder.iterdir():
        writer = SimpleITK.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.KeepOriginalImageUIDOn()
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG2000")
        image = SimpleITK.ReadImage(str(path), SimpleITK.sitkInt16)
        writer.SetFileName(str(packed / f"{path.name}.dcm"))
        writer.Execute(image)
    assert dcmread(next(packed.iterdir())).file_meta.TransferSyntaxUID.is_compressed
    found, _ = read_dicom_folder(packed)
    np.testing.assert_array_equal(found.values, expected.values)


def test_real_slices_agree_with_simpleitk(shared_data):
    folder = shared_data / "dicom" / "totalseg_example"
    ours: Volume = load_patient(folder, remove_table=False).ct
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    theirs = SimpleITK.ReadImage(names)
    values = SimpleITK.GetArrayFromImage(theirs).T
    np.testing.assert_array_equal(ours.values, np.maximum(values, -1024))
    np.testing.assert_allclose(ours.patient_from_voxel[:3, 3], theirs.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(ours.voxel_mm, theirs.GetSpacing(), atol=1e-3)
