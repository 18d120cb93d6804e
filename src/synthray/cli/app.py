"""The command line: parse, call, show. Exit codes: 0 done, 1 failed, 2 the input is wrong, 130 stopped by the user."""

from __future__ import annotations

import io
import os
import sys
import traceback
from typing import Annotated

import typer

import synthray
from synthray.cli import bench, data, experiment, learn, people, register, system
from synthray.cli.console import error_console, out_console, warnings_as_lines
from synthray.errors import InputError, SynthrayError

DONE, FAILED, WRONG_INPUT, STOPPED = 0, 1, 2, 130

app = typer.Typer(
    name="synthray",
    help="People's CT in, X-ray models that work on real X-rays out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for command in (
    *system.COMMANDS,
    *people.COMMANDS,
    *register.COMMANDS,
    *data.COMMANDS,
    *learn.COMMANDS,
    *experiment.COMMANDS,
    *bench.COMMANDS,
):
    app.command()(command)
app.add_typer(data.data_app, name="data")

# Typer carries its own copy of click in some versions; its public subclass leads to the right base.
_UsageError: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "UsageError")


def _show_version(wanted: bool) -> None:
    if wanted:
        out_console().print(f"synthray {synthray.__version__}", markup=False)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False,
) -> None:
    """People's CT in, X-ray models that work on real X-rays out."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    # Threads that spin while they wait slow down whatever else runs on the cores; set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    given = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without Unicode gets ? for ³, not an error
            stream.reconfigure(errors="replace")
    sys.exit(run(given))


def run(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    debug = "--debug" in arguments
    # --debug is taken anywhere on the line.
    ordered = [*(["--debug"] if debug else []), *(a for a in arguments if a != "--debug")]
    try:
        with warnings_as_lines():
            code = typer.main.get_command(app).main(ordered, prog_name="synthray", standalone_mode=False)
        # Some versions of Typer turn Ctrl-C into this exit code themselves.
        return _stopped() if code == STOPPED else code if isinstance(code, int) else DONE
    except (KeyboardInterrupt, typer.Abort):
        return _stopped()
    except typer.Exit as leave:
        return _stopped() if leave.exit_code == STOPPED else leave.exit_code
    except InputError as error:
        return _tell(f"error: {error}", WRONG_INPUT, debug)
    except SynthrayError as error:
        return _tell(f"error: {error}", FAILED, debug)
    except _UsageError as error:
        return _tell(
            f"error: {getattr(error, 'format_message', error.__str__)()} (see synthray --help)", WRONG_INPUT, debug
        )
    except BrokenPipeError:
        return FAILED
    except Exception as error:
        return _tell(
            f"error: {type(error).__name__}: {error} (a fault in synthray; --debug shows where)", FAILED, debug
        )


def _stopped() -> int:
    return _tell("stopped; what was finished is kept, run the same command again to go on", STOPPED, False)


def _tell(line: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    error_console().print(" ".join(line.split()), style="red" if code != STOPPED else "yellow", markup=False)
    return code
