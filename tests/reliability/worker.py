"""Works through hostile cases in a process with little memory: numbers in, one JSON line for each out."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hostile import FAMILIES, Case

from synthray.errors import InputError, SynthrayWarning

MEMORY_BYTES = 2 << 30


def _limit_memory() -> None:
    """2 GiB more than what the libraries have mapped already."""
    import numba  # noqa: F401
    import pydantic  # noqa: F401
    import SimpleITK  # noqa: F401
    import torch

    # Its threads reserve a stack and a heap each.
    torch.set_num_threads(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _outcome(case: Case, folder: Path, rng: np.random.Generator) -> tuple[str, str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            same = case.action(folder, rng)
        except InputError as error:
            message = str(error)
            return ("refused" if "\n" not in message and len(message) > 10 else "lines"), message
        except BaseException as error:
            return "crash", f"{type(error).__name__}: {error}"[:300]
    ours = [str(one.message) for one in caught if issubclass(one.category, SynthrayWarning)]
    others = [
        f"{one.category.__name__}: {one.message}" for one in caught if not issubclass(one.category, SynthrayWarning)
    ]
    if ours:
        return "warned", "; ".join(ours)
    return ("same" if same else "changed"), "; ".join(others)


def _serve(answer: Callable[[str], None]) -> None:
    _limit_memory()
    cases: dict[str, list[Case]] = {}
    for line in sys.stdin:
        family, seeds, number = json.loads(line)
        key = f"{family} {seeds}"
        if key not in cases:
            cases[key] = list(FAMILIES[family](range(seeds)))
        folder = Path(tempfile.mkdtemp(prefix="hostile-"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            outcome, message = _outcome(cases[key][number], folder, np.random.default_rng([number, 8]))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        answer(json.dumps({"outcome": outcome, "message": message, "megabytes": grown // 1024}))


if __name__ == "__main__":
    # Whatever a library prints goes to standard error; the pipe carries answers only.
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _serve(lambda line: (pipe.write(line + "\n"), pipe.flush()))  # type: ignore[func-returns-value]
