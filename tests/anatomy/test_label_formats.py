"""Labels and landmarks of other programs: each voxel and each point where it was put."""

import json
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from grids import AFFINES, turned
from hypothesis import given, settings
from hypothesis import strategies as st
from label_writers import contours_of, write_rtstruct, write_segmentation

from synthray.anatomy import Volume, load_patient, read_labels, read_landmarks
from synthray.anatomy.label_files import read_label_names
from synthray.errors import InputError, SynthrayWarning
from synthray.geometry import apply, polygon_mask

SHAPE = (12, 10, 8)
RAS = np.diag([-1.0, -1, 1, 1])


def blob(seed: int) -> np.ndarray:
    """A mask with holes and separate parts."""
    return np.random.default_rng(seed).random(SHAPE) > 0.55


def grid(affine) -> Volume:
    return Volume(np.zeros(SHAPE, np.int16), affine)


@pytest.mark.parametrize("name", sorted(AFFINES))
def test_a_folder_of_binary_files_as_totalsegmentator_writes_it(tmp_path, name):
    masks = {"hip_left": blob(1), "hip_right": blob(2), "colon": np.zeros(SHAPE, bool)}
    for structure, mask in masks.items():
        image = sitk.GetImageFromArray(np.ascontiguousarray(mask.astype(np.uint8).T))
        spacing = np.linalg.norm(AFFINES[name][:3, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetDirection((AFFINES[name][:3, :3] / spacing).ravel().tolist())
        image.SetOrigin(AFFINES[name][:3, 3].tolist())
        (tmp_path / "segmentations").mkdir(exist_ok=True)
        sitk.WriteImage(image, str(tmp_path / "segmentations" / f"{structure}.nii.gz"))
    (tmp_path / "segmentations" / "statistics.json").write_text("{}")
    labels = read_labels(tmp_path / "segmentations", grid(AFFINES[name]))
    for structure, mask in masks.items():
        np.testing.assert_array_equal(labels.mask(structure), mask)
    ct = sitk.GetImageFromArray(np.where(masks["hip_left"], 300, -1000).astype(np.int16).T.copy())
    ct.CopyInformation(image)
    sitk.WriteImage(ct, str(tmp_path / "ct.nii.gz"))
    patient = load_patient(tmp_path, remove_table=False)  # labels in `segmentations/` come along
    assert patient.name == tmp_path.name
    assert (patient.ct.values[patient.labels.mask("hip_left")] == 300).all()


@pytest.mark.parametrize("name", sorted(AFFINES))
@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior"])
def test_slicer_segmentations(tmp_path, name, space):
    affine = AFFINES[name] if space.startswith("left") else RAS @ AFFINES[name]
    codes = np.random.default_rng(0).integers(0, 4, SHAPE)
    segments = [
        {"ID": "Segment_1", "Name": "Hüfte links", "LabelValue": 3, "Layer": 0},
        {"ID": "sacrum", "LabelValue": 1, "Layer": 0},
    ]
    path = write_segmentation(tmp_path / "a.seg.nrrd", codes[None], affine, segments, space)
    labels = read_labels(path, grid(AFFINES[name]))
    np.testing.assert_array_equal(labels.mask("Hüfte links"), codes == 3)
    np.testing.assert_array_equal(labels.mask("sacrum"), codes == 1)
    np.testing.assert_array_equal(labels.mask("label_2"), codes == 2)


@pytest.mark.parametrize("old", [False, True])
def test_overlapping_segments_lie_in_layers(tmp_path, upright, old):
    layers = np.stack([blob(1), blob(2), blob(3)]).astype(int)
    segments = [{"ID": f"s{n}", "Name": f"part {n}", "LabelValue": 1, "Layer": n} for n in range(3)]
    if old:
        segments = [{"ID": one["ID"], "Name": one["Name"], "Extent": "0 11 0 9 0 7"} for one in segments]
    else:
        layers[0][blob(4)] = 2  # a second segment in a layer
        segments.append({"ID": "s3", "Name": "part 3", "LabelValue": 2, "Layer": 0})
    path = write_segmentation(tmp_path / "a.seg.nrrd", layers, upright.patient_from_voxel, segments)
    labels = read_labels(path, grid(upright.patient_from_voxel))
    for n in range(3):
        np.testing.assert_array_equal(labels.mask(f"part {n}"), layers[n] == 1)
    if not old:
        np.testing.assert_array_equal(labels.mask("part 3"), layers[0] == 2)


@pytest.mark.parametrize("layered", [False, True])
def test_segments_of_one_name_or_one_value(tmp_path, upright, layered):
    layers = np.stack([blob(1), blob(2)]).astype(int)
    twins = [{"ID": "a", "Name": "lung", "Layer": 0}, {"ID": "b", "Name": "lung", "Layer": int(layered)}]
    path = write_segmentation(
        tmp_path / "a.seg.nrrd", layers if layered else layers[:1], upright.patient_from_voxel,
        [*twins, {"ID": "c", "Name": "same as a", "Layer": 0}],
    )  # fmt: skip
    labels = read_labels(path, grid(upright.patient_from_voxel))
    expected = layers.any(axis=0) if layered else layers[0] > 0
    np.testing.assert_array_equal(labels.mask("lung"), expected)
    np.testing.assert_array_equal(labels.mask("same as a"), layers[0] > 0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), oblique=st.booleans())
def test_cropped_padded_and_flipped_grids_are_exact_and_silent(tmp_path_factory, seed, oblique):
    """Slicer crops segmentations to what is drawn; other programs store the same voxels the other way round."""
    rng = np.random.default_rng(seed)
    affine = AFFINES["oblique" if oblique else "lps"]
    codes = np.zeros(SHAPE, int)
    start, stop = rng.integers(0, 4, 3), np.array(SHAPE) - rng.integers(0, 4, 3)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    codes[box] = rng.integers(0, 3, codes[box].shape)
    order, flips = rng.permutation(3), rng.choice([-1, 1], 3)
    turned_box = codes[box].transpose(order)[tuple(slice(None, None, f) for f in flips)]
    here = np.zeros((4, 4))
    here[3, 3] = 1
    for axis, (source, flip) in enumerate(zip(order, flips, strict=True)):
        here[source, axis] = flip
        here[source, 3] = start[source] if flip > 0 else stop[source] - 1
    path = tmp_path_factory.mktemp("grid") / "a.seg.nrrd"
    segments = [{"ID": "a", "Name": "a", "LabelValue": 1}, {"ID": "b", "Name": "b", "LabelValue": 2}]
    write_segmentation(path, turned_box[None], affine @ here, segments)
    labels = read_labels(path, grid(affine))  # any warning fails the test
    for value, name in ((1, "a"), (2, "b")):
        np.testing.assert_array_equal(labels.mask(name), codes == value)


def test_malformed_segmentations(tmp_path, upright):
    ct = grid(upright.patient_from_voxel)
    path = tmp_path / "a.seg.nrrd"
    write_segmentation(path, blob(0)[None], ct.patient_from_voxel, [{"ID": "a", "LabelValue": "x"}])
    with pytest.raises(InputError, match="no whole numbers"):
        read_labels(path, ct)
    write_segmentation(path, blob(0)[None], ct.patient_from_voxel, [{"ID": "a", "LabelValue": 0}])
    with pytest.raises(InputError, match="background"):
        read_labels(path, ct)
    write_segmentation(path, blob(0)[None], ct.patient_from_voxel, [{"ID": "a", "Layer": 4}])
    with pytest.raises(InputError, match="layer 4 of 1"):
        read_labels(path, ct)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError):
        read_labels(path, ct)


