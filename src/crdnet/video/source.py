"""Reading of a clip: its streams and frames, and checks for content that would be lost.

Frames keep their timestamps. Content that cannot be kept is refused by name before anything is
written.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from crdnet.errors import VideoError
from crdnet.video.avlib import load_av

STREAM = "-"
"""Name of standard input and standard output."""
_SEQUENCE = re.compile(r"%0?\d*d")
_SCHEMES = ("rtsp://", "rtmp://", "udp://", "rtp://", "srt://", "tcp://", "http://", "https://")
_LIVE_SCHEMES = ("rtsp://", "rtmp://", "udp://", "rtp://", "srt://", "tcp://")
_LOST_SIDE_DATA = {
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "DOVI_METADATA": "Dolby Vision metadata",
    "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid dynamic metadata",
    "SPHERICAL": "spherical (360 degree) metadata",
}
_IMAGE_CODECS = ("png", "apng", "mjpeg", "tiff", "webp", "bmp", "jpeg2000", "exr", "dpx", "pnm")
_STILL_FORMATS = ("image2pipe", "_pipe", "gif", "webp", "ico", "avif", "jpegxl")


@dataclass(frozen=True)
class Window:
    """Part of a clip, in seconds of its timestamps.

    Attributes:
        start: Start in seconds; None is the beginning of the clip.
        end: End in seconds; None is the end of the clip.
    """

    start: float | None = None
    end: float | None = None

    def __post_init__(self) -> None:
        """Check that the start is before the end."""
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise VideoError(f"`end` must be after `start`, got {self.start} to {self.end}")

    def holds(self, time: Fraction | float) -> bool:
        """Return whether a time in seconds lies in the part."""
        return (self.start is None or time >= _to_fraction(self.start)) and not self.is_past(time)

    def is_past(self, time: Fraction | float) -> bool:
        """Return whether a time in seconds lies after the part."""
        return self.end is not None and time >= _to_fraction(self.end)


@dataclass
class Clip:
    """Clip opened for reading.

    Attributes:
        name: Path, address, or "standard input".
        container: PyAV's input container.
        video: The stream to derain.
        others: All other streams.
        first: First decoded frame, once `read_frames` has begun.
    """

    name: str
    container: Any
    video: Any
    others: list[Any]
    first: Any = field(default=None, repr=False)

    def __enter__(self) -> "Clip":
        """Return the clip."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the container."""
        self.close()

    def close(self) -> None:
        """Close the container."""
        self.container.close()

    @property
    def time_base(self) -> Fraction:
        """Unit of the timestamps of the video, in seconds."""
        return Fraction(self.video.time_base)

    @property
    def rate(self) -> Fraction | None:
        """Mean frames per second stated by the container; None if unknown."""
        rate = self.video.average_rate or self.video.guessed_rate
        return None if not rate else Fraction(rate)

    @property
    def codec(self) -> str:
        """Name of the codec family: h264, hevc, av1 and so on."""
        return str(self.video.codec_context.codec.canonical_name)

    @property
    def frame_count(self) -> int | None:
        """Number of frames stated by the container; None if unknown."""
        with suppress(ValueError):
            told = self.video.frames or int(self.video.metadata.get("NUMBER_OF_FRAMES", 0))
            return int(told) or None
        return None

    @property
    def seconds(self) -> float | None:
        """Duration stated by the container, in seconds; None if unknown."""
        if self.video.duration:
            return float(self.video.duration * self.time_base)
        if told := _parse_duration(self.video.metadata.get("DURATION", "")):
            return told
        duration = self.container.duration
        return None if not duration else float(duration) / 1e6

    @property
    def display_matrix(self) -> tuple[int, ...] | None:
        """Nine numbers that rotate the frames for display; None if they are upright."""
        if self.codec in _IMAGE_CODECS:
            angle = 0 if self.first is None else int(self.first.rotation)
            return _make_display_matrix(angle) if angle else None
        data = self.read_side_data("DISPLAYMATRIX")
        return None if data is None else tuple(np.frombuffer(data, "<i4").tolist())

    def read_side_data(self, kind: str) -> bytes | None:
        """Return side data of the first frame, by PyAV's name of its kind; None if it has none.

        Raises:
            VideoError: The frame has side data that PyAV does not know.
        """
        # PyAV 18 frees the metadata of EXIF and of colour profiles twice, which ends the process.
        if self.first is None or self.codec in _IMAGE_CODECS:
            return None
        try:
            found = [side for side in self.first.side_data if side.type.name == kind]
        except ValueError as error:
            raise VideoError(
                f"{self.name} holds frame metadata of an unknown kind ({error}), which cannot be "
                "kept; remove it first"
            ) from error
        return bytes(found[0]) if found else None


def is_sequence(name: str) -> bool:
    """Return whether a name is a pattern of numbered images, such as frames/%05d.png."""
    return not is_address(name) and _SEQUENCE.search(name) is not None


