"""The benchmark's phantom, its closed form, and a tiny run of everything. Speed itself is never tested."""

import json

import numpy as np
import pytest

import synthray.bench as bench
from synthray.bench import Case, Ellipsoid, bench_views, make_phantom, parse_case
from synthray.errors import InputError
from synthray.projector import project

TINY = [Case(voxels=32, pixels=24, structures=3, batch=2), Case(voxels=32, pixels=24, structures=3, work="simulate")]


@pytest.mark.parametrize("structures", [0, 1, 20, 100, 300])
def test_structures_lie_apart_and_inside_the_body(structures):
    phantom = make_phantom(structures)
    assert len(phantom.structures) == structures
    rng = np.random.default_rng(0)
    surface = rng.normal(size=(200, 3))
    surface /= np.linalg.norm(surface, axis=1, keepdims=True)
    points = [shape.center_mm + surface * shape.radii_mm for shape in phantom.structures]
    for index, own in enumerate(points):
        assert (((own - phantom.body.center_mm) / phantom.body.radii_mm) ** 2).sum(axis=1).max() <= 1 + 1e-9
        for other in phantom.structures[:index]:
            assert (((own - other.center_mm) / other.radii_mm) ** 2).sum(axis=1).min() >= 1 - 1e-9


def test_every_structure_has_voxels_of_its_own_label():
    patient = make_phantom(100).patient(128)
    assert np.bincount(patient.labels.codes.ravel())[1:].min() > 20
    assert patient.structure_names == tuple(f"structure_{n}" for n in range(1, 101))


def test_voxels_hold_the_volume_of_their_ellipsoid():
    phantom = make_phantom(4)
    patient = phantom.patient(128)
    voxel_mm3 = patient.ct.voxel_mm.prod()
    for code, shape in enumerate(phantom.structures, start=1):
        expected = 4 / 3 * np.pi * shape.radii_mm.prod()
        assert (patient.labels.codes == code).sum() * voxel_mm3 == pytest.approx(expected, rel=0.03)


def test_a_chord_through_the_centre_is_a_diameter_and_a_ray_beside_it_nothing():
    shape = Ellipsoid(np.array([1.0, 2, 3]), np.array([4.0, 5, 6]), 0)
    directions = np.array([[1.0, 0, 0], [0, 1, 0]])
    assert shape.chords_mm(np.array([-100.0, 2, 3]), directions) == pytest.approx([8, 0])


def test_the_closed_form_is_what_projection_approaches():
    phantom = make_phantom(6)
    view = bench_views(96)[0]
    source, directions = view.rays()
    exact = phantom.area_density(source, directions)
    errors = [np.abs(project(phantom.patient(n), view).area_density[0] - exact).mean() for n in (32, 64, 128)]
    assert errors[2] < 0.65 * errors[1]
    assert errors[1] < 0.65 * errors[0]
    assert errors[2] < 0.004 * exact.max()


def test_no_turned_or_flipped_image_is_taken_for_the_right_one():
    source, directions = bench_views(64)[0].rays()
    exact = make_phantom(20).area_density(source, directions).sum(axis=0)
    turned = [np.rot90(side, n) for side in (exact, exact.T) for n in range(4)][1:]
    assert min(np.abs(image - exact).mean() for image in turned) > 0.01 * exact.max()


def test_a_tiny_run_fills_every_field(tmp_path):
    steps = []
    saved = tmp_path / "bench.json"
    report = bench.run(TINY, backend="cpu", repeats=2, fresh=False, save=saved, progress=lambda *s: steps.append(s))
    assert steps == [(2, 2)]
    data = json.loads(saved.read_text())
    assert set(data) == {"format", "date", "machine", "backend", "bandwidth_gb_s", "rows", "first_call", "memory"}
    assert data == json.loads(report.to_json())
    assert all(value > 0 for value in report.bandwidth_gb_s.values())
    for row in report.rows:
        assert 0 < row.fastest_ms <= row.ms_per_image == pytest.approx(1000 / row.images_per_s)
        assert 0 < row.bandwidth_share < 1
        assert 0 < row.error_percent < 2
        assert row.gsamples_per_s > 0
        # Two densities of 16 bits and a code of 8 in at most the whole grid and its padding.
        assert 0.2 * 5 * 32**3 < row.volume_mib * 2**20 <= 5 * 34**3
    assert len(bench.table(report)) == 2
    assert all(len(cells) == len(bench.HEADERS) for cells in bench.table(report))
    assert bench.markdown(report).count("\n|") == 4


def test_summary_compares_rows_that_differ_in_one_thing():
    row = bench.run(TINY[:1], backend="cpu", repeats=1, fresh=False)
    rows = [
        _row(row.rows[0], Case(), 2, 10.0),
        _row(row.rows[0], Case(threads=1), 1, 19.0),
        _row(row.rows[0], Case(masks=False), 2, 8.0),
        _row(row.rows[0], Case(work="simulate"), 2, 30.0),
    ]
    machine = {**row.machine, "cores": 2}
    text = "\n".join(
        bench.summary(bench.Report(date="d", machine=machine, backend="cpu", bandwidth_gb_s={}, rows=rows))
    )
    assert "1.90 times" in text
    assert "1.25 times" in text
    assert "20.0 ms" in text


def _row(like, case, threads, milliseconds):
    return type(like)(**{**vars(like), "case": case, "threads": threads, "ms_per_image": milliseconds})


def test_bandwidth_is_counted_in_bytes_read():
    assert 0.05 < bench.measure_read_bandwidth(2, mebibytes=8, repeats=2) < 5000


@pytest.mark.slow
def test_memory_and_first_call_are_measured_in_new_processes():
    memory = bench.peak_memory(48, 32, 3, backend="cpu")
    assert memory["growth_mib"] == pytest.approx(memory["peak_mib"] - memory["before_mib"])
    assert memory["before_mib"] > 30
    first = bench.first_call("cpu")
    assert first["cold_s"] > first["next_s"] > 0
    assert 0 < first["import_s"] < first["cold_s"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cases": "huge"}, "unknown grid 'huge'"),
        ({"cases": []}, "no case"),
        ({"cases": TINY, "backend": "abacus"}, "unknown backend 'abacus'"),
        ({"cases": TINY, "repeats": 0}, "repeats=0"),
        ({"cases": TINY, "threads": 0}, "threads=0"),
    ],
)
def test_what_can_not_be_run_is_refused_before_anything_is_measured(arguments, message):
    with pytest.raises(InputError, match=message):
        bench.run(**arguments)


def test_cases_from_text():
    assert parse_case("512,1024") == Case(voxels=512, pixels=1024)
    assert parse_case("64,32,5,8") == Case(voxels=64, pixels=32, structures=5, batch=8)
    for text in ("", "64", "64,x", "1,2,3,4,5", "64,32.5"):
        with pytest.raises(InputError, match="VOXELS,PIXELS"):
            parse_case(text)
    with pytest.raises(InputError, match="voxels=4096"):
        parse_case("4096,512")


def test_the_grids_hold_what_they_promise():
    full = bench.GRIDS["full"]
    assert {case.voxels for case in full} == {128, 256, 384, 512}
    assert {case.pixels for case in full} == {256, 512, 1024, 1536}
    assert {1, 20, 100} <= {case.structures for case in full}
    assert all(len(set(grid)) == len(grid) for grid in bench.GRIDS.values())
