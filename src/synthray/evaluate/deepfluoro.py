"""The full-resolution DeepFluoro file (Grupp et al. 2020): people with CT, labels and landmarks, X-rays with cameras.

Its cameras are those of `DeepFluoroView`; its CTs are in LPS, mm.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy import LabelMap, Patient, Volume, remove_table
from synthray.errors import InputError, MissingExtraError, SynthrayWarning
from synthray.evaluate.cases import DEEPFLUORO_LABELS
from synthray.evaluate.posed import PosedImage, PosedPerson
from synthray.geometry import Camera, DeepFluoroView, compose

Floats = npt.NDArray[np.float64]

# Pixels under the collimator's edge on each side, cut off before learning (Grupp et al. 2020).
BORDER_PX = 50
_PARAMETERS = "proj-params"
_LOWER_SACRUM = 7
_FEMURS = ("left", "right")


def is_full_resolution(path: str | Path) -> bool:
    """Whether an HDF5 file has the layout of the full-resolution DeepFluoro file."""
    try:
        import h5py
    except ImportError as absent:
        raise MissingExtraError("reading HDF5 files", "hdf5") from absent
    try:
        with h5py.File(path, "r") as file:
            return _PARAMETERS in file
    except OSError as error:
        raise InputError(f"{path}: is missing or not a readable HDF5 file") from error


def posed_from_deepfluoro(
    path: str | Path, *, specimens: Sequence[str] | None = None, border_px: int = BORDER_PX
) -> list[PosedPerson]:
    """The people of the file; CTs and images are read when asked for.

    Args:
        path: the HDF5 file.
        specimens: only these, such as `["17-1882"]`.
        border_px: see `read_posed_images`.

    Raises:
        MissingExtraError: h5py is not installed.
        InputError: not such a file, or a specimen is missing.
    """
    with _opened(path) as file:
        held = sorted(name for name, group in file.items() if name != _PARAMETERS and "projections" in group)
    for name in specimens or ():
        if name not in held:
            raise InputError(f"{path}: has no specimen '{name}'; it has {', '.join(held)}")
    return [
        PosedPerson(name, partial(read_specimen, path, name), partial(read_posed_images, path, name, border_px))
        for name in specimens or held
    ]


def read_specimen(path: str | Path, specimen: str, *, without_table: bool = True) -> Patient:
    """One person's CT, labels and landmarks, in the file's own LPS mm.

    Labels get the names that `read_deepfluoro` gives to the classes of images; the lower sacrum is `sacrum_lower`.

    Args:
        path: the HDF5 file.
        specimen: its group.
        without_table: set what lies around the body to air; where no body is found, warn and leave it.

    Raises:
        MissingExtraError: h5py is not installed.
        InputError: not such a file, or the specimen or a part of it is missing.
    """
    with _opened(path) as file, _told(path, specimen):
        group = file[specimen]
        ct = _volume(group["vol"])
        codes = _volume(group["vol-seg/image"]) if "vol-seg" in group else None
        marks = {name: _point(value, 3) for name, value in group["vol-landmarks"].items()}
    if codes is not None and codes.shape != ct.shape:
        raise InputError(f"{path}: {specimen}: the segmentation has {codes.shape} voxels, the CT {ct.shape}")
    names = {**DEEPFLUORO_LABELS, _LOWER_SACRUM: "sacrum_lower"}
    labels = None if codes is None else LabelMap.from_names(codes.values, names)
    if without_table:
        try:
            ct = remove_table(ct)
        except InputError as error:
            message = f"{path}: {specimen}: {error}; nothing was removed around it"
            warnings.warn(message, SynthrayWarning, stacklevel=2)
    return Patient(ct, labels, marks, name=specimen)


def read_posed_images(path: str | Path, specimen: str, border_px: int = BORDER_PX) -> Iterator[PosedImage]:
    """One person's X-rays, head up, with their cameras, in the order of the file.

    Grey values are -ln(signal / largest signal of the image). A femur is in `moved` where the file calls its pose
    valid.

    Args:
        path: the HDF5 file.
        specimen: its group.
        border_px: pixels cut off on each side.

    Raises:
        MissingExtraError: h5py is not installed.
        InputError: not such a file, or the specimen or a part of it is missing or no rigid pose.
    """
    with _opened(path) as file:
        with _told(path, specimen):
            parameters, views = file[_PARAMETERS], file[specimen]["projections"]
        for number in sorted(views):
            with _told(path, f"{specimen}/projections/{number}"):
                image = _posed(f"{specimen}-{number}", views[number], parameters)
            yield image.trimmed(border_px)


def _posed(name: str, group: Any, parameters: Any) -> PosedImage:
    poses = group["gt-poses"]
    camera = partial(_camera, parameters)
    signal = np.asarray(group["image/pixels"], dtype=np.float32)
    classes = np.asarray(group["gt-seg/pixels"]) if "gt-seg" in group else None
    image = PosedImage(
        id=name,
        image=log_signal(signal),
        camera=camera(poses["cam-to-pelvis-vol"]),
        masks={} if classes is None else {label: classes == code for code, label in DEEPFLUORO_LABELS.items()},
        landmarks_px={mark: _point(value, 2) for mark, value in group["gt-landmarks"].items()},
        moved={
            f"femur_{side}": camera(poses[f"cam-to-{side}-femur-vol"])
            for side in _FEMURS
            if f"cam-to-{side}-femur-vol" in poses and _number(poses, f"{side}-femur-good-fov")
        },
    )
    return image.upright() if _number(group, "rot-180-for-up") else image


def log_signal(signal: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(rows, columns) -ln(signal / largest signal); dead pixels count as a hundred-thousandth of it."""
    largest = np.float32(max(float(signal.max()), 1e-30))
    return -np.log(np.clip(signal / largest, np.float32(1e-5), 1))


