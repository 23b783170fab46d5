"""Colours of a decoded frame, and changes to its planes.

A frame is never converted to RGB and back. The network gets its colours, and the change of the
colours is added to the planes. Y'CbCr is linear in R'G'B', so pixels without a change stay equal
bit for bit, and their chroma is not resampled.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crdnet.errors import VideoError
from crdnet.video.engine import Colours, Frame, cut_bands

# Weights of red and blue in luma, by AVColorSpace (ITU-T H.273, table 4).
_MATRICES = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
# AVCOL_SPC_UNSPECIFIED and AVCOL_RANGE_JPEG of FFmpeg.
_UNSPECIFIED = 2
_FULL_RANGE = 2
# Rows from which unspecified colours are taken as BT.709; below, as BT.601.
_HD_ROWS = 720
# Formats that hold the same samples in planes that we can read.
_WORKED_IN = {
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
    "rgb48be": "rgb48le",
    "gray16be": "gray16le",
    "pal8": "rgb24",
}
_PACKED = ("rgb24", "rgba", "rgb48le", "rgba64le")
_AS_RGB = {
    "bgr24": "rgb24",
    "bgr0": "rgb24",
    "rgb0": "rgb24",
    "0rgb": "rgb24",
    "gbrp": "rgb24",
    "bgra": "rgba",
    "argb": "rgba",
    "abgr": "rgba",
    "gbrap": "rgba",
    "rgba64be": "rgba64le",
    "gbrp10le": "rgb48le",
    "gbrp12le": "rgb48le",
    "gbrp16le": "rgb48le",
}


@dataclass(frozen=True)
class _Planar:
    """Samples of a planar frame.

    Attributes:
        bits: Bits of a sample.
        planes: Views (h, w) of luma and, unless grey, of blue and red difference.
        across: Columns of luma for one of chroma.
        down: Rows of luma for one of chroma.
    """

    bits: int
    planes: list[npt.NDArray[Any]]
    across: int
    down: int

    def cut(self, rows: slice) -> "_Planar":
        """Return some rows; the first must be a row with chroma."""
        luma, *chroma = self.planes
        low = slice(rows.start // self.down, -(-rows.stop // self.down))
        return replace(self, planes=[luma[rows], *(plane[low] for plane in chroma)])


def prepare_frame(frame: Any) -> Any:
    """Return a frame with writable planes for `read_colours` and `change_colours`.

    Raises:
        VideoError: The pixel format is not supported.
    """
    name = frame.format.name
    target = _WORKED_IN.get(name) or _AS_RGB.get(name)
    if target is not None:
        converted = frame.reformat(format=target)
        converted.pts, converted.time_base = frame.pts, frame.time_base
        converted.duration = frame.duration
        frame = converted
    elif name not in _PACKED and not _is_planar(frame.format):
        raise VideoError(
            f"the pixel format {name} cannot be kept; convert the clip first, "
            "for example with ffmpeg -pix_fmt yuv420p"
        )
    frame.make_writable()
    return frame


def read_colours(frame: Any) -> Frame:
    """Return the colours of a prepared frame, RGB (h, w, 3): uint8, or uint16 above 8 bits."""
    if frame.format.name in _PACKED:
        return np.ascontiguousarray(frame.to_ndarray()[..., :3])
    planar = _view_planes(frame)
    dtype = np.uint8 if planar.bits == 8 else np.uint16
    top = np.float32(np.iinfo(dtype).max)
    pixels: Frame = np.empty((*planar.planes[0].shape, 3), dtype)
    for rows in cut_bands(len(pixels)):
        rgb = _read_rows(frame, planar.cut(rows))
        pixels[rows] = np.rint(np.clip(rgb, 0, 1) * top)
    return pixels


def _read_rows(frame: Any, planar: _Planar) -> npt.NDArray[np.float32]:
    """Return the colours of some rows of a frame (h, w, 3), in [0, 1]."""
    luma, offsets = _decode(frame, planar)
    if not offsets:
        return np.repeat(luma[..., np.newaxis], 3, axis=2)
    red_weight, blue_weight = _find_weights(frame)
    green_weight = 1 - red_weight - blue_weight
    blue, red = (
        each.repeat(planar.down, axis=0).repeat(planar.across, axis=1)[
            : luma.shape[0], : luma.shape[1]
        ]
        for each in offsets
    )
    rgb = np.empty((*luma.shape, 3), np.float32)
    rgb[..., 0] = luma + 2 * (1 - red_weight) * red
    rgb[..., 2] = luma + 2 * (1 - blue_weight) * blue
    rgb[..., 1] = (luma - red_weight * rgb[..., 0] - blue_weight * rgb[..., 2]) / green_weight
    return rgb


def change_colours(frame: Any, measure_change: Callable[[slice], Colours]) -> None:
    """Add a change of colours to the planes of a prepared frame.

    Args:
        frame: Frame; its planes are written.
        measure_change: Function from rows to their change, RGB (h, w, 3), in grey levels of 255.
    """
    for rows in cut_bands(frame.height):
        if frame.format.name in _PACKED:
            _change_packed(frame, rows, measure_change(rows))
        else:
            _change_planar(frame, _view_planes(frame).cut(rows), measure_change(rows))


def _change_planar(frame: Any, planar: _Planar, change: Colours) -> None:
    red_weight, blue_weight = _find_weights(frame)
    green_weight = 1 - red_weight - blue_weight
    luma = change @ np.array([red_weight, green_weight, blue_weight], np.float32) / np.float32(255)
    luma_levels, chroma_levels, _ = _get_scales(frame, planar.bits)
    _add(planar.planes[0], luma * luma_levels, planar.bits)
    for plane, channel, weight in zip(
        planar.planes[1:], (2, 0), (blue_weight, red_weight), strict=False
    ):
        scale = np.float32(2 * (1 - weight))
        offset = np.asarray((change[..., channel] / np.float32(255) - luma) / scale, np.float32)
        _add(plane, _reduce(offset, planar.down, planar.across) * chroma_levels, planar.bits)


def _change_packed(frame: Any, at: slice, change: Colours) -> None:
    plane = frame.planes[0]
    channels = 4 if "a" in frame.format.name else 3
    dtype = np.dtype("<u2") if "64" in frame.format.name or "48" in frame.format.name else np.uint8
    rows = np.frombuffer(plane, dtype).reshape(plane.height, -1)
    pixels: Frame = rows[at, : frame.width * channels].reshape(-1, frame.width, channels)
    top = np.iinfo(pixels.dtype).max
    changed = pixels[..., :3] + change * np.float32(top / 255)
    pixels[..., :3] = np.rint(np.clip(changed, 0, top)).astype(pixels.dtype)


def _is_planar(format_: Any) -> bool:
    """Return whether luma and chroma are planes of little-endian integers."""
    name = str(format_.name)
    if not name.startswith(("yuv", "gray")) or name.endswith("be"):
        return False
    parts = format_.components
    return all(part.plane == number for number, part in enumerate(parts)) and all(
        8 <= part.bits <= 16 for part in parts
    )


def _view_planes(frame: Any) -> _Planar:
    bits = frame.format.components[0].bits
    dtype = np.dtype(np.uint8) if bits == 8 else np.dtype("<u2")
    grey = frame.format.name.startswith("gray")
    views = []
    for number in range(1 if grey else 3):
        plane = frame.planes[number]
        rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
        views.append(rows[: plane.height, : plane.width])
    if grey:
        return _Planar(bits, views, 1, 1)
    # Chroma of odd sides is rounded up, so the factor is found from the format, not the planes.
    across, down = (
        1 << (round(64 / scaled(64)).bit_length() - 1)
        for scaled in (frame.format.chroma_width, frame.format.chroma_height)
    )
    return _Planar(bits, views, across, down)


def _decode(
    frame: Any, planar: _Planar
) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[np.float32]]]:
    """Return luma in [0, 1] and the colour differences in [-0.5, 0.5]."""
    luma_levels, chroma_levels, black = _get_scales(frame, planar.bits)
    middle = np.float32(1 << (planar.bits - 1))
    luma = (planar.planes[0].astype(np.float32) - black) / luma_levels
    return luma, [
        (plane.astype(np.float32) - middle) / chroma_levels for plane in planar.planes[1:]
    ]


def _get_scales(frame: Any, bits: int) -> tuple[np.float32, np.float32, np.float32]:
    """Return the levels of luma and of a colour difference, and the level of black."""
    step = 1 << (bits - 8)
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    if full or frame.format.name.startswith("gray"):
        top = np.float32((1 << bits) - 1)
        return top, top, np.float32(0)
    return np.float32(219 * step), np.float32(224 * step), np.float32(16 * step)


def _find_weights(frame: Any) -> tuple[float, float]:
    matrix = int(frame.colorspace)
    if matrix not in _MATRICES:
        matrix = 1 if frame.height >= _HD_ROWS else 6
    return _MATRICES[matrix]


def _reduce(values: npt.NDArray[np.float32], down: int, across: int) -> npt.NDArray[np.float32]:
    """Return the mean over the luma pixels of each chroma sample."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % down), (0, -width % across)), mode="edge")
    rows, columns = padded.shape[0] // down, padded.shape[1] // across
    return np.asarray(padded.reshape(rows, down, columns, across).mean((1, 3)))


