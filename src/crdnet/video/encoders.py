"""Encoders of derained video: by default the codec and colours of the source, visually lossless."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from crdnet.errors import VideoError
from crdnet.video.avlib import load_av
from crdnet.video.engine import LARGE_PIXELS
from crdnet.video.source import Clip

# Encoder and options for each family of codecs; about 50 dB PSNR against what is encoded.
_VISUALLY_LOSSLESS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "h264": ("libx264", {"crf": "16", "preset": "medium"}),
    "hevc": ("libx265", {"crf": "17", "preset": "medium"}),
    "av1": ("libsvtav1", {"crf": "18", "preset": "8"}),
    "vp9": ("libvpx-vp9", {"crf": "16", "b": "0", "deadline": "good", "cpu-used": "4"}),
    "vp8": ("libvpx", {"crf": "5", "b": "40M", "deadline": "good", "cpu-used": "4"}),
    "mpeg1video": ("mpeg1video", {"qmin": "2", "qmax": "3"}),
    "mpeg2video": ("mpeg2video", {"qmin": "2", "qmax": "3"}),
    "mpeg4": ("mpeg4", {"qmin": "2", "qmax": "3"}),
    "mjpeg": ("mjpeg", {"qmin": "2", "qmax": "2", "huffman": "default"}),
    "prores": ("prores_ks", {}),
    "dnxhd": ("dnxhd", {}),
    "ffv1": ("ffv1", {"level": "3", "slicecrc": "1"}),
    "ffvhuff": ("ffvhuff", {}),
    "huffyuv": ("huffyuv", {}),
    "utvideo": ("utvideo", {}),
    "png": ("png", {}),
    "rawvideo": ("rawvideo", {}),
    "qtrle": ("qtrle", {}),
}
# Encoders that know only frame numbers; timestamps are put back afterwards.
_COUNTED = ("mpeg1video", "mpeg2video", "mpeg4")
_CRF = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "libvpx")
_HDR = ("libx264", "libx265", "libsvtav1")
_QUIET = {"libx265": ("x265-params", "log-level=none")}
# Encoders of 4K hold 10 MB or more for each frame that they look ahead: 40 in x264, 20 in x265.
_LARGE = {
    "libx264": ("rc-lookahead", "2"),
    "libx265": ("x265-params", "rc-lookahead=5:frame-threads=1"),
}
_PRORES_PROFILES = {"apco": "0", "apcs": "1", "apcn": "2", "apch": "3", "ap4h": "4", "ap4x": "5"}


@dataclass(frozen=True)
class EncoderOptions:
    """Encoder of the derained video.

    Attributes:
        codec: Codec family (h264, hevc, av1, ...) or encoder; None takes that of the source.
        crf: Quality on the encoder's own scale, lower is better; None is visually lossless.
        preset: Preset of the encoder, which trades speed for size.
        pixel_format: Pixel format such as yuv420p10le; None keeps that of the source.
        extra: Further options of the encoder, as FFmpeg names them.
    """

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    pixel_format: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return {
            "codec": self.codec,
            "crf": self.crf,
            "preset": self.preset,
            "pixel_format": self.pixel_format,
            "extra": dict(sorted(self.extra.items())),
        }


@dataclass(frozen=True)
class EncoderPlan:
    """Complete settings of an encoder, from which equal encoders can be created.

    Attributes:
        encoder: Name of the encoder in FFmpeg.
        options: Options of the encoder.
        pixel_format: Pixel format of the frames to encode.
        width: Width of a frame, in pixels.
        height: Height of a frame, in pixels.
        rate: Mean frames per second.
        time_base: Unit of the timestamps, in seconds.
        counts: True if the encoder gets frame numbers in place of timestamps.
        colours: Range, primaries, transfer and matrix, as numbers of ITU-T H.273.
        aspect: Aspect ratio of a sample.
        tag: Codec tag, if it says more than the codec.
    """

    encoder: str
    options: Mapping[str, str]
    pixel_format: str
    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    counts: bool
    colours: tuple[int, int, int, int]
    aspect: Fraction | None
    tag: str | None = None

    def configure(self, context: Any, *, global_header: bool) -> None:
        """Apply the settings to an encoder before it is opened.

        Args:
            context: Codec context or stream of PyAV.
            global_header: True if the header of the container holds the parameter sets.
        """
        context.width, context.height = self.width, self.height
        context.pix_fmt = self.pixel_format
        context.time_base = 1 / self.rate if self.counts else self.time_base
        context.framerate = self.rate
        if self.aspect is not None:
            context.sample_aspect_ratio = self.aspect
        (
            context.color_range,
            context.color_primaries,
            context.color_trc,
            context.colorspace,
        ) = self.colours
        flags = load_av().codec.context.Flags
        context.flags |= int(flags.frame_duration) if not self.counts else 0
        if global_header:
            context.flags |= int(flags.global_header)
        context.options = dict(self.options)

    def open(self, *, global_header: bool) -> Any:
        """Return a new encoder with these settings.

        Raises:
            VideoError: The encoder does not accept the settings.
        """
        av = load_av()
        context = av.CodecContext.create(self.encoder, "w")
        self.configure(context, global_header=global_header)
        try:
            context.open()
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(
                f"the encoder {self.encoder} refuses {self.width} x {self.height}, "
                f"{self.pixel_format}, {dict(self.options)}: {error}; choose other options or "
                "another -c"
            ) from error
        unknown = sorted(set(self.options) & set(context.options)) if context.options else []
        if unknown:
            raise VideoError(
                f"the encoder {self.encoder} has no option {', '.join(unknown)}; see "
                f"ffmpeg -h encoder={self.encoder}"
            )
        return context


def plan_encoder(
    clip: Clip,
    first: Any,
    wanted: EncoderOptions,
    *,
    width: int | None = None,
    family: str | None = None,
) -> EncoderPlan:
    """Choose the encoder for a clip.

    Args:
        clip: Source.
        first: First frame of the source, prepared.
        wanted: Options of the user.
        width: Width of a frame in pixels; None is that of the source.
        family: Codec family to use if the user names none and the container cannot hold that of the
            source.

    Raises:
        VideoError: The codec, the pixel format or the HDR metadata cannot be encoded here.
    """
    encoder, options = _choose_encoder(clip, wanted, family)
    pixel_format = _choose_format(clip, encoder, first.format.name, wanted.pixel_format)
    options = {**options, **_list_hdr_options(clip, encoder)}
    large = _LARGE if (width or first.width) * first.height > LARGE_PIXELS else {}
    for name, value in (each[encoder] for each in (_QUIET, large) if encoder in each):
        options[name] = ":".join(filter(None, [value, options.get(name, "")]))
    options |= wanted.extra
    counts = encoder in _COUNTED
    rate = clip.rate or Fraction(25)
    source = clip.video.codec_context
    raw = clip.first if clip.first is not None else first
    aspect = clip.video.sample_aspect_ratio
    return EncoderPlan(
        encoder,
        options,
        pixel_format,
        width or first.width,
        first.height,
        rate.limit_denominator(1001) if counts else rate,
        clip.time_base,
        counts,
        (
            _resolve_range(raw, pixel_format),
            int(source.color_primaries),
            int(source.color_trc),
            0 if pixel_format.startswith(("rgb", "bgr", "gbr")) else int(source.colorspace),
        ),
        Fraction(aspect) if aspect else None,
        source.codec_tag if encoder == "prores_ks" else None,
    )


def _resolve_range(raw: Any, pixel_format: str) -> int:
    if pixel_format.startswith("yuvj"):
        return 2
    return int(raw.color_range)


def _choose_encoder(
    clip: Clip, wanted: EncoderOptions, family: str | None
) -> tuple[str, dict[str, str]]:
    av = load_av()
    name = wanted.codec or family or clip.codec
    encoder, defaults = _VISUALLY_LOSSLESS.get(name, (name, {}))
    if name not in _VISUALLY_LOSSLESS:
        known = [each for each in _VISUALLY_LOSSLESS.values() if each[0] == name]
        defaults = known[0][1] if known else {}
    try:
        codec = av.codec.Codec(encoder, "w")
    except ValueError as error:
        where = "" if wanted.codec else f" of {clip.name}"
        raise VideoError(
            f"the codec {name}{where} cannot be encoded here; choose one that can with -c: "
            f"{', '.join(_VISUALLY_LOSSLESS)} "
            "(and an output whose container holds it, such as .mkv)"
        ) from error
    if codec.type != "video":
        raise VideoError(f"{encoder} encodes {codec.type}, not video; choose another -c")
    options = dict(defaults)
    if encoder == "prores_ks":
        options["profile"] = _PRORES_PROFILES.get(clip.video.codec_context.codec_tag, "3")
    if wanted.crf is not None:
        if encoder not in _CRF:
            raise VideoError(f"the encoder {encoder} has no CRF; set its quality with -e key=value")
        options["crf"] = f"{wanted.crf:g}"
    if wanted.preset is not None:
        options.pop("deadline", None)
        options["preset"] = wanted.preset
    return encoder, options


def _choose_format(clip: Clip, encoder: str, name: str, wanted: str | None) -> str:
    formats = load_av().codec.Codec(encoder, "w").video_formats
    accepted = [each.name for each in formats] if formats else [wanted or name]
    if wanted is not None and wanted not in accepted:
        raise VideoError(
            f"the encoder {encoder} has no pixel format {wanted}; "
            f"choose one of {', '.join(accepted)}"
        )
    if (wanted or name) in accepted:
        return wanted or name
    same = {
        "rgb24": ("gbrp", "bgr0", "rgb0", "bgr24", "rgba"),
        "rgba": ("bgra", "gbrap", "argb"),
        "rgb48le": ("gbrp16le", "rgb48be", "gbrp10le", "gbrp12le"),
        "rgba64le": ("rgba64be",),
        "gray16le": ("gray16be",),
        "yuvj420p": ("yuv420p",),
        "yuvj422p": ("yuv422p",),
        "yuvj444p": ("yuv444p",),
        "yuv420p": ("yuvj420p",) if encoder == "mjpeg" else (),
    }
    held = clip.first.format.name if clip.first is not None else ""
    for each in (held, *same.get(name, ())):
        if each in accepted:
            return each
    raise VideoError(
        f"the encoder {encoder} has no pixel format {name}, and converting would lose colours; "
        f"choose one with `pixel_format` ({', '.join(accepted[:8])}) or another `codec`"
    )


def _list_hdr_options(clip: Clip, encoder: str) -> dict[str, str]:
    """Return the options that put the static HDR metadata of a clip into the encoded video."""
    display, light = (
        clip.read_side_data(kind) for kind in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
    )
    if display is None and light is None:
        return {}
    if encoder not in _HDR:
        raise VideoError(
            f"{clip.name} has HDR static metadata (mastering display, content light level), which "
            f"the encoder {encoder} cannot carry; choose the `codec` hevc, h264 or av1"
        )
    parts: dict[str, str] = {}
    if display is not None and (told := _read_display(display)) is not None:
        parts["display"] = _format_display(told, encoder)
    if light is not None:
        content, average = np.frombuffer(light[:8], "<u4").tolist()
        parts["light"] = f"{content},{average}"
    names = {
        "libx265": ("x265-params", "master-display", "max-cll"),
        "libx264": ("x264-params", "mastering-display", "cll"),
        "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
    }
    option, display_name, light_name = names[encoder]
    pairs = []
    if "display" in parts:
        pairs.append(f"{display_name}={parts['display']}")
    if "light" in parts:
        pairs.append(f"{light_name}={parts['light']}")
    return {option: ":".join(pairs)} if pairs else {}


def _read_display(data: bytes) -> list[Fraction] | None:
    """Return x and y of red, green, blue and white, then the smallest and largest luminance."""
    numbers = np.frombuffer(data[:80], "<i4").reshape(-1, 2)
    has_primaries, has_luminance = np.frombuffer(data[80:88], "<i4")
    if not (has_primaries and has_luminance) or (numbers[:, 1] == 0).any():
        return None
    return [Fraction(int(top), int(bottom)) for top, bottom in numbers]


def _format_display(told: list[Fraction], encoder: str) -> str:
    red, green, blue, white = (told[2 * each : 2 * each + 2] for each in range(4))
    least, greatest = told[8:]
    named = (("G", green), ("B", blue), ("R", red), ("WP", white))
    if encoder == "libsvtav1":
        points = "".join(f"{name}({float(x):.5f},{float(y):.5f})" for name, (x, y) in named)
        return f"{points}L({float(greatest):.4f},{float(least):.4f})"
    points = "".join(f"{name}({round(50_000 * x)},{round(50_000 * y)})" for name, (x, y) in named)
    return f"{points}L({round(10_000 * greatest)},{round(10_000 * least)})"