def _camera(parameters: Any, pose: Any) -> Camera:
    """Our camera of one of the file's poses."""
    return DeepFluoroView(
        intrinsic=np.asarray(parameters["intrinsic"], dtype=np.float64),
        extrinsic=_rigid(parameters["extrinsic"]),
        volume_from_world=_rigid(pose),
        rows=int(_number(parameters, "num-rows")),
        columns=int(_number(parameters, "num-cols")),
        pixel_mm=_number(parameters, "pixel-row-spacing"),
    ).camera()


def _rigid(stored: Any) -> Floats:
    """A pose stored in single precision, its rotation made exact (the nearest one, by singular values)."""
    matrix = np.asarray(stored, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise ValueError("a pose must be a finite 4 x 4 matrix")
    u, stretch, v = np.linalg.svd(matrix[:3, :3])
    if np.abs(stretch - 1).max() > 1e-3 or np.linalg.det(matrix[:3, :3]) < 0:
        raise ValueError("a pose is not rigid")
    return compose(u @ v, matrix[:3, 3])


def _volume(group: Any) -> Volume:
    """An ITK image: pixels by slice, row, column; the direction's columns are the axes of the index i, j, k."""
    pixels = np.asarray(group["pixels"])
    axes = np.asarray(group["dir-mat"], dtype=np.float64) * np.asarray(group["spacing"], dtype=np.float64).ravel()
    whole = pixels if pixels.dtype.kind in "iu" and pixels.dtype.itemsize < 4 else pixels.astype(np.float32)
    return Volume(np.ascontiguousarray(whole.transpose(2, 1, 0)), compose(axes, _point(group["origin"], 3)))


def _point(stored: Any, size: int) -> Floats:
    return np.asarray(stored, dtype=np.float64).reshape(size)


def _number(group: Mapping[str, Any], name: str) -> float:
    return float(np.asarray(group[name]).item())


@contextmanager
def _told(path: str | Path, where: str) -> Iterator[None]:
    """Name the place of what is missing or malformed."""
    try:
        yield
    except (KeyError, ValueError, TypeError) as error:
        reason = str(error).strip("\"'")
        raise InputError(f"{path}: {where}: {reason}; the full-resolution DeepFluoro layout is expected") from None


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as absent:
        raise MissingExtraError("reading HDF5 files", "hdf5") from absent
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: is missing or not a readable HDF5 file") from error
    with file:
        if _PARAMETERS not in file:
            raise InputError(f"{path}: has no '{_PARAMETERS}'; the full-resolution DeepFluoro layout is expected")
        yield file
