"""Tools and disease in recipes: where they go, what is stored, and the same bytes whatever happens."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import trimesh
import yaml

from synthray.anatomy import Patient
from synthray.dataset import Dataset, generate, load_recipe, plan, verify
from synthray.dataset.disease_recipe import Disease, with_disease
from synthray.dataset.parameters import draw_parameters
from synthray.dataset.placing import Placer
from synthray.dataset.read import stack_density
from synthray.dataset.redraw import Redraw, redraw_batch
from synthray.dataset.tools_recipe import ToolEntry
from synthray.errors import InputError
from synthray.geometry import Camera, CArm, apply
from synthray.tools import load

ROBOT, SCREW = "continuum_manipulator", "screw"
RECIPE = {
    "name": "tools",
    "seed": 7,
    "images": 8,
    "images_per_shard": 4,
    "people": [
        {
            "body": 1,
            "count": 2,
            "region": "pelvis",
            "voxel_mm": 6,
            "disease": [
                {
                    "kind": "fracture",
                    "probability": 0.5,
                    "parameters": {"structure": ["hip_left", "hip_right"], "displacement_mm": {"uniform": [3, 9]}},
                }
            ],
        }
    ],
    "views": [{"carm": "cios-fusion", "view": "ap", "rows": 64, "lao_deg": {"uniform": [-20, 20]}}],
    "tools": [
        {"kind": ROBOT, "bend": 1, "parameters": {"end_effector": ["none", "cutter"]}},
        {
            "kind": SCREW,
            "count": {"uniform": [0, 2]},
            "parameters": {"length_mm": {"uniform": [40, 80]}, "material": ["titanium", "steel_316l"]},
            "along": {"start": "ASIS-l", "end": "GSN-l", "offset_mm": 5},
        },
        {"kind": "button", "probability": 0, "on_skin": {}},
    ],
    "tool_poses_per_view": 2,
    "keep_area_density": True,
    "structures": {
        "femur": {"of": ["femur_left", "femur_right"], "minus": [SCREW]},
        "crack": {"of": ["fracture_hip_left", "fracture_hip_right"]},
    },
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tools") / "set"
    generate(RECIPE, folder, workers=1)
    return folder


def test_any_number_of_workers_gives_the_same_bytes(made, tmp_path):
    generate(RECIPE, tmp_path / "two", workers=2)
    for path in sorted(made.glob("*.tar")):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert verify(made).problems == ()


def test_poses_masks_and_landmarks_agree(made):
    counts = set()
    for sample in Dataset.open(made):
        tools = {tool["name"]: tool for tool in sample.truth["tools"]}
        held = sample.truth["camera"]
        camera = Camera.from_matrix(held["K"], held["camera_from_patient"], held["rows"], held["columns"])
        pose = np.array(tools[ROBOT]["patient_from_tool"])
        np.testing.assert_allclose(camera.project(pose[:3, 3]), sample.landmarks_px[f"{ROBOT}_base"], atol=1e-6)
        assert sample.masks[ROBOT].any()
        column, row = np.rint(sample.landmarks_px[f"{ROBOT}_tip"]).astype(int)
        assert sample.masks[ROBOT][max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3].any()
        assert len(tools[ROBOT]["parameters"]["control_deg"]) == 4
        screws = [name for name in tools if name.startswith(SCREW)]
        counts.add(len(screws))
        assert sample.masks[SCREW].any() <= bool(screws)
        assert all(40 <= tools[name]["parameters"]["length_mm"] <= 80 for name in screws)
        assert not sample.masks["button"].any()
        assert not (sample.masks["femur"] & sample.masks[SCREW])[sample.masks[SCREW]].all() or not screws
        basis = sample.truth["area_density"]["basis"]
        assert basis[:2] == ["adipose", "bone"]
        assert "NiTi" in basis
        assert sample.area_density.shape == (len(basis), 64, 64)
    assert len(counts) > 1


def test_images_that_share_a_view_share_its_march(made):
    samples = list(Dataset.open(made))
    for first, second in zip(samples[::2], samples[1::2], strict=True):
        assert first.truth["camera"] == second.truth["camera"]
        assert first.truth["noise_seed"] != second.truth["noise_seed"]
        assert first.truth["tools"][0] != second.truth["tools"][0]
        free = ~np.any([s.masks[name] for s in (first, second) for name in (ROBOT, SCREW)], axis=0)
        free &= ~np.any([np.roll(~free, (r, c), (0, 1)) for r in (-1, 0, 1) for c in (-1, 0, 1)], axis=0)
        assert free.mean() > 0.3
        np.testing.assert_array_equal(first.area_density[:2, free], second.area_density[:2, free])
    assert samples[0].truth["camera"] != samples[2].truth["camera"]


def test_metal_stays_when_the_physics_is_redrawn(made):
    samples = list(Dataset.open(made))
    density, materials = stack_density(samples)
    assert materials == ("NiTi", "steel_316l", "titanium")
    np.testing.assert_array_equal(density[0, :2], samples[0].area_density[:2])
    basis = samples[0].truth["area_density"]["basis"]
    np.testing.assert_array_equal(density[0, 2], samples[0].area_density[basis.index("NiTi")])
    config = Redraw.model_validate({"imaging": {"realism": "heuristic"}})
    pixel = np.full(len(samples), 1.0)
    images = redraw_batch(density, None, pixel, config, np.random.default_rng(0), materials).images
    without = density.copy()
    without[:, 2:] = 0
    bare = redraw_batch(without, None, pixel, config, np.random.default_rng(0), materials).images
    for image, plain, sample in zip(images, bare, samples, strict=True):
        assert (image - plain)[sample.masks[ROBOT]].mean() > 0.3
        assert not (image - plain)[(sample.area_density[2:] == 0).all(axis=0)].any()


def test_views_change_only_between_groups_and_the_rest_of_the_plan_stays():
    single = load_recipe({**RECIPE, "tool_poses_per_view": 1})
    recipe = load_recipe({**RECIPE, "tool_poses_per_view": 3})
    plans = [plan(recipe, index) for index in range(8)]
    assert [one.march for one in plans] == [0, 0, 0, 3, 4, 4, 4, 7]
    assert [one.parameters for one in plans] == [plan(single, one.march).parameters for one in plans]
    assert plans[0] == plan(single, 0)
    assert len({one.noise_seed for one in plans}) == 8


def test_the_ill_have_a_mask_and_the_healthy_an_empty_one(made):
    by_person = {}
    for sample in Dataset.open(made):
        by_person.setdefault(sample.truth["patient"], []).append(sample.masks["crack"].any())
    assert len(by_person) == 2
    assert sorted(any(seen) for seen in by_person.values()) == [False, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tools": [{"kind": "screwdriver"}]}, r"tools\[0\]: no tool 'screwdriver'"),
        ({"tools": [{}]}, "either 'kind' or 'file'"),
        ({"tools": [{"kind": "screw", "parameters": {"lenght_mm": 3}}]}, "did you mean 'length_mm'"),
        ({"tools": [{"kind": "screw", "parameters": {"length_mm": {"uniform": [5, 1]}}}]}, "ends are swapped"),
        ({"tools": [{"kind": "screw", "parameters": {"length_mm": [1, "a"]}}]}, r"length_mm: give a number"),
        ({"tools": [{"kind": "screw", "parameters": {"length_mm": "long"}}]}, "'length_mm' must be a number"),
        ({"tools": [{"kind": "screw", "parameters": {"length_mm": [40, 50]}}]}, "'length_mm' must be a number"),
        ({"tools": [{"kind": "screw", "parameters": {"material": 3}}]}, "'material' must be a word"),
        ({"tools": [{"kind": "screw", "bend": 1}]}, "'bend' goes with"),
        ({"tools": [{"kind": "screw", "near": {"target": "FH-l"}, "in_view": {}}]}, "give one of along"),
        ({"tools": [{"kind": "screw", "near": {"offset_mm": 3}}]}, r"missing key 'tools\[0\]\.near\.target'"),
        ({"tools": [{"file": "part.stl"}]}, "missing parameter 'material'"),
        ({"tools": [{"kind": "screw", "name": "a/b"}]}, "may hold letters"),
        ({"tools": [{"kind": "screw", "name": "femur"}]}, "a tool is called 'femur'"),
        ({"tools": []}, "'tool_poses_per_view' goes with 'tools'"),
        ({"people": [{"body": 1, "disease": [{"kind": "cold"}]}]}, r"people\[0\]\.disease\[0\]: no disease 'cold'"),
        ({"people": [{"body": 1, "disease": [{"kind": "fracture"}]}]}, "missing parameter 'structure'"),
        (
            {"people": [{"body": 1, "disease": [{"kind": "lung_nodules", "parameters": {"seed": 1}}]}]},
            "parameter 'seed'",
        ),
    ],
)
def test_wrong_recipes_are_told_in_one_line_with_the_key(change, message):
    with pytest.raises(InputError, match=message) as caught:
        load_recipe({**RECIPE, **change})
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_the_person_is_told_with_its_entry(tmp_path):
    tools = [{"kind": "screw", "along": {"start": "FH-l", "end": "nose"}}]
    with pytest.raises(InputError, match=r"tools\[0\] \(screw\): body-1.* has no landmark or structure 'nose'"):
        generate({**RECIPE, "tools": tools, "structures": {}, "images": 2}, tmp_path / "a", workers=1)
    ill = [{"kind": "lung_nodules"}]
    people = [{"body": 1, "region": "pelvis", "voxel_mm": 8, "disease": ill}]
    with pytest.raises(InputError, match=r"disease\[0\] \(lung_nodules\): .*lung"):
        generate({**RECIPE, "people": people, "structures": {}}, tmp_path / "b", workers=1)


def test_parameters_are_drawn_in_kind_and_in_an_order_of_their_own():
    def function(a: float, b: int | None, c: str, d: tuple[float, float]) -> None: ...

    given = {"b": {"uniform": [2, 6]}, "a": {"uniform": [0, 1]}, "c": ["x", "y"], "d": [1, 2]}
    entry = Disease.model_validate({"kind": "lung_nodules", "parameters": {"number": {"uniform": [2, 6]}}})
    read = {"a": entry.parameters["number"], "b": entry.parameters["number"], "c": ("x", "y"), "d": (1, 2)}
    one = draw_parameters(function, read, np.random.default_rng(5))
    other = draw_parameters(function, dict(reversed(read.items())), np.random.default_rng(5))
    assert one == other
    assert isinstance(one["b"], int)
    assert isinstance(one["a"], float)
    assert one["c"] in given["c"]
    assert one["d"] == (1, 2)


def test_a_mesh_of_ones_own_is_a_tool(tmp_path):
    trimesh.creation.box((10, 10, 40)).export(tmp_path / "peg.stl")
    tools = [{"file": "peg.stl", "parameters": {"material": "titanium"}, "near": {"target": "center", "offset_mm": 5}}]
    recipe = {**RECIPE, "images": 1, "tool_poses_per_view": 1, "structures": {}, "tools": tools}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    generate(tmp_path / "recipe.yaml", tmp_path / "set", workers=1)
    (sample,) = Dataset.open(tmp_path / "set")
    assert sample.masks["peg"].any()
    assert sample.truth["area_density"]["basis"][2:] == ["titanium"]
    inputs = json.loads((tmp_path / "set" / "recipe.json").read_text())["inputs"]
    assert list(inputs) == [str(tmp_path / "peg.stl")]
    assert load(tmp_path / "peg.stl", material="titanium").name == "peg"


# Where each placement puts a tool.
CAMERA = CArm.preset("cios-fusion").resized(64).view((0, 0, 0), view="ap")


@pytest.fixture(scope="module")
def placer():
    """A block of tissue with a structure and a landmark, in air."""
    hu, labels = np.full((60, 60, 60), -1000, dtype=np.int16), np.zeros((60, 60, 60), dtype=np.uint8)
    hu[10:50, 15:45, 5:55], labels[20:25, 20:25, 20:25] = 20, 1
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = -118
    marks = {"here": (10.0, 5, 0), "there": (10.0, 5, 60)}
    return Placer(Patient.from_arrays(hu, affine, labels, {1: "part"}, marks))


def place(placer, seed=0, **entry):
    read = ToolEntry.model_validate({"kind": "k_wire", "parameters": {"length_mm": 50}, **entry})
    (placed,) = placer.placed([read], CAMERA, np.zeros(3), lambda n: np.random.default_rng([seed, n]))
    return placed.tool


def test_along_points_at_its_end_and_beyond(placer):
    tool = place(placer, along={"start": "here", "end": "there", "beyond_mm": 7})
    np.testing.assert_allclose(tool.landmarks_mm["tip"], [10, 5, 67], atol=1e-9)
    np.testing.assert_allclose(tool.landmarks_mm["base"], [10, 5, 17], atol=1e-9)
    moved = place(placer, along={"start": "here", "end": "there", "offset_mm": 7}).landmarks_mm["tip"]
    assert 0 < np.linalg.norm(moved - [10, 5, 60]) <= 7


@pytest.mark.parametrize("seed", range(5))
def test_other_placements_keep_their_promises(placer, seed):
    near = place(placer, seed, near={"target": "here", "offset_mm": 9, "tilt_deg": 20}).landmarks_mm
    assert np.linalg.norm(near["tip"] - [10, 5, 0]) <= 9
    assert (near["tip"] - near["base"])[2] / 50 >= np.cos(np.radians(20)) - 1e-9
    middle = place(placer, seed, inside={"structure": ["part"]}).bounds_mm.mean(axis=0)
    assert (np.abs(middle - (-118 + 4 * 22)) <= 10 + 1e-6).all()
    front = place(placer, seed, kind="button", parameters={}, on_skin={"direction": [0, -1, 0], "offset_mm": 20})
    assert front.landmarks_mm["base"][1] == pytest.approx(-118 + 4 * 15 - 2, abs=2.5)
    np.testing.assert_allclose(front.patient_from_tool[:3, 2], [0, -1, 0], atol=0.05)
    across = place(placer, seed, in_view={"margin": 0.2, "out_of_plane_deg": 90, "depth_mm": 30})
    tip, base = (CAMERA.project(across.landmarks_mm[name]) for name in ("tip", "base"))
    assert (tip > 0.2 * 64 - 1).all()
    assert (tip < 0.8 * 64).all()
    np.testing.assert_allclose(tip, base, atol=1e-6)
    tip_depth, target_depth = apply(CAMERA.camera_from_patient, [across.landmarks_mm["tip"], np.zeros(3)])[:, 2]
    assert tip_depth == pytest.approx(target_depth + 30)


def test_disease_is_a_function_of_seed_and_person():
    person = Patient.from_arrays(
        np.full((20, 20, 30), 30, dtype=np.int16),
        np.diag([3.0, 3, 3, 1]),
        np.ones((20, 20, 30), dtype=np.uint8),
        {1: "kidney"},
    )
    given = {"structure": "kidney", "number": {"uniform": [1, 9]}}
    entries = [Disease.model_validate({"kind": "calcifications", "parameters": given})]
    one, same, other, another = (
        with_disease(person, entries, seed, number).ct.values for seed, number in ((1, 0), (1, 0), (2, 0), (1, 5))
    )
    assert (one == same).all()
    assert (one != other).any()
    assert (one != another).any()
    healthy = [entries[0].model_copy(update={"probability": 0.0})]
    assert with_disease(person, healthy, 1, 0) is person


@pytest.mark.parametrize("page", ["tools", "disease"])
def test_recipes_in_the_docs_are_valid(page):
    text = (Path(__file__).resolve().parents[2] / "docs" / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        assert load_recipe(yaml.safe_load(block)).images > 0


def test_one_ct_counts_as_several_people_by_its_disease():
    ill = {"ct": "a.nii", "count": 3, "disease": [{"kind": "lung_opacities"}]}
    people = load_recipe({"images": 1, "people": [ill]}).everyone()
    assert len(people) == 3
    with pytest.raises(InputError, match="'count' goes with"):
        load_recipe({"images": 1, "people": [{"ct": "a.nii", "count": 3}]})
