"""3-D Slicer segmentations (.seg.nrrd): NRRD with names in `SegmentN_…` pairs, in several layers where they overlap.

Format: https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.anatomy.nrrd import NrrdHeader, patient_from_voxel, read_header, read_voxels
from synthray.anatomy.patient import Volume
from synthray.errors import InputError


@dataclass(frozen=True)
class Segment:
    """One named structure: the voxels of a layer that have a value."""

    name: str
    layer: int
    value: int


def is_segmentation(path: Path) -> bool:
    """Whether a file is a NRRD file that names segments."""
    if not path.name.lower().endswith(".nrrd") or not path.is_file():
        return False
    with path.open("rb") as stream:
        if stream.read(7) != b"NRRD000":
            return False
    return any(re.fullmatch(r"Segment\d+_(ID|Name)", key) for key in read_header(path).pairs)


def read_segmentation(path: Path) -> tuple[list[Segment], list[Volume]]:
    """The segments of a file in its order, and its layers.

    Files of Slicer before 4.11 have a layer for each segment and say neither layer nor value.

    Raises:
        InputError: malformed, cut off, or a segment lies in no layer.
    """
    header = read_header(path)
    try:
        layers = _layers(path, header)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: its header can't be understood ({error}); export it again") from error
    segments = list(_segments(header, path, len(layers)))
    if not segments:
        raise InputError(f"{path}: no segments in it; export the segmentation again")
    return segments, layers


def _layers(path: Path, header: NrrdHeader) -> list[Volume]:
    sizes = header.fields.get("sizes", "").split()
    if len(sizes) not in (3, 4) or not all(word.isdigit() for word in sizes):
        raise InputError(f"{path}: a segmentation has three axes, or a list of layers and three; export it again")
    count = int(sizes[0]) if len(sizes) == 4 else 1
    i, j, k = (int(word) for word in sizes[-3:])
    affine = patient_from_voxel(header.fields, path)
    # The list of layers runs fastest in the file.
    values: npt.NDArray[Any] = read_voxels(path, header, (count * i, j, k)).reshape(i, count, j, k)
    return [Volume(np.ascontiguousarray(values[:, n]), affine) for n in range(count)]


def _segments(header: NrrdHeader, path: Path, layers: int) -> Iterator[Segment]:
    places = {int(found[1]) for key in header.pairs if (found := re.fullmatch(r"Segment(\d+)_\w+", key))}
    for place in sorted(places):
        said = {word: header.pairs.get(f"Segment{place}_{word}", "") for word in ("Name", "ID", "Layer", "LabelValue")}
        try:
            # Old files say neither: one binary layer for each segment.
            layer = int(said["Layer"] or (place if layers > 1 else 0))
            value = int(said["LabelValue"] or 1)
        except ValueError:
            raise InputError(f"{path}: segment {place} has no whole numbers for layer and value") from None
        if value < 1:
            raise InputError(f"{path}: segment {place} has the value {value}, which is background; export it again")
        if not 0 <= layer < layers:
            raise InputError(f"{path}: segment {place} is said to be in layer {layer} of {layers}; export it again")
        yield Segment(said["Name"] or said["ID"] or f"segment_{place}", layer, value)
