"""Tiny clips, made with PyAV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

HEIGHT, WIDTH = 48, 64
Frame = npt.NDArray[Any]

SRT = "1\n00:00:00,000 --> 00:00:00,200\nfirst\n\n2\n00:00:00,240 --> 00:00:00,300\nsecond\n"


def draw_background(
    height: int = HEIGHT, width: int = WIDTH, *, seed: int = 0, offset: tuple[int, int] = (0, 0)
) -> Frame:
    """Return a smooth scene (h, w, 3), seen from a place that may move by whole pixels."""
    rows, columns = np.mgrid[offset[0] : offset[0] + height, offset[1] : offset[1] + width]
    rng = np.random.default_rng(seed)
    wave = sum(
        15 * np.sin(rows * rng.uniform(0.1, 0.35) + columns * rng.uniform(0.03, 0.08) + phase)
        for phase in rng.uniform(0, 6, 3)
    )
    # One wave in all colours: a codec's rounding of chroma would look like faint streaks.
    scene: Frame = np.clip(110 + wave[..., None] + [0, 6, -6], 0, 255).astype(np.uint8)
    return scene


def add_streaks(frame: Frame, number: int, *, seed: int = 0, levels: int = 60) -> Frame:
    """Return a frame with vertical streaks one pixel wide, at other places for each number."""
    rng = np.random.default_rng([seed, number])
    rainy = frame.astype(np.int64)
    for _ in range(12):
        row, column = rng.integers(0, frame.shape[0] - 14), rng.integers(1, frame.shape[1] - 1)
        rainy[row : row + 14, column] += levels
    return np.clip(rainy, 0, 255).astype(np.uint8)


def make_frames(count: int, *, rain: Callable[[int], bool] = lambda _number: True) -> list[Frame]:
    """Return frames of a static scene, with rain in those for which `rain` says so."""
    scene = draw_background()
    return [add_streaks(scene, each) if rain(each) else scene.copy() for each in range(count)]


@dataclass
class Recipe:
    """Settings of a clip to write."""

    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    container: str | None = None
    time_base: Fraction = Fraction(1, 25)
    rate: Fraction = Fraction(25)
    times: Sequence[int] | None = None
    """Timestamps in the time base; None is one for each frame."""
    options: dict[str, str] = field(default_factory=lambda: {"crf": "1"})
    audio: str | None = None
    subtitles: str | None = None
    attachment: bytes | None = None
    chapters: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    colours: tuple[int, int, int, int] = (1, 6, 6, 6)
    """Range, primaries, transfer, matrix."""
    aspect: Fraction | None = None
    rotation: int | None = None
    container_options: dict[str, str] = field(default_factory=dict)
    with_video: bool = True
    streams_metadata: dict[str, str] = field(default_factory=dict)


def write_clip(path: Path, frames: Sequence[Frame], recipe: Recipe | None = None) -> Path:
    """Write RGB frames (h, w, 3) as a clip."""
    recipe = recipe or Recipe()
    with av.open(
        str(path), "w", format=recipe.container, options=recipe.container_options
    ) as output:
        output.metadata.update(recipe.metadata)
        if recipe.chapters:
            base = Fraction(1, 1000)
            output.set_chapters(
                [
                    {
                        "id": 1,
                        "start": 0,
                        "end": 160,
                        "time_base": base,
                        "metadata": {"title": "a"},
                    },
                    {
                        "id": 2,
                        "start": 160,
                        "end": 400,
                        "time_base": base,
                        "metadata": {"title": "b"},
                    },
                ]
            )
        stream = _add_video(output, frames, recipe) if recipe.with_video else None
        sound = _add_audio(output, recipe) if recipe.audio else None
        texts = _add_subtitles(output, recipe) if recipe.subtitles else []
        if recipe.attachment is not None:
            output.add_attachment("font.ttf", "font/ttf", recipe.attachment)
        if sound is not None:
            _write_audio(output, sound)
        for packet in texts:
            output.mux_one(packet)
        if stream is not None:
            for number, rgb in enumerate(frames):
                output.mux(stream.encode(_as_frame(rgb, number, recipe)))
            output.mux(stream.encode())
    return path


def _add_video(output: Any, frames: Sequence[Frame], recipe: Recipe) -> Any:
    stream = output.add_stream(recipe.codec, rate=recipe.rate)
    stream.height, stream.width = frames[0].shape[:2]
    stream.pix_fmt = recipe.pixel_format
    stream.time_base = recipe.time_base
    context = stream.codec_context
    context.time_base = recipe.time_base
    context.color_range, context.color_primaries, context.color_trc, context.colorspace = (
        recipe.colours
    )
    if recipe.aspect:
        context.sample_aspect_ratio = recipe.aspect
    context.options = dict(recipe.options)
    context.flags |= int(av.codec.context.Flags.frame_duration)
    if recipe.rotation is not None:
        stream.set_display_rotation(recipe.rotation)
    stream.metadata.update(recipe.streams_metadata)
    return stream


def _as_frame(rgb: Frame, number: int, recipe: Recipe) -> Any:
    kind = "rgb24" if rgb.dtype == np.uint8 else "rgb48le"
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format=kind)
    frame = frame.reformat(
        format=recipe.pixel_format,
        dst_colorspace="ITU709" if recipe.colours[3] == 1 else "ITU601",
        dst_color_range="JPEG" if recipe.colours[0] == 2 else "MPEG",
    )
    (frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace) = recipe.colours
    times = recipe.times
    frame.pts = number if times is None else times[number]
    frame.time_base = recipe.time_base
    if times is not None and number + 1 < len(times):
        frame.duration = times[number + 1] - times[number]
    elif times is None:
        frame.duration = 1
    return frame


def _add_audio(output: Any, recipe: Recipe) -> Any:
    stream = output.add_stream(recipe.audio, rate=48000)
    stream.layout = "mono"
    stream.metadata["language"] = "deu"
    return stream


def _write_audio(output: Any, stream: Any) -> None:
    wave = (8000 * np.sin(np.arange(24_000) * 0.05)).astype(np.int16).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    frame.sample_rate = 48000
    frame.pts = 0
    output.mux(stream.encode(frame))
    output.mux(stream.encode())


def _add_subtitles(output: Any, recipe: Recipe) -> list[Any]:
    """Add a stream of subtitles, and return its packets."""
    from io import BytesIO  # noqa: PLC0415

    source = av.open(BytesIO(SRT.encode()), "r", format="srt")
    template = source.streams.subtitles[0]
    stream = output.add_stream_from_template(template)
    stream.metadata["language"] = "fra"
    packets = [packet for packet in source.demux(template) if packet.size]
    for packet in packets:
        packet.stream = stream
    return packets


def read_packets(path: Path, kind: str) -> list[tuple[Any, ...]]:
    """Return (time of presentation, duration, bytes) of the packets of all streams of a kind."""
    with av.open(str(path)) as container:
        streams = [each for each in container.streams if each.type == kind]
        if not streams:
            return []
        return [
            (
                packet.stream_index,
                None if packet.pts is None else packet.pts * packet.time_base,
                (packet.duration or 0) * packet.time_base,
                bytes(packet),
            )
            for packet in container.demux(streams)
            if packet.size
        ]


def read_planes(path: Path, options: dict[str, str] | None = None) -> list[tuple[Fraction, Frame]]:
    """Return (time in seconds, samples) of the frames of a clip, as they were coded."""
    with av.open(str(path), options=options or {}) as container:
        stream: Any = container.streams.video[0]
        return [
            (frame.pts * Fraction(stream.time_base), _read_samples(frame))
            for frame in container.decode(stream)
        ]


def _read_samples(frame: Any) -> Frame:
    """Return the samples of a frame; those of four bytes a pixel without the one that is empty."""
    kind = {"format": "rgb24"} if frame.format.name == "bgr0" else {}
    samples: Frame = frame.to_ndarray(**kind)
    return samples


def read_rgb(path: Path) -> list[Frame]:
    """Return the frames of a clip as RGB (h, w, 3)."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
