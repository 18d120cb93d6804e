"""A small file in the published layout of the full-resolution DeepFluoro set, written by its published formulas."""

import numpy as np

SPACING, FOCAL_MM, SIDE = 4.0, 1020.0, 168
CENTER = np.array([20.0, -35.0, -940.0])
# Points inside the dense balls of the phantom, from the centre of the CT in mm (LPS).
MARKS = {"FH-l": [30, -8, 20], "FH-r": [-34, 4, 12], "SPS-l": [10, -20, -30]}
LABELS = {1: "left-hemipelvis", 2: "right-hemipelvis", 5: "left-femur", 7: "lower-sacrum"}


def rotation(rng, degrees):
    """A random (4, 4) rotation by up to so many degrees about a random axis."""
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    angle = np.radians(degrees) * rng.random()
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew
    return matrix


def shift(vector):
    """A (4, 4) translation."""
    matrix = np.eye(4)
    matrix[:3, 3] = vector
    return matrix


def phantom():
    """HU and classes by slice, row, column on 2 mm voxels, and landmarks in LPS mm: balls of bone in soft tissue."""
    shape = (60, 50, 64)
    at = np.stack(np.meshgrid(*[2.0 * (np.arange(n) - (n - 1) / 2) for n in shape], indexing="ij"), axis=-1)
    x, y, z = at[..., 2], at[..., 1], at[..., 0]
    hu = np.where((x / 58) ** 2 + (y / 42) ** 2 < 1, 40, -1000).astype(np.float32)
    classes = np.zeros(shape, dtype=np.uint8)
    for code, offset in zip((1, 5, 2), MARKS.values(), strict=True):
        ball = (x - offset[0]) ** 2 + (y - offset[1]) ** 2 + (z - offset[2]) ** 2 < 9**2
        hu[ball], classes[ball] = 1500, code
    return hu, classes, {name: CENTER + offset for name, offset in MARKS.items()}


def published_pixel(intrinsic, extrinsic, cam_to_vol, point):
    """(column, row) by the set's documentation: CT -> world -> camera -> pixel."""
    local = extrinsic @ np.linalg.inv(cam_to_vol) @ [*point, 1.0]
    assert local[2] < 0, "their camera looks along -z"
    column, row, depth = intrinsic @ local[:3]
    return np.array([column, row]) / depth


def write_deepfluoro(path, specimens=("17-1882", "18-0725"), views=2, focal_sign=-1.0):
    """Write the file; returns specimen -> view -> (pixels of landmarks as published, pose, rot-180-for-up)."""
    import h5py

    rng = np.random.default_rng(3)
    focal_px = FOCAL_MM / SPACING
    intrinsic = np.array([[focal_sign * focal_px, 0, 82.0], [0, -focal_px, 85.5], [0, 0, 1]])
    extrinsic = shift([5, -7, -300]) @ rotation(rng, 40)
    hu, classes, marks = phantom()
    told = {}
    with h5py.File(path, "w") as file:
        parameters = file.create_group("proj-params")
        parameters["intrinsic"], parameters["extrinsic"] = intrinsic.astype(np.float32), extrinsic.astype(np.float32)
        for name, value in (("num-cols", SIDE), ("num-rows", SIDE)):
            parameters[name] = value
        for name in ("pixel-col-spacing", "pixel-row-spacing"):
            parameters[name] = SPACING
        for specimen in specimens:
            group = file.create_group(specimen)
            origin = CENTER - 2.0 * (np.array(hu.shape[::-1]) - 1) / 2
            _image(group.create_group("vol"), hu, origin, 2.0)
            _image(group.create_group("vol-seg/image"), classes, origin, 2.0)
            for code, name in LABELS.items():
                group[f"vol-seg/labels-def/{code}"] = name
            for name, point in marks.items():
                group[f"vol-landmarks/{name}"] = point.reshape(3, 1)
            told[specimen] = [
                _view(group.create_group(f"projections/{n:03d}"), rng, intrinsic, extrinsic, marks, bool(n % 2))
                for n in range(views)
            ]
    return told


def _view(group, rng, intrinsic, extrinsic, marks, upside_down):
    """A view from the front, seen along -y of the person, with the head up or down in the picture."""
    # Their axes in LPS: columns, rows, towards the source, which stands before the person.
    columns = np.array([1.0 if upside_down else -1.0, 0, 0])
    towards = np.array([0.0, -1, 0])
    theirs_from_patient = np.eye(4)
    theirs_from_patient[:3, :3] = [columns, np.cross(towards, columns), towards]
    theirs_from_patient = shift([0, 0, -800]) @ rotation(rng, 12) @ theirs_from_patient @ shift(-CENTER)
    pose = (np.linalg.inv(theirs_from_patient) @ extrinsic).astype(np.float32)
    femur = (shift([0, 0, 6]) @ pose).astype(np.float32)
    pixels = {name: published_pixel(intrinsic, extrinsic, pose, point) for name, point in marks.items()}
    signal = np.full((SIDE, SIDE), 60000.0, dtype=np.float32)
    classes = np.zeros((SIDE, SIDE), dtype=np.uint8)
    rows, at = np.mgrid[:SIDE, :SIDE], {}
    for code, (name, (column, row)) in zip((1, 5, 2), pixels.items(), strict=True):
        disc = (rows[1] - column) ** 2 + (rows[0] - row) ** 2 < 3.0**2
        signal[disc], classes[disc], at[name] = 9000.0, code, [column, row]
    _image(group.create_group("image"), signal, np.zeros(2), SPACING)
    _image(group.create_group("gt-seg"), classes, np.zeros(2), SPACING)
    for name, pixel in pixels.items():
        group[f"gt-landmarks/{name}"] = pixel.reshape(2, 1)
    group["gt-poses/cam-to-pelvis-vol"] = pose
    for side, good in (("left", 1), ("right", 0)):
        group[f"gt-poses/cam-to-{side}-femur-vol"] = femur
        group[f"gt-poses/{side}-femur-good-fov"] = good
    group["rot-180-for-up"] = int(upside_down)
    return pixels, femur, upside_down


def _image(group, pixels, origin, spacing):
    group["pixels"], group["origin"] = pixels, origin.reshape(-1, 1)
    group["spacing"] = np.full((len(origin), 1), spacing)
    group["dir-mat"] = np.eye(len(origin))