def is_address(name: str) -> bool:
    """Return whether a name is a network address."""
    return name.startswith(_SCHEMES)


def is_live(name: str) -> bool:
    """Return whether a name is a live source: a camera or a stream."""
    return name.startswith(_LIVE_SCHEMES) or re.fullmatch(r"/dev/video\d+", name) is not None


def open_clip(
    source: str | Path | Any,
    *,
    rate: Fraction | float | None = None,
    options: dict[str, str] | None = None,
    timeout: float | None = None,
) -> Clip:
    """Open a clip for reading.

    Args:
        source: Path, address, pattern of numbered images, "-" for standard input, or a binary file.
        rate: Frames per second of numbered images.
        options: Options of FFmpeg's demuxer.
        timeout: Seconds without data after which reading from an address fails.

    Raises:
        VideoError: The source is missing, is not a clip, or has no video that can be decoded.
    """
    av = load_av()
    name = str(source) if isinstance(source, str | Path) else getattr(source, "name", "the clip")
    opened, format_, options = _choose_input(source, name, rate, dict(options or {}))
    if name == STREAM:
        name = "standard input"
    try:
        container = av.open(
            opened, "r", format=format_, options=options, timeout=timeout, metadata_errors="replace"
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            f"{name} cannot be read as a clip: {_explain(error)}; it may be truncated, damaged or "
            "not a video"
        ) from error
    try:
        return _check_streams(name, container, may_be_image=format_ in ("image2", "v4l2"))
    except BaseException:
        container.close()
        raise


def read_frames(
    clip: Clip, *, after: int | None = None, before: float | None = None
) -> Iterator[Any]:
    """Yield the frames of a clip in the order of their timestamps.

    Args:
        clip: Opened clip.
        after: Timestamp of the last frame that is not needed, in units of the stream.
        before: Time in seconds at which to stop; None reads to the end.

    Raises:
        VideoError: The clip ends early, changes its size, is interlaced, lacks a timestamp, or
            holds metadata that would be lost.
    """
    av = load_av()
    checker = FrameChecker(clip)
    if after is not None:
        _seek(clip, after)
    number = 0
    try:
        for frame in _decode(clip):
            number += 1
            if after is not None and frame.pts is not None and frame.pts <= after:
                continue
            checker.check(frame)
            if before is not None and frame.pts * clip.time_base >= _to_fraction(before):
                return
            yield frame
    except av.error.FFmpegError as error:
        raise VideoError(
            f"{clip.name} breaks off after frame {number}: {_explain(error)}; "
            "it is truncated or damaged"
        ) from error
    if after is None:
        _check_end(clip, number, checker.last_time)


def _decode(clip: Clip) -> Iterator[Any]:
    """Yield the frames of a clip in the order of the decoder."""
    for packet in clip.container.demux(clip.video):
        if packet.has_sidedata("encryption_info"):
            raise VideoError(
                f"{clip.name} is encrypted (DRM), and cannot be decoded; give a clip without DRM"
            )
        yield from packet.decode()


class FrameChecker:
    """Check of frames for properties that the output could not keep.

    Args:
        clip: Clip of the frames; its first frame is stored there.
        may_jump: If True, timestamps may be negative or decrease, as in a live source.
    """

    def __init__(self, clip: Clip, *, may_jump: bool = False) -> None:
        self._clip = clip
        self._may_jump = may_jump
        self._last: int | None = None

    @property
    def last_time(self) -> Fraction | None:
        """Time of the last checked frame, in seconds."""
        return None if self._last is None else self._last * self._clip.time_base

    def check(self, frame: Any) -> None:
        """Check one frame; call it for all frames in their order."""
        clip, name = self._clip, self._clip.name
        if frame.pts is None:
            raise VideoError(
                f"{name} has a frame without a timestamp; put it into a container that has them, "
                "for example with ffmpeg -r 25 -i IN -c copy OUT.mkv"
            )
        if clip.first is None:
            clip.first = frame
            for kind, words in _LOST_SIDE_DATA.items():
                if clip.read_side_data(kind) is not None:
                    raise VideoError(f"{name} holds {words}, which cannot be kept; remove it first")
        first = clip.first
        if (frame.width, frame.height) != (first.width, first.height):
            raise VideoError(
                f"{name} changes its size from {first.width} x {first.height} to {frame.width} x "
                f"{frame.height} at {_format_time(frame)}; cut it there and derain the parts"
            )
        if frame.format.name != first.format.name:
            raise VideoError(
                f"{name} changes its pixel format from {first.format.name} to {frame.format.name} "
                f"at {_format_time(frame)}; cut it there and derain the parts"
            )
        if frame.interlaced_frame:
            raise VideoError(
                f"{name} is interlaced; deinterlace it first, for example with  ffmpeg -vf bwdif"
            )
        if self._may_jump:
            return
        if frame.pts < 0:
            raise VideoError(
                f"{name} has a frame at a negative time, {_format_time(frame)}; "
                "shift it first with ffmpeg -i IN -c copy -avoid_negative_ts make_zero OUT"
            )
        if self._last is not None and frame.pts <= self._last:
            raise VideoError(
                f"{name} has timestamps that do not rise at {_format_time(frame)}; remux it first"
            )
        self._last = frame.pts


