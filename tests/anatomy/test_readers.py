"""Every format and orientation gives the same markers at the same millimetres; bad files give one clear line."""

import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from synthray.anatomy import Volume, load_patient
from synthray.anatomy.nifti import write_nifti
from synthray.anatomy.volume_files import read_volume
from synthray.errors import InputError, SynthrayWarning

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")


def written(phantom, path: Path, compressed: bool = False) -> Path:
    SimpleITK.WriteImage(phantom.image(), str(path), compressed)
    return path


def refused(path: Path, *words: str) -> None:
    """`path` is refused in one line that names the file and says these words."""
    with pytest.raises(InputError) as raised:
        load_patient(path, remove_table=False)
    message = str(raised.value)
    assert "\n" not in message
    assert path.name in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("compressed", [False, True])
def test_markers_are_where_they_were_put(phantom, tmp_path, suffix, compressed):
    patient = load_patient(written(phantom, tmp_path / f"p{suffix}", compressed), remove_table=False)
    phantom.expect_in(patient.ct)
    assert patient.ct.values.dtype == np.int16
    assert patient.ct.values.flags.c_contiguous


def test_nrrd_in_ras_and_las_and_without_space(upright, tmp_path):
    path = written(upright, tmp_path / "p.nrrd")
    text = path.read_bytes()
    head, data = text.split(b"\n\n", 1)
    assert b"left-posterior-superior" in head
    for space, signs in (("right-anterior-superior", (-1, -1, 1)), ("LAS", (1, -1, 1))):
        path.write_bytes(head.replace(b"left-posterior-superior", space.encode()) + b"\n\n" + data)
        found = read_volume(path)
        np.testing.assert_allclose(found.patient_from_voxel, np.diag([*signs, 1.0]) @ upright.patient_from_voxel)
    path.write_bytes(head.replace(b"space: left-posterior-superior", b"space dimension: 3") + b"\n\n" + data)
    with pytest.warns(SynthrayWarning, match="LPS"):
        upright.expect_in(read_volume(path))


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "f4", "f8"])
def test_types_of_voxel(upright, tmp_path, suffix, dtype):
    values = np.arange(120).reshape(2, 3, 20).astype(dtype)
    image = SimpleITK.GetImageFromArray(values)
    SimpleITK.WriteImage(image, str(tmp_path / f"t{suffix}"))
    found = read_volume(tmp_path / f"t{suffix}").values
    np.testing.assert_array_equal(found, values.T)
    assert found.dtype == np.dtype(dtype)


def test_padding_becomes_the_lowest_hounsfield_unit(upright, tmp_path):
    values = upright.values
    values[0] = -3024
    write_nifti(Volume(values, upright.patient_from_voxel), tmp_path / "p.nii.gz")
    found = load_patient(tmp_path / "p.nii.gz", remove_table=False).ct
    assert found.values.min() == -1024
    upright.expect_in(found)


def test_values_that_are_not_hounsfield_units(upright, tmp_path):
    def write(values: np.ndarray) -> Path:
        write_nifti(Volume(values, upright.patient_from_voxel), tmp_path / "p.nii")
        return tmp_path / "p.nii"

    refused(write((upright.values + 1024).astype(np.int16) * 3), "offset of 1024")
    refused(write(np.random.default_rng(0).random((4, 4, 4), dtype=np.float32)), "normalised")
    with pytest.warns(SynthrayWarning, match="no air"):
        load_patient(write(np.full((4, 4, 4), 40, dtype=np.int16)), remove_table=False)


def test_not_finite_voxels_are_refused(upright, tmp_path):
    for suffix in SUFFIXES:
        for bad in (np.nan, np.inf):
            image = SimpleITK.Cast(upright.image(), SimpleITK.sitkFloat32)
            image.SetPixel(3, 4, 5, bad)
            path = tmp_path / f"bad{suffix}"
            SimpleITK.WriteImage(image, str(path))
            refused(path, "NaN or infinite")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.95])
def test_cut_off_files_are_refused(upright, tmp_path, suffix, compressed, share):
    path = written(upright, tmp_path / f"p{suffix}", compressed)
    parts = [p for p in tmp_path.iterdir() if p.suffix != suffix] if suffix in (".mhd", ".nhdr") else [path]
    for part in parts:
        whole = part.read_bytes()
        part.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"cut off|damaged"):
        read_volume(path)


