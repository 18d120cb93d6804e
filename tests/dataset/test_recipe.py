import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthray.anatomy.morph import mirrored, swap_sides
from synthray.dataset import load_recipe, plan, rle
from synthray.dataset.imaging_recipe import Imaging
from synthray.dataset.recipe import Structure2D
from synthray.dataset.structures import flat_mask, needed_paths
from synthray.errors import InputError
from synthray.imaging import System

BODY = {"people": [{"body": 1}], "images": 10}


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_run_lengths_are_undone(mask):
    encoded = rle.encode(mask)
    assert sum(encoded["counts"]) == mask.size
    np.testing.assert_array_equal(rle.decode(encoded), mask)


def test_run_lengths_follow_coco():
    # COCO counts down the columns and starts with the zeros.
    mask = np.array([[1, 0], [1, 1]], dtype=bool)
    assert rle.encode(mask) == {"size": [2, 2], "counts": [0, 2, 1, 1]}


@pytest.mark.parametrize("bad", [{}, {"size": [2, 2], "counts": [3]}, {"size": [1, 1], "counts": [-1, 2]}])
def test_broken_run_lengths_are_refused(bad):
    with pytest.raises(InputError):
        rle.decode(bad)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": 3}, "unknown key 'image'; did you mean 'images'?"),
        ({"imaging": {"tube_kpv": 80}}, "unknown key 'imaging.tube_kpv'; did you mean 'tube_kvp'?"),
        ({"views": [{"lao_deg": {"unifrm": [0, 1]}}]}, r"views\[0\]\.lao_deg: give a number"),
        ({"views": [{"lao_deg": {"uniform": [2, 1]}}]}, "ends are swapped"),
        ({"views": [{"lao_deg": "left"}]}, r"views\[0\]\.lao_deg"),
        ({"views": [{"view": "skyline"}]}, "unknown view"),
        ({"views": [{"carm": "x"}]}, "unknown C-arm"),
        ({"images": "many"}, "images: .*got 'many'"),
        ({"images": 0}, "images"),
        ({"people": []}, "people"),
        ({"people": [{"body": 1, "ct": "a.nii"}]}, "either 'ct'"),
        ({"people": [{"count": 2}]}, "either 'ct'"),
        ({"imaging": {"realism": "magic"}}, "imaging.realism"),
        ({"imaging": {"detectors": ["film"]}}, "no detector preset"),
        ({"imaging": {"tube_kvp": float("nan")}}, "tube_kvp"),
        ({"structures": {"a b": {"of": ["x"]}}}, "may hold letters"),
        ({"keep_paths": ["lung"]}, "keep_paths"),
    ],
)
def test_wrong_recipes_are_told_in_one_line_with_the_key(change, message):
    with pytest.raises(InputError, match=message) as caught:
        load_recipe({**BODY, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("people: [", "not valid YAML at line"),
        ("- 1", "mapping of keys"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("images: 3", "missing key 'people'"),
        ("images: 3\npeople: [{ct: nowhere.nii.gz}]", "nowhere.nii.gz: not found"),
    ],
)
def test_wrong_files_are_told_in_one_line(tmp_path, text, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_recipe(path)


def test_missing_recipe_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_recipe(tmp_path / "none.yaml")


def test_the_plan_of_an_image_depends_on_seed_and_index_alone():
    imaging = {"mas": {"log_uniform": [1, 9]}}
    recipe = load_recipe({**BODY, "views": [{"lao_deg": {"uniform": [-20, 20]}}], "imaging": imaging})
    more = recipe.model_copy(update={"images": 1000})
    assert [plan(recipe, i) for i in range(10)] == [plan(more, i) for i in range(10)]
    other = recipe.model_copy(update={"seed": 1})
    assert plan(recipe, 0) != plan(other, 0)
    assert len({plan(more, i).parameters.lao_deg for i in range(100)}) == 100


def test_bodies_are_counted_out():
    recipe = load_recipe({**BODY, "people": [{"body": 5, "count": 3}, {"body": 9, "split": "val"}]})
    assert [person.body for person in recipe.everyone()] == [5, 6, 7, 9]
    assert recipe.everyone()[-1].split == "val"


def test_medial_borders_are_stricter_than_lateral_ones():
    # One lung whose path rises from the outer rim (left) to column 4 and thins out towards the middle (right).
    path = np.array([[0, 10, 60, 90, 100, 80, 45, 30, 3]], dtype=np.float32)
    rule = Structure2D(of=["lung"], path_above_mm=5, medial_path_above_mm=40)
    found = flat_mask(rule, {"lung": path}, middle_column=8.0)[0]
    assert found.tolist() == [False, True, True, True, True, True, True, False, False]
    shallow = flat_mask(rule.model_copy(update={"medial_row_fraction": 0.2}), {"lung": path}, middle_column=8.0)[0]
    assert shallow.tolist() == [False, True, True, True, True, True, True, True, False]
    below = np.zeros_like(path)
    below[0, 2] = 7
    cut = flat_mask(rule.model_copy(update={"minus": ["below"]}), {"lung": path, "below": below}, middle_column=8.0)[0]
    assert not cut[2]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_medial_line_passes_over_notches_and_bulges_and_leaves_the_other_border(mirrored):
    rows, columns = np.mgrid[:100, :80]
    border = 50 + 0.1 * rows[:, 0]
    real = border.copy()
    real[20:28] -= 6  # a great vessel
    real[60:70] += 5  # lung that shines through beside the spine
    path = np.where((columns > 8) & (columns <= real[:, None]), 100, 0).astype(np.float32)
    rule = Structure2D(of=["lung"], medial_line=True)
    if mirrored:
        path = path[:, ::-1]
    found = flat_mask(rule, {"lung": path}, middle_column=70.0 if not mirrored else 9.0)
    found = found[:, ::-1] if mirrored else found
    assert np.abs(found.sum(axis=1) - (border - 8)).max() <= 2
    assert (found.argmax(axis=1) == 9).all()
    empty = flat_mask(rule, {"lung": np.zeros_like(path)}, middle_column=70.0)
    assert not empty.any()


def test_a_structure_that_nobody_has_is_refused():
    with pytest.raises(InputError, match="has none of heart"):
        needed_paths({"heart": Structure2D(of=["heart"])}, ("lung_left",), "someone")


@pytest.mark.parametrize(
    ("name", "mirror"), [("hip_left", "hip_right"), ("left_lung", "right_lung"), ("FH-r", "FH-l"), ("heart", "heart")]
)
def test_sides_swap_by_name(name, mirror):
    assert swap_sides(name) == mirror
    assert swap_sides(mirror) == name


def test_a_mirrored_person_has_left_and_right_swapped():
    from synthray.anatomy import body

    person = body(1, region="pelvis", voxel_mm=8)
    twin = mirrored(person)
    assert twin.structure_center_mm("hip_left")[0] > twin.structure_center_mm("hip_right")[0]
    flipped = 2 * person.center_mm[0] - person.landmarks["FH-r"][0]
    assert twin.landmarks["FH-l"][0] == pytest.approx(flipped)


def test_realism_may_be_a_list_of_which_one_is_picked_per_image():
    recipe = load_recipe({**BODY, "imaging": {"realism": ["naive", "heuristic", "realistic"]}})
    assert {plan(recipe, i).realism for i in range(30)} == {"naive", "heuristic", "realistic"}
    assert plan(load_recipe(BODY), 0).realism == "realistic"
    with pytest.raises(InputError, match="list is empty"):
        load_recipe({**BODY, "imaging": {"realism": []}})


def drawn(**imaging):
    return Imaging.model_validate(imaging).draw(np.random.default_rng(0))


def test_a_system_gives_what_the_recipe_leaves_out():
    system = System.preset("chest-bedside").settings
    assert drawn(system="chest-bedside") == system
    changed = drawn(system="chest-bedside", tube_kvp={"uniform": [60, 70]}, table_g_cm2=0.4)
    assert 60 <= changed.tube.tube_kvp <= 70
    assert changed.mas is None
    assert changed.table_g_cm2 == 0.4
    assert changed.detector == system.detector
    assert drawn(system="chest-bedside", mas=3).mas == 3
    names = {drawn_system.detector for seed in range(20) for drawn_system in [
        Imaging.model_validate({"system": ["chest-bedside", "mobile-c-arm"]}).draw(np.random.default_rng(seed))
    ]}  # fmt: skip
    assert len(names) == 2


def test_without_a_system_the_defaults_hold():
    plain = drawn()
    assert (plain.tube.tube_kvp, plain.mas, plain.scatter.ratio, plain.scatter.sigma_mm) == (100, 4, 0.3, 60)
    physical = drawn(air_gap_mm=200, grid_ratio=0)
    assert physical.scatter.ratio is None
    assert physical.scatter.grid is None
    assert physical.scatter.air_gap_mm == 200
    assert drawn(detector_dose_ugy=1.5).exposure.detector_kerma_ugy == 1.5
    assert drawn(detector_dose_ugy=1.5).mas is None
    assert drawn(anode_angle_deg=10, off_focus=0.1, motion_mm=1, dead_pixels=0).off_focus == 0.1
    for bad, message in (
        ({"system": "dentist"}, "no X-ray system"),
        ({"mas": 1, "detector_dose_ugy": 2}, "either mas or detector_dose_ugy"),
    ):
        with pytest.raises(ValueError, match=message):
            Imaging.model_validate(bad)
