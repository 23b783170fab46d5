"""Dry test images: charts drawn with matplotlib, in many styles and sizes.

Each function draws one kind of chart into an empty figure. Data and colours come from a generator,
so that a seed gives the same chart with the same version of matplotlib. No model is trained on
these charts; training uses those of `crdnet.rain.documents`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
STYLES = (
    "default",
    "classic",
    "ggplot",
    "bmh",
    "dark_background",
    "fivethirtyeight",
    "seaborn-v0_8-whitegrid",
    "grayscale",
    "Solarize_Light2",
)
SIZES = ((480, 360), (640, 480), (800, 500), (720, 720), (420, 640), (900, 400))
"""Width and height in pixels."""
HATCHES = ("/", "\\", "|", "-", "x", "//", "||", "+", "o", ".", "*", "///")
MAPS = ("viridis", "magma", "Greys", "coolwarm", "tab20c", "jet")


def draw_chart(name: str, seed: int) -> Image:
    """Return a chart of a kind as RGB (h, w, 3)."""
    import matplotlib as mpl  # noqa: PLC0415 - only charts need it
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - likewise
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    rng = np.random.default_rng((seed, *name.encode()))
    style, (width, height) = STYLES[seed % len(STYLES)], SIZES[rng.integers(len(SIZES))]
    mpl.rcdefaults()
    with mpl.style.context([] if style == "default" else style):
        figure = Figure(figsize=(width / 100, height / 100), dpi=100, layout="tight")
        CHARTS[name](figure, rng)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        drawn: Image = np.array(canvas.buffer_rgba())[..., :3]
    return drawn


def _lines(figure: Any, rng: np.random.Generator) -> None:
    axes, steps = figure.subplots(), int(rng.integers(20, 800))
    for number in range(int(rng.integers(1, 8))):
        walk = np.cumsum(rng.normal(0, 1, steps))
        axes.plot(
            walk,
            rng.choice(["-", "--", ":", "-."]),
            lw=rng.uniform(0.5, 2.5),
            label=f"run {number}",
        )
    axes.set(xlabel="time in s", ylabel="load", title="Load of the last hours")
    axes.grid(bool(rng.random() < 0.5))
    axes.legend()


def _noisy_lines(figure: Any, rng: np.random.Generator) -> None:
    rows = figure.subplots(int(rng.integers(2, 5)), sharex=True)
    for axes in rows:
        axes.plot(rng.normal(0, 1, 1500) * np.hanning(1500) ** rng.uniform(0, 2), lw=0.6)
        axes.set_ylabel("mV")


def _bars(figure: Any, rng: np.random.Generator) -> None:
    axes, number = figure.subplots(), int(rng.integers(5, 90))
    for group in range(int(rng.integers(1, 4))):
        axes.bar(
            np.arange(number) + 0.25 * group, rng.gamma(2, 10, number), 0.25, label=f"group {group}"
        )
    axes.set(title="Sales by month", ylabel="thousands")
    axes.legend()


def _hatched_bars(figure: Any, rng: np.random.Generator) -> None:
    axes, below = figure.subplots(), np.zeros(6)
    for _ in range(int(rng.integers(1, 5))):
        height = rng.uniform(3, 20, 6)
        fill = "white" if rng.random() < 0.5 else None
        axes.bar(
            range(6), height, bottom=below, hatch=rng.choice(HATCHES), color=fill, edgecolor="black"
        )
        below += height
    axes.set_xticks(range(6), ["Lyon", "Oslo", "Graz", "Turin", "Porto", "Ghent"])


def _level_bars(figure: Any, rng: np.random.Generator) -> None:
    axes, number = figure.subplots(), int(rng.integers(6, 30))
    axes.barh([f"item {each}" for each in range(number)], np.sort(rng.gamma(2, 10, number)))


def _histogram(figure: Any, rng: np.random.Generator) -> None:
    axes = figure.subplots()
    for shift in (0, rng.uniform(1, 4)):
        axes.hist(rng.normal(shift, 1, 3000), int(rng.integers(20, 200)), alpha=0.6)
    axes.set(xlabel="grey level", ylabel="pixels")


def _heat_map(figure: Any, rng: np.random.Generator) -> None:
    axes, shape = figure.subplots(), rng.integers(6, 40, 2)
    shown = axes.imshow(rng.normal(0, 1, shape), cmap=rng.choice(MAPS), aspect="auto")
    if shape.max() < 16:
        for (row, column), value in np.ndenumerate(shown.get_array()):
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=6)
    figure.colorbar(shown)


def _spectrogram(figure: Any, rng: np.random.Generator) -> None:
    axes, times = figure.subplots(), np.linspace(0, 8, 16000)
    tones = sum(np.sin(2 * np.pi * (100 * k + 30 * np.sin(times)) * times) for k in range(1, 6))
    axes.specgram(tones + rng.normal(0, 0.5, times.size), Fs=2000, NFFT=256, cmap=rng.choice(MAPS))
    axes.set(xlabel="s", ylabel="Hz")


def _candlesticks(figure: Any, rng: np.random.Generator) -> None:
    axes, number = figure.subplots(), int(rng.integers(30, 200))
    close = 100 + np.cumsum(rng.normal(0, 1, number))
    opened = close + rng.normal(0, 1, number)
    colours = np.where(close > opened, "#26a69a", "#ef5350")
    spread = rng.gamma(2, 0.5, number)
    axes.vlines(
        range(number),
        np.minimum(close, opened) - spread,
        np.maximum(close, opened) + spread,
        color=colours,
        lw=0.8,
    )
    axes.bar(range(number), close - opened, 0.7, bottom=opened, color=colours)


def _table(figure: Any, rng: np.random.Generator) -> None:
    axes, columns = figure.subplots(), int(rng.integers(3, 8))
    rows = int(rng.integers(6, 16))
    cells = [[f"{each:.2f}" for each in rng.gamma(2, 30, columns)] for _ in range(rows)]
    axes.axis("off")
    axes.table(cells, colLabels=[f"Q{each}" for each in range(columns)], loc="center").scale(1, 1.3)


def _scatter(figure: Any, rng: np.random.Generator) -> None:
    axes, number = figure.subplots(), int(rng.integers(50, 2000))
    points = (
        rng.normal(0, 1, (2, number))
        + np.repeat(rng.normal(0, 2, (2, 5)), -(-number // 5), 1)[:, :number]
    )
    marker = rng.choice(["o", "x", "|", "+", "^", "."])
    axes.scatter(*points, s=rng.uniform(4, 60), c=points[0], marker=marker, alpha=0.7)


def _contours(figure: Any, rng: np.random.Generator) -> None:
    axes, (y, x) = figure.subplots(), np.mgrid[-3:3:120j, -3:3:120j]
    heights = sum(
        a * np.exp(-((x - b) ** 2) - (y - c) ** 2) for a, b, c in rng.normal(0, 1.5, (6, 3))
    )
    (axes.contour if rng.random() < 0.6 else axes.contourf)(
        x, y, heights, 18, cmap=rng.choice(MAPS)
    )


def _boxes(figure: Any, rng: np.random.Generator) -> None:
    axes, number = figure.subplots(), int(rng.integers(5, 25))
    values = [rng.normal(rng.normal(), rng.uniform(0.5, 2), 60) for _ in range(number)]
    (axes.boxplot if rng.random() < 0.5 else axes.violinplot)(values)


def _stems(figure: Any, rng: np.random.Generator) -> None:
    axes, number = figure.subplots(), int(rng.integers(20, 160))
    axes.stem(rng.gamma(1.5, 10, number), markerfmt="." if rng.random() < 0.5 else " ")
    axes.set(xlabel="m/z", ylabel="counts")


def _error_bars(figure: Any, rng: np.random.Generator) -> None:
    axes, number = figure.subplots(), int(rng.integers(10, 60))
    x = np.arange(number)
    axes.errorbar(
        x, np.sin(x / 6) + rng.normal(0, 0.1, number), rng.gamma(2, 0.1, number), fmt="o", capsize=2
    )
    axes.fill_between(
        x, np.sin(x / 6) - 0.3, np.sin(x / 6) + 0.3, alpha=0.2, hatch=rng.choice(HATCHES)
    )


def _arrows(figure: Any, rng: np.random.Generator) -> None:
    axes, (y, x) = figure.subplots(), np.mgrid[-2:2:22j, -2:2:22j]
    turn = rng.uniform(-2, 2)
    axes.quiver(
        x, y, np.sin(turn * y) + 0.3, np.cos(x) * turn, np.hypot(x, y), cmap=rng.choice(MAPS)
    )


def _pies(figure: Any, rng: np.random.Generator) -> None:
    for axes in np.ravel(figure.subplots(1, int(rng.integers(1, 3)))):
        axes.pie(
            rng.gamma(2, 1, 6),
            labels=list("ABCDEF"),
            autopct="%d%%",
            hatch=["", "//", "", "x", "", "."],
        )


CHARTS: dict[str, Callable[[Any, np.random.Generator], None]] = {
    "lines": _lines,
    "noisy-lines": _noisy_lines,
    "bars": _bars,
    "hatched-bars": _hatched_bars,
    "level-bars": _level_bars,
    "histogram": _histogram,
    "heat-map": _heat_map,
    "spectrogram": _spectrogram,
    "candlesticks": _candlesticks,
    "table": _table,
    "scatter": _scatter,
    "contours": _contours,
    "boxes": _boxes,
    "stems": _stems,
    "error-bars": _error_bars,
    "arrows": _arrows,
    "pies": _pies,
}
"""Each draws into an empty figure of matplotlib."""
