"""From X-rays to masks and landmarks, at the size of the input."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, tee
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its own documentation's name
import torch
from torch import Tensor

from synthray.errors import InputError, SynthrayWarning
from synthray.files import write_atomically
from synthray.models.checkpoint import Model, load_model
from synthray.models.heatmaps import decode_heatmaps
from synthray.models.image_reader import read_image
from synthray.models.network import NetworkOutput
from synthray.models.overlay import PALETTE, Layer, overlay, png_bytes
from synthray.models.preprocess import Fit, fit_images, normalise
from synthray.models.sides import mirror_order

Mask = npt.NDArray[np.bool_]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model sees in one image.

    Attributes:
        masks: structure -> (rows, columns) bool, the image's size.
        landmarks_px: landmark -> (2,) float64 (column, row) in image pixels.
        confidence: landmark -> normalised cross-correlation with the ideal Gaussian, -1 to 1.
        detected: the landmarks whose confidence reaches the model's threshold.
        maps: (structures, h, w) float32 probabilities on the network's grid, the image's part only.
    """

    masks: Mapping[str, Mask]
    landmarks_px: Mapping[str, npt.NDArray[np.float64]]
    confidence: Mapping[str, float]
    detected: frozenset[str]
    maps: npt.NDArray[np.float32]

    def probability(self, structure: str) -> npt.NDArray[np.float32]:
        """(rows, columns) probability of a structure at the image's size, before any clean-up."""
        place = list(self.masks).index(structure)
        return _upsample(torch.from_numpy(self.maps[place]), *self.masks[structure].shape).numpy()


@dataclass(frozen=True)
class TestTimeAveraging:
    """Which versions of an image a prediction is the mean of.

    Attributes:
        flip: the mirror image as well, with left and right names swapped.
        gammas: exponents of the normalised grey values; 1 is the image itself.
    """

    __test__ = False  # not a test, whatever its name looks like to pytest

    flip: bool = True
    gammas: tuple[float, ...] = (0.75, 1.0, 1.35)

    def __post_init__(self) -> None:
        if not self.gammas or not all(0.1 <= gamma <= 10 for gamma in self.gammas):
            raise InputError(f"gammas to average over must be between 0.1 and 10, got {self.gammas}")


def predict(
    model: Model,
    images: Iterable[npt.NDArray[np.floating]],
    *,
    flip: bool = False,
    tta: TestTimeAveraging | None = None,
    batch: int = 8,
) -> list[Prediction]:
    """Masks and landmarks of grey images of any size and range; see `predict_each`, which holds one batch at a time."""
    return list(predict_each(model, images, flip=flip, tta=tta, batch=batch))


def predict_each(
    model: Model,
    images: Iterable[npt.NDArray[np.floating]],
    *,
    flip: bool = False,
    tta: TestTimeAveraging | None = None,
    batch: int = 8,
) -> Iterator[Prediction]:
    """Predictions one after the other.

    Args:
        model: a loaded model.
        images: (rows, columns) each, finite; sizes may differ.
        flip: also look at the mirror image, with left and right names swapped, and average.
        tta: average over these versions of each image instead.
        batch: images per pass of the network.

    Raises:
        InputError: an image is not two-dimensional, empty or not finite, or `flip` with an unpaired left or right.
    """
    averaging = tta or TestTimeAveraging(flip=flip, gammas=(1.0,))
    stream = iter(images)
    while group := list(islice(stream, batch)):
        inputs, fits = zip(*(_network_input(model, image) for image in group), strict=True)
        output = _forward(model, torch.cat(inputs).to(model.device), averaging)
        points, confidence = decode_heatmaps(output.heatmaps, model.spec.heatmap_sigma_px)
        for i, fit in enumerate(fits):
            yield _prediction(model, fit, output.masks[i].cpu(), points[i].cpu(), confidence[i].cpu())


def predict_files(
    run: Model | str | Path,
    paths: Sequence[str | Path],
    out_dir: str | Path,
    *,
    flip: bool = False,
    tta: TestTimeAveraging | None = None,
    batch: int = 8,
    on_progress: Progress | None = None,
) -> list[Path]:
    """Predict X-ray files and write, for each image, masks, landmarks and an overlay.

    For an image `STEM.png`: `STEM__STRUCTURE.png` (0/255, the input's size) per structure, `STEM.json` (areas,
    landmarks, confidences) and `STEM.png` (outlines over the X-ray). Outputs of an earlier run are replaced.

    Args:
        run: a model, or its run folder.
        paths: image files; see `read_image`.
        out_dir: made when absent.
        flip: also look at mirror images and average.
        tta: average over these versions of each image instead.
        batch: images per pass of the network.
        on_progress: called with (images done, images in all).

    Returns:
        The JSON files, in the order of `paths`.

    Raises:
        InputError: two images would get the same output name, an output would replace an input, or an image is bad.
            Images before a bad one are written.
    """
    files = [Path(path) for path in paths]
    model = run if isinstance(run, Model) else load_model(run)
    folder = Path(out_dir)
    _check_outputs(files, folder, model)
    written: list[Path] = []
    images, seen = tee(read_image(file) for file in files)
    predictions = predict_each(model, images, flip=flip, tta=tta, batch=batch)
    for file, prediction, image in zip(files, predictions, seen, strict=True):
        written.append(_write(file, image, prediction, folder))
        if on_progress:
            on_progress(len(written), len(files))
    return written


