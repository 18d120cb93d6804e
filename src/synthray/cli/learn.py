"""Commands about networks: train, predict, evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from synthray.cli.console import JsonFlag, emit, progress_bar

RunArgument = Annotated[Path, typer.Argument(help="Folder of a trained model.")]
FlipFlag = Annotated[bool, typer.Option("--flip", help="Average over the mirror image as well.")]


def train(
    recipe: Annotated[Path, typer.Argument(help="YAML training recipe.")],
    out: Annotated[Path, typer.Argument(help="Folder of the run; run again to resume.")],
    as_json: JsonFlag = False,
) -> None:
    """Train a network on a data set.

    Example: synthray train train.yaml runs/hip
    """
    from synthray.train import train as carry_out

    with progress_bar("train", "steps") as bar:
        result = carry_out(recipe, out, on_progress=lambda at: bar(at.step, at.steps))
    scores = dict(result.validation.dice) if result.validation else {}
    facts: dict[str, Any] = {
        "run": str(out),
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "waiting": round(result.waiting, 4),
        "capped": result.capped,
        "validation_dice": scores,
    }
    shown = ", ".join(f"{name} {dice:.3f}" for name, dice in scores.items()) or "no people held out"
    took = f"{result.steps} steps in {result.seconds:.0f} s, {result.waiting:.0%} of it waiting for images"
    emit(facts, f"{out}: {took}; Dice on held-out people: {shown}", as_json)


def predict(
    run: RunArgument,
    images: Annotated[list[Path], typer.Argument(help="X-rays: PNG, JPEG, TIFF, NPY or DICOM.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    flip: FlipFlag = False,
    gamma: Annotated[bool, typer.Option("--gamma", help="Average over darker and brighter versions as well.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Outline structures and find landmarks on X-rays.

    Writes for each image STEM__STRUCTURE.png (0/255), STEM.json and an overlay STEM.png.

    Example: synthray predict runs/lungs chest1.png chest2.dcm --out predictions/
    """
    from synthray.models import TestTimeAveraging, predict_files

    tta = TestTimeAveraging(flip=flip) if gamma else None
    with progress_bar("predict", "images") as bar:
        written = predict_files(run, images, out, flip=flip, tta=tta, on_progress=bar)
    emit({"out": str(out), "images": len(images), "files": [str(path) for path in written]},
         f"{out}: {len(images)} images predicted", as_json)  # fmt: skip


