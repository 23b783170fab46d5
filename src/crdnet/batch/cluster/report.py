"""Report of a cluster job: one HTML file that loads nothing else."""

import base64
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import nlargest
from html import escape
from importlib.resources import files
from io import BytesIO
from string import Template
from typing import Any

from PIL import Image

from crdnet.batch.cluster.faults import hide_credentials
from crdnet.batch.cluster.store import Store, read_file
from crdnet.density import RainDensity

_SLOWEST = 20
_SAMPLES = 6
_THUMBNAIL_PIXELS = 360
_LARGEST_SAMPLE_BYTES = 20_000_000
_BARS = 40


@dataclass
class Summary:
    """Numbers and examples of the report, collected from all results."""

    counts: Counter[str] = field(default_factory=Counter)
    densities: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    slowest: list[tuple[float, str, int]] = field(default_factory=list)
    samples: list[tuple[str, str]] = field(default_factory=list)
    """Examples of rainy images: address of the input, and key of the output."""
    ends: Counter[int] = field(default_factory=Counter)
    """Number of results by the second in which they were finished."""
    pixels: int = 0
    seconds: float = 0.0
    """Seconds of work, summed over all workers."""


def summarise(rows: Iterable[Mapping[str, Any]]) -> Summary:
    """Return the summary of results."""
    summary = Summary()
    for row in rows:
        summary.counts[row["status"]] += 1
        summary.densities[row["density"] or "unknown"] += row["status"] != "failed"
        summary.ends[int(row["began"] + row["seconds"])] += 1
        summary.seconds += row["seconds"]
        summary.pixels += row["pixels"] or 0
        if row["status"] == "failed":
            summary.faults[row["error_class"]] += 1
            summary.examples.setdefault(row["error_class"], f"{row['uri']}: {row['error']}")
        summary.slowest.append((row["seconds"], row["uri"], row["pixels"] or 0))
        if len(summary.slowest) > 50 * _SLOWEST:
            summary.slowest = nlargest(_SLOWEST, summary.slowest)
        is_small = (row["bytes_read"] or 0) < _LARGEST_SAMPLE_BYTES
        if len(summary.samples) < _SAMPLES and row["status"] == "done" and row["output"]:
            summary.samples += [(row["uri"], row["output"])] * is_small
    summary.slowest = nlargest(_SLOWEST, summary.slowest)
    return summary


def build_report(summary: Summary, source: Store, destination: Store) -> str:
    """Return the HTML of a report.

    Args:
        summary: Summary of the results.
        source: Store with the inputs of the examples.
        destination: Store with their outputs.
    """
    first, last = min(summary.ends, default=0), max(summary.ends, default=0)
    span = last - first + 1
    bars = Counter[int]()
    for second, count in summary.ends.items():
        bars[(second - first) * _BARS // span] += count
    grades = [*(grade.name.lower() for grade in RainDensity), "unknown"]
    template = Template(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    total = summary.counts.total()
    counts = {name: f"{summary.counts[name]:,}" for name in ("done", "dry", "skipped", "failed")}
    counts |= {
        "images with a result": f"{total:,}",
        "megapixels": f"{summary.pixels / 1e6:,.1f}",
        "hours of all workers": f"{summary.seconds / 3600:,.2f}",
    }
    return template.substitute(
        source=escape(hide_credentials(source.url)),
        destination=escape(hide_credentials(destination.url)),
        counts="".join(_row(name, value) for name, value in counts.items()),
        densities=_draw_bars([(grade, summary.densities[grade]) for grade in grades]),
        span=f"{span:,} seconds, {total / span:,.1f} images a second; each bar is "
        f"{span / _BARS:,.1f} seconds",
        rates=_draw_bars([("", bars[index]) for index in range(_BARS)]),
        faults="".join(
            f"<tr><td>{escape(name)}<td class=number>{count:,}"
            f"<td>{escape(hide_credentials(summary.examples[name]))}</tr>"
            for name, count in summary.faults.most_common()
        ),
        slowest="".join(
            f"<tr><td>{escape(uri)}<td class=number>{seconds:,.2f}<td class=number>{pixels:,}</tr>"
            for seconds, uri, pixels in summary.slowest
        ),
        samples="".join(_show(*each, source, destination) for each in summary.samples),
    )


def _row(name: str, value: str) -> str:
    return f"<tr><td>{escape(name)}<td class=number>{value}</tr>"


def _draw_bars(bars: list[tuple[str, int]]) -> str:
    """Return a bar chart as SVG."""
    most = max((count for _, count in bars), default=0) or 1
    width = 640 / len(bars)
    pieces = []
    for index, (name, count) in enumerate(bars):
        height = 100 * count / most
        pieces.append(
            f'<rect x="{index * width + 1:.1f}" y="{120 - height:.1f}" width="{width - 2:.1f}" '
            f'height="{height:.1f}"><title>{escape(name)} {count:,}</title></rect>'
        )
        if name:
            pieces.append(
                f'<text x="{index * width + 4:.1f}" y="136">{escape(name)}: {count:,}</text>'
            )
    return f'<svg viewBox="0 0 640 140" role="img">{"".join(pieces)}</svg>'


def _show(uri: str, key: str, source: Store, destination: Store) -> str:
    """Return HTML with an input beside its output; empty if one can no longer be read."""
    path = uri if source.is_local else uri.partition("://")[2]
    with suppress(Exception):  # a missing example must not fail the report
        images = [read_file(source.files, path), destination.read(key)]
        shown = "".join(f'<img alt="" src="{_shrink(content)}">' for content in images)
        return f"<figure>{shown}<figcaption>{escape(uri)}</figcaption></figure>"
    return ""


def _shrink(content: bytes) -> str:
    buffer = BytesIO()
    with Image.open(BytesIO(content)) as image:
        image.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
        image.convert("RGB").save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
