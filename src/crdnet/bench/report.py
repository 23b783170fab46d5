"""A measurement as text, Markdown or JSON."""

import json
from collections.abc import Sequence
from typing import Any

from crdnet.bench.limits import COPY
from crdnet.bench.measurement import Report, Row
from crdnet.bench.timing import Timing, told

HEADINGS = (
    "MP",
    "model",
    "device",
    "precision",
    "network, ms",
    "MP/s",
    "of product",
    "of copy",
    "picture, ms",
    "first, s",
    "peak, MB",
)
LEGEND = """\
network: alone, at full size, median [quartiles]; MP/s: megapixels per second of it; of product: its multiplications
against a matrix product of the same precision; of copy: what its convolutions read and write against a copy of
memory, as if nothing stayed in caches; picture: all of it, looks at smaller sizes included; first: a new process
until its first picture; peak: most memory of that process"""


def table(report: Report) -> list[list[str]]:
    """Return the rows under `HEADINGS`."""
    return [
        [
            f"{row.megapixels:.3g}",
            row.model,
            row.device,
            row.precision,
            timed(row.network),
            f"{row.megapixels * 1e3 / row.network.median:.2f}",
            _percent(report.share_of_product(row)),
            _percent(report.share_of_copy(row)),
            timed(row.picture),
            f"{row.first_seconds:.2f}",
            "not told" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}",
        ]
        for row in report.rows
    ]


def timed(timing: Timing) -> str:
    """Return a median and its quartiles in milliseconds, with as many decimals as they deserve."""
    decimals = 1 if timing.median < 100 else 0
    low, high = (f"{each:.{decimals}f}" for each in (timing.lower_quartile, timing.upper_quartile))
    return f"{timing.median:.{decimals}f} [{low}, {high}]"


def facts(report: Report) -> list[str]:
    """Return sentences about the machine, what it can do at most, and the engines."""
    place = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in place["versions"].items())
    engines = {row.device: row.engine.removesuffix(f", {row.precision}") for row in report.rows}
    return [
        f"{told(place)}; {report.threads} threads",
        versions,
        *(f"{device}: {engine}" for device, engine in engines.items()),
        f"At most: {', '.join(_limits(report))}",
        f"Medians of {report.rounds} rounds after the warm-up",
    ]


def as_text(report: Report) -> str:
    """Return everything for a terminal."""
    lines = [list(HEADINGS), *table(report)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    aligned = [
        "  ".join(
            cell.ljust(width) if column in (1, 2, 3) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([*facts(report), "", *aligned, "", LEGEND, ""])


def as_markdown(report: Report) -> str:
    """Return everything for a document."""
    listed = "\n".join(f"- {fact}" for fact in facts(report))
    return f"{listed}\n\n{markdown_table(HEADINGS, table(report))}\n\n{LEGEND[0].upper()}{LEGEND[1:]}.\n"


def markdown_table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    rows = [headings, ["---"] * len(headings), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def as_json(report: Report) -> str:
    """Return everything as one JSON object; what was not measured is null."""
    document = {
        "machine": report.machine,
        "threads": report.threads,
        "rounds": report.rounds,
        "limits": [
            {"kind": kind, "measured_by": whose, "milliseconds": timing.as_dict()}
            for (kind, whose), timing in report.limits.items()
        ],
        "rows": [_json_row(report, row) for row in report.rows],
    }
    return json.dumps(document, indent=2) + "\n"


def _json_row(report: Report, row: Row) -> dict[str, Any]:
    return {
        "model": row.model,
        "device": row.device,
        "engine": row.engine,
        "precision": row.precision,
        "height": row.height,
        "width": row.width,
        "network_milliseconds": row.network.as_dict(),
        "megapixels_per_second": row.megapixels * 1e3 / row.network.median,
        "macs_per_pixel": row.cost.macs,
        "samples_per_pixel": row.cost.samples,
        "share_of_product": report.share_of_product(row),
        "share_of_copy": report.share_of_copy(row),
        "picture_milliseconds": row.picture.as_dict(),
        "first_picture_seconds": row.first_seconds,
        "peak_memory_bytes": row.peak_bytes,
    }


def _limits(report: Report) -> list[str]:
    limits = []
    for precision in sorted({row.precision for row in report.rows} | {"float32"}, reverse=True):
        limit = report.limit(precision)
        rate = "not measured" if limit is None else f"{2 * limit[0] / 1e9:.0f} GFLOP/s ({limit[1]})"
        limits.append(f"matrix product in {precision} {rate}")
    copy = report.limit(COPY)
    if copy is not None:
        limits.append(f"copy of memory {copy[0] / 1e9:.1f} GB/s ({copy[1]})")
    return limits


def _percent(share: float | None) -> str:
    return "not measured" if share is None else f"{100 * share:.0f} %"
