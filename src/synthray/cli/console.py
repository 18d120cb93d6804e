"""What all commands share: progress, output for people and machines, errors as one line."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from synthray.errors import SynthrayWarning

SECONDS_PER_LINE = 10.0
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]


def out_console() -> Console:
    """Where results go."""
    return Console(highlight=False, soft_wrap=True)


def error_console() -> Console:
    """Where progress, warnings and errors go."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def emit(data: dict[str, Any], text: str, as_json: bool) -> None:
    """A command's result: JSON for machines, else text for people."""
    if as_json:
        sys.stdout.write(json.dumps(data) + "\n")
    else:
        out_console().print(text, markup=False)


@contextlib.contextmanager
def progress_bar(what: str, unit: str = "") -> Iterator[Callable[[float, float], None]]:
    """Progress with time left on standard error; yields a function that takes (done, total).

    A bar on a terminal, and a line every few seconds where there is none (logs, CI).
    """
    if not error_console().is_terminal:
        yield _progress_lines(what, unit)
        return
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=error_console(), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _progress_lines(what: str, unit: str) -> Callable[[float, float], None]:
    began = time.monotonic()
    told, finished = began, False

    def tell(done: float, total: float) -> None:
        nonlocal told, finished
        now = time.monotonic()
        if finished or done == 0 or (now - told < SECONDS_PER_LINE and done < total):
            return
        told, finished = now, done >= total
        left = (now - began) * (total - done) / done
        line = f"{what}: {done:g}/{total:g} {unit}".rstrip() + (f", {left:.0f} s left" if done < total else "")
        error_console().print(line, markup=False)

    return tell


@contextlib.contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Show each of our warnings once, as a line on standard error."""
    shown = warnings.showwarning
    seen = set[str]()

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, SynthrayWarning):
            shown(message, category, *where, **more)
        elif str(message) not in seen:
            seen.add(str(message))
            error_console().print(f"warning: {message}", style="yellow", markup=False)

    with warnings.catch_warnings():
        warnings.simplefilter("always", SynthrayWarning)
        warnings.showwarning = show
        yield