def _add(plane: npt.NDArray[Any], change: npt.NDArray[np.float32], bits: int) -> None:
    top = (1 << bits) - 1
    plane[...] = np.clip(np.rint(plane + change[: plane.shape[0], : plane.shape[1]]), 0, top)


def join_frames(left: Any, right: Any) -> Any:
    """Return a frame with two prepared frames of one size side by side."""
    joined = type(left)(2 * left.width, left.height, left.format.name)
    channels = 0
    if left.format.name in _PACKED:
        channels = 4 if "a" in left.format.name else 3
    for number, plane in enumerate(joined.planes):
        into = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        at = 0
        for frame in (left, right):
            source = frame.planes[number]
            rows = np.frombuffer(source, np.uint8).reshape(-1, source.line_size)
            width = channels * frame.width if channels else source.width
            used = width * _get_sample_bytes(frame.format)
            into[: rows.shape[0], at : at + used] = rows[: into.shape[0], :used]
            at += used
    _copy_properties(left, joined)
    return joined


def copy_frame(frame: Any) -> Any:
    """Return a copy of a prepared frame."""
    copied = type(frame)(frame.width, frame.height, frame.format.name)
    for into, source in zip(copied.planes, frame.planes, strict=True):
        rows = np.frombuffer(source, np.uint8).reshape(-1, source.line_size)
        target = np.frombuffer(into, np.uint8).reshape(-1, into.line_size)
        used = min(rows.shape[1], target.shape[1])
        target[: len(rows), :used] = rows[: len(target), :used]
    _copy_properties(frame, copied)
    return copied


def _get_sample_bytes(format_: Any) -> int:
    return 1 if format_.components[0].bits == 8 else 2


def _copy_properties(source: Any, frame: Any) -> None:
    frame.pts, frame.time_base, frame.duration = source.pts, source.time_base, source.duration
    frame.colorspace, frame.color_range = source.colorspace, source.color_range
    frame.color_trc, frame.color_primaries = source.color_trc, source.color_primaries
