"""Data sets as a whole: same bytes whatever happens, and nothing lost."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from synthray.dataset import Dataset, generate, verify
from synthray.dataset.redraw import Redraw, redraw_batch
from synthray.errors import InputError

RECIPE = {
    "name": "tiny",
    "seed": 3,
    "images": 22,
    "images_per_shard": 4,
    "people": [
        {"body": 1, "count": 2, "region": "chest", "voxel_mm": 8},
        {"body": 7, "region": "chest", "voxel_mm": 8, "split": "val"},
    ],
    "views": [{"carm": "chest-pa", "rows": 24, "target": "lung_left+lung_right", "lao_deg": {"uniform": [-9, 9]}}],
    "imaging": {"tube_kvp": {"uniform": [70, 120]}},
    "structures": {"lung": {"of": ["lung_left", "lung_right"], "minus": ["below_diaphragm"], "path_above_mm": 4}},
    "keep_area_density": True,
    "keep_paths": ["lung"],
}


def content(folder):
    """Finished files; hidden ones are the lock, and what an orphaned worker may still be finishing."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "set"
    generate(RECIPE, folder, workers=1)
    return folder


def test_any_number_of_workers_gives_the_same_bytes(whole, tmp_path):
    result = generate(RECIPE, tmp_path / "two", workers=2)
    assert result.made == 22
    assert content(tmp_path / "two") == content(whole)


