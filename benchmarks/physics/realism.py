"""Compare simulated chest X-rays of real CTs with real chest X-rays: histogram, local contrast, power spectrum.

Usage: python benchmarks/physics/realism.py [DATA]   (DATA holds ct/ and xray/; ../shared/data by default)

Real pictures come as someone displayed them, so all are first brought to the same scale: grey values between the 1st
and 99th percentile of the middle of the picture become 0 to 1. Prints a Markdown table.
"""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

import synthray as sr
from synthray.anatomy import with_lungs
from synthray.imaging import System, display

SIDE = 256
CTS = ("fnndsc_chest", "imlab_chest_id001", "imlab_chest_id002", "imlab_chest_id003", "onkodicom_thorax")
# Frequencies, in cycles per pixel, over which the power law is fitted: body shapes below, pixel noise above.
BAND = (0.02, 0.2)


def middle(picture: np.ndarray) -> np.ndarray:
    """The middle of a picture at SIDE x SIDE, brought to the common scale."""
    rows, columns = picture.shape
    top, left = int(rows * 0.15), int(columns * 0.15)
    cut = Image.fromarray(picture[top : rows - top, left : columns - left].astype(np.float32))
    small = np.asarray(cut.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    low, high = np.percentile(small, (1, 99))
    return np.clip((small - low) / (high - low), 0, 1)


def power_law(picture: np.ndarray) -> float:
    """Exponent b of the radially averaged power spectrum, f^-b."""
    window = np.outer(np.hanning(SIDE), np.hanning(SIDE))
    power = np.abs(np.fft.fft2((picture - picture.mean()) * window)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE)))
    edges = np.geomspace(*BAND, 17)
    rings = [power[(frequency >= a) & (frequency < b)].mean() for a, b in pairwise(edges)]
    return float(-np.polyfit(np.log(np.sqrt(edges[:-1] * edges[1:])), np.log(rings), 1)[0])


def local_contrast(picture: np.ndarray, width: int) -> float:
    """Median standard deviation in squares of a width, of the common scale."""
    cut = SIDE // width * width
    squares = picture[:cut, :cut].reshape(cut // width, width, cut // width, width)
    return float(np.median(squares.std(axis=(1, 3))))


def features(picture: np.ndarray) -> dict[str, float]:
    """What is compared."""
    scaled = middle(picture)
    return {
        "power-law exponent": power_law(scaled),
        "local contrast, 8 px": local_contrast(scaled, 8),
        "local contrast, 32 px": local_contrast(scaled, 32),
        "mean grey": float(scaled.mean()),
        "spread of grey": float(scaled.std()),
        "darkest quarter below": float(np.quantile(scaled, 0.25)),
        "brightest quarter above": float(np.quantile(scaled, 0.75)),
    }


def simulated(data: Path, level: str, preset: str) -> list[np.ndarray]:
    """Displayed PA chest X-rays of the CTs."""
    system, pictures = System.preset("chest-upright"), []
    for name in CTS:
        person = with_lungs(sr.load_patient(data / "ct" / name / "ct.nii.gz"))
        lungs = person.structure_center_mm("lung_left", "lung_right")
        camera = sr.CArm.preset("chest-pa").resized(1024).view(lungs, view="pa")
        sample = sr.simulate(person, camera, level, seed=1, settings=system.settings)
        # The lungs and a rim around them, as a radiographer would collimate.
        rows, columns = np.nonzero(sample.masks["lung_left"][0] | sample.masks["lung_right"][0])
        margin = 40
        box = np.s_[
            max(rows.min() - margin, 0) : rows.max() + margin, max(columns.min() - margin, 0) : columns.max() + margin
        ]
        pictures.append(display(sample.image[0][box], preset))
    return pictures


def main() -> None:
    """Print the table."""
    data = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    groups = {
        f"{level}, {preset}": [features(p) for p in simulated(data, level, preset)]
        for level, preset in (
            ("heuristic", "chest-pa"),
            ("realistic", "chest-pa"),
            ("full", "chest-pa"),
            ("full", "chest-processed"),
        )
    }
    for folder in ("chest_lungs", "chest_unlabelled"):
        paths = sorted((data / "xray" / folder).rglob("*.png")) + sorted((data / "xray" / folder).rglob("*.jpg"))
        real = [p for p in paths if "mask" not in str(p.parent)]
        groups[f"real: {folder} ({len(real)})"] = [
            features(np.asarray(Image.open(path).convert("L"), dtype=np.float32)) for path in real
        ]
    names = list(next(iter(groups.values()))[0])
    print("| | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for group, rows in groups.items():
        cells = [np.array([row[name] for row in rows]) for name in names]
        print(f"| {group} | " + " | ".join(f"{c.mean():.2f} ± {c.std():.2f}" for c in cells) + " |")


if __name__ == "__main__":
    main()
