"""Writing of a clip: the derained video and all other content of the source.

All streams except the video are copied packet by packet. Container, metadata, dispositions,
chapters, attachments and the display matrix are those of the source.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from crdnet.errors import OutputError, VideoError
from crdnet.video.avlib import copy_packet, load_av
from crdnet.video.encoders import EncoderPlan
from crdnet.video.segments import StoredPacket
from crdnet.video.source import STREAM, Clip, is_address

CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".ts": "mpegts",
    ".m2ts": "mpegts",
    ".mts": "mpegts",
    ".nut": "nut",
    ".flv": "flv",
    ".mpg": "mpeg",
    ".mpeg": "mpeg",
    ".wmv": "asf",
    ".ogv": "ogg",
    ".mxf": "mxf",
}
"""Containers by suffix of the file name."""
_CODEC_OF_CONTAINER = {"webm": ("vp9", "vp8", "av1")}
_NOT_COPIED = {"major_brand", "minor_version", "compatible_brands", "encoder"}
_STATISTICS = ("BPS", "NUMBER_OF_", "DURATION", "_STATISTICS_")
_MOVIE = ("mp4", "mov")
_GLOBAL_HEADER = ("mp4", "mov", "matroska", "webm", "nut", "flv", "asf")


def choose_container(destination: str, clip: Clip, given: str | None = None) -> str:
    """Return FFmpeg's name of the container for an output.

    Args:
        destination: Path, address or "-".
        clip: Source.
        given: Container named by the user, if any.

    Raises:
        OutputError: The suffix of the name is unknown.
    """
    if given is not None:
        return CONTAINERS.get(f".{given}", given)
    if destination == STREAM:
        return "nut" if "nut" in clip.container.format.name else "matroska"
    if is_address(destination):
        return {"rtsp": "rtsp", "rtmp": "flv"}.get(destination.split(":", maxsplit=1)[0], "mpegts")
    suffix = Path(destination).suffix.lower()
    if suffix not in CONTAINERS:
        raise OutputError(
            f"{destination}: no container has this suffix; use one of {', '.join(CONTAINERS)}"
        )
    return CONTAINERS[suffix]


def needs_global_header(container: str) -> bool:
    """Return whether the header of a container holds the parameter sets of the video."""
    return container in _GLOBAL_HEADER


class ClipWriter:
    """Writer of a container.

    Args:
        destination: Path, address, "-" or a binary file.
        container: FFmpeg's name of the container.
        clip: Source, whose first frame has been read.
        plan: Encoder of the video.
        shift: Seconds that are subtracted from all timestamps.
        window: Start and end of the written part in seconds, for chapters.
        options: Options of FFmpeg's muxer.
        from_source: If True, set up the video stream like that of the source, for copied packets.
        extradata: Parameter sets that replace those of the source, with `from_source`.
    """

    def __init__(
        self,
        destination: Any,
        container: str,
        clip: Clip,
        plan: EncoderPlan,
        *,
        shift: Fraction = Fraction(0),
        window: tuple[float | None, float | None] = (None, None),
        options: dict[str, str] | None = None,
        extradata: bytes | None = None,
    ) -> None:
        av = load_av()
        self._clip, self._plan, self._container, self._shift = clip, plan, container, shift
        target = sys.stdout.buffer if destination == STREAM else destination
        target = str(target) if isinstance(target, Path) else target
        try:
            self._output = av.open(
                target,
                "w",
                format=container,
                options=_choose_options(container, clip, plan) | (options or {}),
            )
        except (av.error.FFmpegError, OSError) as error:
            raise OutputError(f"cannot write {destination}: {error}") from error
        self._streams: dict[int, Any] = {}
        self._set_metadata(window)
        for stream in clip.container.streams:
            if stream.index == clip.video.index:
                self.video = self._add_video(extradata)
            elif not _is_made_by_muxer(stream):
                added = self._add_copied(stream)
                if added.type != "attachment":
                    self._streams[stream.index] = added

    @property
    def copies(self) -> set[int]:
        """Indices of the copied streams of the source."""
        return set(self._streams)

    def open(self) -> None:
        """Write the header.

        Raises:
            VideoError: The container cannot hold the content of the source.
        """
        av = load_av()
        try:
            self._output.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in (28, 122):
                raise
            held = ", ".join(str(stream.type) for stream in self._clip.container.streams)
            raise VideoError(
                f"the container {self._container} cannot hold the streams of {self._clip.name} "
                f"({held}; video as {self._plan.encoder}): {error}; give the output the "
                "suffix of the source, or .mkv"
            ) from error

    def write_copied(self, packet: Any) -> None:
        """Write a packet of another stream of the source."""
        stream = self._streams.get(packet.stream_index)
        if stream is None or (packet.dts is None and packet.pts is None and not packet.size):
            return
        copied = copy_packet(packet)
        self._move(copied)
        copied.stream = stream
        self._output.mux_one(copied)

    def write_encoded(self, packets: Sequence[Any]) -> None:
        """Write packets from the encoder of this container's video stream."""
        for packet in packets:
            self._move(packet)
            self._output.mux_one(packet)

    def write_stored(self, stored: StoredPacket, dts: int) -> None:
        """Write a packet of a segment."""
        packet = load_av().Packet(stored.data)
        packet.pts, packet.dts = stored.pts, dts
        packet.time_base = self._plan.time_base
        packet.duration = stored.duration
        packet.is_keyframe = stored.is_keyframe
        self._move(packet)
        packet.stream = self.video
        self._output.mux_one(packet)

    def close(self) -> None:
        """Write the trailer."""
        self._output.close()

    def _move(self, packet: Any) -> None:
        if self._shift and packet.time_base:
            ticks = round(self._shift / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - ticks
            packet.dts = None if packet.dts is None else packet.dts - ticks

    def _set_metadata(self, window: tuple[float | None, float | None]) -> None:
        source = self._clip.container
        self._output.metadata.update(
            {key: value for key, value in source.metadata.items() if key not in _NOT_COPIED}
        )
        chapters = _cut_chapters(source.chapters(), window, self._shift)
        if chapters and self._container in ("mp4", "mov", "matroska", "webm", "nut", "asf", "ogg"):
            self._output.set_chapters(chapters)

    def _add_video(self, extradata: bytes | None) -> Any:
        clip, plan = self._clip, self._plan
        if extradata is not None:
            stream = self._output.add_stream_from_template(clip.video, opaque=True)
            stream.codec_context.extradata = extradata
        else:
            try:
                stream = self._output.add_stream(plan.encoder, rate=plan.rate)
            except ValueError as error:
                raise VideoError(
                    f"the container {self._container} cannot hold {plan.encoder}: {error}; give "
                    "the output the suffix of the source, or .mkv, or choose another `codec`"
                ) from error
            plan.configure(stream, global_header=needs_global_header(self._container))
        stream.time_base = plan.time_base
        if clip.display_matrix is not None:
            stream.set_display_matrix(clip.display_matrix)
        self._describe(stream, clip.video)
        return stream

    def _add_copied(self, source: Any) -> Any:
        try:
            if source.type == "attachment":
                return self._output.add_attachment(
                    source.name or "attachment", source.mimetype or "", source.data
                )
            if self._container in ("matroska", "webm") and _is_cover(source):
                # Matroska keeps cover images as attachments, which FFmpeg reads as video.
                return self._output.add_attachment(
                    source.metadata.get("filename", "cover"),
                    source.metadata.get("mimetype", "image/png"),
                    _read_cover(self._clip, source.index),
                )
            stream = self._output.add_stream_from_template(source, opaque=True)
        except ValueError as error:
            raise VideoError(
                f"the container {self._container} cannot hold the {source.type} stream "
                f"{source.index} ({source.name}) of {self._clip.name}; give the output the "
                "suffix of the source, or .mkv"
            ) from error
        if source.time_base:
            stream.time_base = source.time_base
        self._describe(stream, source)
        return stream

    def _describe(self, stream: Any, source: Any) -> None:
        is_video = source.index == self._clip.video.index
        metadata = {
            key: value
            for key, value in source.metadata.items()
            if key not in _NOT_COPIED and not (is_video and key.startswith(_STATISTICS))
        }
        stream.metadata.update(metadata)
        stream.disposition = source.disposition
        if self._container == "mpegts":
            stream.id = source.id


def assign_dts(packets: Sequence[StoredPacket]) -> list[int]:
    """Return the decoding timestamps of packets in decoding order.

    They increase strictly and never exceed the presentation timestamp of a packet, also at variable
    frame rates.
    """
    times = sorted(packet.pts for packet in packets)
    rank = {time: number for number, time in enumerate(times)}
    delay = max((number - rank[each.pts] for number, each in enumerate(packets)), default=0)
    if not delay:
        return times
    step = max(1, (times[-1] - times[0]) // max(1, len(times) - 1)) if len(times) > 1 else 1
    before = [times[0] - step * (delay - each) for each in range(delay)]
    return [*before, *times[:-delay]]


@contextmanager
def open_writer(writer: ClipWriter) -> Iterator[ClipWriter]:
    """Write the header of a container, and its trailer if the block ends without an error."""
    av = load_av()
    try:
        writer.open()
        yield writer
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror or str(error)) from error
        raise
    finally:
        writer.close()


def merge_in_time(
    video: Iterator[tuple[Fraction, Any]], others: Iterator[tuple[Fraction | None, Any]]
) -> Iterator[tuple[bool, Any]]:
    """Yield (is_video, packet) of two sources in the order of their times in seconds."""
    waiting: list[tuple[Fraction, int, bool, Any]] = []
    sources = {True: video, False: others}
    counter = 0

    def take(is_video: bool) -> None:
        nonlocal counter
        item = next(sources[is_video], None)
        if item is not None:
            counter += 1
            time = Fraction(-(10**9)) if item[0] is None else item[0]
            heappush(waiting, (time, counter, is_video, item[1]))

    take(True)
    take(False)
    while waiting:
        _, _, is_video, packet = heappop(waiting)
        yield is_video, packet
        take(is_video)


def _choose_options(container: str, clip: Clip, plan: EncoderPlan) -> dict[str, str]:
    if container in _MOVIE:
        options = {}
        if plan.time_base.numerator == 1:
            options["video_track_timescale"] = str(plan.time_base.denominator)
        if any(key.startswith("com.") for key in clip.container.metadata):
            options["movflags"] = "use_metadata_tags"
        return options
    if container == "mpegts":
        return {"mpegts_copyts": "1"}
    if container in ("matroska", "webm"):
        return {"default_mode": "passthrough"}
    return {}


def _is_made_by_muxer(stream: Any) -> bool:
    """Return whether the muxer creates a stream from metadata: timecode and chapter tracks."""
    if stream.type != "data":
        return False
    return "timecode" in stream.metadata or getattr(stream, "name", None) == "bin_data"


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & load_av().stream.Disposition.attached_pic)


def _read_cover(clip: Clip, index: int) -> bytes:
    """Return the bytes of a cover image; its packet precedes all others."""
    if not Path(clip.name).is_file():
        raise VideoError(
            f"{clip.name} has a cover image, which can be kept only if the input is a file"
        )
    with load_av().open(clip.name) as container:
        for packet in container.demux(container.streams[index]):
            if packet.size:
                return bytes(packet)
    raise VideoError(f"{clip.name} has a cover image that cannot be read; remove it first")


def _cut_chapters(
    chapters: list[dict[str, Any]], window: tuple[float | None, float | None], shift: Fraction
) -> list[dict[str, Any]]:
    """Return the chapters of a part of a clip, with times relative to the part."""
    start, end = window
    kept = []
    for chapter in chapters:
        base = Fraction(chapter["time_base"])
        first, last = chapter["start"], chapter["end"]
        if start is not None:
            first = max(first, round(shift / base))
        if end is not None:
            last = min(last, round(Fraction(end) / base))
        if first < last or (start is None and end is None):
            moved = round(shift / base)
            kept.append({**chapter, "start": first - moved, "end": last - moved})
    return kept
