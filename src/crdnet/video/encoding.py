"""Encoding of derained frames."""

from collections.abc import Callable, Iterator
from typing import Any

from crdnet.video.encoders import EncoderPlan
from crdnet.video.planes import change_colours, copy_frame, join_frames
from crdnet.video.temporal import DerainedFrame


def render_frame(frame: DerainedFrame, *, side_by_side: bool) -> Any:
    """Return the frame to encode: the decoded planes, changed where rain was removed.

    Args:
        frame: Derained frame whose payload is the prepared frame of the decoder.
        side_by_side: If True, put the rainy frame to its left.
    """
    decoded = frame.payload
    rainy = copy_frame(decoded) if side_by_side else None
    if not frame.left_alone:
        change_colours(decoded, frame.measure_change)
    return decoded if rainy is None else join_frames(rainy, decoded)


class FrameEncoder:
    """Encoder that keeps the timestamps of frames, even if the codec only counts frames.

    Args:
        encode: Function that encodes a frame, or flushes at None, and returns packets of PyAV.
        plan: Settings of the encoder.
    """

    def __init__(self, encode: Callable[[Any], list[Any]], plan: EncoderPlan) -> None:
        self._encode = encode
        self._plan = plan
        self._times: list[int] = []
        self._durations: dict[int, int] = {}

    def encode(self, frame: Any) -> Iterator[Any]:
        """Encode a frame; yield packets. Timestamps are in the time base of the source."""
        pts, duration = int(frame.pts), int(frame.duration or 0)
        if frame.format.name != self._plan.pixel_format:
            time_base = frame.time_base
            frame = frame.reformat(format=self._plan.pixel_format)
            frame.time_base = time_base
        frame.pict_type = 0  # otherwise the encoder must use the frame types of the source
        frame.pts, frame.duration = pts, duration
        frame.time_base = self._plan.time_base
        self._durations[pts] = duration
        if self._plan.counts:
            frame.pts, frame.time_base = len(self._times), 1 / self._plan.rate
            frame.duration = 0
            self._times.append(pts)
        yield from map(self._restore, self._encode(frame))

    def flush(self) -> Iterator[Any]:
        """Yield the remaining packets."""
        yield from map(self._restore, self._encode(None))

    def _restore(self, packet: Any) -> Any:
        if self._plan.counts:
            index = round(packet.pts * packet.time_base * self._plan.rate)
            packet.time_base = self._plan.time_base
            packet.pts = packet.dts = self._times[index]
        packet.duration = self._durations.pop(packet.pts, packet.duration or 0)
        return packet