def _choose_input(
    source: Any, name: str, rate: Fraction | float | None, options: dict[str, str]
) -> tuple[Any, str | None, dict[str, str]]:
    """Return the input for PyAV, its format if PyAV needs the name, and the options."""
    if not isinstance(source, str | Path):
        return source, None, options
    if name == STREAM:
        return sys.stdin.buffer, None, options
    if is_sequence(name):
        options["framerate"] = str(Fraction(rate or 25).limit_denominator(100_000))
        first = find_first_number(Path(name))
        return name, "image2", {**options, "start_number": str(first)}
    if re.fullmatch(r"/dev/video\d+", name):
        return name, "v4l2", options
    if not is_address(name):
        path = Path(name)
        if path.is_dir():
            raise VideoError(f"{name} is a folder; give a pattern of its images: {name}/%05d.png")
        if not path.is_file():
            raise VideoError(f"{name} does not exist; give the path of a clip")
    return name, None, options


def find_first_number(pattern: Path) -> int:
    """Return the number of the first image of a pattern."""
    match = _SEQUENCE.search(pattern.name)
    if match is None:
        raise VideoError(f"{pattern}: the number must be in the name of the image, not of a folder")
    before, after = pattern.name[: match.start()], pattern.name[match.end() :]
    inside = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    numbers = [
        int(found.group(1))
        for path in (pattern.parent.iterdir() if pattern.parent.is_dir() else ())
        if (found := inside.fullmatch(path.name))
    ]
    if not numbers:
        raise VideoError(f"{pattern}: no image matches this pattern")
    return min(numbers)


def _check_streams(name: str, container: Any, *, may_be_image: bool) -> Clip:
    videos = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not videos:
        kinds = sorted({str(stream.type) for stream in container.streams})
        held = "no stream" if not kinds else " and ".join(kinds)
        if container.streams.video:
            held = "a cover image"
        raise VideoError(f"{name} holds {held} and no video; give a clip with moving images")
    names = str(container.format.name)
    if not may_be_image and any(part in names for part in _STILL_FORMATS):
        raise VideoError(f"{name} is a still image; use crdnet derain")
    video = max(videos, key=lambda each: bool(each.disposition & 1))
    if video.codec_context is None:
        raise VideoError(
            f"{name} has video in a codec that cannot be decoded here; convert it first"
        )
    # Decoding in all available threads does not affect the order of frames.
    video.thread_type = "AUTO"
    others = [stream for stream in container.streams if stream.index != video.index]
    return Clip(name, container, video, others)


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & load_av().stream.Disposition.attached_pic)


def _seek(clip: Clip, after: int) -> None:
    """Seek to a key frame at or before a timestamp."""
    av = load_av()
    with suppress(av.error.FFmpegError):
        clip.container.seek(after, stream=clip.video, backward=True)
        return
    clip.container.seek(0)


def _check_end(clip: Clip, number: int, last: Fraction | None) -> None:
    if number == 0:
        raise VideoError(
            f"{clip.name} holds no frame that can be decoded; it is empty or truncated"
        )
    promised = clip.frame_count
    if promised is not None and number < promised:
        raise VideoError(
            f"{clip.name} ends after {number} of {promised} frames; it is truncated or damaged"
        )
    told = _parse_duration(clip.video.metadata.get("DURATION", ""))
    if promised is None and told and last is not None and clip.rate:
        start = clip.video.start_time or 0
        if float(last - start * clip.time_base) + 3 / float(clip.rate) + 0.1 < told - float(
            start * clip.time_base
        ):
            raise VideoError(
                f"{clip.name} ends at {float(last):.2f} of {told:.2f} s; it is truncated or damaged"
            )


def _make_display_matrix(angle_degrees: int) -> tuple[int, ...]:
    """Return the display matrix for a counter-clockwise rotation, as FFmpeg states it."""
    radians = np.radians(angle_degrees)
    cosine, sine = (round(65536 * float(each)) for each in (np.cos(radians), np.sin(radians)))
    return (cosine, -sine, 0, sine, cosine, 0, 0, 0, 1 << 30)


def _parse_duration(text: str) -> float | None:
    """Return the seconds of a tag such as 00:01:02.500000000."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", text.strip("\0 "))
    if match is None:
        return None
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])


def _to_fraction(seconds: float) -> Fraction:
    """Return the exact decimal value of a time: 0.2 becomes 1/5, which no float equals."""
    return Fraction(seconds).limit_denominator(1_000_000)


def _explain(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)


def _format_time(frame: Any) -> str:
    return f"{frame.time:.3f} s"
