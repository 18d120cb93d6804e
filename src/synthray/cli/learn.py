"""Commands about networks: train, predict, evaluate."""

from __future__ import annotations

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
        "capped": result.capped,
        "validation_dice": scores,
    }
    shown = ", ".join(f"{name} {dice:.3f}" for name, dice in scores.items()) or "no people held out"
    emit(facts, f"{out}: {result.steps} steps in {result.seconds:.0f} s; Dice on held-out people: {shown}", as_json)


def predict(
    run: RunArgument,
    images: Annotated[list[Path], typer.Argument(help="X-rays: PNG, JPEG, TIFF, NPY or DICOM.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    flip: FlipFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Outline structures and find landmarks on X-rays.

    Writes for each image STEM__STRUCTURE.png (0/255), STEM.json and an overlay STEM.png.

    Example: synthray predict runs/lungs chest1.png chest2.dcm --out predictions/
    """
    from synthray.models import predict_files

    with progress_bar("predict", "images") as bar:
        written = predict_files(run, images, out, flip=flip, on_progress=bar)
    emit({"out": str(out), "images": len(images), "files": [str(path) for path in written]},
         f"{out}: {len(images)} images predicted", as_json)  # fmt: skip


def evaluate(
    run: RunArgument,
    data: Annotated[Path, typer.Argument(help="Data set, HDF5 file, or folder with images/ and masks_STRUCTURE/.")],
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


COMMANDS = (train, predict, evaluate)
