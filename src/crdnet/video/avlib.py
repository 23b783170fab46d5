"""Import of PyAV (extra `video`) at its first use."""

from types import ModuleType
from typing import Any

from crdnet.errors import MissingExtraError


def load_av() -> ModuleType:
    """Return the module av.

    Raises:
        MissingExtraError: PyAV is not installed, or is too old.
    """
    try:
        import av  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("deraining video", "video") from error
    return av


def copy_packet(packet: Any) -> Any:
    """Return a copy of a packet with its bytes, times and flags, but without a stream."""
    copied = load_av().Packet(bytes(packet))
    copied.pts, copied.dts = packet.pts, packet.dts
    copied.time_base, copied.duration = packet.time_base, packet.duration
    copied.is_keyframe = packet.is_keyframe
    for side in packet.iter_sidedata():
        copied.set_sidedata(side)
    return copied
