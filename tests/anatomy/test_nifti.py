"""NIfTI headers: which transform is used, what is refused, and round trips for any affine."""

import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthray.anatomy import Volume
from synthray.anatomy.nifti import read_nifti, write_nifti
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import apply, rotation_about

QFORM_CODE, SFORM_CODE = 252, 254


@pytest.fixture
def file(phantom, tmp_path):
    """The phantom as SimpleITK writes it: a qform and an sform that agree."""
    import SimpleITK

    path = tmp_path / "p.nii"
    SimpleITK.WriteImage(phantom.image(), str(path))
    return path


def patch(path: Path, form: str, offset: int, *values: float) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into("<" + form, data, offset, *values)
    path.write_bytes(bytes(data))


def test_qform_alone_and_sform_alone(phantom, file):
    patch(file, "h", SFORM_CODE, 0)
    phantom.expect_in(read_nifti(file))
    patch(file, "hh", QFORM_CODE, 0, 1)
    phantom.expect_in(read_nifti(file))


def test_sform_wins_with_a_warning_where_the_two_disagree(phantom, file):
    patch(file, "h", SFORM_CODE, 1)
    patch(file, "3f", 268, 1.0, 2.0, 3.0)  # the qform's offset
    with pytest.warns(SynthrayWarning, match="sform is used"):
        phantom.expect_in(read_nifti(file))


def test_without_either_the_axes_are_right_anterior_superior(upright, tmp_path):
    path = tmp_path / "p.nii"
    write_nifti(Volume(upright.values, upright.patient_from_voxel), path)
    patch(path, "hh", QFORM_CODE, 0, 0)
    with pytest.warns(SynthrayWarning, match="no orientation"):
        found = read_nifti(path)
    np.testing.assert_allclose(found.patient_from_voxel, np.diag([-1.5, -2.0, 3.0, 1.0]))


def test_lengths_in_metres_become_mm(upright, tmp_path):
    matrix = upright.patient_from_voxel.copy()
    matrix[:3] /= 1000
    path = tmp_path / "p.nii"
    write_nifti(Volume(upright.values, matrix), path)
    patch(path, "B", 123, 1)
    with pytest.warns(SynthrayWarning, match="not in mm"):
        upright.expect_in(read_nifti(path), tolerance_mm=0.01)


def test_big_endian_and_nifti2(upright, tmp_path):
    rows = (np.diag([-1.0, -1.0, 1.0, 1.0]) @ upright.patient_from_voxel)[:3].ravel()
    data = upright.values.astype(">i2").tobytes(order="F")
    one = bytearray(352)
    struct.pack_into(">i", one, 0, 348)
    struct.pack_into(">8h", one, 40, 3, 12, 10, 8, 1, 1, 1, 1)
    struct.pack_into(">hh", one, 70, 4, 16)
    struct.pack_into(">4f", one, 76, 1, 1.5, 2, 3)
    struct.pack_into(">f", one, 108, 352)
    struct.pack_into(">h", one, 254, 1)
    struct.pack_into(">12f", one, 280, *rows)
    one[344:348] = b"n+1\0"
    two = bytearray(544)
    struct.pack_into(">i", two, 0, 540)
    two[4:12] = b"n+2\0\r\n\x1a\n"
    struct.pack_into(">hh", two, 12, 4, 16)
    struct.pack_into(">8q", two, 16, 3, 12, 10, 8, 1, 1, 1, 1)
    struct.pack_into(">4d", two, 104, 1, 1.5, 2, 3)
    struct.pack_into(">q", two, 168, 544)
    struct.pack_into(">i", two, 348, 1)
    struct.pack_into(">12d", two, 400, *rows)
    for head in (one, two):
        path = tmp_path / f"v{len(head)}.nii"
        path.write_bytes(bytes(head) + data)
        found = read_nifti(path)
        upright.expect_in(found)
        assert found.values.dtype == np.int16


def test_scaling_is_applied(upright, tmp_path):
    path = tmp_path / "p.nii"
    write_nifti(Volume((upright.values + 1024).astype(np.uint16), upright.patient_from_voxel), path)
    patch(path, "ff", 112, 1, -1024)
    upright.expect_in(read_nifti(path))
    patch(path, "ff", 112, 0.5, 10)
    np.testing.assert_allclose(read_nifti(path).values, (upright.values + 1024) * 0.5 + 10)
    patch(path, "ff", 112, 0, 99)  # slope 0 means none
    np.testing.assert_array_equal(read_nifti(path).values, upright.values + 1024)


