"""Body, lungs and diaphragm on a thorax made of ellipsoids, in several orientations, and on real CTs."""

import functools
from pathlib import Path

import numpy as np
import pytest

from synthray.anatomy import (
    LabelMap,
    Patient,
    Volume,
    below_diaphragm,
    body_mask,
    find_label_names,
    load_patient,
    lungs,
    remove_table,
    with_lungs,
)
from synthray.anatomy.readers import read_ct
from synthray.errors import InputError
from synthray.geometry import apply, rotation_about

CHESTS = ("imlab_chest_id001", "imlab_chest_id002", "imlab_chest_id003", "onkodicom_thorax", "totalseg_example")
SHAPE = (110, 90, 96)
LPS = np.array([[3.6, 0, 0, -196], [0, 3.6, 0, -160], [0, 0, 3.6, -150], [0, 0, 0, 1.0]])
REVERSED = LPS @ np.array([[-1, 0, 0, SHAPE[0] - 1], [0, 1, 0, 0], [0, 0, -1, SHAPE[2] - 1], [0, 0, 0, 1.0]])
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = rotation_about([1, 2, 3], 0.25)
OBLIQUE = OBLIQUE @ LPS


def ellipsoid(points: np.ndarray, center: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    return (((points - center) / radii) ** 2).sum(axis=-1) < 1


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@functools.cache
def thorax(name: str) -> tuple[Volume, dict[str, np.ndarray]]:
    """Air, a table, a body with two lungs of different size standing on two domes, a heart, trachea and stomach gas."""
    matrix = {"lps": LPS, "reversed": REVERSED, "oblique": OBLIQUE}[name]
    points = apply(matrix, np.moveaxis(np.indices(SHAPE), 0, -1))
    x, y, z = np.moveaxis(points, -1, 0)
    body = ((x / 165) ** 2 + (y / 105) ** 2 < 1) & (np.abs(z) < 140)
    heart = ellipsoid(points, (25, -30, -25), (58, 45, 62))
    dome = {side: np.sqrt(((x - 78 * side) / 62) ** 2 + (y / 82) ** 2) for side in (-1, 1)}
    top_mm = {-1: -55.0, 1: -70.0}  # the right dome is higher
    floor = {side: top_mm[side] - 45 * dome[side] ** 2 for side in (-1, 1)}
    half = {side: ellipsoid(points, (78 * side, 0, -45), (62, 82, 150)) & (z < 118) for side in (-1, 1)}
    lung = {side: half[side] & (z > floor[side]) & ~heart for side in (-1, 1)}
    below = {side: half[side] & body & (z < floor[side]) & (dome[side] < 0.8) for side in (-1, 1)}
    trachea = (x**2 + y**2 < 9**2) & (z > 20) & body
    gas = ellipsoid(points, (75, -10, -108), (26, 22, 15))
    table = (np.abs(x) < 190) & (np.abs(y - 118) < 5)
    hu = np.full(SHAPE, -1000.0)
    hu[table] = -100
    hu[body] = 40
    hu[ellipsoid(points, (0, 70, 0), (22, 22, 500)) & body] = 350
    hu[lung[-1] | lung[1]] = -850
    hu[trachea | gas] = -1000
    hu += np.random.default_rng(0).normal(0, 15, SHAPE)
    parts = {"body": body, "left": lung[1], "right": lung[-1], "below": below[-1] | below[1], "heart": heart}
    return Volume(hu.astype(np.int16), matrix), parts | {"trachea": trachea, "gas": gas, "table": table}


@pytest.fixture(params=["lps", "reversed", "oblique"])
def chest(request: pytest.FixtureRequest) -> tuple[Volume, dict[str, np.ndarray]]:
    return thorax(request.param)


def test_table_goes_and_skin_stays(chest):
    volume, parts = chest
    assert dice(body_mask(volume), parts["body"]) > 0.99
    cleared = remove_table(volume)
    assert (cleared.values[parts["table"]] == -1000).mean() > 0.99
    np.testing.assert_array_equal(cleared.values[parts["left"]], volume.values[parts["left"]])


def test_lungs_left_and_right(chest):
    volume, parts = chest
    left, right = lungs(volume)
    assert dice(left, parts["left"]) > 0.96
    assert dice(right, parts["right"]) > 0.96
    assert not (left & right).any()
    for excluded in ("trachea", "gas"):
        assert (left | right)[parts[excluded]].mean() < 0.05


def test_tissue_below_the_domes(chest):
    volume, parts = chest
    below = below_diaphragm(Patient(volume))
    assert below[parts["below"]].mean() > 0.99
    assert (below & (parts["left"] | parts["right"])).sum() < 0.01 * parts["left"].sum()
    z = apply(volume.patient_from_voxel, np.moveaxis(np.indices(SHAPE), 0, -1))[..., 2]
    assert not below[z > -40].any()
    assert below[~parts["body"]].mean() < 1e-4


def test_lungs_from_labels(chest):
    volume, parts = chest
    both = parts["left"] | parts["right"]
    patient = Patient(volume, LabelMap(both.astype(np.uint8), {"Lung": (1,)}))
    found = with_lungs(patient).labels
    np.testing.assert_array_equal(found.mask("lung_left"), parts["left"])
    np.testing.assert_array_equal(found.mask("lung_right"), parts["right"])
    z = np.broadcast_to(np.arange(SHAPE[2]) < SHAPE[2] // 2, SHAPE)
    codes = np.select([parts["left"] & z, parts["left"], parts["right"]], [1, 2, 3]).astype(np.uint8)
    names = {"lung_upper_lobe_left": (1,), "lung_lower_lobe_left": (2,), "lung_middle_lobe_right": (3,)}
    found = with_lungs(Patient(volume, LabelMap(codes, names | {"lung_nodule_left": (9,)}))).labels
    np.testing.assert_array_equal(found.mask("lung_left"), parts["left"])
    np.testing.assert_array_equal(found.mask("lung_right"), parts["right"])
    assert with_lungs(Patient(volume, found)).labels is found


def test_lungs_that_touch_are_parted():
    volume, parts = thorax("lps")
    bridge = np.zeros(SHAPE, dtype=bool)
    bridge[50:62, 20:26, 60:70] = True
    values = np.where(bridge, np.int16(-850), volume.values)
    left, right = lungs(Volume(values, volume.patient_from_voxel))
    assert dice(left, parts["left"] & ~bridge) > 0.95
    assert dice(right, parts["right"] & ~bridge) > 0.95


def test_one_lung_alone():
    volume, parts = thorax("lps")
    found = with_lungs(Patient(volume, LabelMap(parts["right"].astype(np.uint8), {"lung": (1,)}))).labels
    np.testing.assert_array_equal(found.mask("lung_right"), parts["right"])
    assert not found.mask("lung_left").any()
    empty = LabelMap(np.zeros(SHAPE, dtype=np.uint8), {"lung": (1,)})
    assert dice(with_lungs(Patient(volume, empty)).labels.mask("lung_left"), parts["left"]) > 0.96


def test_gas_in_an_abdomen_is_not_lung(shared_data):
    ct, _ = read_ct(shared_data / "ct" / "totalseg_example" / "ct.nii.gz")
    with pytest.raises(InputError, match="no lung"):
        lungs(Volume(ct.values[:, :, :95], ct.patient_from_voxel))


def test_no_lung_and_no_body():
    volume, parts = thorax("lps")
    solid = Volume(np.where(parts["body"], 40, -1000).astype(np.int16), volume.patient_from_voxel)
    with pytest.raises(InputError, match="no lung"):
        with_lungs(Patient(solid))
    with pytest.raises(InputError, match="no body"):
        remove_table(Volume(np.full((20, 20, 20), -1000, dtype=np.int16), np.diag([3.0, 3, 3, 1])))


@functools.cache
def real(shared_data: Path, name: str) -> Patient:
    folder = shared_data / "ct" / name
    labels = folder / "labels.nii.gz"
    held = {"labels": labels, "label_names": find_label_names(labels)} if labels.exists() else {}
    return load_patient(folder / "ct.nii.gz", **held)


@pytest.mark.parametrize("name", CHESTS)
def test_real_lungs_agree_with_the_shipped_labels(shared_data, name):
    patient = real(shared_data, name)
    left, right = lungs(patient)
    shipped = with_lungs(patient).labels
    assert dice(left, shipped.mask("lung_left")) > 0.94
    assert dice(right, shipped.mask("lung_right")) > 0.94
    to_left = (
        patient.ct.patient_from_voxel[0, 0] * (np.argwhere(left).mean(axis=0) - np.argwhere(right).mean(axis=0))[0]
    )
    assert to_left > 80


@pytest.mark.parametrize("name", ["imlab_chest_id001", "imlab_chest_id002", "onkodicom_thorax", "fnndsc_chest"])
def test_real_domes_bound_the_lungs_from_below(shared_data, name):
    patient = with_lungs(real(shared_data, name))
    below = below_diaphragm(patient)
    for side in ("lung_left", "lung_right"):
        lung = patient.labels.mask(side)
        assert below[lung].mean() < 0.01
        # Seen from the front, the dome hides the lung behind it, but never its upper part.
        shadow = np.count_nonzero(below, axis=1) * patient.ct.voxel_mm[1] > 30
        seen = lung.any(axis=1)
        z = np.arange(seen.shape[1])[None, :]
        lowest, highest = np.nonzero(seen)[1].min(), np.nonzero(seen)[1].max()
        assert not (shadow & seen & (z > lowest + 0.6 * (highest - lowest))).any()
        assert 0.005 < (shadow & seen).sum() / seen.sum() < 0.35


def test_real_body_agrees_with_the_shipped_contour(shared_data):
    folder = shared_data / "ct" / "onkodicom_headneck"
    ct, _ = read_ct(folder / "ct.nii.gz")
    contour = read_ct_labels(folder, ct)
    body = body_mask(ct)
    assert dice(body, contour) > 0.985
    assert np.count_nonzero(contour & ~body & (ct.values > 200)) < 0.002 * np.count_nonzero(ct.values > 200)


def read_ct_labels(folder: Path, ct: Volume) -> np.ndarray:
    from synthray.anatomy import read_labels

    return read_labels(folder / "labels.nii.gz", ct).codes > 0


@pytest.mark.parametrize("name", ["imlab_chest_id003", "onkodicom_thorax", "fnndsc_chest", "totalseg_example"])
def test_real_tables_are_gone(shared_data, name):
    ct, _ = read_ct(shared_data / "ct" / name / "ct.nii.gz")
    cleared = remove_table(ct).values
    dense = ct.values > -300
    # Behind the rearmost bone there is at most a hand's breadth of soft tissue; the table lies beyond.
    back = 1 if ct.patient_from_voxel[1, 1] > 0 else -1
    bone = np.argwhere((cleared > 300).sum(axis=(0, 2)) > 50)
    rear = (bone.max() if back > 0 else bone.min()) + back * round(60 / ct.voxel_mm[1])
    beyond = slice(max(0, rear), None) if back > 0 else slice(0, max(0, rear))
    assert not (cleared[:, beyond] > -300).any()
    removed = dense & (cleared == -1000)
    assert np.count_nonzero(removed) * ct.voxel_mm.prod() > 100_000
    assert np.count_nonzero(removed) < 0.08 * np.count_nonzero(dense)
