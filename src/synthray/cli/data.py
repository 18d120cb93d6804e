"""Commands about data sets: generate, verify, and `data` for public samples."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthray.cli.console import JsonFlag, emit, error_console, progress_bar
from synthray.errors import InputError

if TYPE_CHECKING:
    from synthray.dataset import Recipe


def generate(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe.")],
    out: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    images: Annotated[int | None, typer.Option(help="Number of images, instead of the recipe's.", min=1)] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; all cores by default.", min=1)] = None,
    ray: Annotated[str | None, typer.Option(help="Make it on a Ray cluster: its address, auto, or local.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only print who, which view, which physics: JSON lines.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a data set; run it again to resume or to extend it.

    Example: synthray generate recipe.yaml out/ --workers 4
    """
    import synthray as sr

    if plan:
        _print_plan(sr.load_recipe(recipe), images)
        return
    with progress_bar("generate", "images") as bar:
        result = sr.generate(recipe, out, workers=workers, images=images, ray=ray, on_progress=bar)
    facts: dict[str, Any] = {
        "folder": str(result.folder),
        "images": result.images,
        "made": result.made,
        "seconds": round(result.seconds, 2),
        "images_per_second": round(result.made / result.seconds, 2) if result.made else None,
    }
    rate = f", {facts['images_per_second']} images/s" if result.made else ""
    spent = ", ".join(f"{stage} {share:.0%}" for stage, share in result.shares.items())
    facts["shares"] = {stage: round(share, 4) for stage, share in result.shares.items()}
    made = f"{result.made} made now in {result.seconds:.0f} s{rate}"
    emit(facts, f"{out}: {result.images} images ({made})" + (f"; workers' time: {spent}" if spent else ""), as_json)


def _print_plan(recipe: Recipe, images: int | None) -> None:
    """One JSON object a line for each image."""
    from synthray.dataset import plan_rows

    planned = recipe if images is None else recipe.model_copy(update={"images": images})
    for row in plan_rows(planned):
        sys.stdout.write(json.dumps(row) + "\n")


def verify(
    out: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    deep: Annotated[bool, typer.Option("--deep", help="Also unpack every image and check all metadata.")] = False,
    mend: Annotated[
        bool, typer.Option("--mend", help="Make missing and damaged shards again, and only those.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Processes that mend; all cores by default.", min=1)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check every file of a data set against its manifest.

    Example: synthray verify out/ --deep --mend
    """
    from synthray.dataset import mend as repair
    from synthray.dataset import verify as check

    with progress_bar("verify", "shards") as bar:
        if mend:
            report = repair(out, deep=deep, workers=workers, on_progress=bar)
        else:
            report = check(out, deep=deep, on_progress=bar)
    facts = {
        "images": report.images,
        "problems": [vars(problem) for problem in report.problems],
        "mended": list(report.mended),
    }
    lines = [f"{problem.file}: {problem.what}; {problem.mend}" for problem in report.problems]
    lines += [f"{name}: made again" for name in report.mended]
    emit(facts, "\n".join([*lines, f"{out}: {report.images} images are whole"]), as_json)
    if report.problems:
        raise InputError(f"{out}: {len(report.problems)} files are not as they should be; see the lines above")


def stats(
    out: Annotated[Path, typer.Argument(help="Folder of a finished data set.")],
    page: Annotated[Path | None, typer.Option(help="HTML file to write; OUT/stats.html by default.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Count what is in a data set: people, views, structures, landmarks, exposure; one HTML page with a contact sheet.

    Example: synthray stats out/
    """
    from synthray.dataset.stats import count
    from synthray.dataset.stats_page import write_page

    with progress_bar("stats", "shards") as bar:
        found = count(out, on_progress=bar)
    written = write_page(out, found, page)
    text = f"{written}: {found.images} images of {len(found.people)} people, {len(found.labels)} structures"
    emit({"page": str(written), **found.to_dict()}, text, as_json)


def convert(
    source: Annotated[
        Path, typer.Argument(help="A finished data set; or COCO, HDF5, QaTa-COV19 or plain folders of X-rays, to png.")
    ],
    out: Annotated[Path, typer.Argument(help="New folder; for hdf5 a new file.")],
    to: Annotated[str, typer.Option(help="coco, nnunet, png, hdf5 or dicom.")],
    display: Annotated[str, typer.Option(help="Display preset of the pictures.")] = "chest-pa",
    split: Annotated[str | None, typer.Option(help="Only this split: train or val.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a data set in another format, or other people's X-rays with labels as plain pictures.

    Example: synthray convert set/ hips-coco/ --to coco
    """
    from synthray.dataset.convert import convert as carry_out

    foreign = source.exists() and not (source / "recipe.json").is_file()
    if foreign and (to != "png" or split is not None):
        raise InputError(f"{source}: not a data set of synthray; others are converted --to png only, without --split")
    with progress_bar("convert", "images") as bar:
        if foreign:
            from synthray.evaluate import unpack_source

            done = unpack_source(source, out, on_progress=bar)
        else:
            done = carry_out(source, out, to, display=display, split=split, on_progress=bar)
    emit(
        {"out": str(done.out), "format": to, "images": done.images},
        f"{done.out}: {done.images} images as {to}",
        as_json,
    )


data_app = typer.Typer(help="Public sample data.", no_args_is_help=True)


@data_app.command("list")
def list_data(as_json: JsonFlag = False) -> None:
    """List the public sample data and what is here already.

    Example: synthray data list
    """
    from synthray.dataset.public import SETS, local_path

    facts = {name: {"about": entry.about, "here": str(local_path(name) or "")} for name, entry in SETS.items()}
    emit(facts, "\n".join(f"{n}: {f['about']} ({f['here'] or 'not here'})" for n, f in facts.items()), as_json)


@data_app.command("path")
def path_of_data(name: Annotated[str, typer.Argument(help="Name of the data.")], as_json: JsonFlag = False) -> None:
    """Print where data lies on this machine.

    Example: synthray data path totalseg_example
    """
    from synthray.dataset.public import require_local

    path = require_local(name)
    emit({"path": str(path)}, str(path), as_json)


@data_app.command("get")
def get_data(
    name: Annotated[str, typer.Argument(help="Name of the data.")] = "totalseg_example",
    as_json: JsonFlag = False,
) -> None:
    """Download public sample data, checked by SHA-256; needs the internet.

    Example: synthray data get totalseg_example
    """
    from synthray.dataset.public import fetch

    error_console().print(f"getting {name} …", markup=False)
    path = fetch(name)
    emit({"path": str(path)}, str(path), as_json)


COMMANDS = (generate, verify, stats, convert)
