"""Plot of quality against time, as SVG.

Contract: shipped models are plotted by the gain in their files (`restormer-y`, mean PSNR of
`rain800/val` minus that of the rainy images) and the time of the network alone on each device
(`latency.py`). The published network in PyTorch is plotted by its measured time and the score of
`paper`, which is the same network. Other methods are plotted by quoted figures: the gain on
Test100, the test set of Rain800's authors, after training on Rain13K, and the time that their
quoted number of multiplications would take at the rate of `default` in float32 on the CPU. That
time was not measured, and images and training data differ, so the plot shows orders of magnitude.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import ceil, floor, log10
from typing import Any, NamedTuple

from benchmarks.speed.latency import PUBLISHED, TASKS
from crdnet.bench import NETWORK, count_cost
from crdnet.errors import DataError
from crdnet.runtime import find_model, read_info

SCORE = "rain800/val restormer-y psnr"
RAINY_PSNR = 21.81
"""PSNR of the same rainy images, by `crdnet evaluate`; docs/models/ lists it."""
QUOTED_RAINY_PSNR = 22.6
QUOTED = {
    "DerainNet": (786, 22.77),
    "RESCAN": (490, 25.00),
    "PReNet": (1_010, 24.81),
    "MSPFN": (9_090, 27.50),
    "MPRNet": (8_380, 30.27),
    "Restormer": (2_150, 32.00),
}
"""kMAC per pixel and PSNR on Test100 (Y), as printed by their authors or derain-toolbox."""

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 60, 740, 20, 380
_COLOURS = ("#0b6e99", "#b3541e", "#5b3f8c", "#2e7d32")


class Point(NamedTuple):
    """Point of the plot."""

    name: str
    milliseconds: float
    gain: float
    """PSNR after minus before, in dB."""


def list_measured_points(report: Mapping[str, Any]) -> dict[str, list[Point]]:
    """Return the points of the shipped models, from a latency report.

    Raises:
        DataError: A model file does not state its score.
    """
    network = next(title for title, name in TASKS.items() if name == NETWORK)
    points: dict[str, list[Point]] = {}
    for name, timing in report["timings"].items():
        if name == PUBLISHED:
            points.setdefault("paper", []).append(
                Point("PyTorch", timing["median"], _read_gain("paper"))
            )
            continue
        model, device, task = name.split(", ")
        if task == network:
            points.setdefault(model, []).append(Point(device, timing["median"], _read_gain(model)))
    return points


def list_quoted_points(report: Mapping[str, Any]) -> list[Point]:
    """Return the points of other methods, at the rate of `default` in onnxruntime.

    Args:
        report: Latency report, with `default` on the device `cpu`.
    """
    milliseconds = next(
        point.milliseconds
        for point in list_measured_points(report)["default"]
        if point.name == "cpu"
    )
    kilo_macs = count_cost(find_model("default")).macs / 1000
    return [
        Point(name, milliseconds * kilo / kilo_macs, psnr - QUOTED_RAINY_PSNR)
        for name, (kilo, psnr) in QUOTED.items()
    ]


def draw_plot(measured: Mapping[str, Sequence[Point]], quoted: Sequence[Point]) -> str:
    """Return the plot as SVG."""
    points = [*(point for each in measured.values() for point in each), *quoted]
    decades = (
        floor(log10(min(point.milliseconds for point in points))),
        ceil(log10(max(point.milliseconds for point in points)) + 0.1),
    )
    highest = ceil(max(point.gain for point in points)) + 1

    def across(milliseconds: float) -> float:
        return LEFT + (RIGHT - LEFT) * (log10(milliseconds) - decades[0]) / (
            decades[1] - decades[0]
        )

    def up(gain: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * gain / highest

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for decade in range(decades[0], decades[1] + 1):
        place = across(10.0**decade)
        parts.append(f'<path d="M{place:.1f} {TOP}V{BOTTOM}" stroke="#ddd"/>')
        parts.append(_draw_text(place, BOTTOM + 18, _format_duration(10.0**decade), "middle"))
    for gain in range(0, highest + 1, 2):
        parts.append(f'<path d="M{LEFT} {up(gain):.1f}H{RIGHT}" stroke="#ddd"/>')
        parts.append(_draw_text(LEFT - 8, up(gain) + 4, f"{gain:+d}" if gain else "0", "end"))
    parts.append(
        _draw_text(
            (LEFT + RIGHT) / 2, BOTTOM + 38, "time for 512 x 512 pixels on this machine", "middle"
        )
    )
    parts.append(
        f'<text x="16" y="{(TOP + BOTTOM) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 16 {(TOP + BOTTOM) / 2})">gain in PSNR, dB</text>'
    )
    best = max(measured, key=lambda model: measured[model][0].gain)
    for (model, series), colour in zip(measured.items(), _COLOURS, strict=False):
        parts += _draw_series(model, series, colour, across, up, above=model == best)
    for point in quoted:
        x, y = across(point.milliseconds), up(point.gain)
        parts.append(f'<path d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z" fill="white" stroke="#555"/>')
        parts.append(_draw_text(x, y - 9, point.name, "middle", "#555"))
    note = "dots: measured; diamonds: quoted on other images, time by multiplications alone"
    parts += [_draw_text(LEFT + 8, TOP + 14, note, "start", "#555"), "</svg>"]
    return "\n".join(parts) + "\n"


def _draw_series(
    model: str, series: Sequence[Point], colour: str, across: Any, up: Any, *, above: bool
) -> Iterator[str]:
    ordered = sorted(series, key=lambda point: point.milliseconds)
    places = [(across(point.milliseconds), up(point.gain)) for point in ordered]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    yield f'<path d="M{line}" fill="none" stroke="{colour}" opacity="0.5"/>'
    yield _draw_text(places[0][0] - 10, places[0][1] + 4, model, "end", colour)
    for number, (point, (x, y)) in enumerate(zip(ordered, places, strict=True)):
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'
        away = 10 + 14 * (number % 2)  # neighbours would write over each other
        yield _draw_text(
            x,
            y - away if above else y + 8 + away,
            f"{point.name} {_format_duration(point.milliseconds)}",
            "middle",
            colour,
        )


def _read_gain(model: str) -> float:
    scores = read_info(find_model(model)).scores
    if SCORE not in scores:
        raise DataError(f"the file of {model!r} does not state {SCORE!r}; export it with --score")
    return scores[SCORE] - RAINY_PSNR


def _format_duration(milliseconds: float) -> str:
    seconds = milliseconds / 1000
    return (
        f"{milliseconds:.0f} ms"
        if seconds < 1
        else f"{round(seconds, 1 if seconds < 10 else None):g} s"
    )


def _draw_text(x: float, y: float, text: str, anchor: str, colour: str = "#222") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{colour}">{escape(text)}</text>'
