"""Disease: what was asked for is there, in the right place and of the right density, and nothing else changed."""

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK

from synthray.anatomy import Patient, Volume
from synthray.anatomy.disease import (
    calcifications,
    fracture,
    lung_nodules,
    lung_opacities,
    pleural_effusion,
    pneumothorax,
    with_labels,
)
from synthray.anatomy.disease.field import find_lungs
from synthray.anatomy.disease.pleura import Posture
from synthray.anatomy.morphology import dilated
from synthray.errors import InputError
from synthray.geometry import apply

CODES = {1: "lung_left", 2: "lung_right", 3: "femur_left"}
VOXEL_MM = 3.0
FLIPPED = np.diag([-VOXEL_MM, VOXEL_MM, -VOXEL_MM, 1.0])
LPS = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
Disease = Callable[[Patient, int], Patient]
DISEASES: dict[str, tuple[Disease, str]] = {
    "opacities": (lung_opacities, "opacity"),
    "nodules": (lung_nodules, "nodule"),
    "effusion": (lambda p, s: pleural_effusion(p, s, volume_ml=250), "pleural_effusion"),
    "pneumothorax": (pneumothorax, "pneumothorax"),
    "fracture": (lambda p, s: fracture(p, "femur_left", s), "fracture_femur_left"),
    "calcifications": (lambda p, s: calcifications(p, "femur_left", s), "calcification"),
}


def person(affine: np.ndarray = LPS, dtype: type = np.int16) -> Patient:
    """Two ellipsoid lungs with a vessel each, and a rod of bone, in a block of soft tissue."""
    shape = (100, 64, 90)
    x, y, z = np.moveaxis(apply(affine, np.argwhere(np.ones(shape, dtype=bool))).reshape(*shape, 3), -1, 0)
    middle = apply(affine, (np.array(shape) - 1) / 2)
    x, y, z = x - middle[0], y - middle[1], z - middle[2]
    hu, codes = np.full(shape, 30.0), np.zeros(shape, dtype=np.uint8)
    for code, side in ((1, 1), (2, -1)):
        lung = ((x - side * 70) / 45) ** 2 + (y / 70) ** 2 + (z / 100) ** 2 < 1
        codes[lung], hu[lung] = code, -850
        hu[lung & (np.hypot(x - side * 70, y) < 5)] = 40
    rod = (np.hypot(x, y) < 14) & (np.abs(z) < 80)
    codes[rod], hu[rod] = 3, 900
    landmarks = {"head": middle + [0, 0, 78], "foot": middle - [0, 0, 78], "far": middle + [120, 0, 0]}
    return Patient.from_arrays(hu.astype(dtype), affine, codes, CODES, landmarks, name="phantom")


def volume_ml(patient: Patient, name: str) -> float:
    assert patient.labels is not None
    return float(patient.labels.mask(name).sum() * np.prod(patient.ct.voxel_mm) / 1000)


@pytest.mark.parametrize("name", DISEASES)
def test_same_seed_same_result_and_the_patient_stays(name: str) -> None:
    disease, label = DISEASES[name]
    healthy = person()
    before = healthy.ct.values.copy()
    one, two, other = disease(healthy, 5), disease(healthy, 5), disease(healthy, 6)
    assert np.array_equal(one.ct.values, two.ct.values)
    assert not np.array_equal(one.ct.values, other.ct.values)
    assert np.array_equal(healthy.ct.values, before)
    assert label not in healthy.structure_names
    assert one.ct.values.dtype == np.int16
    assert volume_ml(one, label) > 0
    assert disease(person(dtype=np.float32), 5).ct.values.dtype == np.float32


@pytest.mark.parametrize("name", DISEASES)
def test_hu_change_at_the_lesion_and_not_elsewhere(name: str) -> None:
    disease, label = DISEASES[name]
    healthy = person()
    ill = disease(healthy, 3)
    changed = ill.ct.values != healthy.ct.values
    assert ill.labels is not None
    assert healthy.labels is not None
    assert changed[ill.labels.mask(label)].mean() > 0.5
    near = {"fracture": ("femur_left",), "calcifications": ("femur_left",)}.get(name, ("lung_left", "lung_right"))
    reach = 6 if name == "fracture" else 1
    assert not changed[~dilated(healthy.labels.mask(*near), reach)].any()


@pytest.mark.parametrize("affine", [LPS, FLIPPED], ids=["lps", "flipped"])
def test_effusion_lies_low_on_the_patients_side_and_has_its_volume(affine: np.ndarray) -> None:
    healthy = person(affine)
    cases: tuple[tuple[Posture, int, int], ...] = (("upright", 2, -1), ("supine", 1, 1))
    for posture, axis, sign in cases:
        ill = pleural_effusion(healthy, 1, side="left", volume_ml=300, hu=10, posture=posture)
        assert volume_ml(ill, "pleural_effusion") == pytest.approx(300, rel=0.08)
        offset = ill.structure_center_mm("pleural_effusion") - healthy.structure_center_mm("lung_left")
        assert sign * offset[axis] > 20
        assert abs(offset[0]) < 25
        assert ill.labels is not None
        assert not (ill.labels.mask("pleural_effusion") & ill.labels.mask("lung_left")).any()
        inner = ill.ct.values[ill.labels.mask("pleural_effusion")]
        assert np.median(inner) == 10