@pytest.mark.parametrize(
    ("form", "offset", "values", "words"),
    [
        ("h", 40, (9,), "dimensions"),
        ("h", 40, (2,), "3-D"),
        ("hhhh", 40, (4, 12, 10, 4), "3-D|needs a voxel"),
        ("h", 42, (-5,), "needs a voxel"),
        ("h", 70, (128,), "colours"),
        ("h", 70, (32,), "data type 32"),
        ("f", 80, (0.0,), "above zero"),
        ("f", 84, (-2.0,), "above zero"),
        ("f", 88, (float("nan"),), "above zero"),
        ("f", 108, (float("inf"),), "byte inf"),
        ("f", 108, (100.0,), "byte 100"),
        ("f", 108, (1e9,), "can't hold"),
        ("ff", 112, (1.0, float("nan")), "not finite"),
        ("f", 292, (float("nan"),), "NaN"),
        ("12f", 280, (0.0,) * 12, "singular"),
        ("i", 0, (349,), "not a NIfTI"),
        ("4s", 344, (b"ni1\0",), "another file"),
    ],
)
def test_headers_that_make_no_sense(upright, tmp_path, form, offset, values, words):
    path = tmp_path / "p.nii"
    write_nifti(Volume(upright.values, upright.patient_from_voxel), path)
    if offset == 40 and len(values) == 4:
        values = (4, 12, 10, 8)
        patch(path, "h", 48, 3)
    patch(path, form, offset, *values)
    with pytest.raises(InputError, match=words):
        read_nifti(path)


def test_a_bad_quaternion_is_refused(upright, tmp_path):
    path = tmp_path / "p.nii"
    write_nifti(Volume(upright.values, upright.patient_from_voxel), path)
    patch(path, "hh", QFORM_CODE, 1, 0)
    patch(path, "3f", 256, 1.0, 1.0, 0.0)
    with pytest.raises(InputError, match="qform"):
        read_nifti(path)


unit = st.floats(-1, 1)


@settings(max_examples=60, deadline=None)
@given(
    axis=st.tuples(unit, unit, unit).filter(lambda a: np.linalg.norm(a) > 0.1),
    angle=st.floats(-3.2, 3.2),
    spacing=st.tuples(*[st.floats(0.2, 9)] * 3),
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    shear=st.floats(-0.5, 0.5),
    origin=st.tuples(*[st.floats(-2000, 2000)] * 3),
    dtype=st.sampled_from(["i2", "u1", "f4", "u2"]),
    suffix=st.sampled_from([".nii", ".nii.gz"]),
)
def test_any_grid_comes_back(axis, angle, spacing, flips, shear, origin, dtype, suffix):
    linear = (
        rotation_about(axis, angle)
        @ np.array([[1, 0, 0], [0, 1, shear], [0, 0, 1]])
        @ np.diag(np.multiply(spacing, flips))
    )
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, origin
    values = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"p{suffix}"
        write_nifti(Volume(values, matrix), path)
        found = read_nifti(path)
    np.testing.assert_array_equal(found.values, values)
    assert found.values.dtype == values.dtype
    corners = np.array([[0, 0, 0], [2, 3, 4], [2, 0, 4]])
    np.testing.assert_allclose(apply(found.patient_from_voxel, corners), apply(matrix, corners), atol=1e-3)


def test_the_same_volume_gives_the_same_bytes(upright, tmp_path):
    volume = Volume(upright.values, upright.patient_from_voxel)
    write_nifti(volume, tmp_path / "a.nii.gz")
    write_nifti(volume, tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_other_programs_read_what_is_written(phantom, tmp_path):
    import SimpleITK

    write_nifti(Volume(phantom.values, phantom.patient_from_voxel), tmp_path / "p.nii.gz")
    image = SimpleITK.ReadImage(str(tmp_path / "p.nii.gz"))
    index = (9, 2, 1)
    assert image.GetPixel(index) == 200
    expected = apply(phantom.patient_from_voxel, index)
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), expected, atol=1e-3)