def _network_input(model: Model, image: npt.NDArray[np.floating]) -> tuple[Tensor, Fit]:
    values = np.asarray(image)
    if values.ndim != 2 or values.size == 0:
        raise InputError(f"an image to predict must be (rows, columns) and not empty, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise InputError("an image to predict holds NaN or infinity; replace them first")
    if values.min() == values.max():
        warnings.warn("an image to predict is constant: nothing to see in it", SynthrayWarning, stacklevel=3)
    tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    return fit_images(tensor[None], model.spec.preprocessing)


@torch.inference_mode()
def _forward(model: Model, inputs: Tensor, averaging: TestTimeAveraging) -> NetworkOutput:
    """Probabilities and heatmaps, each the mean over the versions of the images."""
    outputs = [_answer(model, _with_gamma(model, inputs, gamma), mirrored=False) for gamma in averaging.gammas]
    if averaging.flip:
        outputs += [_answer(model, _with_gamma(model, inputs, gamma), mirrored=True) for gamma in averaging.gammas]
    masks, heatmaps = (torch.stack(maps).mean(dim=0) for maps in zip(*outputs, strict=True))
    return NetworkOutput(masks, heatmaps)


def _with_gamma(model: Model, inputs: Tensor, gamma: float) -> Tensor:
    if gamma == 1:
        return inputs
    return normalise(((inputs + 1) / 2).clamp(0, 1) ** gamma, model.spec.preprocessing)


def _answer(model: Model, inputs: Tensor, *, mirrored: bool) -> NetworkOutput:
    """Probabilities and heatmaps of the images, or of their mirror images, mirrored back."""
    if not mirrored:
        output = model.network(inputs.contiguous(memory_format=torch.channels_last))
        return NetworkOutput(output.masks.sigmoid(), output.heatmaps)
    output = model.network(inputs.flip(-1))
    masks = output.masks.sigmoid().flip(-1)[:, list(mirror_order(model.structures))]
    return NetworkOutput(masks, output.heatmaps.flip(-1)[:, list(mirror_order(model.landmarks))])


def _prediction(model: Model, fit: Fit, maps: Tensor, points: Tensor, confidence: Tensor) -> Prediction:
    content = fit.crop(maps).contiguous()
    masks: dict[str, Mask] = {}
    for name, probability in zip(model.structures, content, strict=True):
        mask = _upsample(probability, fit.rows, fit.columns).numpy() > model.spec.threshold
        keep = model.spec.keep_largest.get(name)
        masks[name] = mask if keep is None else largest_parts(mask, keep)
    placed = fit.to_image(points.double()).numpy()
    certainty = dict(zip(model.landmarks, confidence.tolist(), strict=True))
    return Prediction(
        masks=masks,
        landmarks_px=dict(zip(model.landmarks, placed, strict=True)),
        confidence=certainty,
        detected=frozenset(name for name, value in certainty.items() if value >= model.spec.confidence),
        maps=content.numpy(),
    )


def _upsample(probability: Tensor, rows: int, columns: int) -> Tensor:
    return torch.nn.functional.interpolate(probability[None, None], size=(rows, columns), mode="bilinear")[0, 0]


def largest_parts(mask: Mask, keep: int) -> Mask:
    """A mask with only its `keep` largest connected parts (pixels that share an edge)."""
    if not mask.any():
        return mask
    parts = sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)))
    ordered = sitk.GetArrayFromImage(sitk.RelabelComponent(parts, sortByObjectSize=True))
    return (ordered > 0) & (ordered <= keep)


def _check_outputs(files: Sequence[Path], folder: Path, model: Model) -> None:
    if not files:
        raise InputError("no images to predict: name at least one file")
    for file in files:
        if file.parent.resolve() == folder.resolve():
            raise InputError(
                f"{folder}: holds the input {file.name}, which outputs could replace; choose another folder"
            )
    names = Counter(name for file in files for name in (file.stem, *(f"{file.stem}__{s}" for s in model.structures)))
    name, count = names.most_common(1)[0]
    if count > 1:
        raise InputError(f"two of the images would both be written as '{name}.png'; rename one or predict separately")


def _write(file: Path, image: npt.NDArray[np.float32], prediction: Prediction, folder: Path) -> Path:
    for name, mask in prediction.masks.items():
        write_atomically(folder / f"{file.stem}__{name}.png", png_bytes(mask.astype(np.uint8) * 255))
    write_atomically(folder / f"{file.stem}.png", png_bytes(overlay(image, prediction_layers(prediction))))
    described = folder / f"{file.stem}.json"
    summary = _described(file, image.shape, prediction)
    write_atomically(described, json.dumps(summary, indent=2).encode() + b"\n")
    return described


def prediction_layers(prediction: Prediction) -> list[Layer]:
    """Each mask in its own colour, and the detected landmarks."""
    layers = [
        Layer(PALETTE[i % len(PALETTE)], mask=mask) for i, mask in enumerate(prediction.masks.values()) if mask.any()
    ]
    shown = [name for name in prediction.landmarks_px if name in prediction.detected]
    if shown:
        points = np.stack([prediction.landmarks_px[name] for name in shown])
        layers.append(Layer((255, 255, 0), points_px=points, labels=tuple(shown)))
    return layers


def _described(file: Path, shape: tuple[int, ...], prediction: Prediction) -> dict[str, object]:
    landmarks = {
        name: {
            "column": round(float(point[0]), 3),
            "row": round(float(point[1]), 3),
            "confidence": round(prediction.confidence[name], 4),
            "detected": name in prediction.detected,
        }
        for name, point in prediction.landmarks_px.items()
    }
    structures = {
        name: {"file": f"{file.stem}__{name}.png", "area_px": int(mask.sum()), "area_fraction": float(mask.mean())}
        for name, mask in prediction.masks.items()
    }
    rows, columns = shape
    return {"image": file.name, "rows": rows, "columns": columns, "structures": structures, "landmarks": landmarks}
