import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, SecondaryCaptureImageStorage

from synthray.errors import InputError, SynthrayWarning
from synthray.models import read_image

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def dicom(path, pixels, **elements):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    data.BitsAllocated = data.BitsStored = pixels.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for name, value in elements.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_eight_bit_pictures(tmp_path, ending):
    Image.fromarray(GREY).save(tmp_path / f"a.{ending}")
    image = read_image(tmp_path / f"a.{ending}")
    assert image.dtype == np.float32
    assert np.array_equal(image, GREY)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_are_kept(tmp_path, ending):
    deep = GREY.astype(np.uint16) * 250 + 1
    Image.fromarray(deep).save(tmp_path / f"a.{ending}")
    assert np.array_equal(read_image(tmp_path / f"a.{ending}"), deep)


def test_float_tiff_and_one_bit(tmp_path):
    Image.fromarray(GREY.astype(np.float32) / 7).save(tmp_path / "a.tif")
    assert np.allclose(read_image(tmp_path / "a.tif"), GREY / 7)
    Image.fromarray(GREY > 100).save(tmp_path / "b.png")
    assert np.array_equal(read_image(tmp_path / "b.png") > 0, GREY > 100)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "CMYK"])
def test_colour_becomes_luminance(tmp_path, mode):
    ending = "tif" if mode == "CMYK" else "png"
    Image.fromarray(GREY).convert("L" if mode == "P" else "RGB").convert(mode).save(tmp_path / f"a.{ending}")
    assert np.abs(read_image(tmp_path / f"a.{ending}") - GREY).max() < 3


def test_jpeg_and_its_rotation_tag(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.full((16, 24), 100, np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    with pytest.warns(SynthrayWarning, match="EXIF"):
        image = read_image(tmp_path / "a.jpg")
    assert image.shape == (16, 24)
    assert abs(image.mean() - 100) < 2


def test_numpy(tmp_path):
    np.save(tmp_path / "a.npy", GREY.astype(np.int16) - 100)
    assert np.array_equal(read_image(tmp_path / "a.npy"), GREY.astype(np.float32) - 100)
    np.save(tmp_path / "b.npy", np.stack([GREY] * 3, axis=-1))
    assert np.allclose(read_image(tmp_path / "b.npy"), GREY, atol=0.01)


def test_dicom_rescale_and_polarity(tmp_path):
    plain = read_image(dicom(tmp_path / "a.dcm", GREY, RescaleSlope=2, RescaleIntercept=-10))
    assert np.array_equal(plain, GREY * 2.0 - 10)
    inverted = read_image(dicom(tmp_path / "b.dcm", GREY, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(inverted, 220.0 - GREY)


def test_dicom_without_an_ending_signed_and_with_frames(tmp_path):
    frames = np.stack([GREY.astype(np.int16) - 50, np.zeros((3, 4), np.int16)])
    file = dicom(tmp_path / "IM0001", frames)
    with pytest.warns(SynthrayWarning, match="2 frames"):
        assert np.array_equal(read_image(file), GREY.astype(np.float32) - 50)


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_dicom_padding_becomes_dark(tmp_path, kind):
    pixels = GREY.copy()
    pixels[0, 0] = 255
    file = dicom(tmp_path / "a.dcm", pixels, PixelPaddingValue=255, PhotometricInterpretation=kind)
    image = read_image(file)
    assert image[0, 0] == image.min()
    assert image.max() <= 220


def test_compressed_dicom(tmp_path):
    data = pydicom.dcmread(dicom(tmp_path / "a.dcm", GREY))
    data.compress(RLELossless)
    data.save_as(tmp_path / "b.dcm")
    assert np.array_equal(read_image(tmp_path / "b.dcm"), GREY)


def bad(tmp_path, name):
    path = tmp_path / name
    match name:
        case "empty.png":
            path.write_bytes(b"")
        case "text.png":
            path.write_text("not a picture")
        case "object.npy":
            np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        case "flags.npy":
            np.save(path, GREY > 0)
        case "volume.npy":
            np.save(path, np.zeros((5, 6, 7)))
        case "none.npy":
            np.save(path, np.zeros((0, 7)))
        case "nan.npy":
            np.save(path, np.full((2, 2), np.nan))
        case "huge.npy":
            np.save(path, np.full((2, 2), 1e300))
        case "notes.txt":
            path.write_text("hello")
        case "report.dcm":
            data = pydicom.dcmread(dicom(path, GREY))
            del data.PixelData
            data.save_as(path)
        case "folder.png":
            path.mkdir()
    return path


NAMES = [
    "empty.png",
    "text.png",
    "object.npy",
    "flags.npy",
    "volume.npy",
    "none.npy",
    "nan.npy",
    "huge.npy",
    "notes.txt",
    "report.dcm",
]


@pytest.mark.parametrize("name", [*NAMES, "folder.png", "absent.png"])
def test_bad_files_give_one_line_that_names_the_file(tmp_path, name):
    with pytest.raises(InputError, match=name) as caught:
        read_image(bad(tmp_path, name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ["png", "tif", "npy", "dcm", "jpg"])
def test_truncated_files_are_refused(tmp_path, ending):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    path = tmp_path / f"a.{ending}"
    match ending:
        case "npy":
            np.save(path, pixels)
        case "dcm":
            dicom(path, pixels)
        case _:
            Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="damaged"):
        read_image(path)


def test_over_a_hundred_megapixels_is_refused_from_the_header(tmp_path):
    Image.new("1", (11_000, 10_000)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="100 million"):
        read_image(tmp_path / "a.png")


@settings(max_examples=60, deadline=None)
@given(junk=st.binary(max_size=300), ending=st.sampled_from(["png", "tif", "npy", "dcm", "jpg", ""]))
def test_junk_never_escapes_as_another_error(tmp_path_factory, junk, ending):
    path = tmp_path_factory.mktemp("junk") / f"a.{ending}"
    path.write_bytes(junk)
    with pytest.raises(InputError):
        read_image(path)
