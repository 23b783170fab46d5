"""Deraining of a clip: decode, sense, derain with neighbours, encode, and copy everything else.

A file is processed in segments, and the output appears by one rename. A pipe is processed as it is
read.
"""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from crdnet.errors import OutputError, VideoError
from crdnet.files import open_whole, write_whole
from crdnet.runtime import FUSE
from crdnet.video.encoders import EncoderPlan, plan_encoder
from crdnet.video.encoding import FrameEncoder, render_frame
from crdnet.video.engine import (
    Frame,
    FrameNetwork,
    SenseReport,
    as_pixels,
    get_intensity,
    identify_model,
    open_network,
)
from crdnet.video.fusion import FusionModel
from crdnet.video.images import ImageEncoder
from crdnet.video.only_rain import Groups, find_groups
from crdnet.video.options import (
    OnProgress,
    VideoOptions,
    VideoProgress,
    VideoRecord,
    resolve_name,
)
from crdnet.video.planes import copy_frame, prepare_frame, read_colours
from crdnet.video.segments import Segment, SegmentFolder, StoredPacket
from crdnet.video.source import (
    STREAM,
    Clip,
    Window,
    is_address,
    is_live,
    is_sequence,
    open_clip,
    read_frames,
)
from crdnet.video.temporal import DerainedFrame, TemporalDerainer
from crdnet.video.writer import (
    ClipWriter,
    assign_dts,
    choose_container,
    merge_in_time,
    needs_global_header,
    open_writer,
)

# Bytes at both ends of a source that tell whether it is the same.
_PIECE = 1 << 20


class ClipFrame(NamedTuple):
    """Frame of a clip.

    Attributes:
        number: Its number, from 0.
        time: Its timestamp in seconds.
        rainy: RGB (h, w, 3), uint8, or uint16 above 8 bits.
        derained: The derained frame, in the same form.
        report: Report on the rain.
    """

    number: int
    time: float
    rainy: Frame
    derained: Frame
    report: SenseReport


def frames(source: str | Path | Any, options: VideoOptions | None = None) -> Iterator[ClipFrame]:
    """Yield the derained frames of a clip.

    Args:
        source: Path, address, pattern of numbered images, "-", or a binary file.
        options: Options of deraining; the encoder is not used.

    Raises:
        VideoError: The source is not a clip, or has content that cannot be kept.
    """
    options = options or VideoOptions()
    derainer = make_temporal(open_network_of(options), options)
    with open_clip(source, rate=options.rate) as clip:
        derained = _derain_frames(clip, derainer, options.window, after=None)
        for number, frame in enumerate(derained):
            rgb = frame.payload.rgb
            yield ClipFrame(
                number,
                float(frame.payload.decoded.pts * clip.time_base),
                rgb,
                as_pixels(frame.derained, rgb.dtype),
                frame.report,
            )


def derain_video(
    source: str | Path | Any,
    destination: str | Path | Any,
    options: VideoOptions | None = None,
    on_progress: OnProgress | None = None,
) -> VideoRecord:
    """Derain a clip; other streams and metadata are kept.

    Args:
        source: Path, pattern of numbered images (frames/%05d.png), "-" for standard input, a
            binary file, or the address of a stream.
        destination: An output of the same kinds as the source; a file is complete or absent.
        options: Options of deraining and encoding; None is the defaults.
        on_progress: Called after every frame.

    Returns:
        The record of the run.

    Raises:
        VideoError: The source is not a clip, or has content that cannot be kept.
        OutputError: The destination exists, is the source, or cannot be written.
        MissingExtraError: PyAV is not installed.
    """
    options = options or VideoOptions()
    source_name, name = resolve_name(source), resolve_name(destination)
    is_path = isinstance(destination, str | Path) and name != STREAM and not is_address(name)
    if is_live(source_name):
        from crdnet.video.live import derain_live  # noqa: PLC0415 - it uses this module

        if is_path:
            _check_output(source, Path(name), options)
        return derain_live(source_name, destination, options, None, on_progress)
    if not is_path:
        from crdnet.video.stream import derain_stream  # noqa: PLC0415 - it uses this module

        return derain_stream(source, destination, options, on_progress or _ignore)
    _check_output(source, Path(name), options)
    if not isinstance(source, str | Path) or source_name == STREAM or is_address(source_name):
        from crdnet.video.stream import derain_stream  # noqa: PLC0415

        with open_whole(Path(name), overwrite=options.overwrite) as temporary:
            return derain_stream(
                source, temporary, options, on_progress or _ignore, output_name=name
            )
    return _FileRun(source_name, Path(name), options, on_progress or _ignore).run()


