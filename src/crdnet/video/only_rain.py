"""Bit-exact copying of dry parts of a clip, between derained parts.

A group of frames that can be decoded by itself keeps the packets of the source if none of its
frames was changed. Intra-only codecs (MJPEG, ProRes and lossless ones) are copied frame by frame.
H.264 is copied in closed groups: the parameter sets of the new encoder get other numbers than those
of the source, and the header holds both. Other codecs have no such numbers and are refused.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from crdnet.errors import VideoError
from crdnet.video.encoders import EncoderPlan
from crdnet.video.segments import Segment, StoredPacket
from crdnet.video.source import Clip
from crdnet.video.writer import needs_global_header

if TYPE_CHECKING:
    from collections.abc import Sized

_SINGLE_FRAMES = ("mjpeg", "prores", "ffvhuff", "huffyuv", "utvideo", "rawvideo", "png", "qtrle")
# Frames of a segment of a codec of single frames.
_LONGEST_GROUP = 48
# Types of NAL units in H.264: sets of parameters of the sequence and of the frame.
_SPS, _PPS = 7, 8
# seq_parameter_set_id is at most 31 (H.264, 7.4.2.1.1).
_MOST_IDS = 31


@dataclass
class Groups:
    """Groups of frames of a source that can be copied.

    Attributes:
        starts: Timestamps at which groups begin; None if every frame is a group.
        packets: Video packets of the source, in decoding order.
        global_header: True if the new encoder puts its parameter sets into the header.
        extradata: Parameter sets of both encoders, for the header of the output; None if there are
            none.
        length_bytes: Bytes of the length in front of each H.264 unit; 0 if units have start codes.
    """

    starts: frozenset[int] | None
    packets: Iterator[Any]
    global_header: bool
    extradata: bytes | None
    length_bytes: int = 0
    _held: Any = None

    def begins(self, pts: int, making: "Any") -> bool:
        """Return whether a new segment begins at a frame."""
        if self.starts is None:
            frames: Sized = making.frames
            return len(frames) >= _LONGEST_GROUP
        return pts in self.starts

    def fill(self, segment: Segment) -> Segment:
        """Replace the packets of a segment by those of the source where no frame was changed."""
        own = {packet.pts: packet for packet in self._read_packets(segment)}
        if self.starts is None:
            packets = []
            for told, encoded in zip(segment.frames, segment.packets, strict=True):
                told["copied"] = told["left_alone"] and told["pts"] in own
                packets.append(own[told["pts"]] if told["copied"] else encoded)
            return replace(segment, packets=packets)
        if all(told["left_alone"] for told in segment.frames):
            for told in segment.frames:
                told["copied"] = True
            return replace(segment, packets=list(own.values()), copied=True)
        if self.length_bytes:
            packets = [
                each._replace(data=_prefix_lengths(each.data, self.length_bytes))
                for each in segment.packets
            ]
            return replace(segment, packets=packets)
        return segment

    def _read_packets(self, segment: Segment) -> Iterator[StoredPacket]:
        """Yield the packets of the source for a segment."""
        while True:
            packet = self._held if self._held is not None else next(self.packets, None)
            self._held = None
            if packet is None:
                return
            if packet.pts is None or packet.pts < segment.first:
                continue
            if packet.pts > segment.last:
                self._held = packet
                return
            yield StoredPacket(
                packet.pts, packet.duration or 0, bool(packet.is_keyframe), bytes(packet)
            )


def find_groups(
    open_source: Callable[[], Clip], clip: Clip, plan: EncoderPlan, extra: Mapping[str, str]
) -> tuple[Groups, EncoderPlan]:
    """Return the groups of a source, and an encoder whose packets can be mixed with them.

    Args:
        open_source: Function that opens the source again.
        clip: Source.
        plan: Encoder of the derained parts.
        extra: Options of the encoder from the user.

    Raises:
        VideoError: The codec cannot be copied in parts, or the encoder is of another codec.
    """
    family = clip.codec
    if family not in ("h264", *_SINGLE_FRAMES):
        raise VideoError(
            f"{clip.name} is {family}, which cannot be copied in parts; only h264 and "
            f"{', '.join(_SINGLE_FRAMES)} can; omit `only_rain=True`"
        )
    if (family == "h264") != (plan.encoder == "libx264") or (
        family != "h264" and not plan.encoder.startswith(family)
    ):
        raise VideoError(
            f"`only_rain=True` needs the source's codec, {family}, got the encoder {plan.encoder}; "
            "omit `codec`"
        )
    reader = open_source()
    packets = reader.container.demux(reader.video)
    if family != "h264":
        return Groups(None, packets, False, clip.video.codec_context.extradata or b""), plan
    starts = _find_closed_groups(open_source)
    extradata = bytes(clip.video.codec_context.extradata or b"")
    if extradata[:1] != b"\x01":
        # Both encoders put their parameter sets in front of each group.
        return Groups(starts, packets, False, extradata), plan
    parameter_sets = _read_avcc(extradata)
    used = {_read_id(unit) for unit in (*parameter_sets[0], *parameter_sets[1])}
    free = next((each for each in range(1, _MOST_IDS + 1) if each not in used), None)
    if free is None:
        raise VideoError(f"{clip.name} uses all numbers of parameter sets; omit `only_rain=True`")
    params = ":".join(filter(None, [f"sps-id={free}", extra.get("x264-params", "")]))
    plan = replace(plan, options={**plan.options, "x264-params": params})
    ours = bytes(plan.open(global_header=True).extradata or b"")
    merged = _merge_avcc(extradata, parameter_sets, _split_units(ours))
    return Groups(starts, packets, True, merged, (extradata[4] & 3) + 1), plan


def copies_global_header(container: str) -> bool:
    """Return whether a container stores parameter sets in its header."""
    return needs_global_header(container)


def _find_closed_groups(open_source: Callable[[], Clip]) -> frozenset[int]:
    """Return the timestamps of the key frames of closed groups.

    No frame that is decoded after such a key frame is shown before it.
    """
    starts: list[int] = []
    least_after: list[int] = []
    with open_source() as clip:
        for packet in clip.container.demux(clip.video):
            if packet.pts is None:
                continue
            if packet.is_keyframe:
                starts.append(packet.pts)
                least_after.append(packet.pts)
            elif least_after:
                least_after[-1] = min(least_after[-1], packet.pts)
    return frozenset(
        start for start, least in zip(starts, least_after, strict=True) if least >= start
    )


def _read_avcc(extradata: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the sequence and picture parameter sets of an avcC record."""
    at, lists = 5, []
    for mask in (0x1F, 0xFF):
        count, at = extradata[at] & mask, at + 1
        units = []
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            units.append(extradata[at + 2 : at + 2 + size])
            at += 2 + size
        lists.append(units)
    return lists[0], lists[1]