def test_squeezed_lung_keeps_its_mass() -> None:
    healthy = person()
    ill = pneumothorax(healthy, 2, side="right", collapse=0.4)
    assert healthy.labels is not None
    lung = healthy.labels.mask("lung_right")
    mass = [float((p.ct.values[lung].astype(float) + 1000).sum()) for p in (healthy, ill)]
    # The vessel keeps its density and so loses mass as it shrinks; parenchyma doesn't.
    assert mass[1] == pytest.approx(mass[0], rel=0.15)


@pytest.mark.parametrize("affine", [LPS, FLIPPED], ids=["lps", "flipped"])
def test_pneumothorax_is_air_at_the_top_and_the_lung_gets_denser(affine: np.ndarray) -> None:
    healthy = person(affine)
    ill = pneumothorax(healthy, 4, side="left", collapse=0.4)
    assert ill.labels is not None
    air, lung = ill.labels.mask("pneumothorax"), ill.labels.mask("lung_left")
    assert not (air & lung).any()
    assert np.median(ill.ct.values[air]) == -1000
    assert -800 < np.median(ill.ct.values[lung]) < -700  # 150 g/L in 60 % of the volume: -750
    assert volume_ml(ill, "pneumothorax") == pytest.approx(0.4 * volume_ml(healthy, "lung_left"), rel=0.3)
    assert ill.structure_center_mm("pneumothorax")[2] > ill.structure_center_mm("lung_left")[2] + 10
    front = pneumothorax(healthy, 4, side="left", collapse=0.4, posture="supine")
    assert front.structure_center_mm("pneumothorax")[1] < front.structure_center_mm("lung_left")[1] - 10


@pytest.mark.parametrize("involvement", [0.02, 0.1, 0.4])
def test_opacities_take_their_share_and_keep_vessels(involvement: float) -> None:
    healthy = person()
    ill = lung_opacities(healthy, 7, involvement=involvement, consolidation_share=0.25, ground_glass_hu=-600)
    whole = volume_ml(healthy, "lung_left") + volume_ml(healthy, "lung_right")
    assert volume_ml(ill, "opacity") == pytest.approx(involvement * whole, rel=0.15)
    assert volume_ml(ill, "opacity") == pytest.approx(volume_ml(ill, "ggo") + volume_ml(ill, "consolidation"))
    assert ill.labels is not None
    assert healthy.labels is not None
    vessel = healthy.labels.mask("lung_left", "lung_right") & (healthy.ct.values == 40)
    assert (ill.ct.values[vessel] == 40).all()
    parenchyma = healthy.ct.values == -850
    glass = ill.ct.values[ill.labels.mask("ggo") & parenchyma]
    dense = ill.ct.values[ill.labels.mask("consolidation") & parenchyma]
    assert -760 < np.median(glass) < -500
    assert np.median(dense) > np.median(glass) + 200


def test_opacities_prefer_the_back_the_base_and_the_pleura() -> None:
    healthy = person()
    lungs = find_lungs(healthy)
    middle = lungs.cells_mm.mean(axis=0)
    centers = [lung_opacities(healthy, s, number=6, involvement=0.05).structure_center_mm("opacity") for s in range(12)]
    offset = np.mean(centers, axis=0) - middle
    assert offset[1] > 10
    assert offset[2] < -10


def test_a_nodule_has_its_size_and_density() -> None:
    healthy = person()
    ill = lung_nodules(healthy, 3, diameter_mm=(24, 24), hu=(50, 50), irregularity=0)
    assert volume_ml(ill, "nodule") == pytest.approx(np.pi / 6 * 2.4**3, rel=0.1)
    assert ill.labels is not None
    assert ill.ct.values[ill.labels.mask("nodule")].max() == 50
    more = lung_nodules(ill, 4, number=2)
    assert volume_ml(more, "nodule") > volume_ml(ill, "nodule")


def test_a_lesion_smaller_than_a_voxel_marks_its_voxel() -> None:
    ill = calcifications(person(), "femur_left", 1, number=1, diameter_mm=(0.5, 0.5))
    assert ill.labels is not None
    assert ill.labels.mask("calcification").sum() >= 1