def open_network_of(options: VideoOptions) -> FrameNetwork:
    """Open the model that options name."""
    return open_network(options.model, options.device, options.threads)


def find_fusion(options: VideoOptions) -> str | None:
    """Return the name of the model that improves fused frames; it was trained for `default`."""
    return "video" if options.temporal and options.model == "default" else None


def make_temporal(network: FrameNetwork, options: VideoOptions) -> TemporalDerainer:
    """Return the derainer of frames for the options."""
    name = find_fusion(options)
    return TemporalDerainer(
        network,
        strength=options.strength,
        temporal=options.temporal,
        static=options.static,
        always=options.always,
        fusion=None if name is None else FusionModel(name, options.threads),
    )


class Payload(NamedTuple):
    """Decoded frame, prepared for writing, and its colours."""

    decoded: Any
    rgb: Frame


def _derain_frames(
    clip: Clip, derainer: TemporalDerainer, window: Window, after: int | None
) -> Iterator[DerainedFrame]:
    """Yield the derained frames of a part of a clip, from after a timestamp."""
    for frame in read_frames(clip, after=after, before=window.end):
        if not window.holds(frame.pts * clip.time_base):
            continue
        decoded = prepare_frame(frame)
        rgb = read_colours(decoded)
        finished = derainer.push(rgb, Payload(decoded, rgb))
        if finished is not None:
            yield finished
    yield from derainer.flush()


@dataclass
class _Tally:
    """Counts of a run."""

    began: float = field(default_factory=perf_counter)
    frames: int = 0
    resumed: int = 0
    copied: int = 0
    left_alone: int = 0
    densities: Counter[str] = field(default_factory=Counter)

    def add(self, told: dict[str, Any]) -> None:
        """Count a frame by its entry in a segment."""
        self.frames += 1
        self.left_alone += bool(told["left_alone"])
        self.densities[told["density"] or "unknown"] += 1


