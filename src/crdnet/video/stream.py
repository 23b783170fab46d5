"""Deraining of a clip that is read once: a pipe, an address, a binary file.

Packets of other streams are copied as they arrive, and no frame is dropped.
"""

import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from crdnet.errors import VideoError
from crdnet.video.avlib import load_av
from crdnet.video.derain import Payload, make_temporal, open_network_of
from crdnet.video.encoders import EncoderPlan, plan_encoder
from crdnet.video.encoding import FrameEncoder, render_frame
from crdnet.video.options import (
    OnProgress,
    VideoOptions,
    VideoProgress,
    VideoRecord,
    resolve_name,
)
from crdnet.video.planes import copy_frame, prepare_frame, read_colours
from crdnet.video.source import STREAM, Clip, FrameChecker, open_clip
from crdnet.video.temporal import DerainedFrame
from crdnet.video.writer import (
    ClipWriter,
    choose_container,
    needs_global_header,
    open_writer,
)


def derain_stream(
    source: str | Path | Any,
    destination: str | Path | Any,
    options: VideoOptions,
    on_progress: OnProgress,
    *,
    output_name: str | None = None,
) -> VideoRecord:
    """Derain a clip that is read once; arguments and errors are those of `derain_video`."""
    if options.only_rain:
        raise VideoError(
            "`only_rain=True` reads the source more than once; give a file, not a stream"
        )
    run = _StreamRun(destination, options, on_progress, output_name or resolve_name(destination))
    with open_clip(source, rate=options.rate) as clip:
        return run.run(clip)


class _StreamRun:
    """Run from a stream to a file or a stream."""

    def __init__(
        self, destination: Any, options: VideoOptions, on_progress: OnProgress, name: str
    ) -> None:
        self._destination, self._options, self._name = destination, options, name
        self._on_progress = on_progress
        self._began = time.perf_counter()
        self._frames = self._left_alone = 0
        self._densities: Counter[str] = Counter()

    def run(self, clip: Clip) -> VideoRecord:
        """Derain until the stream ends."""
        options = self._options
        derainer = make_temporal(open_network_of(options), options)
        checker = FrameChecker(clip)
        early: deque[Any] = deque()
        writer: ClipWriter | None = None
        av = load_av()
        packets = clip.container.demux()
        try:
            first, frames = _read_to_first(clip, packets, early, checker)
        except av.error.FFmpegError as error:
            raise VideoError(f"{clip.name} breaks off before its first frame: {error}") from error
        prepared = prepare_frame(copy_frame(first))
        place = self._name if isinstance(self._destination, str | Path) else STREAM
        container = choose_container(place, clip, options.container)
        plan = plan_encoder(
            clip,
            prepared,
            options.encoder,
            width=2 * prepared.width if options.side_by_side else None,
            family="ffv1" if clip.codec == "rawvideo" and container == "matroska" else None,
        )
        plan.open(global_header=needs_global_header(container))
        writer = ClipWriter(self._destination, container, clip, plan)
        with open_writer(writer):
            encoder = FrameEncoder(writer.video.encode, plan)

            def finish(derained: Iterator[DerainedFrame]) -> None:
                for each in derained:
                    rendered = render_frame(
                        replace(each, payload=each.payload.decoded),
                        side_by_side=options.side_by_side,
                    )
                    writer.write_encoded(list(encoder.encode(rendered)))
                    self._tell(clip, each)

            def take(frame: Any) -> None:
                if not options.window.holds(frame.pts * clip.time_base):
                    return
                decoded = prepare_frame(frame)
                rgb = read_colours(decoded)
                finished = derainer.push(rgb, Payload(decoded, rgb))
                finish(iter(() if finished is None else (finished,)))

            for packet in early:
                writer.write_copied(packet)
            for frame in frames:
                take(frame)
            for packet in packets:
                if packet.stream_index != clip.video.index:
                    writer.write_copied(packet)
                    continue
                for frame in packet.decode():
                    checker.check(frame)
                    take(frame)
            finish(derainer.flush())
            writer.write_encoded(list(encoder.flush()))
        return self._record(clip, plan)

    def _tell(self, clip: Clip, frame: DerainedFrame) -> None:
        self._frames += 1
        self._left_alone += frame.left_alone
        density = frame.report.density
        self._densities["unknown" if density is None else density.name.lower()] += 1
        seconds = time.perf_counter() - self._began
        self._on_progress(
            VideoProgress(
                self._frames,
                None,
                float(frame.payload.decoded.pts * clip.time_base),
                self._frames / max(seconds, 1e-9),
                None,
                density,
            )
        )

    def _record(self, clip: Clip, plan: EncoderPlan) -> VideoRecord:
        return VideoRecord(
            clip.name,
            "standard output" if self._name == STREAM else self._name,
            self._frames,
            0,
            0,
            self._left_alone,
            dict(self._densities),
            clip.first.width,
            clip.first.height,
            f"{plan.encoder} {plan.pixel_format}",
            time.perf_counter() - self._began,
        )


def _read_to_first(
    clip: Clip, packets: Iterator[Any], early: deque[Any], checker: FrameChecker
) -> tuple[Any, list[Any]]:
    """Read up to the first frame; return the frame, and all frames of its packet."""
    for packet in packets:
        if packet.stream_index != clip.video.index:
            early.append(packet)
            continue
        frames = packet.decode()
        for frame in frames:
            checker.check(frame)
        if frames:
            return frames[0], frames
    raise VideoError(f"{clip.name} holds no frame that can be decoded; it is empty or truncated")
