"""Cameras to and from other programs: the same points on the same spots, by each program's own formula.

The formulas are written here from each program's documentation and source, apart from our code.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthray.errors import InputError
from synthray.geometry import (
    VIEWS,
    Camera,
    CArm,
    DeepDrrView,
    DeepFluoroView,
    DicomView,
    DiffDrrView,
    NanoDrrView,
    OpenCvView,
    compose,
    rotation_about,
)

CENTER = np.array([12.0, -80.0, 350.0])
numbers = st.floats(-1, 1)


@st.composite
def cameras(draw, *, square=False):
    """Any view: rolled, off-centre, mirrored or not, of unequal pixels."""
    view = draw(st.sampled_from(sorted(VIEWS)))
    carm = CArm.preset("generic-300mm").resized(120, draw(st.integers(60, 161)))
    if square:
        return carm.view(CENTER, 60 * draw(numbers), 15 * draw(numbers), view=view)
    camera = carm.view(
        CENTER + 30 * draw(numbers), 60 * draw(numbers), 15 * draw(numbers), 90 * draw(numbers), view=view
    )
    K = camera.K.copy()
    K[0, 0] *= 1 + draw(numbers) / 4
    K[:2, 2] += 20 * np.array([draw(numbers), draw(numbers)])
    return Camera(K, camera.camera_from_patient, camera.rows, camera.columns, camera.source_to_detector_mm)


def points(seed=0):
    return CENTER + np.random.default_rng(seed).normal(0, 50, (40, 3))


def to_ras(mm):
    return mm * [-1, -1, 1]


def same(ours: Camera, back: Camera):
    assert (ours.rows, ours.columns) == (back.rows, back.columns)
    np.testing.assert_allclose(back.project(points(1)), ours.project(points(1)), atol=1e-6)
    np.testing.assert_allclose(back.source_mm, ours.source_mm, atol=1e-6)
    assert back.source_to_detector_mm == pytest.approx(ours.source_to_detector_mm)
    assert back.mirrored == ours.mirrored


@settings(max_examples=60, deadline=None)
@given(camera=cameras())
def test_opencv(camera):
    view = OpenCvView.of(camera)
    # cv.projectPoints: s [u v 1]^T = K [R | t] [X Y Z 1]^T
    homogeneous = (view.K @ (view.rotation @ points().T + view.translation[:, None])).T
    np.testing.assert_allclose(homogeneous[:, :2] / homogeneous[:, 2:], camera.project(points()), atol=1e-6)
    same(camera, view.camera())


def test_opencv_takes_rodrigues_vectors():
    camera = CArm.preset("cios-fusion").view(CENTER, 20, 10)
    axis, angle = np.array([0.3, -0.5, 0.8]), 0.7
    pose = compose(rotation_about(axis, angle), [1, 2, 900])
    vector = angle * axis / np.linalg.norm(axis)
    back = OpenCvView(camera.K, vector, np.array([[1.0], [2], [900]]), 10, 12).camera()
    np.testing.assert_allclose(back.camera_from_patient, pose, atol=1e-12)
    still = OpenCvView(camera.K, np.zeros(3), np.zeros(3), 10, 12).camera()
    np.testing.assert_array_equal(still.camera_from_patient, np.eye(4))


@settings(max_examples=60, deadline=None)
@given(camera=cameras(), turn=st.tuples(numbers, numbers, numbers))
def test_deepfluoro(camera, turn):
    extrinsic = compose(rotation_about(np.array(turn) + [0, 0, 2], 1.0), 100 * np.array(turn))
    view = DeepFluoroView.of(camera, extrinsic)
    homogeneous = np.c_[points(), np.ones(40)].T
    local = view.extrinsic @ np.linalg.inv(view.volume_from_world) @ homogeneous
    assert (local[2] < 0).all()  # z runs towards the source
    flat = view.intrinsic @ local[:3]
    np.testing.assert_allclose((flat[:2] / flat[2]).T, camera.project(points()), atol=1e-6)
    same(camera, view.camera())


@settings(max_examples=60, deadline=None)
@given(camera=cameras())
def test_diffdrr(camera):
    view = DiffDrrView.of(camera, CENTER)
    assert np.linalg.det(view.pose[:3, :3]) == pytest.approx(1)  # RigidTransform needs a rotation
    # DRR.perspective_projection of a subject read with `center_volume`, for a detector with reverse_x_axis.
    reorient = np.eye(4)
    reorient[:3, :3] = [[1, 0, 0], [0, 0, -1 if view.orientation == "AP" else 1], [0, 1, 0]]
    world = to_ras(points()) - to_ras(CENTER)
    x, y, z = (np.linalg.inv(view.pose @ reorient) @ np.c_[world, np.ones(40)].T)[:3]
    u = view.sdd / view.delx * x / z - view.x0 / view.delx + view.width / 2
    v = view.sdd / view.dely * y / z - view.y0 / view.dely + view.height / 2
    from_corner = np.stack([view.width - u, view.height - v], axis=1)
    np.testing.assert_allclose(from_corner - 0.5, camera.project(points()), atol=1e-6)
    same(camera, view.camera(CENTER))


@settings(max_examples=60, deadline=None)
@given(camera=cameras())
def test_nanodrr(camera):
    view = NanoDrrView.of(camera)
    # renderer._make_tgt: the target of pixel (u, v) is sdd k_inv (u + 0.5, v + 0.5, 1), carried by rt_inv to RAS.
    pixel = camera.project(points()) + 0.5
    target = view.sdd * (view.k_inv @ np.c_[pixel, np.ones(40)].T)
    target = (view.rt_inv[:3, :3] @ target).T + view.rt_inv[:3, 3]
    source = view.rt_inv[:3, 3]
    ray, wanted = target - source, to_ras(points()) - source
    ray /= np.linalg.norm(ray, axis=1)[:, None]
    wanted /= np.linalg.norm(wanted, axis=1)[:, None]
    np.testing.assert_allclose(ray, wanted, atol=1e-9)
    same(camera, view.camera())
    single = NanoDrrView(
        view.k_inv.astype("f4")[None], view.rt_inv.astype("f4")[None], view.sdd, view.height, view.width
    )
    np.testing.assert_allclose(single.camera().project(points()), camera.project(points()), atol=0.02)


@settings(max_examples=60, deadline=None)
@given(camera=cameras(), world=st.sampled_from(["RAS", "LPS"]))
def test_deepdrr(camera, world):
    view = DeepDrrView.of(camera, world)
    # killeengeo's CameraProjection: index_from_camera2d @ [I | 0] @ camera3d_from_world; the kernel shoots the ray of
    # pixel u through index u + 0.5.
    mm = to_ras(points()) if world == "RAS" else points()
    flat = view.intrinsic @ np.eye(3, 4) @ view.extrinsic @ np.c_[mm, np.ones(40)].T
    np.testing.assert_allclose((flat[:2] / flat[2]).T - 0.5, camera.project(points()), atol=1e-6)
    same(camera, view.camera())
    with pytest.raises(InputError, match="RAS or LPS"):
        DeepDrrView.of(camera, "LAS")


def test_what_others_cannot_hold_is_refused():
    camera = CArm.preset("cios-fusion").view(CENTER)
    K = camera.K.copy()
    K[0, 1] = 3
    skewed = Camera(K, camera.camera_from_patient, 10, 10, 1000)
    unknown = Camera(camera.K, camera.camera_from_patient, 10, 10)
    for wrong, message in ((skewed, "skewed"), (unknown, "source_to_detector_mm")):
        with pytest.raises(InputError, match=message):
            NanoDrrView.of(wrong)
        with pytest.raises(InputError, match=message):
            DiffDrrView.of(wrong, CENTER)


def published(view: DicomView, target, distance, mm):
    """Where PS3.3 C.8.7.5.1.2 puts points, in mm on the detector: (to the person's left or along, towards the head).

    The receptor's direction has the primary angle as longitude from the chest towards the left, and the secondary
    angle as latitude towards the head.
    """
    longitude, latitude = np.radians([view.primary_deg, view.secondary_deg])
    chest, left, head = np.array([0, -1.0, 0]), np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    equator = np.cos(longitude) * chest + np.sin(longitude) * left
    receptor = np.cos(latitude) * equator + np.sin(latitude) * head
    along = -np.sin(longitude) * chest + np.cos(longitude) * left  # growing longitude
    up = -np.sin(latitude) * equator + np.cos(latitude) * head  # growing latitude
    from_source = mm - (target - distance * receptor)
    scale = view.source_to_detector_mm / (from_source @ receptor)
    return np.stack([from_source @ along * scale, from_source @ up * scale], axis=1)


@settings(max_examples=100, deadline=None)
@given(primary=st.floats(-80, 80), secondary=st.floats(-60, 60), distance=st.floats(500, 800))
def test_dicom_angles(primary, secondary, distance):
    view = DicomView(
        primary_deg=primary, secondary_deg=secondary, source_to_detector_mm=1000, detector_mm=(0.3, 0.2), rows=101,
        columns=201, source_to_patient_mm=distance,
    )  # fmt: skip
    camera = view.camera(CENTER)
    mm = published(view, CENTER, distance, points())
    # As one faces the person: longitude grows to the right, latitude up; the middle is pixel (100, 50).
    expected = np.stack([100 + mm[:, 0] / 0.2, 50 - mm[:, 1] / 0.3], axis=1)
    np.testing.assert_allclose(camera.project(points()), expected, atol=1e-6)
    back = DicomView.of(camera, CENTER)
    assert (back.primary_deg, back.secondary_deg) == pytest.approx((primary, secondary), abs=1e-9)
    assert back.source_to_patient_mm == pytest.approx(distance)
    assert back.detector_mm == pytest.approx(view.detector_mm)


@settings(max_examples=100, deadline=None)
@given(camera=cameras(square=True), quarter=st.integers(0, 3), mirror=st.booleans())
def test_every_way_to_lay_a_picture_comes_back_through_dicom(camera, quarter, mirror):
    """Turned by quarter turns and mirrored, as the letters of Patient Orientation say."""
    K, pose = camera.K.copy(), camera.camera_from_patient
    turn = rotation_about([0, 0, 1], quarter * np.pi / 2)
    K[0, 0] *= -1 if mirror else 1
    laid = Camera(K, compose(turn, 0) @ pose, camera.rows, camera.columns, camera.source_to_detector_mm)
    back = DicomView.of(laid, CENTER).camera(CENTER)
    same(laid, back)


def test_letters_of_common_views():
    carm = CArm.preset("generic-300mm")
    for view, letters in {
        "pa": ("L", "F"),
        "ap": ("L", "F"),
        "left_lateral": ("P", "F"),
        "right_lateral": ("A", "F"),
    }.items():
        assert DicomView.of(carm.view(CENTER, view=view)).orientation == letters


def test_senseless_dicom_views_are_refused():
    good = {
        "primary_deg": 0, "secondary_deg": 0, "source_to_detector_mm": 1000, "detector_mm": (0.3, 0.3), "rows": 9,
        "columns": 9,
    }  # fmt: skip
    for wrong in (
        {"primary_deg": np.nan}, {"secondary_deg": 100}, {"source_to_detector_mm": 0}, {"detector_mm": (0.3, -1)},
    ):  # fmt: skip
        with pytest.raises(InputError):
            DicomView(**{**good, **wrong})
    with pytest.raises(InputError, match="source_to_target_mm"):
        DicomView(**good).camera(CENTER)
    with pytest.raises(InputError, match="source_to_target_mm"):
        DicomView(**good).camera(CENTER, 1200)
    with pytest.raises(InputError, match="L, R, A"):
        DicomView(**good, orientation=("X", "F")).camera(CENTER, 600)
