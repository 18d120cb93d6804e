"""`verify`, shallow and deep, `mend`, and the JSON schemas that are shipped."""

import json
from importlib import resources
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from synthray.cli.app import app, run
from synthray.dataset import Dataset, generate, mend, rle, verify
from synthray.dataset.metadata import SCHEMAS, check_metadata, schema
from synthray.dataset.shards import pack, unpack
from synthray.errors import InputError, SynthrayWarning

RECIPE: dict[str, Any] = {
    "name": "checked",
    "images": 12,
    "images_per_shard": 3,
    "people": [
        {"body": 1, "region": "chest", "voxel_mm": 8},
        {"body": 2, "region": "chest", "voxel_mm": 8, "split": "val"},
    ],
    "views": [{"rows": 24, "lao_deg": {"uniform": [-9, 9]}}],
    "imaging": {"realism": "naive"},
    "structures": {"lung": {"of": ["lung_left", "lung_right"]}},
    "keep_area_density": True,
}


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "set"
    generate(RECIPE, folder, workers=1)
    return content(folder)


@pytest.fixture
def out(whole, tmp_path):
    """A copy of a finished set, to be damaged."""
    folder = tmp_path / "set"
    folder.mkdir()
    for name, data in whole.items():
        (folder / name).write_bytes(data)
    return folder


def damage(out):
    """One shard missing, one cut off, one altered."""
    (out / "shard-000000.tar").unlink()
    (out / "shard-000001.tar").write_bytes((out / "shard-000001.tar").read_bytes()[:5000])
    data = bytearray((out / "shard-000003.tar").read_bytes())
    data[2000] ^= 1
    (out / "shard-000003.tar").write_bytes(bytes(data))


def with_manifest_of(out, name, data):
    """Replace a shard and its entry in the manifest: what only the deep check can see."""
    import hashlib

    (out / name).write_bytes(data)
    manifest = json.loads((out / "manifest.json").read_text())
    for entry in manifest["shards"]:
        if entry["file"] == name:
            entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    (out / "manifest.json").write_text(json.dumps(manifest))


def rewritten(path, change):
    """A shard's bytes with one sample's metadata changed."""
    samples = []
    for number, (key, files) in enumerate(unpack(path)):
        truth = json.loads(files["json"])
        if number == 1:
            change(truth)
        samples.append((key, {**files, "json": json.dumps(truth).encode()}))
    return pack(samples)


def test_mending_makes_only_what_is_damaged(out, whole):
    damage(out)
    kept = (out / "shard-000002.tar").stat().st_mtime_ns
    report = mend(out, workers=1)
    assert report.mended == ("shard-000000.tar", "shard-000001.tar", "shard-000003.tar")
    assert report.problems == ()
    assert report.images == 12
    assert content(out) == whole
    assert (out / "shard-000002.tar").stat().st_mtime_ns == kept
    assert mend(out).mended == ()


def test_the_command_line_says_what_is_wrong_and_mends(out, whole, capsys):
    damage(out)
    assert run(["verify", str(out)]) == 2
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"shard-000000.tar: missing; run synthray verify {out} --mend"
    assert "5000 bytes long, should be" in told[1]
    assert "altered" in told[2]
    done = CliRunner().invoke(app, ["verify", str(out), "--deep", "--mend", "--workers", "1", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["mended"][0] == "shard-000000.tar"
    assert content(out) == whole


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda truth: truth.update(split="val"), "'split' is val, by the recipe it should be train"),
        (lambda truth: truth.update(noise_seed=7), "'noise_seed' is 7"),
        (lambda truth: truth.update(index=9), "'index' is 9"),
        (lambda truth: truth.pop("camera"), "metadata 'camera': Field required"),
        (lambda truth: truth["camera"].update(rows=23), "of size"),
        (lambda truth: truth["masks"]["lung"].update(counts=[1]), "don't add up"),
        (lambda truth: truth["image"].update(scale="many"), "metadata 'image.scale'"),
    ],
)
def test_the_deep_check_reads_what_a_checksum_cannot(out, whole, change, words):
    name = "shard-000002.tar"
    with_manifest_of(out, name, rewritten(out / name, change))
    assert verify(out).problems == ()
    (problem,) = verify(out, deep=True).problems
    assert problem.file == name
    assert words in problem.what
    # What is made again is not what the forged manifest promises.
    with pytest.warns(SynthrayWarning, match="made again with other bytes"):
        mend(out, deep=True, workers=1)
    assert {n: d for n, d in content(out).items() if n != "manifest.json"} == {
        n: d for n, d in whole.items() if n != "manifest.json"
    }
    assert verify(out, deep=True).problems == ()


def test_pictures_are_unpacked(out):
    name = "shard-000002.tar"
    samples = [(key, {**files, "bone.png": files["bone.png"][:-40]}) for key, files in unpack(out / name)]
    with_manifest_of(out, name, pack(samples))
    (problem,) = verify(out, deep=True).problems
    assert "not a readable PNG" in problem.what


def test_strangers_are_named_and_left_alone(out):
    (out / "notes.txt").write_text("mine")
    (out / "shard-000004.tar").write_bytes(b"")
    assert verify(out).problems == ()
    assert [problem.file for problem in verify(out, deep=True).problems] == ["notes.txt", "shard-000004.tar"]
    assert len(mend(out, deep=True, workers=1).problems) == 2
    assert (out / "notes.txt").read_text() == "mine"


def test_a_set_whose_ct_has_changed_is_not_mended(tmp_path):
    import numpy as np

    from synthray.anatomy import Volume
    from synthray.anatomy.nifti import write_nifti

    hu = np.full((16, 16, 16), -1000, dtype=np.int16)
    hu[4:12, 4:12, 4:12] = 0
    write_nifti(Volume(hu, np.diag([12.0, 12, 12, 1])), tmp_path / "ct.nii")
    recipe = {**RECIPE, "structures": {}, "people": [{"ct": str(tmp_path / "ct.nii"), "remove_table": False}]}
    generate(recipe, tmp_path / "set", workers=1)
    (tmp_path / "set" / "shard-000001.tar").unlink()
    write_nifti(Volume(hu + np.int16(1), np.diag([12.0, 12, 12, 1])), tmp_path / "ct.nii")
    with pytest.raises(InputError, match=r"can't be mended: what it was made from has changed \(inputs"):
        mend(tmp_path / "set", workers=1)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_shipped_schemas_are_those_of_the_models(name):
    shipped = resources.files("synthray.dataset").joinpath("schema", f"{name}.json").read_text("utf-8")
    assert json.loads(shipped) == schema(name)


def test_real_metadata_pass_the_schema(out):
    samples = list(Dataset.open(out))
    for sample in samples:
        check_metadata(sample.truth)
    fields = schema("sample")["properties"]
    # Every field that is written is described.
    assert set(samples[0].truth) <= set(fields)
    assert set(json.loads((out / "manifest.json").read_text())) == set(schema("manifest")["properties"])


def test_masks_from_bits_are_those_of_the_masks():
    rng = np.random.default_rng(0)
    words = np.zeros((9, 7, 2), dtype=np.uint64)
    masks = {f"m{number}": rng.random((9, 7)) < number / 99 for number in range(100)}
    for number, mask in enumerate(masks.values()):
        words[..., number // 64] |= mask.astype(np.uint64) << np.uint64(number % 64)
    assert rle.encode_bits(words, list(masks)) == {name: rle.encode(mask) for name, mask in masks.items()}
    for name, mask in masks.items():
        np.testing.assert_array_equal(rle.decode(rle.encode(mask)), mask, err_msg=name)
