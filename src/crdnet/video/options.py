"""Options, progress and record of deraining a clip."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crdnet.density import RainDensity
from crdnet.errors import VideoError
from crdnet.video.encoders import EncoderOptions
from crdnet.video.source import Window
from crdnet.video.temporal import Static

SEGMENT_FRAMES = 48
"""Number of frames of a segment: the most that a kill loses, and the distance of key frames."""


@dataclass(frozen=True)
class VideoOptions:
    """Options of deraining a clip.

    Attributes:
        model: Name of a shipped model, or path of an .onnx file.
        device: Name of a device; see `crdnet.Derainer`.
        threads: Number of threads; None uses all CPUs.
        strength: Share of the rain to remove, in [0, 1].
        always: If True, derain frames that are surely dry too.
        temporal: If True, use neighbouring frames.
        static: "on" for a static camera, "off" for a moving one, "auto" to detect it.
        encoder: Encoder of the video.
        window: Part of the clip.
        side_by_side: If True, put the rainy frame to the left of each derained one.
        only_rain: If True, copy groups of frames without rain bit for bit.
        overwrite: If True, replace an existing output.
        container: Container of the output; None derives it from the name of the output.
        rate: Frames per second of numbered images.
        segment_frames: Frames of a segment.
    """

    model: str = "default"
    device: str = "auto"
    threads: int | None = None
    strength: float = 1.0
    always: bool = False
    temporal: bool = True
    static: Static = "auto"
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    window: Window = field(default_factory=Window)
    side_by_side: bool = False
    only_rain: bool = False
    overwrite: bool = False
    container: str | None = None
    rate: float | None = None
    segment_frames: int = SEGMENT_FRAMES

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 <= self.strength <= 1:
            raise ValueError(f"`strength` must be from 0 to 1, got {self.strength}")
        if self.segment_frames < 1:
            raise ValueError(f"`segment_frames` must be at least 1, got {self.segment_frames}")
        if self.static not in ("auto", "on", "off"):
            raise ValueError(f"`static` must be auto, on or off, got {self.static!r}")
        if self.rate is not None and self.rate <= 0:
            raise VideoError(f"`rate` must be above 0, got {self.rate}")

    def as_dict(self) -> dict[str, Any]:
        """Return the options that affect the output, as JSON values."""
        return {
            "model": str(self.model),
            "strength": self.strength,
            "always": self.always,
            "temporal": self.temporal,
            "static": self.static,
            "encoder": self.encoder.as_dict(),
            "start": self.window.start,
            "end": self.window.end,
            "side_by_side": self.side_by_side,
            "only_rain": self.only_rain,
            "container": self.container,
            "rate": self.rate,
            "segment_frames": self.segment_frames,
        }


@dataclass(frozen=True)
class VideoProgress:
    """State of a run after a frame.

    Attributes:
        frames: Number of finished frames, including those of an earlier run.
        total: Number of all frames; None if the container does not state it.
        time: Time of the frame in the clip, in seconds.
        frames_per_second: Speed of this run.
        seconds_left: Time left at this speed, in seconds; None if the total is unknown.
        density: Density of the rain in the frame.
    """

    frames: int
    total: int | None
    time: float
    frames_per_second: float
    seconds_left: float | None
    density: RainDensity | None

    def as_dict(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        left = self.seconds_left
        return {
            "frames": self.frames,
            "total": self.total,
            "time": round(self.time, 6),
            "fps": round(self.frames_per_second, 3),
            "seconds_left": None if left is None else round(left, 1),
            "density": None if self.density is None else self.density.name.lower(),
        }

    def as_text(self) -> str:
        """Return the state as one line."""
        total = "" if self.total is None else f" of {self.total}"
        left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
        density = "unknown" if self.density is None else self.density.name.lower()
        rate = f"{self.frames_per_second:.2f} fps"
        return f"frame {self.frames}{total}, {rate}{left} (density: {density})"


@dataclass(frozen=True)
class VideoRecord:
    """Result of a run.

    Attributes:
        source: Name of the source.
        output: Path of the output, or its name.
        frames: Frames in the output.
        resumed: Frames that an earlier run had finished.
        copied: Frames whose packets are the source's own.
        left_alone: Frames that were dry and not changed.
        densities: Frames by density.
        width: Width of the source in pixels.
        height: Height of the source in pixels.
        encoder: Encoder and pixel format.
        seconds: Time that the run took.
        dropped: Frames of a live source that were skipped.
    """

    source: str
    output: str
    frames: int
    resumed: int
    copied: int
    left_alone: int
    densities: Mapping[str, int]
    width: int
    height: int
    encoder: str
    seconds: float
    dropped: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {
            "input": self.source,
            "output": self.output,
            "frames": self.frames,
            "resumed": self.resumed,
            "copied": self.copied,
            "left_alone": self.left_alone,
            "dropped": self.dropped,
            "densities": dict(self.densities),
            "width": self.width,
            "height": self.height,
            "encoder": self.encoder,
            "seconds": round(self.seconds, 3),
        }

    def as_text(self) -> str:
        """Return the record as one line."""
        grades = ", ".join(f"{count} {name}" for name, count in self.densities.items())
        counts = {
            "done before": self.resumed,
            "left alone": self.left_alone,
            "copied": self.copied,
            "dropped": self.dropped,
        }
        more = "".join(f", {count} {word}" for word, count in counts.items() if count)
        rate = (self.frames - self.resumed) / max(self.seconds, 1e-9)
        told = f"{self.frames} frames: {grades}{more}; {rate:.2f} fps"
        return f"{self.source} -> {self.output}  ({told})"


OnProgress = Callable[[VideoProgress], None]


def resolve_name(place: str | Path | Any) -> str:
    """Return the name of a source or destination."""
    return str(place) if isinstance(place, str | Path) else str(getattr(place, "name", "a file"))