def _merge_avcc(
    extradata: bytes, theirs: tuple[list[bytes], list[bytes]], ours: list[bytes]
) -> bytes:
    """Return an avcC record with the parameter sets of two encoders."""
    sequences = [*theirs[0], *(each for each in ours if each[0] & 31 == _SPS)]
    pictures = [*theirs[1], *(each for each in ours if each[0] & 31 == _PPS)]
    # The profile and level of the record are the highest of its sets.
    head = max(sequences, key=lambda each: (each[1], each[3]))[1:4]
    parts = [extradata[:1], head, extradata[4:5], bytes([0xE0 | len(sequences)])]
    parts += [len(each).to_bytes(2, "big") + each for each in sequences]
    parts += [bytes([len(pictures)])]
    parts += [len(each).to_bytes(2, "big") + each for each in pictures]
    return b"".join(parts)


def _split_units(stream: bytes) -> list[bytes]:
    """Return the units of a stream with start codes."""
    pieces = stream.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    return [each.rstrip(b"\0") for each in pieces if each]


def _prefix_lengths(stream: bytes, length_bytes: int) -> bytes:
    """Return units with start codes as units with lengths."""
    return b"".join(len(each).to_bytes(length_bytes, "big") + each for each in _split_units(stream))


def _read_id(unit: bytes) -> int:
    """Return the number of a parameter set."""
    skipped = 4 if unit[0] & 31 == _SPS else 1
    bits = "".join(f"{byte:08b}" for byte in unit[skipped : skipped + 8])
    zeros = len(bits) - len(bits.lstrip("0"))
    return int(bits[zeros : 2 * zeros + 1], 2) - 1
