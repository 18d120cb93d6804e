"""Jobs that are killed, run out of disk, lose their folder or their memory: one line, nothing lost, resumed."""

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from synthray.anatomy import Volume
from synthray.anatomy.nifti import write_nifti
from synthray.dataset import generate, verify
from synthray.errors import InputError

KILL = Path(__file__).resolve().parents[2] / "benchmarks" / "reliability" / "kill.py"
_DROP_CAPABILITY = 24
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A job that takes little more than starting it: a block of water with an edge of bone."""
    hu = np.full((24, 24, 24), -1000, dtype=np.int16)
    hu[4:20, 4:20, 4:20], hu[4:20, 4:20, 4:6] = 0, 1000
    ct = tmp_path_factory.mktemp("ct") / "block.nii"
    write_nifti(Volume(hu, np.diag([12.0, 12.0, 12.0, 1.0])), ct)
    return {
        "name": "under fire",
        "images": 240,
        "images_per_shard": 4,
        "people": [{"ct": str(ct), "remove_table": False}],
        "views": [{"rows": 32, "lao_deg": {"uniform": [-9, 9]}}],
        "imaging": {"realism": "naive"},
        "keep_area_density": True,
    }


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "set"
    generate(recipe, folder, workers=1)
    return content(folder)


@pytest.fixture
def start(recipe, tmp_path):
    """Starts `synthray generate` as a process."""
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))

    def start(out, *, workers=2, prepare=None):
        command = [sys.executable, "-m", "synthray", "generate", str(path), str(out), "--workers", str(workers)]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=prepare,
        )

    return start


def ended(process):
    """Exit code, and what it said beside progress."""
    try:
        _, told = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, [line for line in told.splitlines() if not line.startswith("generate:")]


def refused_in_one_line(process, *words):
    code, lines = ended(process)
    assert code == 2, lines
    assert len(lines) == 1, lines
    assert all(word in lines[0] for word in words), lines


def wait_for(condition, seconds=40.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it didn't happen"
        time.sleep(0.01)


def test_killed_at_random_and_resumed_gives_the_bytes_of_a_quiet_run():
    """The small version of `kill.py --kills 200`, whose result is in docs/reliability.md."""
    done = subprocess.run(
        [sys.executable, str(KILL), "--kills", "5", "--images", "36", "--most-s", "3"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["identical"]


def test_a_file_size_limit_is_told_in_one_line_and_resumed(start, recipe, tmp_path, whole):
    """RLIMIT_FSIZE as a quota: shards don't fit, the recipe does."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, 15_000))

    out = tmp_path / "set"
    refused_in_one_line(start(out, prepare=limit), "shard-00000", "make room")
    assert not [name for name in content(out) if name.endswith(".tar")]
    assert not list(out.glob(".*.part"))
    generate(recipe, out, workers=1)
    assert content(out) == whole


def test_a_full_disk_keeps_what_was_finished(start, recipe, tmp_path, whole):
    room = tmp_path / "disk"
    room.mkdir()
    size = sum(map(len, whole.values())) // 2
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(room)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small tmpfs can't be mounted here; the file size limit is tested instead")
    try:
        refused_in_one_line(start(room / "set"), "No space left", "make room")
        kept = [name for name in content(room / "set") if name.endswith(".tar")]
        assert kept
        assert not list((room / "set").glob(".*.part"))
        # Nothing fits any more: still one line, and nothing is lost.
        refused_in_one_line(start(room / "set"), "No space left")
        subprocess.run(["mount", "-o", "remount,size=50m", str(room)], check=True)
        result = generate(recipe, room / "set", workers=1)
        assert result.made == 240 - 4 * len(kept)
        assert content(room / "set") == whole
    finally:
        subprocess.run(["umount", "-l", str(room)], check=False)


def _obey_permissions():
    """Root without the right to ignore permissions; for others nothing changes."""
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(_DROP_CAPABILITY, capability, 0, 0, 0)


def test_permissions_lost_in_the_middle(start, recipe, tmp_path, whole):
    out = tmp_path / "set"
    process = start(out, workers=1, prepare=_obey_permissions)
    wait_for(lambda: (out / "shard-000001.tar").exists())
    out.chmod(0o555)
    refused_in_one_line(process, "Permission denied", "writable")
    refused_in_one_line(start(out, workers=1, prepare=_obey_permissions), "Permission denied")
    out.chmod(0o755)
    generate(recipe, out, workers=1)
    assert content(out) == whole


def test_a_folder_moved_away_in_the_middle(start, recipe, tmp_path, whole):
    out, moved = tmp_path / "set", tmp_path / "moved"
    process = start(out, workers=1)
    wait_for(lambda: (out / "shard-000001.tar").exists())
    out.rename(moved)
    refused_in_one_line(process, "shard-000000.tar", "removed or altered while the job ran")
    generate(recipe, moved, workers=1)
    assert content(moved) == whole


def _workers(process):
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(entry.name))
    return found


def test_a_worker_killed_for_memory_is_replaced(start, tmp_path, whole):
    out = tmp_path / "set"
    process = start(out)
    wait_for(lambda: len(_workers(process.pid)) == 2)
    os.kill(_workers(process.pid)[0], signal.SIGKILL)
    assert ended(process)[0] == 0
    assert content(out) == whole


def test_workers_that_die_again_and_again_give_up_with_advice(start, tmp_path):
    """As when no worker fits in memory: three tries, then one line; the exit code says that it wasn't the input."""
    process = start(tmp_path / "set")
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        for worker in _workers(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        time.sleep(0.05)
    code, lines = ended(process)
    assert code == 1, lines
    assert len(lines) == 1, lines
    assert "memory: try fewer --workers" in lines[0]


def test_two_jobs_in_one_folder(start, tmp_path, whole):
    out = tmp_path / "set"
    first = start(out, workers=1)
    wait_for(lambda: (out / ".lock").exists() and (out / ".lock").read_text())
    refused_in_one_line(start(out), f"in use by process {first.pid} on ")
    assert ended(first)[0] == 0
    assert content(out) == whole


def test_ctrl_c_keeps_what_was_finished(start, recipe, tmp_path, whole):
    out = tmp_path / "set"
    process = start(out)
    wait_for(lambda: (out / "shard-000000.tar").exists() or (out / "shard-000001.tar").exists())
    os.kill(process.pid, signal.SIGINT)
    code, lines = ended(process)
    assert code in (0, 130), lines
    generate(recipe, out, workers=1)
    assert content(out) == whole
    assert verify(out, deep=True).problems == ()


def test_a_changed_recipe_is_refused_with_the_difference(recipe, tmp_path, whole):
    out = tmp_path / "set"
    generate(recipe, out, workers=1, images=4)
    changed = {**recipe, "views": [{**recipe["views"][0], "rows": 48}]}
    with pytest.raises(InputError, match=r"views\[0\]\.rows: 32 there, 48 now"):
        generate(changed, out)
    generate(recipe, out, workers=1)
    assert content(out) == whole
