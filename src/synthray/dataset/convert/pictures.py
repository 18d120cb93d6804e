"""Plain pictures: `images/`, `masks_STRUCTURE/` of equal stems, `index.json`."""

from __future__ import annotations

import json

from synthray.dataset.convert.job import Job, index_entry, save_masks, stem


def write_pictures(job: Job) -> None:
    """Write the folder that `evaluate` reads; `patient` in the index is whom intervals resample."""
    index = []
    for sample in job.samples():
        name = f"{stem(sample)}.png"
        job.save_picture(sample, job.place / "images" / name)
        save_masks(job, sample)
        index.append(index_entry(sample, name))
    (job.place / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
