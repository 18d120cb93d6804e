"""X-ray DICOM as people see it: both polarities, look-up tables, frames, spacing at the imager, C-arm angles."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.pixels.processing import apply_voi_lut
from pydicom.uid import ImplicitVRLittleEndian
from xray_file import table, write_xray

from synthray.anatomy import read_xray_dicom
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import CArm
from synthray.models import read_image

RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8) * 16


def bright_end(path) -> bool:
    """Whether the largest stored values are the brightest."""
    image = read_image(path)
    return bool(image[-1, -1] > image[0, 0])


@pytest.mark.parametrize("modality", ["CR", "DX", "XA", "RF", "OT"])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", [None, "IDENTITY", "INVERSE", "ODD"])
def test_polarity(tmp_path, modality, kind, shape):
    said = {} if shape is None else {"PresentationLUTShape": shape}
    path = write_xray(tmp_path / "a.dcm", RAMP, modality, PhotometricInterpretation=kind, **said)
    consistent = shape in (None, "ODD") or (shape == "INVERSE") == (kind == "MONOCHROME1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        up = bright_end(path)
    # MONOCHROME1 goes with INVERSE: turning the image twice would be wrong.
    assert up == (kind == "MONOCHROME2" and shape != "INVERSE")
    assert [w.category for w in caught] == ([] if consistent else [SynthrayWarning])


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_compressions_without_a_decoder_in_pydicom_keep_the_polarity(tmp_path, kind, dtype):
    pixels = RAMP.astype(dtype) - (400 if dtype == np.int16 else 0)
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(tmp_path / "a.dcm"))
    writer.SetUseCompression(True)
    writer.SetCompressor("JPEG")
    writer.Execute(sitk.GetImageFromArray(pixels[None]))
    data = pydicom.dcmread(tmp_path / "a.dcm")
    data.PhotometricInterpretation, data.RescaleSlope, data.RescaleIntercept = kind, 2, -7
    data.save_as(tmp_path / "a.dcm")
    plain = write_xray(tmp_path / "b.dcm", pixels, PhotometricInterpretation=kind, RescaleSlope=2, RescaleIntercept=-7)
    np.testing.assert_array_equal(read_image(tmp_path / "a.dcm"), read_image(plain))
    assert bright_end(plain) == (kind == "MONOCHROME2")


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_look_as_pydicom_shows_them(tmp_path, function):
    said = {} if function is None else {"VOILUTFunction": function}
    path = write_xray(
        tmp_path / "a.dcm",
        RAMP,
        RescaleSlope=2,
        RescaleIntercept=-100,
        WindowCenter=[400, 9],
        WindowWidth=[600, 9],
        **said,
    )
    data = pydicom.dcmread(path)
    theirs = apply_voi_lut(data.pixel_array * 2.0 - 100, data, index=0)
    ours = read_image(path)
    scale, offset = np.polyfit(theirs.ravel(), ours.ravel(), 1)
    assert scale > 0
    np.testing.assert_allclose(theirs * scale + offset, ours, atol=2e-3 * np.ptp(ours))
    assert 100 <= ours.min() < ours.max() <= 700  # in the units of the values


def test_a_window_that_shows_nothing_is_not_applied(tmp_path):
    for centre, width in ((9000, 10), (400, 0), (400, -5)):
        path = write_xray(tmp_path / "a.dcm", RAMP, WindowCenter=centre, WindowWidth=width)
        with pytest.warns(SynthrayWarning, match="next to nothing"):
            np.testing.assert_array_equal(read_image(path), RAMP)


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("kind", ["US", "OW"])
def test_look_up_tables(tmp_path, bits, kind, syntax):
    more = {} if syntax is None else {"syntax": syntax}
    entries = (np.linspace(0, 1, 300) ** 2 * ((1 << bits) - 1)).astype(int)
    if kind == "OW" and syntax is not None and bits == 8:
        pytest.skip("packed 8-bit tables need an explicit VR")
    voi = write_xray(tmp_path / "v.dcm", RAMP, VOILUTSequence=[table(entries, 100, bits, kind)], WindowCenter=1, **more)
    expected = entries[np.clip(RAMP.astype(int) - 100, 0, 299)]
    np.testing.assert_array_equal(read_image(voi), expected)
    modality = write_xray(tmp_path / "m.dcm", RAMP, "CR", ModalityLUTSequence=[table(entries, 100, bits, kind)], **more)
    np.testing.assert_array_equal(read_image(modality), expected)


def test_tables_of_signed_images_start_below_zero(tmp_path):
    pixels = RAMP.astype(np.int16) - 500
    path = write_xray(tmp_path / "a.dcm", pixels, VOILUTSequence=[table(np.arange(1100) * 3, -500)])
    np.testing.assert_array_equal(read_image(path), (pixels + 500) * 3)


def test_the_modality_table_of_angiography_is_not_for_display(tmp_path):
    back_to_linear = [table(np.arange(1024)[::-1])]
    for modality, shown in (("XA", True), ("RF", True), ("DX", False)):
        path = write_xray(tmp_path / "a.dcm", RAMP, modality, ModalityLUTSequence=back_to_linear)
        assert bright_end(path) == shown


def test_short_tables_are_refused(tmp_path):
    item = table([1, 2, 3])
    item.LUTDescriptor = [500, 0, 16]
    with pytest.raises(InputError, match="500 entries and holds 3"):
        read_image(write_xray(tmp_path / "a.dcm", RAMP, VOILUTSequence=[item]))


def test_implicit_files_know_their_padding(tmp_path):
    pixels = RAMP.copy()
    pixels[0, :2] = 65535
    path = write_xray(tmp_path / "a.dcm", pixels, syntax=ImplicitVRLittleEndian, PixelPaddingValue=65535)
    image = read_image(path)
    assert image.max() == RAMP.max()
    assert (image[0, :2] == RAMP[0, 2]).all()


def test_frames(tmp_path):
    frames = np.stack([RAMP + n for n in range(5)])
    path = write_xray(tmp_path / "a.dcm", frames, "XA")
    with pytest.warns(SynthrayWarning, match="5 frames; number 1"):
        np.testing.assert_array_equal(read_image(path), frames[0])
    held = [read_xray_dicom(path, n) for n in range(5)]
    np.testing.assert_array_equal([one.image for one in held], frames)
    assert {one.frames for one in held} == {5}
    for wrong in (5, -1):
        with pytest.raises(InputError, match="5 frames"):
            read_xray_dicom(path, wrong)
    path = write_xray(tmp_path / "b.dcm", frames, "XA", RepresentativeFrameNumber=4)
    assert read_xray_dicom(path).frame == 3


@pytest.mark.parametrize("kind", ["RGB", "PALETTE COLOR"])
def test_secondary_captures_in_colour(tmp_path, kind):
    grey = (RAMP // 4).astype(np.uint8)
    path = write_xray(tmp_path / "a.dcm", grey, "OT", PhotometricInterpretation=kind)
    data = pydicom.dcmread(path)
    if kind == "RGB":
        data.SamplesPerPixel, data.PlanarConfiguration = 3, 0
        data.PixelData = np.repeat(grey[..., None], 3, axis=2).tobytes()
    else:
        for colour in ("Red", "Green", "Blue"):
            tag = pydicom.datadict.tag_for_keyword(f"{colour}PaletteColorLookupTableDescriptor")
            data.add_new(tag, "US", [256, 0, 16])
            entries = (np.arange(256) * 256).astype("<u2").tobytes()
            setattr(data, f"{colour}PaletteColorLookupTableData", entries)
    data.save_as(path)
    image = read_image(path)
    np.testing.assert_allclose(image / image.max(), grey / grey.max(), atol=1e-3)


@pytest.mark.parametrize(
    ("said", "detector", "in_object"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.3]}, (0.2, 0.3), None),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.2, 0.2]}, (0.2, 0.2), None),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.15, 0.15]}, (0.2, 0.2), (0.15, 0.15)),
        ({"PixelSpacing": [0.2, 0.2]}, (0.2, 0.2), None),
        ({"PixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "FIDUCIAL"}, None, (0.2, 0.2)),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": 1.25},
            (0.2, 0.2),
            (0.16, 0.16),
        ),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "DistanceSourceToDetector": 1000, "DistanceSourceToPatient": 800},
            (0.2, 0.2),
            (0.16, 0.16),
        ),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, (0.1, 0.1), None),
        ({}, None, None),
    ],
)
def test_spacing_at_the_imager_and_in_the_patient(tmp_path, said, detector, in_object):
    size = read_xray_dicom(write_xray(tmp_path / "a.dcm", RAMP, **said)).spacing
    assert size.detector_mm == detector
    assert (size.object_mm is None) == (in_object is None)
    if in_object:
        assert size.object_mm == pytest.approx(in_object)


def test_senseless_spacing_is_ignored_with_a_warning(tmp_path):
    for wrong in ([0, 0.2], [-1, -1], [0.2]):
        path = write_xray(tmp_path / "a.dcm", RAMP, ImagerPixelSpacing=wrong)
        with pytest.warns(SynthrayWarning, match="ImagerPixelSpacing"):
            assert read_xray_dicom(path).spacing.detector_mm is None


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_whether_dense_is_bright(tmp_path, sign, kind):
    path = write_xray(tmp_path / "a.dcm", RAMP, PhotometricInterpretation=kind, PixelIntensityRelationshipSign=sign)
    # Sign -1: higher stored values mean less intensity, that is more absorption.
    assert read_xray_dicom(path).dense_is_bright == ((sign == -1) == (kind == "MONOCHROME2"))
    falling = write_xray(
        tmp_path / "b.dcm", RAMP, PhotometricInterpretation=kind, PixelIntensityRelationshipSign=sign,
        VOILUTSequence=[table(np.arange(1024)[::-1])],
    )  # fmt: skip
    assert read_xray_dicom(falling).dense_is_bright == ((sign == -1) != (kind == "MONOCHROME2"))
    assert read_xray_dicom(write_xray(tmp_path / "c.dcm", RAMP)).dense_is_bright is None


def test_angles_make_the_camera_that_a_c_arm_makes(tmp_path):
    carm, target = CArm.preset("generic-300mm").resized(8), np.array([12.0, -30, 400])
    path = write_xray(
        tmp_path / "a.dcm", RAMP, "XA", PositionerPrimaryAngle=25, PositionerSecondaryAngle=-15,
        DistanceSourceToDetector=1000, DistanceSourceToPatient=600, ImagerPixelSpacing=[carm.pixel_mm] * 2,
    )  # fmt: skip
    view = read_xray_dicom(path).view
    points = target + np.random.default_rng(0).normal(0, 60, (50, 3))
    expected = carm.view(target, 25, -15).project(points)
    np.testing.assert_allclose(view.camera(target).project(points), expected, atol=1e-6)


def test_views_that_are_not_told_or_not_square_are_none(tmp_path):
    told = {
        "PositionerPrimaryAngle": 25, "DistanceSourceToDetector": 1000, "ImagerPixelSpacing": [0.3, 0.3],
    }  # fmt: skip
    frames = np.stack([RAMP] * 2)
    path = write_xray(tmp_path / "a.dcm", frames, "XA", PositionerMotion="DYNAMIC", **told)
    assert read_xray_dicom(path, 0).view.primary_deg == 25
    assert read_xray_dicom(path, 1).view is None
    for change in (
        {"PositionerPrimaryAngle": ""}, {"DistanceSourceToDetector": ""}, {"ImagerPixelSpacing": ""},
        {"DetectorPrimaryAngle": 5}, {"DetectorSecondaryAngle": -5},
    ):  # fmt: skip
        assert read_xray_dicom(write_xray(tmp_path / "a.dcm", RAMP, "XA", **{**told, **change})).view is None
    path = write_xray(tmp_path / "a.dcm", RAMP, "XA", **{**told, "PositionerSecondaryAngle": 120})
    with pytest.warns(SynthrayWarning, match="its view can't be used"):
        assert read_xray_dicom(path).view is None


def test_named_views_stand_in_for_angles(tmp_path):
    common = {"DistanceSourceToDetector": 1800, "ImagerPixelSpacing": [0.14, 0.14]}
    target = np.zeros(3)
    for name, direction in {"PA": [0, -1, 0], "AP": [0, 1, 0], "LL": [1, 0, 0], "RL": [-1, 0, 0]}.items():
        view = read_xray_dicom(write_xray(tmp_path / "a.dcm", RAMP, ViewPosition=name, **common)).view
        camera = view.camera(target, 1600)
        np.testing.assert_allclose(camera.direction, direction, atol=1e-9)
        if name in ("PA", "AP"):
            assert camera.project([50, 0, 0])[0] > camera.project([-50, 0, 0])[0]  # the left on the right
        assert camera.project([0, 0, 50])[1] < camera.project([0, 0, -50])[1]  # head up
    assert read_xray_dicom(write_xray(tmp_path / "a.dcm", RAMP, ViewPosition="XX", **common)).view is None
    assert read_xray_dicom(write_xray(tmp_path / "a.dcm", RAMP, ViewPosition="PA")).view is None


@settings(max_examples=60, deadline=None)
@given(
    tag=st.sampled_from(
        ["Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel", "NumberOfFrames"]
    ),
    value=st.integers(0, 65535),
)
def test_header_lies_never_escape_as_another_error(tmp_path_factory, tag, value):
    path = write_xray(tmp_path_factory.mktemp("lies") / "a.dcm", RAMP, **{tag: value})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SynthrayWarning)
            assert np.isfinite(read_image(path)).all()
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017


def shipped() -> dict[str, Path]:
    """The real files that pydicom brings along."""
    return {path.name: path for path in (Path(pydicom.__file__).parent / "data").rglob("*.dcm")}


def test_one_image_in_every_transfer_syntax():
    files = shipped()
    plain = read_image(files["MR_small.dcm"])
    kinds = ("RLE", "bigendian", "expb", "implicit", "jp2klossless", "jpeg_ls_lossless", "padded")
    for kind in kinds:
        np.testing.assert_array_equal(read_image(files[f"MR_small_{kind}.dcm"]), plain)
    colours = [read_image(files[f"SC_rgb_{kind}.dcm"]) for kind in ("dcmtk_+eb+cr", "gdcm_KY", "rle")]
    for held in colours[1:]:
        np.testing.assert_allclose(held, colours[0], atol=2)  # one of them went through YBR


def test_real_files_give_an_image_or_one_line():
    read = 0
    for path in shipped().values():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SynthrayWarning)
                assert np.isfinite(read_image(path)).all()
            read += 1
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
    assert read > 50
