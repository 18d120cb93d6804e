import numpy as np
import pytest

from synthray.anatomy import body
from synthray.anatomy.body.anthropometry import FIGURES, measure
from synthray.anatomy.body.canvas import Canvas, Shell
from synthray.anatomy.body.landmarks import bone_of
from synthray.anatomy.body.shapes import ball, block, paint, rod, sheet, spline

BONES = ("hip_", "femur_", "vertebrae_", "sacrum", "rib_", "scapula_", "clavicula_", "humerus_", "sternum", "skull",
         "costal_cartilages", "patella_", "tibia_", "fibula_", "radius_", "ulna_")  # fmt: skip
EVERY_BONE = {
    *(f"vertebrae_C{n}" for n in range(1, 8)),
    *(f"vertebrae_T{n}" for n in range(1, 13)),
    *(f"vertebrae_L{n}" for n in range(1, 6)),
    *(f"rib_{side}_{n}" for side in ("left", "right") for n in range(1, 13)),
    *(f"{bone}_{side}" for bone in ("hip", "femur", "scapula", "clavicula", "humerus", "patella", "tibia", "fibula")
      for side in ("left", "right")),
    "sacrum", "sternum", "skull", "costal_cartilages",
}  # fmt: skip


@pytest.fixture(scope="module")
def people():
    return [body(seed, voxel_mm=4) for seed in (3, 8)]


def bone_mask(patient):
    return patient.labels.mask(*(name for name in patient.structure_names if name.startswith(BONES)))


def test_a_trunk_has_every_bone(people):
    for person in people:
        assert set(person.structure_names) >= EVERY_BONE


def test_bone_carries_a_bone_label(people):
    for person in people:
        bone = person.ct.values > 300
        unlabelled = bone & ~bone_mask(person)
        # Texture lifts a few voxels of the bones' rims over the threshold; a bone without a label would be hundreds.
        assert unlabelled.sum() < 2e-3 * bone.sum()


def test_each_pair_lies_left_and_right_of_the_spine(people):
    for person in people:
        for name in person.structure_names:
            other = name.replace("left", "right")
            if name.startswith(BONES) and name != other:
                left, right = person.structure_center_mm(name)[0], person.structure_center_mm(other)[0]
                assert left > right + 20, name


def test_surface_landmarks_lie_on_their_bone(people):
    for person in people:
        affine, found = person.ct.patient_from_voxel, 0
        for name, at in person.landmarks.items():
            if (bone := bone_of(name)) is None:
                continue
            found += 1
            voxel = np.rint(np.linalg.solve(affine[:3, :3], at - affine[:3, 3])).astype(int)
            mask = person.labels.mask(bone)
            assert mask[tuple(voxel)], name
            around = mask[tuple(slice(max(v - 1, 0), v + 2) for v in voxel)]
            assert not around.all(), f"{name} lies inside {bone}"
        assert found > 50


def test_the_femoral_head_sits_in_its_socket_without_touching_it(people):
    for person in people:
        for side in ("left", "right"):
            center = person.landmarks[f"FH-{side[0]}"]
            affine = person.ct.patient_from_voxel
            away = {}
            for bone in ("femur", "hip"):
                points = np.argwhere(person.labels.mask(f"{bone}_{side}")) @ affine[:3, :3].T + affine[:3, 3] - center
                away[bone] = np.linalg.norm(points, axis=1)
            assert away["femur"].min() < 4
            assert away["hip"].min() > 18


def test_labels_meet_published_figures_in_the_mean():
    for sex in ("female", "male"):
        rows = [measure(body(seed, sex=sex, voxel_mm=4)) for seed in range(5)]
        for figure in FIGURES:
            mean, sd = figure.female if sex == "female" else figure.male
            found = np.mean([row[figure.name] for row in rows])
            # Five bodies at 4 mm: a standard deviation and a half of the population, and a third of a voxel.
            assert abs(found - mean) < 1.5 * sd + 1.4, f"{sex} {figure.name}: {found:.1f}, published {mean} ± {sd}"


def test_people_vary_as_published():
    rows = [measure(body(seed, sex="female", voxel_mm=5, arms="absent")) for seed in range(8)]
    for name, low, high in (("neck_shaft_deg", 2, 14), ("sacral_slope_deg", 3, 18), ("femoral_head_radius_mm", 0.4, 3)):
        assert low < np.std([row[name] for row in rows], ddof=1) < high, name


