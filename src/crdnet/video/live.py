"""Deraining of live video from a camera or a stream.

One thread reads and keeps only the newest frame, so that a slow machine drops frames instead of
falling behind. A lost connection is opened again after growing pauses, and timestamps continue.
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Condition, Thread
from typing import Any

from crdnet.errors import VideoError
from crdnet.video.avlib import load_av
from crdnet.video.derain import Payload, make_temporal, open_network_of
from crdnet.video.encoders import plan_encoder
from crdnet.video.encoding import FrameEncoder, render_frame
from crdnet.video.options import OnProgress, VideoOptions, VideoProgress, VideoRecord, resolve_name
from crdnet.video.planes import copy_frame, prepare_frame, read_colours
from crdnet.video.source import STREAM, Clip, FrameChecker, open_clip
from crdnet.video.temporal import DerainedFrame
from crdnet.video.writer import ClipWriter, choose_container, needs_global_header, open_writer

# Seconds before the first attempt to connect again, and the most; each pause doubles.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_INPUT_OPTIONS = {"fflags": "nobuffer", "flags": "low_delay"}
# Transports of RTSP, tried in turn: TCP loses nothing, but some servers have only UDP.
_TRANSPORTS = ("tcp", "udp")
_LOW_LATENCY = {"preset": "veryfast", "tune": "zerolatency", "crf": "20"}
# Packets of sound and other streams that wait at most for the video.
_FEWEST_PACKETS = 512


@dataclass(frozen=True)
class LiveOptions:
    """Options of a live source.

    Attributes:
        every: Derain every n-th frame, and drop the others.
        attempts: Maximum number of successive attempts to reconnect; None sets no limit.
        timeout: Seconds without data after which a connection counts as lost.
    """

    every: int = 1
    attempts: int | None = None
    timeout: float = 5.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.every < 1:
            raise ValueError(f"every is 1 or more, got {self.every}")
        if self.timeout <= 0:
            raise ValueError(f"a timeout is above 0 seconds, got {self.timeout}")


def derain_live(
    source: str,
    destination: str | Path | Any,
    options: VideoOptions | None = None,
    live: LiveOptions | None = None,
    on_progress: OnProgress | None = None,
    on_event: Callable[[str], None] | None = None,
) -> VideoRecord:
    """Derain the frames of a camera or a stream until it ends.

    Args:
        source: Address (rtsp://, udp://, ...), or /dev/video0.
        destination: Path, address, "-", or a binary file.
        options: Options of deraining and encoding.
        live: Options of the live source.
        on_progress: Called after every frame.
        on_event: Called with a message when the connection is lost or restored.

    Returns:
        The record of the run; its `dropped` counts the frames that were left out.

    Raises:
        VideoError: There is no such source, or its frames cannot be kept.
    """
    run = _LiveRun(source, destination, options or VideoOptions(), live or LiveOptions())
    return run.run(on_progress or (lambda _: None), on_event or (lambda _: None))


class _Reader(Thread):
    """Thread that reads a source and holds its newest frame.

    Args:
        source: Address or device.
        live: Options of the live source.
        on_event: Called with a message when the connection is lost or restored.
    """

    def __init__(self, source: str, live: LiveOptions, on_event: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self._source, self._live, self._on_event = source, live, on_event
        self._changed = Condition()
        self._frame: Any = None
        self._others: deque[Any] = deque(maxlen=_FEWEST_PACKETS)
        self._stopped = self._ended = False
        self._last_pts: int | None = None
        self._offset = 0
        self._transport = 0
        self.error: Exception | None = None
        self.clip: Clip | None = None
        self.read = self.dropped = 0

    def run(self) -> None:
        """Read until the end, or until `stop`."""
        failures = 0
        try:
            while not self._stopped:
                before = self.read
                try:
                    self._follow()
                except VideoError as error:
                    if self.clip is None and self.read == 0 and self._live.attempts is not None:
                        self.error = error
                if self.read > before:
                    failures, self.error = 0, None
                else:
                    self._transport = (self._transport + 1) % len(_TRANSPORTS)
                if self._live.attempts is not None and failures >= self._live.attempts:
                    return
                pause = min(_FIRST_PAUSE * 2**failures, _LONGEST_PAUSE)
                failures += 1
                if not self._stopped:
                    self._on_event(f"lost {self._source}; connecting again in {pause:g} s")
                    self._wait(pause)
        except Exception as error:
            self.error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def stop(self) -> None:
        """Make the thread end soon."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def take(self) -> tuple[Any, list[Any]]:
        """Wait for a frame; return it, or None at the end, with the packets of other streams."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._ended)
            frame, self._frame = self._frame, None
            others = list(self._others)
            self._others.clear()
        return frame, others

    def _wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, timeout=seconds)

    def _follow(self) -> None:
        """Read one connection until it ends."""
        av = load_av()
        options = dict(_INPUT_OPTIONS) if "://" in self._source else {}
        if self._source.startswith("rtsp"):
            options["rtsp_transport"] = _TRANSPORTS[self._transport]
        with open_clip(self._source, options=options, timeout=self._live.timeout) as clip:
            if self.clip is not None:
                clip.first = self.clip.first
            checker = FrameChecker(clip, may_jump=True)
            began = time.monotonic()
            with suppress(av.error.FFmpegError):
                for packet in clip.container.demux():
                    if self._stopped:
                        return
                    if packet.stream_index != clip.video.index:
                        if self._last_pts is not None and packet.size:
                            self._keep(packet)
                        continue
                    for frame in packet.decode():
                        checker.check(frame)
                        self._put(clip, frame, began)

    def _keep(self, packet: Any) -> None:
        with self._changed:
            self._others.append(packet)

    def _put(self, clip: Clip, frame: Any, began: float) -> None:
        if self.clip is not clip:
            if self.clip is not None:
                self._on_event(f"found {self._source} again")
                # Timestamps continue after a gap as long as the connection was down.
                away = max(1, round((time.monotonic() - began) / clip.time_base))
                self._offset = (self._last_pts or 0) + away - frame.pts
            self.clip = clip
        frame.pts += self._offset
        if self._last_pts is not None and frame.pts <= self._last_pts:
            self.dropped += 1
            return
        self._last_pts = frame.pts
        self.read += 1
        if (self.read - 1) % self._live.every:
            self.dropped += 1
            return
        with self._changed:
            if self._frame is not None:
                self.dropped += 1
            self._frame = frame
            self._changed.notify_all()


class _LiveRun:
    """Run from a live source.

    Args:
        source: Address or device.
        destination: Path, address, "-", or a binary file.
        options: Options of deraining and encoding.
        live: Options of the live source.
    """

    def __init__(
        self, source: str, destination: Any, options: VideoOptions, live: LiveOptions
    ) -> None:
        self._source, self._destination, self._live = source, destination, live
        encoder = options.encoder
        if encoder.codec is None:
            # A fast codec: latency matters here, and cameras use codecs that are slow to encode.
            defaults = {key: value for key, value in _LOW_LATENCY.items() if key == "tune"}
            encoder = replace(
                encoder,
                codec="h264",
                preset=encoder.preset or _LOW_LATENCY["preset"],
                crf=float(_LOW_LATENCY["crf"]) if encoder.crf is None else encoder.crf,
                extra={**defaults, **encoder.extra},
            )
        self._options = replace(options, encoder=encoder)
        self._frames = self._left_alone = 0
        self._densities: Counter[str] = Counter()
        self._began = time.perf_counter()

    def run(self, on_progress: OnProgress, on_event: Callable[[str], None]) -> VideoRecord:
        """Derain until the source ends."""
        derainer = make_temporal(open_network_of(self._options), self._options)
        reader = _Reader(self._source, self._live, on_event)
        reader.start()
        try:
            first, others = reader.take()
            if first is None or reader.clip is None:
                raise reader.error or VideoError(f"{self._source} sent no frame; check the address")
            self._began = time.perf_counter()
            clip = reader.clip
            prepared = prepare_frame(copy_frame(first))
            place = self._destination if isinstance(self._destination, str | Path) else STREAM
            container = choose_container(str(place), clip, self._options.container)
            width = 2 * prepared.width if self._options.side_by_side else None
            plan = plan_encoder(clip, prepared, self._options.encoder, width=width)
            plan.open(global_header=needs_global_header(container))
            writer = ClipWriter(
                self._destination, container, clip, plan, options={"flush_packets": "1"}
            )
            with open_writer(writer):
                encoder = FrameEncoder(writer.video.encode, plan)
                frame: Any = first
                while frame is not None:
                    for packet in others:
                        writer.write_copied(packet)
                    decoded = prepare_frame(frame)
                    rgb = read_colours(decoded)
                    finished = derainer.push(rgb, Payload(decoded, rgb))
                    if finished is not None:
                        self._finish(finished, writer, encoder, clip, on_progress)
                    frame, others = reader.take()
                for finished in derainer.flush():
                    self._finish(finished, writer, encoder, clip, on_progress)
                writer.write_encoded(list(encoder.flush()))
            if reader.error is not None:
                raise reader.error
        finally:
            reader.stop()
            reader.join(self._live.timeout + 1)
        return VideoRecord(
            self._source,
            resolve_name(self._destination),
            self._frames,
            0,
            0,
            self._left_alone,
            dict(self._densities),
            first.width,
            first.height,
            f"{plan.encoder} {plan.pixel_format}",
            time.perf_counter() - self._began,
            reader.dropped,
        )

    def _finish(
        self,
        frame: DerainedFrame,
        writer: ClipWriter,
        encoder: FrameEncoder,
        clip: Clip,
        on_progress: OnProgress,
    ) -> None:
        decoded = frame.payload.decoded
        rendered = render_frame(
            replace(frame, payload=decoded), side_by_side=self._options.side_by_side
        )
        writer.write_encoded(list(encoder.encode(rendered)))
        self._frames += 1
        self._left_alone += frame.left_alone
        density = frame.report.density
        self._densities["unknown" if density is None else density.name.lower()] += 1
        seconds = time.perf_counter() - self._began
        on_progress(
            VideoProgress(
                self._frames,
                None,
                float(decoded.pts * clip.time_base),
                self._frames / max(seconds, 1e-9),
                None,
                density,
            )
        )
