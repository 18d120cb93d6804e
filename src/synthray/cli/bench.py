"""The command that measures speed: bench."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from synthray.cli.console import JsonFlag, out_console, progress_bar
from synthray.errors import InputError

if TYPE_CHECKING:
    from synthray.bench import Case, Report


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Three cases, about ten seconds.")] = False,
    full: Annotated[bool, typer.Option("--full", help="The whole grid; takes long.")] = False,
    warm: Annotated[bool, typer.Option("--warm", help="Only compile and cache the kernels, and say so.")] = False,
    case: Annotated[
        list[str] | None,
        typer.Option(help="Measure this instead: VOXELS,PIXELS[,STRUCTURES[,BATCH]]; may be repeated."),
    ] = None,
    backend: Annotated[str, typer.Option(help="auto, reference, cpu or gpu.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores by default.", min=1)] = None,
    repeats: Annotated[int, typer.Option(help="Timed calls of each case; medians are shown.", min=1)] = 10,
    out: Annotated[Path | None, typer.Option(help="Write the figures here as JSON.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the table here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure the projector on this machine: speed, share of the memory bandwidth, memory, error.

    Example: synthray bench --quick --out bench.json
    """
    import synthray.bench as room

    if warm:
        first, second = room.warm(backend)
        out_console().print(f"kernels are compiled and cached: first round {first:.1f} s, second {second:.2f} s")
        return
    with progress_bar("bench", "steps") as progress:
        report = room.run(
            _cases(quick, full, case),
            backend=backend,
            threads=threads,
            repeats=repeats,
            save=out,
            progress=progress,
        )
    if markdown_file is not None:
        from synthray.files import write_atomically

        write_atomically(markdown_file, room.markdown(report).encode())
    if as_json:
        sys.stdout.write(report.to_json())
        return
    _show(report)


def _cases(quick: bool, full: bool, case: list[str] | None) -> str | list[Case]:
    from synthray.bench import parse_case

    if quick + full + bool(case) > 1:
        raise InputError("bench: choose one of --quick, --full and --case")
    if case:
        return [parse_case(text) for text in case]
    return "quick" if quick else "full" if full else "default"


def _show(report: Report) -> None:
    from synthray.bench import HEADERS, LEGEND, summary, table

    console = out_console()
    grid = Table(box=None, padding=(0, 1, 0, 0))
    for header in HEADERS:
        grid.add_column("\n/".join(header.split("/")), justify="right", vertical="bottom", no_wrap=True)
    for cells in table(report):
        grid.add_row(*cells)
    console.print(grid)
    console.print(LEGEND, markup=False)
    for line in summary(report):
        console.print(line, markup=False)


COMMANDS = (bench,)
