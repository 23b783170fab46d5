"""Finished segments of a clip in a folder beside the output, so that a killed run can resume.

A segment holds the packets of a closed group of frames. The state that the next segment needs is
saved first, then the file of the segment is renamed into place, so that a kill leaves no partial
segment. The folder records the source and the settings.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crdnet.errors import OutputError
from crdnet.files import open_whole, remove_stale_parts, write_whole

SUFFIX = ".crdnet"
"""Suffix of the name of the folder, after the name of the output."""
_MAGIC = b"crdnet-segment/1\n"
_SETTINGS = "settings.json"


class StoredPacket(NamedTuple):
    """Packet of encoded video.

    Attributes:
        pts: Timestamp, in units of the source's time base.
        duration: Duration in the same units; 0 if unknown.
        is_keyframe: True if decoding can begin here.
        data: Bytes of the packet.
    """

    pts: int
    duration: int
    is_keyframe: bool
    data: bytes


@dataclass
class Segment:
    """Closed group of frames.

    Attributes:
        first: Timestamp of its first frame.
        last: Timestamp of its last frame.
        is_end: True for the last segment of the clip.
        frames: Report on each frame, in order.
        packets: Encoded video, in decoding order.
        copied: True if the packets are those of the source.
    """

    first: int
    last: int
    is_end: bool = False
    frames: list[dict[str, Any]] = field(default_factory=list)
    packets: list[StoredPacket] = field(default_factory=list)
    copied: bool = False


class SegmentFolder:
    """Folder of the segments of one output.

    Args:
        output: Output file, which is joined from the segments.
    """

    def __init__(self, output: Path) -> None:
        self.path = output.with_name(output.name.replace("%", "_") + SUFFIX)

    def begin(self, settings: dict[str, Any], *, overwrite: bool) -> int:
        """Create the folder, or check that it belongs to this source and these settings.

        Args:
            settings: Source and settings as JSON values.
            overwrite: If True, remove segments of another run.

        Returns:
            Number of finished segments.

        Raises:
            OutputError: The folder belongs to a run with another source or other settings.
        """
        remove_stale_parts(self.path, seconds=0.0)
        written = json.dumps(settings, indent=1, sort_keys=True).encode()
        file = self.path / _SETTINGS
        if file.is_file():
            found = json.loads(file.read_bytes())
            differing = sorted(
                key for key in {*found, *settings} if found.get(key) != json.loads(written).get(key)
            )
            if not differing:
                return self._count()
            if not overwrite:
                raise OutputError(
                    f"{self.path} holds parts of a run with another {', '.join(differing)}; "
                    "use the same options to resume it, or `overwrite=True` to start again"
                )
            self.remove()
        write_whole(file, written)
        return 0

    def add(self, number: int, segment: Segment, state: dict[str, npt.NDArray[Any]]) -> None:
        """Save a segment and the state after it."""
        with open_whole(self._locate_state(number)) as file:
            np.savez(file, **state)  # type: ignore[arg-type]  # no other option is named so
        header = {
            "first": segment.first,
            "last": segment.last,
            "is_end": segment.is_end,
            "copied": segment.copied,
            "frames": segment.frames,
            "packets": [
                [each.pts, each.duration, int(each.is_keyframe), len(each.data)]
                for each in segment.packets
            ],
        }
        text = json.dumps(header).encode()
        content = [_MAGIC, struct.pack("<Q", len(text)), text]
        content += [each.data for each in segment.packets]
        write_whole(self._locate_segment(number), b"".join(content))
        if number:
            self._locate_state(number - 1).unlink(missing_ok=True)

    def load_state(self, number: int) -> dict[str, npt.NDArray[Any]]:
        """Return the state after a segment."""
        with np.load(self._locate_state(number)) as stored:
            return dict(stored)

    def read(self, number: int, *, with_data: bool = True) -> Segment:
        """Return a segment; without data, its packets are empty."""
        with self._locate_segment(number).open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise OutputError(
                    f"{self._locate_segment(number)} is not a segment; remove {self.path}"
                )
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
            packets = [
                StoredPacket(pts, duration, bool(key), file.read(size) if with_data else b"")
                for pts, duration, key, size in header["packets"]
            ]
        return Segment(
            header["first"],
            header["last"],
            header["is_end"],
            header["frames"],
            packets,
            header["copied"],
        )

    def read_all(self, *, with_data: bool = True) -> Iterator[Segment]:
        """Yield the finished segments, one in memory at a time."""
        for number in range(self._count()):
            yield self.read(number, with_data=with_data)

    def remove(self) -> None:
        """Remove the folder."""
        if self.path.is_dir():
            rmtree(self.path)

    def _count(self) -> int:
        number = 0
        while self._locate_segment(number).is_file() and (
            self._locate_state(number).is_file() or self._locate_segment(number + 1).is_file()
        ):
            number += 1
        return number

    def _locate_segment(self, number: int) -> Path:
        return self.path / f"{number:06d}.segment"

    def _locate_state(self, number: int) -> Path:
        return self.path / f"{number:06d}.state"