class _FileRun:
    """Run from a file to a file.

    Args:
        source: Path, or pattern of numbered images.
        output: Path, or pattern of numbered images.
        options: Options of deraining and encoding.
        on_progress: Called after every frame.
    """

    def __init__(
        self, source: str, output: Path, options: VideoOptions, on_progress: OnProgress
    ) -> None:
        self._source, self._output, self._options = source, output, options
        self._on_progress = on_progress
        self._folder = SegmentFolder(output)
        self._tally = _Tally()
        self._to_images = is_sequence(str(output))

    def run(self) -> VideoRecord:
        """Derain the clip, resuming an earlier run; return the record."""
        options = self._options
        first, prepared = self._read_first()
        with self._open() as clip:
            clip.first = first
            self._container = (
                "image2"
                if self._to_images
                else choose_container(str(self._output), clip, options.container)
            )
            plan = self._plan(clip, prepared)
            groups = None
            if options.only_rain:
                groups, plan = find_groups(self._open, clip, plan, options.encoder.extra)
            # An encoder or container that refuses the clip must do so before the work.
            self._rehearse(clip, plan, groups)
            done = self._folder.begin(self._describe(), overwrite=options.overwrite)
            try:
                self._derain(clip, plan, groups, done)
                self._publish(clip, plan, groups)
            except VideoError:
                # A later run would not find what the source lacks either, so no segments are kept.
                self._folder.remove()
                raise
        self._folder.remove()
        tally = self._tally
        return VideoRecord(
            self._source,
            str(self._output),
            tally.frames,
            tally.resumed,
            tally.copied,
            tally.left_alone,
            dict(tally.densities),
            first.width,
            first.height,
            f"{plan.encoder} {plan.pixel_format}",
            perf_counter() - tally.began,
        )

    def _open(self) -> Clip:
        return open_clip(self._source, rate=self._options.rate)

    def _read_first(self) -> tuple[Any, Any]:
        """Return the first frame as decoded, and prepared for writing."""
        with self._open() as clip:
            if is_sequence(self._source) and not self._to_images and self._options.rate is None:
                raise VideoError(
                    f"{self._source} has no timestamps; give its frame rate with `rate`"
                )
            for frame in read_frames(clip):
                return frame, prepare_frame(copy_frame(frame) if _is_copyable(frame) else frame)
        raise VideoError(f"{self._source} holds no frame that can be decoded")

    def _plan(self, clip: Clip, prepared: Any) -> EncoderPlan:
        width = 2 * prepared.width if self._options.side_by_side else None
        family = None
        if self._to_images:
            family = {".png": "png", ".jpg": "mjpeg", ".jpeg": "mjpeg", ".tif": "tiff"}.get(
                self._output.suffix.lower(), "png"
            )
        elif is_sequence(self._source):
            family = "ffv1" if self._container in ("matroska", "nut", "avi") else "h264"
        return plan_encoder(clip, prepared, self._options.encoder, width=width, family=family)

    def _needs_header(self, groups: Groups | None) -> bool:
        if groups is not None:
            return groups.global_header
        return needs_global_header(self._container)

    def _rehearse(self, clip: Clip, plan: EncoderPlan, groups: Groups | None) -> None:
        """Test the encoder and the container by writing a header that is discarded."""
        self._begin_segment(plan, groups)
        if self._to_images:
            return
        writer = self._make_writer(BytesIO(), clip, plan, groups, Fraction(0))
        try:
            writer.open()
        finally:
            with suppress(Exception):
                writer.close()

    def _describe(self) -> dict[str, Any]:
        return {
            "source": _identify(self._source),
            "settings": self._options.as_dict() | _identify_models(self._options),
        }

    def _derain(self, clip: Clip, plan: EncoderPlan, groups: Groups | None, done: int) -> None:
        """Encode the missing segments."""
        options, tally = self._options, self._tally
        derainer = make_temporal(open_network_of(options), options)
        after = None
        for segment in self._folder.read_all(with_data=False):
            for told in segment.frames:
                tally.add(told)
            tally.copied += sum(bool(told.get("copied")) for told in segment.frames)
            after = segment.last
            if segment.is_end:
                tally.resumed = tally.frames
                return
        tally.resumed = tally.frames
        if done:
            derainer.load_state(self._folder.load_state(done - 1))
        number = done
        making: _SegmentMaker | None = None
        state: dict[str, Any] = {}
        derained = _derain_frames(clip, derainer, options.window, after)
        with closing(derained):  # type: ignore[type-var]  # a generator
            for frame in derained:
                pts = frame.payload.decoded.pts
                if making is not None and (
                    groups.begins(pts, making)
                    if groups
                    else len(making.frames) >= options.segment_frames
                ):
                    # The state from before this frame, with which a resumed run begins.
                    self._add(number, making.finish(groups), state)
                    number, making = number + 1, None
                if making is None:
                    making = self._begin_segment(plan, groups)
                told = making.add(frame)
                tally.add(told)
                self._tell(clip, frame, pts)
                state = derainer.save_state()
        if making is None:
            raise VideoError(
                f"{self._source} has no frame in this part; choose another `start`, `end`"
            )
        if tally.frames == 1 and options.window == Window() and not is_sequence(self._source):
            raise VideoError(
                f"{self._source} has only one frame; extract it as an image and use crdnet derain"
            )
        self._add(number, replace(making.finish(groups), is_end=True), state)

    def _begin_segment(self, plan: EncoderPlan, groups: Groups | None) -> "_SegmentMaker":
        side_by_side = self._options.side_by_side
        if self._to_images and is_sequence(self._source):
            return _ImageMaker(ImageEncoder(self._source, self._output, side_by_side=side_by_side))
        return _FrameMaker(plan, self._needs_header(groups), side_by_side)

    def _add(self, number: int, segment: Segment, state: dict[str, Any]) -> None:
        self._tally.copied += sum(bool(told.get("copied")) for told in segment.frames)
        self._folder.add(number, segment, state)

    def _tell(self, clip: Clip, frame: DerainedFrame, pts: int) -> None:
        tally = self._tally
        total = _count_frames(clip, self._options.window)
        seconds = perf_counter() - tally.began
        rate = (tally.frames - tally.resumed) / max(seconds, 1e-9)
        left = None if total is None else max(0, total - tally.frames) / max(rate, 1e-9)
        self._on_progress(
            VideoProgress(
                tally.frames, total, float(pts * clip.time_base), rate, left, frame.report.density
            )
        )

    def _publish(self, clip: Clip, plan: EncoderPlan, groups: Groups | None) -> None:
        """Write the output from the segments and the source's other streams."""
        if self._to_images:
            self._publish_images()
            return
        packets = [
            packet
            for segment in self._folder.read_all(with_data=False)
            for packet in segment.packets
        ]
        times = assign_dts(packets)
        window = self._options.window
        shift = min(each.pts for each in packets) * clip.time_base if window.start else Fraction(0)
        with open_whole(self._output, overwrite=self._options.overwrite) as temporary:
            writer = self._make_writer(temporary, clip, plan, groups, shift)
            with open_writer(writer), self._open() as others:
                video = (
                    (dts * clip.time_base, (packet, dts))
                    for packet, dts in zip(self._read_stored(), times, strict=True)
                )
                copied = _read_copied(others, writer.copies, window)
                for is_video, packet in merge_in_time(video, copied):
                    if is_video:
                        writer.write_stored(*packet)
                    else:
                        writer.write_copied(packet)

    def _make_writer(
        self, path: Any, clip: Clip, plan: EncoderPlan, groups: Groups | None, shift: Fraction
    ) -> ClipWriter:
        window = self._options.window
        return ClipWriter(
            path,
            self._container,
            clip,
            plan,
            shift=shift,
            window=(window.start, window.end),
            extradata=None if groups is None else groups.extradata,
        )

    def _publish_images(self) -> None:
        for number, packet in enumerate(self._read_stored()):
            path = Path(str(self._output) % (number + 1))
            write_whole(path, packet.data, overwrite=self._options.overwrite)

    def _read_stored(self) -> Iterator[StoredPacket]:
        for segment in self._folder.read_all():
            yield from segment.packets


