"""A whole benchmark: machine, bandwidth, every case, first call and memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synthray.bench.bandwidth import measure_read_bandwidth
from synthray.bench.cases import GRIDS, Case
from synthray.bench.fresh import first_call, peak_memory
from synthray.bench.machine import available_cores, describe_machine
from synthray.bench.measure import Row, measure
from synthray.bench.phantom import make_phantom
from synthray.errors import InputError
from synthray.files import write_atomically
from synthray.projector import BACKENDS

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Report:
    """The figures of one run.

    Attributes:
        date: UTC, ISO 8601.
        machine: see `describe_machine`.
        backend: the projector's.
        bandwidth_gb_s: threads -> read bandwidth in GB/s.
        rows: one for each case, those of one volume together.
        first_call: see `fresh.first_call`; empty when not measured.
        memory: volume side -> see `fresh.peak_memory`; empty when not measured.
    """

    date: str
    machine: dict[str, Any]
    backend: str
    bandwidth_gb_s: dict[int, float]
    rows: list[Row] = field(default_factory=list)
    first_call: dict[str, float] = field(default_factory=dict)
    memory: dict[int, dict[str, float]] = field(default_factory=dict)

    def to_json(self) -> str:
        """The report for machines; keys are the attributes' names."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"

    def find(self, **wanted: Any) -> Row | None:
        """The first row whose case, or whose `threads`, is as wanted and as `Case()` otherwise."""
        threads = wanted.pop("threads", self.machine["cores"])
        case = asdict(Case(**wanted)) | {"threads": None}
        return next((r for r in self.rows if r.threads == threads and asdict(r.case) | {"threads": None} == case), None)


def run(
    cases: str | Sequence[Case] = "default",
    *,
    backend: str = "auto",
    threads: int | None = None,
    repeats: int = 10,
    fresh: bool | None = None,
    save: Path | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> Report:
    """Measure; figures mean something only while the machine does nothing else.

    Args:
        cases: `quick` (about ten seconds), `default` (a minute or two), `full` (the whole grid), or a list of cases.
        backend: see `project`.
        threads: CPU threads of every case that doesn't name its own; all cores by default.
        repeats: timed calls of each case; medians are reported.
        fresh: also measure first call and peak memory, each in a new process, which compiles the kernels anew; by
            default for every grid but `quick`.
        save: a JSON file, rewritten after every volume.
        progress: called with (done, total) steps.

    Raises:
        InputError: unknown grid or backend, no case, or a count below 1.
    """
    chosen = _checked(cases, backend, threads, repeats)
    anew = cases != "quick" if fresh is None else fresh
    everything = threads or available_cores()
    counts = sorted({1, everything, *(case.threads or everything for case in chosen)})
    sides = sorted({case.voxels for case in chosen})[-2:] if anew else []
    total, tell = len(chosen) + len(sides) + anew, progress or (lambda done, total: None)
    report = Report(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=describe_machine(),
        backend=backend,
        bandwidth_gb_s={count: measure_read_bandwidth(count) for count in counts},
    )
    done = 0

    def finished(steps: int = 1) -> None:
        nonlocal done
        done += steps
        tell(done, total)
        if save is not None:
            write_atomically(save, report.to_json().encode())

    for group in _groups(chosen):
        patient = make_phantom(group[0].structures).patient(group[0].voxels)
        settings = {"threads": everything, "repeats": repeats}
        reads = report.bandwidth_gb_s
        report.rows.extend(measure(group, patient, backend=backend, bandwidth_gb_s=reads, **settings))
        finished(len(group))
    for side in sides:
        report.memory[side] = peak_memory(side, backend=backend)
        finished()
    if anew:
        report.first_call.update(first_call(backend))
        finished()
    return report


def _groups(cases: Sequence[Case]) -> list[list[Case]]:
    """Cases that share a volume, in the order of their first."""
    groups: dict[tuple[int, int], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.voxels, case.structures), []).append(case)
    return list(groups.values())


def _checked(cases: str | Sequence[Case], backend: str, threads: int | None, repeats: int) -> Sequence[Case]:
    if isinstance(cases, str) and cases not in GRIDS:
        raise InputError(f"bench: unknown grid '{cases}'; choose one of {', '.join(GRIDS)}")
    if backend not in BACKENDS:
        raise InputError(f"bench: unknown backend '{backend}'; choose one of {', '.join(BACKENDS)}")
    for name, value in (("threads", threads), ("repeats", repeats)):
        if value is not None and value < 1:
            raise InputError(f"bench: {name}={value} must be at least 1")
    chosen = GRIDS[cases] if isinstance(cases, str) else cases
    if not chosen:
        raise InputError("bench: no case to measure")
    return chosen
