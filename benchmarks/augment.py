"""Time of each augmentation on one thread: milliseconds per batch of 16 at 128 x 128, median of 15 runs.

OMP_NUM_THREADS=1 python benchmarks/augment.py
"""

import statistics
import time

import numpy as np
import torch

from synthray.augment import AugmentConfig, augment
from synthray.augment.appearance import APPEARANCE
from synthray.augment.artefacts import FRAMES, OVERLAYS
from synthray.augment.display import DISPLAY
from synthray.augment.intensity import PIXELS

COUNT, SIDE, RUNS = 16, 128, 15


def median_ms(work):
    """Median time of work(number) after two runs to warm up."""
    times = []
    for number in range(RUNS + 2):
        began = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[2:])


def main():
    """Print the table."""
    torch.set_num_threads(1)
    images = torch.rand(COUNT, 1, SIDE, SIDE)
    masks, points = torch.rand(COUNT, 7, SIDE, SIDE) > 0.5, torch.rand(COUNT, 14, 2) * SIDE
    seen = torch.ones(COUNT, 14, dtype=torch.bool)
    orders = {"structure_order": range(7), "landmark_order": range(14)}

    def whole(config):
        return lambda seed: augment(images, masks, points, seen, config, np.random.default_rng(seed), **orders)

    def one(operation):
        def work(seed):
            drawn = operation.draw(np.random.default_rng(seed), COUNT)
            params = {name: torch.from_numpy(value) for name, value in drawn.items()}
            operation.apply(images, params, torch.Generator().manual_seed(seed))

        return work

    rows = {name: one(op) for name, op in {**PIXELS, **APPEARANCE, **DISPLAY, **OVERLAYS, **FRAMES}.items()}
    off = {"preset": "none"}
    rows["flip"] = whole(AugmentConfig(**off, flip=1))
    rows["elastic"] = whole(AugmentConfig(**off, elastic=1))
    rows["preset regular"] = whole(AugmentConfig(preset="regular"))
    rows["preset strong"] = whole(AugmentConfig(preset="strong"))
    ours = ("elastic", *APPEARANCE, *DISPLAY, *OVERLAYS, *FRAMES)
    rows["strong and all switches at 0.3"] = whole(AugmentConfig(preset="strong", **dict.fromkeys(ours, 0.3)))
    print("| operation | ms |\n|---|---|")
    for name, work in rows.items():
        print(f"| {name} | {median_ms(work):.1f} |")


if __name__ == "__main__":
    main()
