"""Leaks between the splits are found by content; what was found about files is remembered."""

import numpy as np
import pytest
import SimpleITK

from synthray.anatomy import Volume, resample_patient
from synthray.anatomy.nifti import write_nifti
from synthray.anatomy.patient import Patient
from synthray.dataset import generate
from synthray.dataset.inputs import CACHE, Inputs, in_patient_order, outline
from synthray.dataset.recipe import load_recipe
from synthray.errors import InputError, SynthrayWarning


def person(seed: int, shape=(60, 52, 80)) -> Volume:
    """A smooth body of soft tissue, fat, and bone, its own for each seed."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    hu = np.where((grid[:2] ** 2).sum(axis=0) < rng.uniform(0.6, 0.9), 40.0, -1000.0)
    for _ in range(12):
        place, size = rng.uniform(-0.6, 0.6, 3)[:, None, None, None], rng.uniform(0.1, 0.4)
        hu = np.where(((grid - place) ** 2).sum(axis=0) < size**2, rng.uniform(-800, 1200), hu)
    return Volume(hu.astype(np.int16), np.diag([2.0, 2.0, 1.5, 1.0]))


def recipe(*people):
    return {"images": 2, "images_per_shard": 1, "people": list(people), "views": [{"rows": 16}]}


def entry(path, split, **more):
    return {"ct": str(path), "split": split, "remove_table": False, **more}


@pytest.fixture
def three(tmp_path):
    for seed in range(3):
        write_nifti(person(seed), tmp_path / f"{seed}.nii.gz")
    return tmp_path


def check(folder, *people):
    Inputs(folder).check_leaks(load_recipe(recipe(*people)))


def test_different_people_pass(three):
    check(
        three, entry(three / "0.nii.gz", "train"), entry(three / "1.nii.gz", "train"), entry(three / "2.nii.gz", "val")
    )


@pytest.mark.parametrize("name", ["copy.nii.gz", "copy.nrrd", "flipped.mha", "turned.nii"])
def test_the_same_voxels_in_another_file_are_found(three, name):
    ct = person(0)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(ct.values.T))
    image.SetSpacing(ct.voxel_mm.tolist())
    if name.startswith("flipped"):
        image = SimpleITK.Flip(image, [True, False, True])
    if name.startswith("turned"):
        image = SimpleITK.PermuteAxes(image, [2, 0, 1])
    SimpleITK.WriteImage(image, str(three / name))
    with pytest.raises(InputError) as raised:
        check(three, entry(three / "0.nii.gz", "train"), entry(three / "1.nii.gz", "train"), entry(three / name, "val"))
    message = str(raised.value)
    assert "0.nii.gz" in message
    assert name in message
    assert "equal voxels" in message
    assert "1.nii.gz" not in message


@pytest.mark.parametrize("voxel_mm", [1.2, 2.5, 3.5])
def test_a_resampled_copy_is_found(three, voxel_mm):
    copy = resample_patient(Patient(person(0)), voxel_mm).ct
    write_nifti(copy, three / "coarse.nii.gz")
    with pytest.raises(InputError, match="resampled"):
        check(three, entry(three / "coarse.nii.gz", "val"), entry(three / "0.nii.gz", "train"))


def test_doubles_within_a_split_are_told(three):
    write_nifti(person(0), three / "again.nii")
    with pytest.warns(SynthrayWarning, match=r"again\.nii are the same CT"):
        check(
            three,
            entry(three / "0.nii.gz", "train"),
            entry(three / "again.nii", "train"),
            entry(three / "1.nii.gz", "val"),
        )


def test_generate_refuses_before_it_makes_anything(three, tmp_path):
    write_nifti(person(1), three / "other name.nii")
    people = entry(three / "1.nii.gz", "train"), entry(three / "other name.nii", "val")
    with pytest.raises(InputError, match="same CT"):
        generate(recipe(*people), tmp_path / "set", workers=1)
    assert not (tmp_path / "set" / "recipe.json").exists()
    # The folder can be used once the recipe is put right.
    generate(recipe(people[0], entry(three / "2.nii.gz", "val")), tmp_path / "set", workers=1)


@pytest.mark.parametrize(
    ("train", "val", "body"), [((1, 5), (3, 1), 3), ((4, 1), (1, 9), 4), ((7, 1), (7, 1), 7), ((1, 3), (4, 2), None)]
)
def test_bodies_are_compared_by_seed(tmp_path, train, val, body):
    people = [
        {"body": start, "count": count, "split": split} for (start, count), split in ((train, "train"), (val, "val"))
    ]
    if body is None:
        check(tmp_path, *people)
        return
    with pytest.raises(InputError, match=f"body {body} is in split train and in split val"):
        check(tmp_path, *people)


def test_files_are_read_once_while_they_stay_the_same(three, tmp_path, monkeypatch):
    import synthray.dataset.inputs as room

    people = entry(three / "0.nii.gz", "train"), entry(three / "1.nii.gz", "val")
    out = tmp_path / "set"
    generate(recipe(*people), out, workers=1)
    assert (out / CACHE).is_file()
    read = []
    checksum = room.checksum
    monkeypatch.setattr(room, "checksum", lambda path: read.append(path) or checksum(path))
    assert generate(recipe(*people), out, workers=1).made == 0
    assert read == []
    write_nifti(person(2), three / "0.nii.gz")
    with pytest.raises(InputError, match=r"another recipe \(inputs"):
        generate(recipe(*people), out, workers=1)
    assert read == [three / "0.nii.gz"]
    # A damaged memory is forgotten.
    (out / CACHE).write_text('{"inputs": 5}')
    write_nifti(person(0), three / "0.nii.gz")
    assert generate(recipe(*people), out, workers=1).made == 0


def test_the_outline_is_a_mean(three):
    ct = person(0)
    assert outline(ct.values).mean() == pytest.approx(ct.values.mean(), abs=1e-9)
    np.testing.assert_array_equal(in_patient_order(ct), ct.values)