class _SegmentMaker(ABC):
    """Segment under construction."""

    def __init__(self) -> None:
        self._packets: list[StoredPacket] = []
        self._times: list[int] = []
        self.frames: list[dict[str, Any]] = []

    def add(self, frame: DerainedFrame) -> dict[str, Any]:
        """Encode a frame, and return its report as JSON values."""
        pts = int(frame.payload.decoded.pts)
        report = frame.report
        told = {
            "pts": pts,
            "density": None if report.density is None else report.density.name.lower(),
            "intensity": get_intensity(report),
            "left_alone": frame.left_alone,
        }
        self.frames.append(told)
        self._times.append(pts)
        self._packets.extend(self._encode(frame))
        return told

    def finish(self, groups: Groups | None) -> Segment:
        """Return the finished segment; `groups` may replace its packets by those of the source."""
        self._packets.extend(self._flush())
        segment = Segment(self._times[0], self._times[-1], False, self.frames, self._packets)
        return segment if groups is None else groups.fill(segment)

    @abstractmethod
    def _encode(self, frame: DerainedFrame) -> Iterator[StoredPacket]: ...

    @abstractmethod
    def _flush(self) -> Iterator[StoredPacket]: ...


class _FrameMaker(_SegmentMaker):
    """Segment with an encoder of its own.

    Args:
        plan: Settings of the encoder.
        global_header: Whether parameter sets stand in the header of the container.
        side_by_side: Whether each frame has the rainy one to its left.
    """

    def __init__(self, plan: EncoderPlan, global_header: bool, side_by_side: bool) -> None:
        super().__init__()
        context = plan.open(global_header=global_header)
        self._encoder = FrameEncoder(context.encode, plan)
        self._side_by_side = side_by_side

    def _encode(self, frame: DerainedFrame) -> Iterator[StoredPacket]:
        plain = replace(frame, payload=frame.payload.decoded)
        rendered = render_frame(plain, side_by_side=self._side_by_side)
        return map(_store_packet, self._encoder.encode(rendered))

    def _flush(self) -> Iterator[StoredPacket]:
        return map(_store_packet, self._encoder.flush())