def test_fragment_and_its_landmark_move_by_what_was_asked() -> None:
    healthy = person()
    ill = fracture(healthy, "femur_left", 2, displacement_mm=9, rotation_deg=0, position=0.6, tilt_deg=0)
    moved = {n: float(np.linalg.norm(p - healthy.landmarks[n])) for n, p in ill.landmarks.items()}
    assert sorted(moved.values()) == pytest.approx([0, 0, 9])
    assert moved["far"] == 0
    name = "head" if moved["head"] else "foot"
    sides = {"head": 1, "foot": -1}
    offset = ill.structure_center_mm("fracture_femur_left") - healthy.structure_center_mm("femur_left")
    assert sides[name] * offset[2] > 20
    assert ill.labels is not None
    assert (ill.labels.mask("femur_left") | ~ill.labels.mask("fracture_femur_left")).all()
    assert ill.ct.values[ill.labels.mask("fracture_femur_left")].mean() > 600
    left = healthy.labels.mask("femur_left") & ~ill.labels.mask("femur_left") if healthy.labels else None
    # Blood where bone was, and voxels less than half taken by the fragment of 900 HU.
    assert ill.ct.values[left].max() <= 55 + (900 - 55) / 2
    assert np.percentile(ill.ct.values[left], 25) == 55


@pytest.mark.parametrize("seed", range(3))
def test_a_parted_fragment_keeps_its_mass(seed: int) -> None:
    healthy = person()
    ill = fracture(healthy, "femur_left", seed, displacement_mm=30, rotation_deg=20)
    bone = [float(np.clip(p.ct.values.astype(float) - 55, 0, None).sum()) for p in (healthy, ill)]
    assert bone[1] == pytest.approx(bone[0], rel=0.01)


def test_two_dimensional_masks_follow_from_paths() -> None:
    from synthray.dataset.recipe import Structure2D
    from synthray.dataset.structures import flat_mask

    ill = lung_opacities(person(), 1, involvement=0.1)
    assert ill.labels is not None
    paths = {"opacity": (ill.labels.mask("opacity").sum(axis=1) * VOXEL_MM).T.astype(np.float32)}
    sizes = [flat_mask(Structure2D(of=["opacity"], path_above_mm=t), paths, 50.0).sum() for t in (0, 10, 30)]
    assert sizes[0] > sizes[1] > sizes[2] > 0


def test_without_displacement_a_fracture_changes_almost_nothing() -> None:
    healthy = person()
    ill = fracture(healthy, "femur_left", 2, displacement_mm=0, rotation_deg=0)
    assert np.abs(ill.ct.values.astype(int) - healthy.ct.values).max() <= 1
    assert volume_ml(ill, "femur_left") == pytest.approx(volume_ml(healthy, "femur_left"))


def test_labels_from_a_second_file(tmp_path: object) -> None:
    healthy = person()
    lesion = np.zeros(healthy.ct.shape, dtype=np.uint8)
    lesion[70:75, 30:34, 40:44] = 1
    path = f"{tmp_path}/lesion.nrrd"
    image = SimpleITK.GetImageFromArray(lesion.T)
    image.SetSpacing([VOXEL_MM] * 3)
    SimpleITK.WriteImage(image, path)
    both = with_labels(healthy, path, {1: "ggo"})
    assert both.labels is not None
    assert np.array_equal(both.labels.mask("ggo"), lesion > 0)
    assert healthy.labels is not None
    assert np.array_equal(both.labels.mask("lung_left"), healthy.labels.mask("lung_left"))
    with pytest.raises(InputError, match="'ggo' already exists"):
        with_labels(both, path, {1: "ggo"})
    alone = Patient(ct=healthy.ct)
    assert with_labels(alone, path, {1: "ggo"}).structure_names == ("ggo",)


BAD: dict[str, tuple[Callable[[Patient], Patient], str]] = {
    "seed": (lambda p: lung_nodules(p, -1), "seed=-1"),
    "involvement": (lambda p: lung_opacities(p, 0, involvement=2), "involvement=2 must lie"),
    "nan": (lambda p: lung_opacities(p, 0, border_mm=float("nan")), "border_mm=nan"),
    "twice": (lambda p: lung_opacities(lung_opacities(p, 0), 0), "already exists"),
    "too much": (lambda p: pleural_effusion(p, 0, volume_ml=1e5), "volume_ml"),
    "side": (lambda p: pneumothorax(p, 0, side="both"), "side='both'"),  # type: ignore[arg-type]
    "posture": (lambda p: pneumothorax(p, 0, posture="prone"), "posture='prone'"),  # type: ignore[arg-type]
    "bone": (lambda p: fracture(p, "tibia", 0), "no structure 'tibia'"),
    "range": (lambda p: lung_nodules(p, 0, diameter_mm=(20, 10)), "lower end"),
    "number": (lambda p: calcifications(p, "femur_left", 0, number=0), "number=0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(case: str) -> None:
    call, words = BAD[case]
    with pytest.raises(InputError, match=words) as caught:
        call(person())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("disease", [lung_opacities, lung_nodules, pleural_effusion, pneumothorax])
def test_without_lungs_the_message_says_how_to_find_them(disease: Disease) -> None:
    alone = Patient(ct=Volume(np.zeros((8, 8, 8), dtype=np.int16), np.eye(4)))
    with pytest.raises(InputError, match="with_lungs"):
        disease(alone, 0)
