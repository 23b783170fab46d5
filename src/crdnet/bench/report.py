"""Reports of measurements as text, Markdown or JSON."""

import json
from collections.abc import Sequence
from typing import Any

from crdnet.bench.limits import COPY
from crdnet.bench.measurement import Report, Row
from crdnet.bench.timing import Timing, format_machine

HEADINGS = (
    "MP",
    "model",
    "device",
    "precision",
    "network, ms",
    "MP/s",
    "of product",
    "of copy",
    "image, ms",
    "first, s",
    "peak, MB",
)
LEGEND = """\
network: time of the network alone at full size, median [quartiles]; MP/s: its megapixels per
second; of product: its rate of multiplications / that of a matrix product in the same precision;
of copy: memory traffic of its convolutions per second, assuming no cache / that of a memory copy;
image: time of a whole image, sensing at smaller scales included;
first: from the start of a process to its first image; peak: peak memory of that process"""


def build_table(report: Report) -> list[list[str]]:
    """Return the cells of all rows, in the order of `HEADINGS`."""
    return [
        [
            f"{row.megapixels:.3g}",
            row.model,
            row.device,
            row.precision,
            format_timing(row.network),
            f"{row.megapixels * 1e3 / row.network.median:.2f}",
            _format_percent(report.compute_product_share(row)),
            _format_percent(report.compute_copy_share(row)),
            format_timing(row.image),
            f"{row.first_seconds:.2f}",
            "unknown" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}",
        ]
        for row in report.rows
    ]


def format_timing(timing: Timing) -> str:
    """Format a median and its quartiles, in milliseconds."""
    # From 100 ms on, tenths would be noise.
    decimals = 1 if timing.median < 100 else 0
    low, high = (f"{each:.{decimals}f}" for each in (timing.lower_quartile, timing.upper_quartile))
    return f"{timing.median:.{decimals}f} [{low}, {high}]"


def list_facts(report: Report) -> list[str]:
    """List facts about the machine, its limits and the engines, one line each."""
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    # The table has a column for the precision.
    engines = {row.device: row.engine.removesuffix(f", {row.precision}") for row in report.rows}
    return [
        f"{format_machine(machine)}; {report.threads} threads",
        versions,
        *(f"{device}: {engine}" for device, engine in engines.items()),
        f"Peak rates: {', '.join(_format_limits(report))}",
        f"Medians of {report.rounds} rounds after the warm-up",
    ]


def as_text(report: Report) -> str:
    """Format a report for a terminal."""
    lines = [list(HEADINGS), *build_table(report)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    aligned = [
        "  ".join(
            # Columns 1 to 3 hold words, the others numbers.
            cell.ljust(width) if column in (1, 2, 3) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([*list_facts(report), "", *aligned, "", LEGEND, ""])


def as_markdown(report: Report) -> str:
    """Format a report for a document."""
    listed = "\n".join(f"- {fact}" for fact in list_facts(report))
    table = format_markdown_table(HEADINGS, build_table(report))
    return f"{listed}\n\n{table}\n\n{LEGEND[0].upper()}{LEGEND[1:]}.\n"


def format_markdown_table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Format cells as a table in Markdown."""
    rows = [headings, ["---"] * len(headings), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def as_json(report: Report) -> str:
    """Format a report as one JSON object; values that were not measured are null."""
    document = {
        "machine": report.machine,
        "threads": report.threads,
        "rounds": report.rounds,
        "limits": [
            {"kind": kind, "measured_by": library, "milliseconds": timing.to_dict()}
            for (kind, library), timing in report.limits.items()
        ],
        "rows": [_convert_row(report, row) for row in report.rows],
    }
    return json.dumps(document, indent=2) + "\n"


def _convert_row(report: Report, row: Row) -> dict[str, Any]:
    # Scripts read these keys; a new name for a field of `Row` must not change them.
    return {
        "model": row.model,
        "device": row.device,
        "engine": row.engine,
        "precision": row.precision,
        "height": row.height,
        "width": row.width,
        "network_milliseconds": row.network.to_dict(),
        "megapixels_per_second": row.megapixels * 1e3 / row.network.median,
        "macs_per_pixel": row.cost.macs,
        "samples_per_pixel": row.cost.samples,
        "share_of_product": report.compute_product_share(row),
        "share_of_copy": report.compute_copy_share(row),
        "image_milliseconds": row.image.to_dict(),
        "first_image_seconds": row.first_seconds,
        "peak_memory_bytes": row.peak_bytes,
    }


def _format_limits(report: Report) -> list[str]:
    limits = []
    # float32 is always listed, and first, so that reports of different machines can be compared.
    for precision in sorted({row.precision for row in report.rows} | {"float32"}, reverse=True):
        limit = report.find_limit(precision)
        # A multiply-accumulate operation is two floating-point operations.
        rate = "not measured" if limit is None else f"{2 * limit[0] / 1e9:.0f} GFLOP/s ({limit[1]})"
        limits.append(f"matrix product in {precision} {rate}")
    copy = report.find_limit(COPY)
    if copy is not None:
        limits.append(f"copy of memory {copy[0] / 1e9:.1f} GB/s ({copy[1]})")
    return limits


def _format_percent(share: float | None) -> str:
    return "not measured" if share is None else f"{100 * share:.0f} %"