def test_flipped_bit_in_compressed_data_is_refused(upright, tmp_path):
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        path = written(upright, tmp_path / f"p{suffix}", True)
        whole = bytearray(path.read_bytes())
        whole[-20] ^= 0x55
        path.write_bytes(bytes(whole))
        with pytest.raises(InputError, match=r"cut off|damaged"):
            read_volume(path)


def test_several_values_per_voxel_and_four_dimensions_are_refused(upright, tmp_path):
    colours = SimpleITK.Compose([SimpleITK.Cast(upright.image(), SimpleITK.sitkUInt8)] * 3)
    series = SimpleITK.JoinSeries([upright.image()] * 2)
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        for name, image in (("rgb", colours), ("time", series)):
            path = tmp_path / f"{name}{suffix}"
            SimpleITK.WriteImage(image, str(path))
            refused(path)


@pytest.mark.parametrize(
    ("suffix", "old", "new", "words"),
    [
        (".mha", b"ElementSpacing = 1.5", b"ElementSpacing = 0.0", "above zero"),
        (".mha", b"ElementSpacing = 1.5", b"ElementSpacing = nan", "above zero"),
        (".mha", b"DimSize = 12 10 8", b"DimSize = 99999 99999 9", "claims"),
        (".mha", b"DimSize = 12 10 8", b"DimSize = 12 10 0", "needs a voxel"),
        (".mha", b"DimSize = 12 10 8", b"DimSize = 12 ten 8", "not numbers"),
        (".mha", b"TransformMatrix = 1 0 0 0 1 0 0 0 1", b"TransformMatrix = 1 0 0 1 0 0 0 0 1", "singular"),
        (".mha", b"ElementDataFile = LOCAL", b"ElementDataFile = ../x.raw", "same folder"),
        (".mha", b"MET_SHORT", b"MET_PANTS", "MET_PANTS"),
        (".nrrd", b"sizes: 12 10 8", b"sizes: 99999 99999 9", "claims"),
        (".nrrd", b"sizes: 12 10 8", b"sizes: 12 10", "3-D"),
        (".nrrd", b"(1.5,0,0)", b"(nan,0,0)", "NaN"),
        (".nrrd", b"(1.5,0,0)", b"(0,0,0)", "singular"),
        (".nrrd", b"encoding: raw", b"encoding: hex", "hex"),
        (".nrrd", b"type: short", b"type: block", "block"),
    ],
)
def test_headers_that_lie(upright, tmp_path, suffix, old, new, words):
    path = written(upright, tmp_path / f"p{suffix}")
    whole = path.read_bytes()
    assert old in whole
    path.write_bytes(whole.replace(old, new))
    refused(path, words)


def test_paths_that_lead_nowhere(tmp_path):
    refused(tmp_path / "none.nii.gz", "no such file")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no CT")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("hello")
    refused(tmp_path / "text", "no CT")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    refused(tmp_path / "picture.png", "format")
    for suffix in SUFFIXES:
        (tmp_path / f"empty{suffix}").write_bytes(b"")
        refused(tmp_path / f"empty{suffix}")


def test_noise_is_refused_by_every_reader(tmp_path):
    rng = np.random.default_rng(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SynthrayWarning)
        for suffix in SUFFIXES:
            path = tmp_path / f"noise{suffix}"
            for size in (3, 100, 348, 352, 540, 4000):
                path.write_bytes(rng.bytes(size))
                refused(path)


def test_without_a_body_nothing_is_removed(upright, tmp_path):
    path = written(upright, tmp_path / "p.nii")
    with pytest.warns(SynthrayWarning, match="nothing was removed"):
        upright.expect_in(load_patient(path).ct)


def test_names_come_from_files_never_from_headers(upright, tmp_path):
    folder = tmp_path / "case7"
    folder.mkdir()
    write_nifti(Volume(upright.values, upright.patient_from_voxel), folder / "ct.nii.gz")
    assert load_patient(folder, remove_table=False).name == "case7"
    assert load_patient(folder / "ct.nii.gz", remove_table=False).name == "case7"
    assert load_patient(folder, name="A", remove_table=False).name == "A"


def test_a_tiny_file_can_not_claim_memory(upright, tmp_path):
    path = tmp_path / "p.nii"
    write_nifti(Volume(upright.values, upright.patient_from_voxel), path)
    head = bytearray(path.read_bytes()[:360])
    struct.pack_into("<3h", head, 42, 1200, 1200, 600)
    path.write_bytes(bytes(head))
    refused(path, "can't hold")
