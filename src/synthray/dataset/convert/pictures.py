"""Plain pictures: `images/`, `masks_STRUCTURE/` of equal stems, `index.json`."""

from __future__ import annotations

import json

import numpy as np

from synthray.dataset.convert.job import Job, landmarks_in_view, pixel_mm, save_png, stem


def write_pictures(job: Job) -> None:
    """Write the folder that `evaluate` reads; `patient` in the index is whom intervals resample."""
    index = []
    for sample in job.samples():
        name = stem(sample)
        job.save_picture(sample, job.place / "images" / f"{name}.png")
        for structure, mask in sample.masks.items():
            save_png(mask.astype(np.uint8) * 255, job.place / f"masks_{structure}" / f"{name}.png")
        index.append(
            {
                "stem": name,
                "file": f"{name}.png",
                "patient": sample.truth["patient"],
                "split": sample.truth["split"],
                "pixel_mm": pixel_mm(sample),
                "landmarks_px": landmarks_in_view(sample),
                "camera": sample.truth["camera"],
            }
        )
    (job.place / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
