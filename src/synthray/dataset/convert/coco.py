"""COCO: instances as run lengths, and one keypoint annotation for each image (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
from typing import Any

from synthray.dataset import rle
from synthray.dataset.convert.job import Job, landmarks_in_view, pixel_mm, stem
from synthray.dataset.read import StoredSample

KEYPOINTS = "landmarks"


def write_coco(job: Job) -> None:
    """Write `images/` and `annotations.json`.

    Masks are uncompressed run lengths, which pycocotools takes as they are; empty masks have no annotation. Keypoints
    are (column + 0.5, row + 0.5), since COCO counts from a pixel's corner, with visibility 2, or 0 when the landmark is
    not in the picture.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    structures: dict[str, int] = {}
    landmarks: list[str] = []
    for sample in job.samples():
        number, name = len(images) + 1, stem(sample)
        job.save_picture(sample, job.place / "images" / f"{name}.png")
        rows, columns = sample.image.shape
        images.append(
            {
                "id": number,
                "file_name": f"{name}.png",
                "height": rows,
                "width": columns,
                "patient": sample.truth["patient"],
                "split": sample.truth["split"],
                "pixel_mm": pixel_mm(sample),
                "camera": sample.truth["camera"],
            }
        )
        landmarks = landmarks or list(sample.landmarks_px)
        for structure, mask in sample.masks.items():
            category = structures.setdefault(structure, len(structures) + 1)
            if mask.any():
                annotations.append({"category_id": category, "image_id": number, **rle.coco_region(mask)})
        if landmarks:
            annotations.append({"category_id": 0, "image_id": number, **_keypoints(sample, landmarks)})
    # The category of keypoints comes after all structures, whose number is known at the end.
    last = len(structures) + 1
    for place, annotation in enumerate(annotations):
        annotation["id"] = place + 1
        annotation["category_id"] = annotation["category_id"] or last
    categories: list[dict[str, Any]] = [
        {"id": n, "name": s, "supercategory": "structure"} for s, n in structures.items()
    ]
    if landmarks:
        categories.append(
            {"id": last, "name": KEYPOINTS, "supercategory": KEYPOINTS, "keypoints": landmarks, "skeleton": []}
        )
    content = {
        "info": {"description": job.dataset.recipe.name, "version": "1"},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
    (job.place / "annotations.json").write_text(json.dumps(content) + "\n", encoding="utf-8")


def _keypoints(sample: StoredSample, names: list[str]) -> dict[str, Any]:
    seen = landmarks_in_view(sample)
    points = [(seen[name][0] + 0.5, seen[name][1] + 0.5, 2) if name in seen else (0, 0, 0) for name in names]
    rows, columns = sample.image.shape
    return {
        "keypoints": [value for point in points for value in point],
        "num_keypoints": len(seen),
        "bbox": [0, 0, columns, rows],
        "area": rows * columns,
        "iscrowd": 0,
    }
