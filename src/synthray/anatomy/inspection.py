"""What a CT holds, as facts and as one picture."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.anatomy.label_files import LabelNames, LabelSource
from synthray.anatomy.morphology import Mask
from synthray.anatomy.patient import Patient, Volume
from synthray.anatomy.readers import load_patient
from synthray.anatomy.resample import resample
from synthray.anatomy.segmentation import body_mask
from synthray.anatomy.volume_files import format_name, is_volume_file
from synthray.errors import InputError

METAL_HU: Final = 2500
PERCENTILES: Final = (0.0, 1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 100.0)
HISTOGRAM_HU: Final = (-1100, -950, -700, -200, -50, 0, 100, 300, 700, 2500, 40000)
_LETTERS: Final = ("RL", "AP", "FH")  # ends of the axes x, y, z of LPS: from low to high
_WINDOW_HU: Final = (-1000, 600)
_GREY: Final = 96


@dataclass(frozen=True, kw_only=True)
class CtReport:
    """What `inspect_ct` found.

    Attributes:
        path: what was read.
        format: "DICOM", "NIfTI", "NRRD" or "MetaImage".
        shape: number of voxels along i, j, k.
        voxel_mm: distance between voxel centres along i, j, k.
        orientation: where i, j, k run to, such as "LPS"; followed by "~" where the grid is oblique or sheared.
        patient_from_voxel: (4, 4) voxel index -> patient mm (LPS), row by row.
        hu_percentiles: percentile -> Hounsfield units.
        hu_histogram: lower bound in HU -> share of the voxels from there to the next bound.
        cut_off: face of the volume ("right", "left", "front", "back", "feet", "head") -> its share that is body.
        metal_voxels: number of voxels above 2500 HU.
        labels: structure -> number of voxels.
        landmarks: name -> patient mm (LPS).
        warnings: what was unusual while reading.
    """

    path: str
    format: str
    shape: tuple[int, int, int]
    voxel_mm: tuple[float, float, float]
    orientation: str
    patient_from_voxel: tuple[tuple[float, ...], ...]
    hu_percentiles: Mapping[float, float]
    hu_histogram: Mapping[int, float]
    cut_off: Mapping[str, float]
    metal_voxels: int
    labels: Mapping[str, int]
    landmarks: Mapping[str, tuple[float, float, float]]
    warnings: tuple[str, ...]


def inspect_ct(
    path: str | Path,
    *,
    labels: LabelSource | None = None,
    label_names: LabelNames | None = None,
    landmarks: str | Path | Mapping[str, npt.ArrayLike] | None = None,
    series: str | None = None,
) -> tuple[CtReport, Patient]:
    """Read a CT as `load_patient` does, table and all, and report what it holds.

    Returns:
        The report, and the patient as read (for `draw_ct`).

    Raises:
        InputError: see `load_patient`.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        patient = load_patient(
            path, labels=labels, label_names=label_names, landmarks=landmarks, series=series, remove_table=False
        )
    notes = [str(w.message) for w in caught]
    try:
        cut_off = faces_cut(body_mask(patient.ct), patient.ct)
    except InputError as error:
        cut_off = {}
        notes.append(str(error))
    return _report(Path(path), patient, cut_off, notes), patient


def _report(path: Path, patient: Patient, cut_off: Mapping[str, float], notes: list[str]) -> CtReport:
    ct, held = patient.ct, patient.labels
    i, j, k = ct.voxel_mm.tolist()
    counts = np.histogram(ct.values, HISTOGRAM_HU)[0] / ct.values.size
    structures = {} if held is None else held.structures
    sizes = np.zeros(1) if held is None else np.bincount(held.codes.ravel(order="K"))
    return CtReport(
        path=str(path),
        format=_format(path),
        shape=ct.shape,
        voxel_mm=(i, j, k),
        orientation=orientation(ct),
        patient_from_voxel=tuple(tuple(row) for row in ct.patient_from_voxel.tolist()),
        hu_percentiles=dict(zip(PERCENTILES, np.percentile(ct.values, PERCENTILES).tolist(), strict=True)),
        hu_histogram=dict(zip(HISTOGRAM_HU[:-1], counts.tolist(), strict=True)),
        cut_off=cut_off,
        metal_voxels=int(np.count_nonzero(ct.values > METAL_HU)),
        labels={name: sum(int(sizes[c]) for c in codes if c < len(sizes)) for name, codes in structures.items()},
        landmarks={name: (float(p[0]), float(p[1]), float(p[2])) for name, p in patient.landmarks.items()},
        warnings=tuple(notes),
    )


def _format(path: Path) -> str:
    file = path / "ct.nii.gz" if (path / "ct.nii.gz").is_file() else path
    return format_name(file) if is_volume_file(file) else "DICOM"