@pytest.mark.parametrize("name", sorted(AFFINES))
def test_contours_of_a_structure_set(tmp_path, name):
    affine = AFFINES[name]
    structures = {"lung": blob(5), "tumour": blob(6)}
    path = write_rtstruct(tmp_path / "rs.dcm", {n: contours_of(m, affine) for n, m in structures.items()})
    labels = read_labels(path, grid(affine))
    for structure, mask in structures.items():
        np.testing.assert_array_equal(labels.mask(structure), mask)


def test_contours_along_another_axis_between_slices_and_on_every_third(tmp_path, upright):
    affine = upright.patient_from_voxel
    mask = np.zeros(SHAPE, bool)
    mask[3:9, 2:8, 1:8] = True
    sagittal = [
        apply(affine, np.column_stack([np.full(4, i), [1.5, 1.5, 7.5, 7.5], [0.5, 7.5, 7.5, 0.5]])) for i in range(3, 9)
    ]
    path = write_rtstruct(tmp_path / "a.dcm", {"box": sagittal})
    np.testing.assert_array_equal(read_labels(path, grid(affine)).mask("box"), mask)
    square = np.array([[2.5, 1.5], [8.5, 1.5], [8.5, 7.5], [2.5, 7.5]])
    half = [apply(affine, np.column_stack([square, np.full(4, k + 0.5)])) for k in range(1, 7)]
    found = read_labels(write_rtstruct(tmp_path / "b.dcm", {"box": half}), grid(affine)).mask("box")
    assert found.any(axis=(0, 1)).sum() == 6
    third = [apply(affine, np.column_stack([square, np.full(4, k)])) for k in (2, 5)]
    with pytest.warns(SynthrayWarning, match=r"'box' are 3\.0 slices apart"):
        found = read_labels(write_rtstruct(tmp_path / "c.dcm", {"box": third}), grid(affine)).mask("box")
    assert np.flatnonzero(found.any(axis=(0, 1))).tolist() == [1, 2, 3, 4, 5, 6]


