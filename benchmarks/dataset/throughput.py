"""How much of the pure rate of projection and physics a job keeps, end to end.

    python benchmarks/dataset/throughput.py --images 512 --workers 2 [--ray local]

The pure rate is that of the same workers doing nothing but projection and physics; it follows from the job's own clock.
Prints one line of JSON: images/s of both, their ratio over the whole job and once the person is there, and the share of
time of each stage. With --ray the same job is run on both and the overhead is told.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from synthray.dataset import GenerateResult, generate


def recipe(images: int, voxel_mm: float, pixels: int) -> dict[str, Any]:
    """All masks of a built-in body, realistic."""
    return {
        "name": "throughput",
        "images": images,
        "images_per_shard": 32,
        "people": [{"body": 1, "region": "trunk", "voxel_mm": voxel_mm}],
        "views": [{"rows": pixels, "lao_deg": {"uniform": [-40, 40]}, "cran_deg": {"uniform": [-20, 20]}}],
        "imaging": {"tube_kvp": {"uniform": [70, 120]}},
    }


def facts(result: GenerateResult, workers: int) -> dict[str, Any]:
    """Rates and shares of one job."""
    shares = dict(result.shares)
    pure = shares["projection"] + shares["physics"]
    without_person = 1 - shares.get("people", 0) - shares["waiting"]
    return {
        "images_per_second": round(result.made / result.seconds, 2),
        "pure_images_per_second": round(result.made / result.seconds / pure, 2),
        "kept_of_pure": round(pure, 3),
        "kept_once_the_person_is_there": round(pure / without_person, 3),
        "shares": {stage: round(share, 4) for stage, share in shares.items()},
        "workers": workers,
    }


def main() -> None:
    """Run, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--voxel-mm", type=float, default=1.5)
    parser.add_argument("--pixels", type=int, default=256)
    parser.add_argument("--ray", help="also on this cluster")
    options = parser.parse_args()
    held = recipe(options.images, options.voxel_mm, options.pixels)
    with tempfile.TemporaryDirectory(prefix="throughput-") as place:
        found = {"local": facts(generate(held, Path(place) / "local", workers=options.workers), options.workers)}
        if options.ray:
            there = generate(held, Path(place) / "ray", workers=options.workers, ray=options.ray)
            found["ray"] = facts(there, options.workers)
            rates = [found[where]["images_per_second"] for where in ("local", "ray")]
            found["ray"]["overhead"] = round(rates[0] / rates[1] - 1, 3)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