def evaluate(
    run: RunArgument,
    data: Annotated[
        Path,
        typer.Argument(
            help="Data set, folder with images/ and masks_STRUCTURE/, HDF5 file, COCO .json, or QaTa-COV19."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    split: Annotated[str | None, typer.Option(help="Only this split of a data set.")] = "val",
    where: Annotated[list[str] | None, typer.Option(help="KEY=VALUE of index.json that images must have.")] = None,
    skip: Annotated[Path | None, typer.Option(help="Text file of stems to leave out, one per line.")] = None,
    flip: FlipFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Score a model on images with truth; writes scores.json, per_image.csv and report.html.

    Example: synthray evaluate runs/lungs xrays/ --out scores/ --where lung_ok=true
    """
    from synthray.evaluate import evaluate as score

    chosen = dict(_condition(text) for text in where or [])
    with progress_bar("evaluate", "images") as bar:
        result = score(
            run,
            data,
            out,
            split=split,
            where=chosen,
            skip=skip or (),
            flip=flip,
            on_progress=lambda done, total: bar(done, total or done),
        )
    means = {name: found["dice"]["mean"] for name, found in result.scores["structures"].items()}
    shown = ", ".join(f"{name} {dice:.3f}" for name, dice in means.items())
    emit(dict(result.scores), f"{out}/report.html: {len(result.images)} images; mean Dice {shown or '-'}", as_json)


def _condition(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise typer.BadParameter(f"--where takes KEY=VALUE, got '{text}'")
    known: dict[str, Any] = {"true": True, "false": False, "null": None}
    if value.lower() in known:
        return key, known[value.lower()]
    return key, int(value) if value.lstrip("-").isdigit() else value


def export(
    run: RunArgument,
    out: Annotated[Path, typer.Argument(help="File to write.")],
    format: Annotated[str, typer.Option(help="onnx (needs the extra 'onnx') or torchscript.")] = "onnx",
    as_json: JsonFlag = False,
) -> None:
    """Write a trained model as one file for other programs, after a numerical comparison.

    Example: synthray export runs/lungs lungs.onnx
    """
    from synthray.models import export as write

    path = write(run, out, format=format)  # type: ignore[arg-type]
    size = path.stat().st_size
    emit({"file": str(path), "format": format, "bytes": size}, f"{path}: {size / 2**20:.1f} MiB, {format}", as_json)


def augment(
    data: Annotated[Path, typer.Argument(help="Data set, or folder of images.")],
    sheet: Annotated[Path, typer.Option(help="PNG to write.")],
    preset: Annotated[str, typer.Option(help="none, regular or strong.")] = "strong",
    switch: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of 'augment' in a recipe.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="Take 'augment' from this training recipe instead.")] = None,
    images: Annotated[int, typer.Option(help="Rows.")] = 6,
    draws: Annotated[int, typer.Option(help="Augmented columns.")] = 7,
    size: Annotated[int, typer.Option(help="Side of a tile in pixels.")] = 192,
    seed: Annotated[int, typer.Option(help="Of the random choices.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Look at domain randomisation: a contact sheet with labels, each image as it is and under random draws.

    Example: synthray augment sets/hip --sheet sheet.png --preset regular --switch clahe=0.5
    """
    from synthray.train import augment_sheet, load_augment

    settings: dict[str, Any] = {"preset": preset, **dict(_setting(text) for text in switch or [])}
    config = load_augment(recipe if recipe is not None else settings)
    path = augment_sheet(data, sheet, config, images=images, draws=draws, size=size, seed=seed)
    emit({"sheet": str(path), "augment": config.model_dump(mode="json")}, f"{path}: contact sheet", as_json)


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise typer.BadParameter(f"a setting is NAME=VALUE, got '{text}'")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


RealImages = Annotated[list[Path], typer.Argument(help="Unlabelled real X-rays: files, or folders of them.")]


def adapt(
    run: RunArgument,
    images: RealImages,
    out: Annotated[Path, typer.Option(help="Folder of the adapted model; run again to resume.")],
    method: Annotated[str, typer.Option(help="adabn, self-training, mean-teacher or adda.")] = "adabn",
    data: Annotated[
        Path | None, typer.Option(help="Simulated data set or training recipe; all but adabn need it.")
    ] = None,
    setting: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of the method, such as steps=300.")] = None,
    seed: Annotated[int, typer.Option(help="Of all random choices.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Carry a model over to real X-rays without labels of them.

    Example: synthray adapt runs/lungs hospital/ --method self-training --data sets/lungs --out runs/lungs-adapted
    """
    from synthray.models import load_model
    from synthray.train import adapt as carry_over
    from synthray.train import simulated_source

    settings = {**dict(_setting(text) for text in setting or []), "method": method.replace("-", "_")}
    source = None
    if data is not None:
        model = load_model(run)
        source = simulated_source(data, model.structures, model.landmarks)
    with progress_bar("adapt", "steps") as bar:
        result = carry_over(
            run, images, out, settings, source=source, seed=seed, on_progress=lambda at: bar(at.step, at.steps)
        )
    facts = {"run": str(out), "method": method, "steps": result.steps, "seconds": round(result.seconds, 1)}
    emit(facts, f"{out}: adapted by {method} without labels, {result.seconds:.0f} s", as_json)


def translate(
    data: Annotated[Path, typer.Argument(help="Simulated data set, or training recipe.")],
    images: RealImages,
    out: Annotated[Path, typer.Option(help="Folder of the translator; run again to resume.")],
    setting: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, such as size=128 or steps=10000.")] = None,
    seed: Annotated[int, typer.Option(help="Of all random choices.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Learn to give simulated X-rays the look of real ones (CycleGAN); name the result in a training recipe.

    Example: synthray translate sets/lungs hospital/ --out runs/look --setting steps=10000
    """
    from synthray.train import simulated_source, train_translator

    settings = dict(_setting(text) for text in setting or [])
    with progress_bar("translate", "steps") as bar:
        result = train_translator(
            simulated_source(data), images, out, settings, seed=seed, on_progress=lambda at: bar(at.step, at.steps)
        )
    facts = {"translator": str(out), "steps": result.steps, "seconds": round(result.seconds, 1)}
    emit(facts, f"{out}: translator after {result.steps} steps, {result.seconds:.0f} s", as_json)


COMMANDS = (train, predict, evaluate, export, augment, adapt, translate)