@pytest.mark.parametrize("delay_s", [0.0, 1.5, 2.5, 3.5])
def test_killed_at_any_moment_and_resumed_is_byte_identical(whole, tmp_path, delay_s):
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "set"
    recipe.write_text(yaml.safe_dump(RECIPE))
    code = "import sys; from synthray.dataset import generate; generate(sys.argv[1], sys.argv[2], workers=2)"
    process = subprocess.Popen([sys.executable, "-c", code, str(recipe), str(out)], start_new_session=True)
    while not (out / "recipe.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(delay_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    generate(recipe, out, workers=1)
    assert content(out) == content(whole)


def test_half_written_shards_are_made_again(whole, tmp_path):
    out = tmp_path / "set"
    generate(RECIPE, out, workers=1)
    (out / "manifest.json").unlink()
    path = out / "shard-000002.tar"
    path.write_bytes(path.read_bytes()[:3000])
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left_over = out / f".shard-000003.tar.{ended.pid}.part"
    left_over.write_bytes(b"left over")
    with pytest.warns(UserWarning, match="damaged, made again"):
        result = generate(RECIPE, out, workers=1)
    assert result.made == 4
    assert not left_over.exists()
    assert content(out) == content(whole)


def test_a_finished_set_is_left_alone(whole):
    before = {path: path.stat().st_mtime_ns for path in whole.iterdir() if path.name != ".lock"}
    assert generate(RECIPE, whole, workers=1).made == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_more_images_extend_a_set(whole, tmp_path):
    out = tmp_path / "set"
    generate(RECIPE, out, workers=1, images=10)
    assert generate(RECIPE, out, workers=1).made == 14
    assert content(out) == content(whole)


def test_another_recipe_or_fewer_images_are_refused_and_lose_nothing(whole):
    before = content(whole)
    with pytest.raises(InputError, match=r"another recipe \(imaging.tube_kvp"):
        generate({**RECIPE, "imaging": {"tube_kvp": 60}}, whole)
    with pytest.raises(InputError, match="extended, not shortened"):
        generate(RECIPE, whole, images=5)
    assert content(whole) == before


def test_folders_of_other_things_are_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not empty and not a data set"):
        generate(RECIPE, tmp_path)
    with pytest.raises(InputError, match="can't be used"):
        generate(RECIPE, tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_second_job_on_the_same_folder_is_refused(tmp_path):
    from synthray.dataset.lock import folder_lock

    with folder_lock(tmp_path), pytest.raises(InputError, match=f"in use by process {os.getpid()} on "):
        generate(RECIPE, tmp_path)


def test_wrong_input_in_a_worker_is_told_by_the_caller(tmp_path):
    with pytest.raises(InputError, match="no landmark or structure 'tail'"):
        generate({**RECIPE, "views": [{"rows": 24, "target": "tail"}]}, tmp_path / "a", workers=2)
    with pytest.raises(InputError, match="workers=0"):
        generate(RECIPE, tmp_path / "b", workers=0)


def test_verify_names_what_is_wrong(whole, tmp_path):
    assert verify(whole).problems == ()
    assert verify(whole).images == 22
    out = tmp_path / "set"
    generate(RECIPE, out, workers=1)
    altered = out / "shard-000001.tar"
    data = bytearray(altered.read_bytes())
    data[2000] ^= 1
    altered.write_bytes(bytes(data))
    (out / "shard-000004.tar").unlink()
    report = verify(out)
    assert [(p.file, p.what.split(":")[0]) for p in report.problems] == [
        ("shard-000001.tar", "altered"),
        ("shard-000004.tar", "missing"),
    ]
    with pytest.raises(InputError, match="no data set here"):
        verify(tmp_path)


def test_reading_back_gives_the_truth(whole):
    dataset = Dataset.open(whole)
    samples = list(dataset)
    assert len(samples) == len(dataset) == 22
    assert [sample.truth["index"] for sample in samples] == list(range(22))
    assert {sample.truth["patient"] for sample in dataset.samples("val")} == {"body-7"}
    assert not {s.key for s in dataset.samples("val")} & {s.key for s in dataset.samples("train")}
    sample = samples[0]
    assert sample.image.shape == sample.masks["lung"].shape == sample.paths_mm["lung"].shape == (24, 24)
    # The mask is where the stored path is long, but for what the dome covers.
    assert not (sample.masks["lung"] & (sample.paths_mm["lung"] < 3.9)).any()
    assert sample.area_density.shape == (2, 24, 24)
    json.dumps(sample.truth)


def test_stored_images_are_those_simulated(whole):
    import synthray as sr
    from synthray.dataset.plan import plan

    dataset = Dataset.open(whole)
    planned = plan(dataset.recipe, 0)
    person = sr.body(1, region="chest", voxel_mm=8)
    target = person.structure_center_mm("lung_left", "lung_right")
    camera = dataset.recipe.views[0].sampler.camera(target, planned.parameters)
    image = sr.simulate(person, camera, seed=planned.noise_seed, settings=planned.settings).image[0]
    assert next(iter(dataset)).image == pytest.approx(image, abs=1.1 / 6000)


def test_unfinished_sets_are_not_opened(tmp_path):
    generate(RECIPE, tmp_path / "set", workers=1, images=4)
    (tmp_path / "set" / "manifest.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        Dataset.open(tmp_path / "set")


def test_damaged_samples_are_refused(tmp_path):
    out = tmp_path / "set"
    generate(RECIPE, out, workers=1, images=4)
    path = out / "shard-000000.tar"
    path.write_bytes(path.read_bytes().replace(b'"scale":6000.0', b'"scale":"many"'))
    with pytest.raises(InputError, match="sample 00000000 is damaged"):
        list(Dataset.open(out))


def test_redrawing_is_a_function_of_its_generator(whole):
    samples = list(Dataset.open(whole))[:3]
    density = np.stack([sample.area_density for sample in samples])
    paths = np.stack([sample.paths_mm["lung"] for sample in samples])
    config = Redraw.model_validate({"opacities": {"probability": 1, "filling_g_cm3": 0.9}, "window": {}})
    pixel_mm = np.full(3, 18.0)
    first, again, other = (
        redraw_batch(density, paths, pixel_mm, config, np.random.default_rng(seed)).images for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    assert first.min() >= 0
    assert first.max() <= 1


def test_opacities_fill_lung_and_nothing_else(whole):
    from synthray.dataset.opacities import Opacities, paint_opacities

    path = next(iter(Dataset.open(whole))).paths_mm["lung"][None]
    config = Opacities.model_validate({"probability": 1, "filling_g_cm3": 0.5, "radius_fraction": 0.3})
    added, seen = paint_opacities(path, config, np.random.default_rng(0))
    assert added.max() > 0.1
    assert not added[:, :, path[0] == 0].any()
    # Filling all air along the ray with 0.5 g/cm³ is the most that can be added.
    assert (added.sum(axis=1) <= path * 0.1 * 0.5 + 1e-6).all()
    assert (seen == (added.sum(axis=1) > config.mask_above_g_cm2)).mean() > 0.999


def test_wide_regions_lie_in_the_lungs_and_are_outlined_however_faint(whole):
    from synthray.dataset.opacities import Opacities, paint_opacities

    path = np.repeat(next(iter(Dataset.open(whole))).paths_mm["lung"][None], 20, axis=0)
    config = Opacities.model_validate({"probability": 1, "regions": 1, "region_filling_g_cm3": 0.01})
    added, seen = paint_opacities(path, config, np.random.default_rng(0))
    assert not seen[path <= 0].any()
    assert not added.sum(axis=1)[path <= 0].any()
    assert (added.sum(axis=1)[seen] > 0).mean() > 0.99
    share = seen.sum(axis=(1, 2)) / (path > 0).sum(axis=(1, 2))
    assert share.min() > 0.01
    assert 0.1 < np.median(share) < 0.6


def test_a_lock_whose_holder_has_died_is_waited_for(tmp_path):
    """As when a job is killed while it starts a worker: the worker holds the lock for a moment longer."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    hold = (
        "import fcntl, os, socket, sys, time; h = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); "
        "fcntl.flock(h, fcntl.LOCK_EX); os.write(h, f'process {sys.argv[2]} on {socket.gethostname()}'.encode()); "
        "print('held', flush=True); time.sleep(0.5)"
    )
    out = tmp_path / "set"
    out.mkdir()
    command = [sys.executable, "-c", hold, str(out / ".lock"), str(ended.pid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert generate(RECIPE, out, workers=1, images=4).made == 4
