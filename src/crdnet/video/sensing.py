"""Rain in a clip over time."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from math import floor
from pathlib import Path
from typing import Any

import numpy as np

from crdnet.density import RainDensity
from crdnet.errors import VideoError
from crdnet.files import open_whole
from crdnet.video.derain import open_network_of
from crdnet.video.engine import FrameNetwork, SenseReport, get_intensity
from crdnet.video.options import VideoOptions
from crdnet.video.planes import prepare_frame, read_colours
from crdnet.video.source import open_clip, read_frames

FORMAT = "crdnet-timeline/1"
_COLOURS = {
    RainDensity.NONE: (200, 200, 200),
    RainDensity.LIGHT: (140, 190, 230),
    RainDensity.MEDIUM: (60, 130, 200),
    RainDensity.HEAVY: (20, 60, 130),
}
_PLOT_HEIGHT, _SECOND_PIXELS = 160, 8


@dataclass(frozen=True)
class Moment:
    """Rain in one second of a clip.

    Attributes:
        start: Beginning of the second, in seconds of the clip's timestamps.
        frames: Number of sensed frames.
        density: Most frequent density of the frames; the heavier one of two.
        intensity: Mean intensity, in grey levels of 255.
        score: Mean score, in [0, 1].
    """

    start: int
    frames: int
    density: RainDensity
    intensity: float
    score: float


@dataclass(frozen=True)
class Timeline:
    """Rain in a clip, second by second.

    Attributes:
        source: Name of the clip.
        moments: Its seconds, in order; seconds without a frame are missing.
    """

    source: str
    moments: tuple[Moment, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the timeline as JSON values."""
        return {
            "format": FORMAT,
            "input": self.source,
            "seconds": [
                {
                    "start": each.start,
                    "frames": each.frames,
                    "density": each.density.name.lower(),
                    "intensity": round(each.intensity, 3),
                    "score": round(each.score, 4),
                }
                for each in self.moments
            ],
        }

    def as_csv(self) -> str:
        """Return the timeline as a table with a heading."""
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("start", "frames", "density", "intensity", "score"))
        for row in self.as_dict()["seconds"]:
            writer.writerow(row.values())
        return text.getvalue()

    def plot(self, path: str | Path) -> None:
        """Draw the intensity over time as a PNG, one bar per second in the colour of its density.

        Raises:
            OutputError: The file cannot be written.
        """
        from PIL import Image  # noqa: PLC0415 - only for charts

        seconds = self.moments[-1].start - self.moments[0].start + 1 if self.moments else 1
        plot = np.full((_PLOT_HEIGHT, seconds * _SECOND_PIXELS, 3), 255, np.uint8)
        highest = max([10.0, *(each.intensity for each in self.moments)])
        for each in self.moments:
            left = (each.start - self.moments[0].start) * _SECOND_PIXELS
            rows = max(1, round((_PLOT_HEIGHT - 1) * each.intensity / highest))
            plot[_PLOT_HEIGHT - rows :, left : left + _SECOND_PIXELS - 1] = _COLOURS[each.density]
        with open_whole(Path(path)) as temporary:
            Image.fromarray(plot).save(temporary, format="png")


def sense_video(
    source: str | Path | Any,
    options: VideoOptions | None = None,
    *,
    every: int = 1,
    on_second: Callable[[Moment], None] | None = None,
) -> Timeline:
    """Report the rain in a clip for each second of its timestamps.

    Args:
        source: Path, address, pattern of numbered images, "-", or a binary file.
        options: Model, device and part of the clip.
        every: Sense every n-th frame.
        on_second: Called with each second when it is complete.

    Raises:
        VideoError: The source is not a clip, or the model does not sense rain.
    """
    options = options or VideoOptions()
    if every < 1:
        raise ValueError(f"`every` must be at least 1, got {every}")
    network = open_network_of(options)
    if not network.senses:
        raise VideoError(f"the model {options.model!r} does not sense rain; choose one that does")
    moments: list[Moment] = []
    name = "the clip"
    with open_clip(source, rate=options.rate) as clip:
        name = clip.name
        for moment in _group(_sense_frames(clip, network, options, every)):
            moments.append(moment)
            if on_second is not None:
                on_second(moment)
    return Timeline(name, tuple(moments))


def _sense_frames(
    clip: Any, network: FrameNetwork, options: VideoOptions, every: int
) -> Iterator[tuple[int, SenseReport]]:
    """Yield (second, report) of each sensed frame."""
    number = 0
    for frame in read_frames(clip, before=options.window.end):
        time = frame.pts * clip.time_base
        if not options.window.holds(time):
            continue
        if number % every == 0:
            yield floor(time), network.sense(read_colours(prepare_frame(frame)))
        number += 1


def _group(reports: Iterator[tuple[int, SenseReport]]) -> Iterator[Moment]:
    second, held = None, list[SenseReport]()
    for at, report in reports:
        if held and at != second:
            yield _summarise(second or 0, held)
            held = []
        second = at
        held.append(report)
    if held:
        yield _summarise(second or 0, held)


def _summarise(second: int, reports: list[SenseReport]) -> Moment:
    counts = Counter(report.density or RainDensity.NONE for report in reports)
    return Moment(
        second,
        len(reports),
        max(counts, key=lambda grade: (counts[grade], grade)),
        float(np.mean([get_intensity(report) or 0.0 for report in reports])),
        float(np.mean([report.score or 0.0 for report in reports])),
    )