def test_structure_sets_that_cannot_be_used(tmp_path, upright):
    affine = upright.patient_from_voxel
    ct, contour = grid(affine), contours_of(blob(1), affine)
    tilted = [apply(np.block([[turned(20, 10, 0), np.zeros((3, 1))], [np.zeros((1, 3)), 1]]), c) for c in contour]
    with pytest.raises(InputError, match="slices of the CT"):
        read_labels(write_rtstruct(tmp_path / "a.dcm", {"x": tilted}), ct)
    with pytest.raises(InputError, match="don't overlap"):
        read_labels(write_rtstruct(tmp_path / "a.dcm", {"x": [c + [0, 900, 0] for c in contour]}), ct)
    with pytest.raises(InputError, match="no closed contours"):
        read_labels(write_rtstruct(tmp_path / "a.dcm", {"x": contour}, kind="OPEN_PLANAR"), ct)
    with pytest.raises(InputError, match="can't be read"):
        read_labels(write_rtstruct(tmp_path / "a.dcm", {"x": contour}, StructureSetROISequence=[]), ct)


def test_a_real_structure_set_without_a_preamble():
    """The one that pydicom brings along: a box of 400 x 300 mm in three slices."""
    path = Path(pydicom.__file__).parent / "data" / "test_files" / "rtstruct.dcm"
    affine = np.diag([10.0, 10.0, 10.0, 1.0])
    affine[:3, 3] = [-245, -195, -220]
    found = read_labels(path, Volume(np.zeros((50, 40, 7), np.int16), affine)).mask("patient")
    expected = np.zeros((50, 40, 7), bool)
    expected[5:45, 5:35, 2:5] = True
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["a.seg.nrrd", "rs.dcm"]), cut=st.floats(0.01, 1),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4),
)  # fmt: skip
def test_damaged_files_give_one_line_or_labels(tmp_path_factory, kind, cut, flips):
    affine, path = AFFINES["lps"], tmp_path_factory.mktemp("damaged") / kind
    if kind == "rs.dcm":
        write_rtstruct(path, {"x": contours_of(blob(1)[:, :, :2], affine)})
    else:
        write_segmentation(path, blob(1)[None], affine, [{"ID": "x", "LabelValue": 1}])
    data = bytearray(path.read_bytes())
    for place, value in flips:
        data[int(place * min(len(data), 1500))] = value
    path.write_bytes(data[: int(cut * len(data)) or 1])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert read_labels(path, grid(affine)).codes.shape == SHAPE
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(3, 12))
def test_polygons_hold_the_points_that_lie_in_them(seed, count):
    """Against the winding of each point, point by point."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-3, 13, (count, 2))
    mask = polygon_mask(corners, (11, 9))
    ends = np.roll(corners, -1, axis=0)
    for a, b in np.ndindex(mask.shape):
        crossings = sum(
            (b0 <= b) != (b1 <= b) and a0 + (b - b0) * (a1 - a0) / (b1 - b0) < a
            for (a0, b0), (a1, b1) in zip(corners, ends, strict=True)
        )
        assert mask[a, b] == bool(crossings % 2)


def test_polygons_side_by_side_share_no_point():
    left = [[0, 0], [5, 0], [5, 9], [0, 9]]
    right = [[5, 0], [9, 0], [9, 9], [5, 9]]
    both = polygon_mask(left, (12, 12)).astype(int) + polygon_mask(right, (12, 12))
    assert both.max() == 1
    assert both.sum() == 81


@settings(max_examples=40, deadline=None)
@given(
    index=st.tuples(*(st.integers(0, n - 1) for n in SHAPE)), frame=st.sampled_from(["LPS", "RAS"]),
    kind=st.sampled_from(["mrk.json", "fcsv", "old.fcsv", "json", "csv"]), name=st.sampled_from(sorted(AFFINES)),
)  # fmt: skip
def test_a_landmark_lies_on_the_voxel_it_was_put_on(tmp_path_factory, index, frame, kind, name):
    point = apply(AFFINES[name], index)
    x, y, z = (point if frame == "LPS" else RAS[:3, :3] @ point).tolist()
    path = tmp_path_factory.mktemp("marks") / f"a.{kind}"
    if kind == "mrk.json":
        placed = {"id": "1", "label": "FH-l", "position": [x, y, z], "positionStatus": "defined"}
        waiting = {"id": "2", "label": "FH-r", "position": [0, 0, 0], "positionStatus": "undefined"}
        markup = {"type": "Fiducial", "coordinateSystem": frame, "controlPoints": [placed, waiting]}
        path.write_text(json.dumps({"@schema": "markups-schema-v1.0.3.json#", "markups": [markup]}))
    elif kind.endswith("fcsv"):
        system = frame if kind == "fcsv" else {"LPS": "1", "RAS": "0"}[frame]
        path.write_text(
            f"# Markups fiducial file version = 4.11\n# CoordinateSystem = {system}\n"
            "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
            f"vtkMRMLMarkupsFiducialNode_0,{x!r},{y!r},{z!r},0,0,0,1,1,1,0,FH-l,,\n"
        )
    elif kind == "json":
        path.write_text(json.dumps({"frame": frame, "points": {"FH-l": [x, y, z]}}))
    else:
        path.write_text(f"name,x,y,z\nFH-l,{x!r},{y!r},{z!r}\n")
    held = read_landmarks(path, frame if kind == "csv" else None)
    assert list(held) == ["FH-l"]
    np.testing.assert_allclose(np.linalg.solve(AFFINES[name], [*held["FH-l"], 1])[:3], index, atol=1e-9)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"markups": [{"controlPoints": 5}]}', '{"markups": 3}', "", "\xff"])
def test_malformed_markups(tmp_path, text):
    path = tmp_path / "a.mrk.json"
    path.write_text(text, "latin-1")
    with pytest.raises(InputError) as caught:
        read_landmarks(path)
    assert "\n" not in str(caught.value)


def test_real_labels_come_back_from_every_format(shared_data, tmp_path):
    """61 automatic structures of a real CT: split into binary files, as a Slicer segmentation, as contours."""
    folder = shared_data / "ct" / "totalseg_example"
    names = read_label_names(folder / "labels.json")
    patient = load_patient(folder / "ct.nii.gz", labels=folder / "labels.nii.gz", label_names=folder / "labels.json")
    affine, chosen = patient.ct.patient_from_voxel, ("hip_left", "hip_right", "sacrum", "liver", "vertebrae_L5")
    segments = [{"ID": n, "Name": n, "LabelValue": names[n][0], "Layer": 0} for n in chosen]
    codes = patient.labels.codes
    slicer = read_labels(write_segmentation(tmp_path / "a.seg.nrrd", codes[None], affine, segments, "LPS"), patient.ct)
    (tmp_path / "parts").mkdir()
    for name in chosen:
        image = sitk.ReadImage(str(folder / "labels.nii.gz"))
        sitk.WriteImage(sitk.Cast(image == names[name][0], sitk.sitkUInt8), str(tmp_path / "parts" / f"{name}.nii.gz"))
    parts = read_labels(tmp_path / "parts", patient.ct)
    drawn = {name: contours_of(patient.labels.mask(name), affine) for name in chosen[2:3]}
    contours = read_labels(write_rtstruct(tmp_path / "rs.dcm", drawn), patient.ct)
    for name in chosen:
        mask = patient.labels.mask(name)
        assert mask.sum() > 1000
        np.testing.assert_array_equal(slicer.mask(name), mask)
        np.testing.assert_array_equal(parts.mask(name), mask)
    np.testing.assert_array_equal(contours.mask("sacrum"), patient.labels.mask("sacrum"))