def test_arms_go_where_they_are_asked_to():
    down, up, absent = (body(5, region="chest", voxel_mm=5, arms=arms) for arms in ("down", "up", "absent"))
    assert down.structure_center_mm("humerus_left")[2] < up.structure_center_mm("humerus_left")[2] - 60
    assert "humerus_left" not in absent.structure_names
    assert "scapula_left" in absent.structure_names


def test_age_thins_and_lightens_bone():
    young, old = (body(2, sex="female", age=age, region="pelvis", voxel_mm=4) for age in (25, 88))
    inside = [np.median(person.ct.values[person.labels.mask("vertebrae_L5")]) for person in (young, old)]
    assert inside[0] > inside[1] + 30


# --- the parts that bones are made of ---


def painted(parts, *, voxel_mm=1.0, cortex_mm=2.0):
    canvas = Canvas.empty((-30, -30, -30), (30, 30, 30), voxel_mm)
    paint(canvas, parts, Shell(1000.0, 200.0, cortex_mm), "bone")
    return canvas


@pytest.mark.parametrize(
    ("part", "volume_mm3"),
    [
        (ball((1, 2, 3), (12, 9, 15)), 4 / 3 * np.pi * 12 * 9 * 15),
        (block((0, 0, 0), (10, 8, 12), rounding_mm=0.01), 8 * 10 * 8 * 12),
        (rod([[0, 0, -15], [0, 0, 15]], 6.0), np.pi * 36 * 30 + 4 / 3 * np.pi * 216),
        (sheet(np.stack(np.meshgrid([-20.0, 0, 20], [-20.0, 0, 20], [0.0]), axis=-1)[..., 0, :], 6.0), None),
    ],
)
def test_parts_have_their_volume(part, volume_mm3):
    canvas = painted([part])
    share = (canvas.hu > -1000).sum()
    filled = np.clip((canvas.hu + 1000) / 1200, 0, 1).sum() if volume_mm3 is None else (canvas.codes > 0).sum()
    expected = 40 * 40 * 6 if volume_mm3 is None else volume_mm3
    assert share > 0
    assert abs(filled - expected) < (0.45 if volume_mm3 is None else 0.15) * expected


@pytest.mark.parametrize("voxel_mm", [0.6, 1.0, 2.0, 3.0])
def test_a_thin_cortex_keeps_its_mass_at_any_voxel(voxel_mm):
    canvas = Canvas.empty((-30, -30, -30), (30, 30, 30), voxel_mm)
    canvas.hu[:] = 0
    paint(canvas, [ball((0, 0, 0), 20.0)], Shell(1000.0, 0.0, 1.0), "bone")
    expected = 1000 * 4 / 3 * np.pi * (20**3 - 19**3)
    assert canvas.hu.sum() * voxel_mm**3 == pytest.approx(expected, rel=0.08)


def test_a_cut_leaves_a_cavity_with_a_wall():
    canvas = painted([ball((0, 0, 0), 20.0), ball((0, 0, 0), 12.0).cutting(0.5)])
    middle = canvas.hu.shape[0] // 2
    assert canvas.hu[middle, middle, middle] == -1000
    line = canvas.hu[middle, middle]
    assert line[middle + 13] > 700
    assert line[middle + 19] > 700
    assert 150 < line[middle + 16] < 400


def test_a_union_is_smooth_and_never_thinner_than_its_parts():
    apart = [ball((-8, 0, 0), 10.0, blend_mm=0.01), ball((8, 0, 0), 10.0, blend_mm=0.01)]
    blended = [ball((-8, 0, 0), 10.0, blend_mm=8), ball((8, 0, 0), 10.0, blend_mm=8)]
    sharp, smooth = (painted(parts).codes > 0 for parts in (apart, blended))
    assert (smooth | ~sharp).all()
    assert smooth.sum() > sharp.sum()


def test_a_spline_passes_through_its_points():
    points = np.array([[0.0, 0, 0], [10, 5, 0], [20, 0, 5], [30, -5, 0]])
    line = spline(points, 301)
    assert np.linalg.norm(line[:, None] - points, axis=-1).min(axis=0).max() < 0.2


def test_paint_outside_the_canvas_changes_nothing():
    canvas = painted([ball((500, 0, 0), 10.0)])
    assert (canvas.hu == -1000).all()
