"""A report as a table and a few sentences, for the terminal and for Markdown pages."""

from __future__ import annotations

from synthray.bench.measure import Row
from synthray.bench.report import Report

HEADERS = (
    "volume → image",
    "masks",
    "batch",
    "threads",
    "ms/image",
    "images/s",
    "GB/s",
    "share",
    "samples/ns",
    "error",
)
# What the columns that don't explain themselves mean.
LEGEND = (
    "GB/s: the packed volume, once per image, over the median time; share: of the machine's read bandwidth; "
    "samples/ns: one per layer of voxels that a ray crosses inside the body; error: mean, of the maximum; "
    "sim.: `simulate` to a realistic image"
)


def table(report: Report) -> list[tuple[str, ...]]:
    """One tuple of texts for each case, under `HEADERS`."""
    return [_cells(row) for row in report.rows]


def summary(report: Report) -> list[str]:
    """What the table means, one sentence each: machine, bandwidth, scaling, masks, memory, first call."""
    machine = report.machine
    lines = [
        f"{report.date[:10]}: {machine['cpu']} ({machine['vector_unit']}), {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, backend {report.backend}, synthray {machine['synthray']}, "
        f"load average {machine['load_average']} at the start",
        "memory read bandwidth: "
        + ", ".join(f"{gb:.1f} GB/s with {_threads(n)}" for n, gb in report.bandwidth_gb_s.items()),
        *_comparisons(report),
    ]
    for side, memory in report.memory.items():
        lines.append(
            f"memory, {side}³ to 512²: {memory['growth_mib']:.0f} MiB above the {memory['before_mib']:.0f} MiB of the "
            f"interpreter and its libraries, {memory['ct_mib']:.0f} MiB of it the CT and its labels"
        )
    if report.first_call:
        first = report.first_call
        lines.append(
            f"first projection in a process: {first['cold_s']:.1f} s with nothing compiled, {first['cached_s']:.2f} s "
            f"from the cache, {1e3 * first['next_s']:.1f} ms the next; import synthray {first['import_s']:.2f} s"
        )
    return lines


def markdown(report: Report) -> str:
    """Summary and table for a Markdown page."""
    lines = [f"- {line}" for line in summary(report)]
    lines += ["", LEGEND + ".", "", "| " + " | ".join(HEADERS) + " |", "|" + "---|" * len(HEADERS)]
    lines += ["| " + " | ".join(cells) + " |" for cells in table(report)]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    case = row.case
    what = "" if case.work == "project" else ", sim."
    share = "-" if row.bandwidth_share is None else f"{100 * row.bandwidth_share:.1f} %"
    return (
        f"{case.voxels}³ → {case.pixels}²{what}",
        str(case.structures) if case.masks else "none",
        str(case.batch),
        str(row.threads),
        f"{row.ms_per_image:.1f}",
        f"{row.images_per_s:.1f}",
        f"{row.gb_per_s:.2f}",
        share,
        f"{row.gsamples_per_s:.2f}",
        f"{row.error_percent:.3f} %",
    )


def _comparisons(report: Report) -> list[str]:
    """Ratios between rows that differ in one thing."""
    lines = []
    everything = report.find()
    cores = report.machine["cores"]
    for side in (256, 512):
        one, whole = report.find(voxels=side, threads=1), report.find(voxels=side)
        if one and whole and cores > 1:
            times = one.ms_per_image / whole.ms_per_image
            lines.append(f"{_threads(cores)} are {times:.2f} times as fast as one ({side}³)")
    plain, exposed = report.find(masks=False), report.find(work="simulate")
    if everything and plain:
        lines.append(
            f"masks of 20 structures take {everything.ms_per_image / plain.ms_per_image:.2f} times the plain march"
        )
    if everything and exposed:
        chain_ms = exposed.ms_per_image - everything.ms_per_image
        lines.append(f"physics of a realistic 512² image, depth and masks included: {chain_ms:.1f} ms beyond the march")
    return lines


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