def orientation(volume: Volume) -> str:
    """Where i, j and k run to, such as "LPS" or "RAS"; with "~" where they don't run exactly along the body's axes."""
    directions = volume.patient_from_voxel[:3, :3] / volume.voxel_mm
    letters = [_LETTERS[axis][int(sign > 0)] for axis, sign in _main_axes(volume)]
    exact = np.allclose(np.abs(directions).max(axis=0), 1, atol=1e-4)
    return "".join("S" if c == "H" else "I" if c == "F" else c for c in letters) + ("" if exact else "~")


def _main_axes(volume: Volume) -> list[tuple[int, float]]:
    """Per voxel axis the patient axis (0, 1, 2 for x, y, z) it runs along most, none twice, and its sign."""
    directions = volume.patient_from_voxel[:3, :3] / volume.voxel_mm
    chosen: dict[int, int] = {}
    for place in np.argsort(-np.abs(directions), axis=None):
        axis, voxel_axis = divmod(int(place), 3)
        if voxel_axis not in chosen and axis not in chosen.values():
            chosen[voxel_axis] = axis
    return [(chosen[v], float(directions[chosen[v], v])) for v in range(3)]


def faces_cut(body: Mask, volume: Volume) -> dict[str, float]:
    """Share of each outer face of the volume that lies in the body: where the field of view cuts the person off."""
    names = (("right", "left"), ("front", "back"), ("feet", "head"))
    shares = {}
    for voxel_axis, (axis, sign) in enumerate(_main_axes(volume)):
        for end in (0, -1):
            high = (end == -1) == (sign > 0)
            shares[names[axis][high]] = float(body.take(end, axis=voxel_axis).mean())
    return {name: shares[name] for pair in names for name in pair}


def draw_ct(patient: Patient, height_px: int = 360) -> npt.NDArray[np.uint8]:
    """Axial, coronal and sagittal middle slice side by side, the patient's left on the image's right.

    Oblique grids are sampled along the body's axes. Labels are tinted. Letters name the sides: R, L, A, P, H(ead),
    F(eet).

    Returns:
        (rows, columns, 3) uint8.
    """
    lowest, highest = patient.ct.corners_mm.min(axis=0), patient.ct.corners_mm.max(axis=0)
    panels = []
    # Patient axes along the columns and down the rows; z runs up the picture, so its rows are reversed.
    for columns, rows in ((0, 1), (0, 2), (1, 2)):
        panel = _slice(patient, lowest, highest, columns, rows)
        ends = _LETTERS[columns] + (_LETTERS[rows] if rows == 1 else _LETTERS[rows][::-1])
        panels.append(_lettered(panel[::-1] if rows == 2 else panel, ends, height_px))
    return np.concatenate(panels, axis=1)


def _slice(
    patient: Patient, lowest: npt.NDArray[Any], highest: npt.NDArray[Any], columns: int, rows: int
) -> npt.NDArray[np.uint8]:
    """(rows, columns, 3) the middle slice spanned by two patient axes, on square pixels, windowed and tinted."""
    pixel_mm = float(max((highest - lowest)[[columns, rows]])) / 512
    shape = [max(1, round(float(highest[a] - lowest[a]) / pixel_mm)) for a in (columns, rows)]
    grid = np.eye(4)
    grid[:3, :3] = 0
    grid[columns, 0] = grid[rows, 1] = grid[3 - columns - rows, 2] = pixel_mm
    grid[:3, 3] = (lowest + highest) / 2
    grid[:3, 3] -= grid[:3, :2] @ ((np.array(shape) - 1) / 2)
    size = (shape[0], shape[1], 1)
    hu = resample(patient.ct, size, grid, linear=True, outside=-1000)[:, :, 0].T
    low, high = _WINDOW_HU
    grey = np.repeat((np.clip((hu - low) / (high - low), 0, 1) * 255)[..., None], 3, axis=2)
    if patient.labels is not None:
        codes = resample(
            Volume(patient.labels.codes, patient.ct.patient_from_voxel), size, grid, linear=False, outside=0
        )
        held = codes[:, :, 0].T.astype(np.int64)
        # Golden-angle hues keep neighbouring codes apart.
        hue = (held * 137.508)[..., None] + np.array([0.0, 120.0, 240.0])
        tint = 127 + 127 * np.cos(np.radians(hue))
        grey = np.where((held > 0)[..., None], 0.65 * grey + 0.35 * tint, grey)
    return grey.astype(np.uint8)


def _lettered(panel: npt.NDArray[np.uint8], ends: str, height_px: int) -> npt.NDArray[np.uint8]:
    """The panel scaled to fit a square, with the letters of its left, right, upper and lower end."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(panel)
    scale = height_px / max(image.size)
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    square = Image.new("RGB", (height_px, height_px), (_GREY // 4,) * 3)
    square.paste(image, ((height_px - image.width) // 2, (height_px - image.height) // 2))
    draw = ImageDraw.Draw(square)
    half, edge = height_px // 2, height_px - 8
    for letter, place in zip(ends, ((8, half), (edge, half), (half, 8), (half, edge)), strict=True):
        draw.text(place, letter, fill=(255, 220, 60), anchor="mm")
    return np.asarray(square)