class _ImageMaker(_SegmentMaker):
    """Segment of image files.

    Args:
        encoder: Encoder of a frame as a file.
    """

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self._encoder = encoder

    def _encode(self, frame: DerainedFrame) -> Iterator[StoredPacket]:
        pts = int(frame.payload.decoded.pts)
        # Timestamps of numbered images are their index.
        yield StoredPacket(pts, 1, True, self._encoder.encode(pts, frame))

    def _flush(self) -> Iterator[StoredPacket]:
        return iter(())


def _store_packet(packet: Any) -> StoredPacket:
    return StoredPacket(packet.pts, packet.duration or 0, bool(packet.is_keyframe), bytes(packet))


def _check_output(source: Any, output: Path, options: VideoOptions) -> None:
    """Refuse an output that is the source, or that exists."""
    if is_sequence(str(output)):
        first = Path(str(output) % 1)
        if isinstance(source, str | Path) and str(source) == str(output):
            raise OutputError(
                f"{output} is the source, and is never replaced; choose another folder"
            )
        if first.exists() and not options.overwrite:
            raise OutputError(f"{first} exists; use `overwrite=True` to replace it")
        return
    is_path = isinstance(source, str | Path) and output.exists() and Path(source).exists()
    if is_path and output.samefile(source):
        raise OutputError(f"{output} is the source, and is never replaced; choose another output")
    if output.is_dir():
        raise OutputError(f"{output} is a folder; give the name of a file")
    if output.exists() and not options.overwrite:
        raise OutputError(f"{output} exists; use `overwrite=True` to replace it")


def _identify_models(options: VideoOptions) -> dict[str, str]:
    fusion = find_fusion(options)
    known = {"sha256": identify_model(options.model)}
    return known if fusion is None else known | {"fusion": identify_model(fusion, FUSE)}


def _identify(source: str) -> dict[str, Any]:
    """Return the size of a source and a digest of its ends; for numbered images the path."""
    path = Path(source)
    if is_sequence(source):
        return {"path": str(path.resolve())}
    size = path.stat().st_size
    digest = sha256()
    with path.open("rb") as file:
        digest.update(file.read(_PIECE))
        file.seek(max(0, size - _PIECE), os.SEEK_SET)
        digest.update(file.read(_PIECE))
    return {"size": size, "ends": digest.hexdigest()}


def _read_copied(
    clip: Clip, indices: set[int], window: Window
) -> Iterator[tuple[Fraction | None, Any]]:
    """Yield (time in seconds, packet) of the streams that are copied."""
    streams = [each for each in clip.others if each.index in indices and each.type != "attachment"]
    if not streams:
        return
    for packet in clip.container.demux(streams):
        if packet.dts is None and packet.pts is None and not packet.size:
            continue
        ticks = packet.dts if packet.dts is not None else packet.pts
        time = None if ticks is None else ticks * Fraction(packet.time_base)
        shown = None if packet.pts is None else packet.pts * Fraction(packet.time_base)
        if shown is not None and not window.holds(shown):
            continue
        yield time, packet


def _count_frames(clip: Clip, window: Window) -> int | None:
    """Return the number of frames of a part of a clip, if its container states it."""
    total = clip.frame_count
    seconds = clip.seconds
    if total is None and clip.rate and seconds:
        total = max(1, round(seconds * float(clip.rate)))
    if total is None or not seconds or window == Window():
        return total
    start = min(window.start or 0.0, seconds)
    end = min(seconds if window.end is None else window.end, seconds)
    return max(1, round(total * (end - start) / seconds))


def _is_copyable(frame: Any) -> bool:
    return frame.format.name.startswith(("yuv", "gray")) and not frame.format.name.endswith("be")


def _ignore(_progress: VideoProgress) -> None:
    pass
