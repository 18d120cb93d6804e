"""The command that compares trainings: experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from synthray.cli.console import JsonFlag, emit, out_console, progress_bar


def experiment(
    name: Annotated[str, typer.Argument(help="lungs, covid, ablation, scaling, hip, tool, precisely-matched.")],
    out: Annotated[Path, typer.Option(help="Folder of experiments; run again to go on.")] = Path("experiments"),
    small: Annotated[bool, typer.Option("--small", help="Minutes instead of hours; the figures mean less.")] = False,
    data: Annotated[Path | None, typer.Option(help="Folder with ct/ and xray/; SYNTHRAY_DATA by default.")] = None,
    real: Annotated[Path | None, typer.Option(help="Real X-rays with truth: folder, .h5 or .json.")] = None,
    arm: Annotated[list[str] | None, typer.Option(help="Only this arm; may be repeated.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Repetitions of each arm.", min=1)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Train the arms of an experiment, score them on real X-rays, and write a report that compares them.

    Example: synthray experiment lungs --small --out experiments
    """
    from synthray.experiment import run_experiment

    found = run_experiment(
        name,
        out,
        size="small" if small else "full",
        data=data,
        real=real,
        arms=arm,
        seeds=seeds,
        progress=progress_bar,
    )
    if as_json:
        emit(found.scores, "", True)
        return
    _show(found.tables)
    out_console().print(f"report: {found.report}", markup=False)


def _show(tables: dict[str, list[Any]]) -> None:
    for title, rows in tables.items():
        if not rows:
            continue
        table = Table(title=title.replace("_", " "), title_justify="left")
        for column in ("arm", "images", "Dice", "95 % interval", "less the reference", "minutes"):
            table.add_column(column)
        for row in rows:
            low, high = row.ci95
            apart = "" if row.difference is None else f"{row.difference:+.3f}"
            table.add_row(
                row.arm, str(row.n), f"{row.dice:.3f}", f"{low:.3f} to {high:.3f}", apart, f"{row.minutes:.1f}"
            )
        out_console().print(table)


COMMANDS = (experiment,)
