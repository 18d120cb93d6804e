"""Label files of other programs as their documentation lays them out, for tests."""

import gzip
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from synthray.geometry import apply


def write_segmentation(
    path: Path, layers: np.ndarray, affine: np.ndarray, segments: list[dict], space="left-posterior-superior"
) -> Path:
    """A .seg.nrrd; `layers` (L, I, J, K), one layer without a list axis. Affine in the file's own space."""
    several = len(layers) > 1
    vectors = [f"({','.join(repr(float(v)) for v in affine[:3, axis])})" for axis in range(3)]
    head = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "type: unsigned char",
        f"dimension: {3 + several}",
        f"space: {space}",
        f"sizes: {' '.join(map(str, (layers if several else layers[0]).shape))}",
        f"space directions: {'none ' if several else ''}{' '.join(vectors)}",
        f"kinds: {'list ' if several else ''}domain domain domain",
        "encoding: gzip",
        f"space origin: ({','.join(repr(float(v)) for v in affine[:3, 3])})",
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
    ]
    for number, segment in enumerate(segments):
        head += [f"Segment{number}_{key}:={value}" for key, value in segment.items()]
        head += [f"Segment{number}_Tags:=TerminologyEntry:Segmentation category~SCT^85756007^Tissue|"]
    data = (layers if several else layers[0]).astype(np.uint8).tobytes(order="F")
    path.write_bytes(("\n".join(head) + "\n\n").encode() + gzip.compress(data))
    return path


def outline(mask: np.ndarray) -> list[np.ndarray]:
    """Closed outlines of a 2-D mask along the edges of its pixels: (N, 2) each, holes as outlines of their own."""
    padded = np.pad(mask, 1)
    edges = {}
    for a, b in np.argwhere(padded):
        for (da, db), ends in {
            (-1, 0): ((-0.5, 0.5), (-0.5, -0.5)), (1, 0): ((0.5, -0.5), (0.5, 0.5)),
            (0, -1): ((-0.5, -0.5), (0.5, -0.5)), (0, 1): ((0.5, 0.5), (-0.5, 0.5)),
        }.items():  # fmt: skip
            if not padded[a + da, b + db]:
                start, end = ((a - 1 + x, b - 1 + y) for x, y in ends)
                edges.setdefault(start, []).append(end)
    loops = []
    while edges:
        at = first = next(iter(edges))
        loop = []
        while True:
            loop.append(at)
            ends = edges[at]
            end = ends.pop()
            if not ends:
                del edges[at]
            at = end
            if at == first:
                break
        loops.append(np.array(loop))
    return loops


def write_rtstruct(path: Path, structures: dict[str, list[np.ndarray]], kind="CLOSED_PLANAR", **elements) -> Path:
    """An RT Structure Set; structures are lists of (N, 3) contours in patient mm."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Modality, data.PatientName = "RTSTRUCT", "Doe^Jane"
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(structures.items(), start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
            contour.ContourData = [f"{v:.4f}" for v in np.ravel(points)]
            drawn.ContourSequence.append(contour)
        data.StructureSetROISequence.append(roi)
        data.ROIContourSequence.append(drawn)
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    data.save_as(path, enforce_file_format=True)
    return path


def contours_of(mask: np.ndarray, affine: np.ndarray) -> list[np.ndarray]:
    """The outlines of a 3-D mask, slice by slice along k, in patient mm."""
    return [
        apply(affine, np.column_stack([loop, np.full(len(loop), k)]))
        for k in range(mask.shape[2])
        for loop in outline(mask[:, :, k])
    ]
