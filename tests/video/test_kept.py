"""Everything in a clip but its rain is kept."""

import struct
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from crdnet.video import EncoderOptions, VideoOptions, derain_video
from tests.video.clips import (
    Recipe,
    draw_background,
    make_frames,
    read_packets,
    read_planes,
    read_rgb,
    write_clip,
)

COUNT = 10
VARIABLE = [0, 40, 95, 100, 180, 181, 260, 300, 410, 500]


def rich(container: str) -> Recipe:
    """A clip with all that the container holds."""
    matroska = container == "mkv"
    return Recipe(
        audio="aac" if container in ("mp4", "mov") else "flac" if matroska else "mp2",
        subtitles="srt" if matroska else None,
        attachment=b"a font" * 50 if matroska else None,
        chapters=container in ("mkv", "mp4", "mov"),
        metadata={"title": "rain"},
        aspect=Fraction(4, 3),
        rotation=90 if container in ("mkv", "mp4", "mov") else None,
        time_base=Fraction(1, 1000) if matroska else Fraction(1, 12800),
        times=VARIABLE if matroska else [round(each * 12.8) for each in VARIABLE],
        streams_metadata={"language": "eng"},
    )


@pytest.mark.parametrize("container", ["mkv", "mp4", "mov", "ts", "nut"])
def test_all_but_the_rain_comes_out_as_it_went_in(
    container: str, options: VideoOptions, tmp_path: Path
) -> None:
    source = write_clip(tmp_path / f"in.{container}", make_frames(COUNT), rich(container))
    output = tmp_path / f"out.{container}"
    record = derain_video(source, output, options)
    assert record.frames == COUNT
    for kind in ("audio", "subtitle"):
        assert read_packets(output, kind) == read_packets(source, kind)
    before, after = read_planes(source), read_planes(output)
    assert [time for time, _ in before] == [time for time, _ in after]
    assert not any(np.array_equal(a[1], b[1]) for a, b in zip(before, after, strict=True))
    one: Any
    two: Any
    with av.open(str(source)) as one, av.open(str(output)) as two:
        assert [each.type for each in one.streams] == [each.type for each in two.streams]
        assert one.metadata.get("title") == two.metadata.get("title")
        assert [(c["start"] * c["time_base"], c["metadata"]) for c in one.chapters()] == [
            (c["start"] * c["time_base"], c["metadata"]) for c in two.chapters()
        ]
        for a, b in zip(one.streams, two.streams, strict=True):
            assert a.disposition == b.disposition
            assert a.metadata.get("language") == b.metadata.get("language")
            if a.type == "attachment":
                assert (a.name, a.mimetype, a.data) == (b.name, b.mimetype, b.data)
        a, b = one.streams.video[0], two.streams.video[0]
        assert a.sample_aspect_ratio == b.sample_aspect_ratio
        assert a.codec_context.codec.canonical_name == b.codec_context.codec.canonical_name
        for name in ("color_range", "color_primaries", "color_trc", "colorspace", "pix_fmt"):
            assert getattr(a.codec_context, name) == getattr(b.codec_context, name)
        assert next(one.decode(video=0)).rotation == next(two.decode(video=0)).rotation
        if container in ("mp4", "mov"):
            # A container may count decoding times, which end before the last frame is shown.
            shown = float(before[-1][0])
            assert (b.duration or 0) * b.time_base >= min(shown, (a.duration or 0) * a.time_base)
            assert two.duration >= one.duration


def test_the_rain_is_taken_out(options: VideoOptions, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", make_frames(COUNT))
    derain_video(source, tmp_path / "out.mkv", options)
    clean = write_clip(tmp_path / "clean.mkv", make_frames(COUNT, rain=lambda _: False))
    before, after, truth = (
        np.array(read_rgb(each), np.float32) for each in (source, tmp_path / "out.mkv", clean)
    )
    assert np.abs(after - truth).mean() < 0.3 * np.abs(before - truth).mean()


def test_a_dry_clip_comes_out_bit_for_bit(options: VideoOptions, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", make_frames(6, rain=lambda _: False))
    record = derain_video(source, tmp_path / "out.mkv", options)
    assert record.left_alone == 6
    for one, two in zip(read_planes(source), read_planes(tmp_path / "out.mkv"), strict=True):
        assert np.array_equal(one[1], two[1])


@pytest.mark.parametrize(
    ("codec", "pixel_format", "encoder"),
    [
        ("libx264", "yuv420p", {"crf": 0.0}),
        ("libx264", "yuv444p", {"crf": 0.0}),
        ("libx264", "yuv420p10le", None),
        ("libx265", "yuv420p10le", {"extra": {"x265-params": "lossless=1"}}),
        ("ffv1", "yuv422p10le", {}),
        ("ffv1", "bgr0", {}),
        ("ffv1", "gray", {}),
        ("mpeg2video", "yuv420p", None),
        ("mpeg4", "yuv420p", None),
        ("libvpx-vp9", "yuv420p", None),
        ("libsvtav1", "yuv420p10le", None),
        ("mjpeg", "yuvj420p", None),
        ("prores_ks", "yuv422p10le", None),
    ],
)
def test_a_clip_keeps_its_codec_and_depth(
    codec: str,
    pixel_format: str,
    encoder: dict[str, object] | None,
    options: VideoOptions,
    tmp_path: Path,
) -> None:
    """It rains in the second and third frame of six; the others do not change."""
    recipe = Recipe(
        codec=codec,
        pixel_format=pixel_format,
        options={"x265-params": "lossless=1:log-level=none"} if codec == "libx265" else {},
        colours=(2 if pixel_format.startswith(("yuvj", "gray")) else 1, 6, 6, 6),
    )
    if pixel_format == "bgr0":
        recipe.colours = (2, 1, 1, 0)
    deep = "10" in pixel_format
    frames = make_frames(6, rain=lambda number: number in (1, 2))
    if deep:
        frames = [frame.astype(np.uint16) * 257 for frame in frames]
    source = write_clip(
        tmp_path / "in.mov" if codec == "prores_ks" else tmp_path / "in.mkv", frames, recipe
    )
    output = tmp_path / f"out{source.suffix}"
    chosen = EncoderOptions(**(encoder or {}))  # type: ignore[arg-type]
    if codec in ("libvpx-vp9", "libsvtav1"):
        chosen = EncoderOptions()
    derain_video(source, output, replace(options, encoder=chosen))
    with av.open(str(source)) as one, av.open(str(output)) as two:
        a, b = one.streams.video[0], two.streams.video[0]
        assert a.codec_context.codec.canonical_name == b.codec_context.codec.canonical_name
        assert a.codec_context.pix_fmt == b.codec_context.pix_fmt
    before, after = read_planes(source), read_planes(output)
    assert [time for time, _ in before] == [time for time, _ in after]
    step = 4 if deep else 1
    apart = [
        float(np.abs(x[1].astype(float) - y[1]).mean()) / step
        for x, y in zip(before, after, strict=True)
    ]
    assert apart[1] > 0.5
    assert apart[5] < (1e-9 if encoder is not None else 2.0)


@pytest.mark.parametrize(("height", "width"), [(47, 63), (33, 50)])
def test_odd_sizes_are_not_cropped(
    height: int, width: int, options: VideoOptions, tmp_path: Path
) -> None:
    frames = [draw_background(height, width) for _ in range(3)]
    recipe = Recipe(codec="ffv1", options={})
    source = write_clip(tmp_path / "in.mkv", frames, recipe)
    derain_video(
        source, tmp_path / "out.mkv", replace(options, encoder=EncoderOptions(), always=True)
    )
    assert read_rgb(tmp_path / "out.mkv")[0].shape == (height, width, 3)


def test_sound_and_image_do_not_drift_at_a_variable_frame_rate(
    options: VideoOptions, tmp_path: Path
) -> None:
    """Ten minutes in sixty frames, 0.05 to 20 seconds apart."""
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.integers(50, 20_000, 60)).tolist()
    recipe = Recipe(time_base=Fraction(1, 1000), times=times, audio="flac", rate=Fraction(25))
    frames = [draw_background(16, 32)] * 60
    source = write_clip(tmp_path / "in.mkv", frames, recipe)
    derain_video(source, tmp_path / "out.mkv", options)
    assert times[-1] > 500_000
    assert [time for time, _ in read_planes(tmp_path / "out.mkv")] == [
        Fraction(each, 1000) for each in times
    ]


@pytest.mark.parametrize(
    "rate", [Fraction(10), Fraction(25, 2), Fraction(30000, 1001), Fraction(60)]
)
def test_no_clip_comes_out_at_25_frames_per_second_unless_it_went_in_so(
    rate: Fraction, options: VideoOptions, tmp_path: Path
) -> None:
    recipe = Recipe(rate=rate, time_base=1 / rate)
    source = write_clip(tmp_path / "in.mp4", make_frames(6), recipe)
    derain_video(source, tmp_path / "out.mp4", options)
    for path in (source, tmp_path / "out.mp4"):
        assert [time for time, _ in read_planes(path)] == [each / rate for each in range(6)]
        with av.open(str(path)) as container:
            assert container.streams.video[0].average_rate == rate


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_a_clip_is_not_shortened_by_a_wrong_duration(
    container: str, options: VideoOptions, tmp_path: Path
) -> None:
    """The header says a third of the duration; all frames and all sound come out."""
    recipe = Recipe(audio="flac" if container == "mkv" else "aac")
    source = write_clip(tmp_path / f"in.{container}", make_frames(20), recipe)
    content = bytearray(source.read_bytes())
    if container == "mkv":
        place = content.index(b"\x44\x89\x88") + 3
        (duration,) = struct.unpack(">d", content[place : place + 8])
        content[place : place + 8] = struct.pack(">d", duration / 3)
        tag = content.index(b"00:00:00.80")
        content[tag : tag + 11] = b"00:00:00.20"
    else:
        place = content.index(b"mvhd") + 20
        (duration,) = struct.unpack(">I", content[place : place + 4])
        content[place : place + 4] = struct.pack(">I", duration // 3)
    source.write_bytes(content)
    output = tmp_path / f"out.{container}"
    assert derain_video(source, output, options).frames == 20
    assert [time for time, _ in read_planes(output)] == [Fraction(each, 25) for each in range(20)]
    assert read_packets(output, "audio") == read_packets(source, "audio")


HDR = (
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    ":max-cll=1000,400"
)


def read_hdr(path: Path) -> list[float]:
    """Return primaries and luminance of the mastering display, and content light levels."""
    container: Any
    with av.open(str(path)) as container:
        sides = {each.type.name: bytes(each) for each in next(container.decode(video=0)).side_data}
    numbers = np.frombuffer(sides["MASTERING_DISPLAY_METADATA"][:80], "<i4").reshape(-1, 2)
    light = np.frombuffer(sides["CONTENT_LIGHT_LEVEL"][:8], "<u4")
    return [*(numbers[:, 0] / numbers[:, 1]).tolist(), *light.tolist()]


@pytest.mark.parametrize("codec", [None, "av1"])
def test_hdr_is_not_washed_out(codec: str | None, options: VideoOptions, tmp_path: Path) -> None:
    recipe = Recipe(
        codec="libx265",
        pixel_format="yuv420p10le",
        options={"x265-params": f"log-level=none:{HDR}"},
        colours=(1, 9, 16, 9),
    )
    source = write_clip(tmp_path / "in.mkv", make_frames(4), recipe)
    output = tmp_path / "out.mkv"
    derain_video(source, output, replace(options, encoder=EncoderOptions(codec=codec)))
    # AV1 stores them in other units.
    assert read_hdr(output) == pytest.approx(read_hdr(source), abs=1e-4)
    with av.open(str(output)) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace) == (9, 16, 9)


def test_the_timecode_stays(options: VideoOptions, tmp_path: Path) -> None:
    recipe = Recipe(streams_metadata={"timecode": "01:00:00:10"}, audio="aac")
    source = write_clip(tmp_path / "in.mov", make_frames(4), recipe)
    derain_video(source, tmp_path / "out.mov", options)
    told = []
    for path in (source, tmp_path / "out.mov"):
        with av.open(str(path)) as container:
            kinds = sorted(str(each.type) for each in container.streams)
            codes = [each.metadata.get("timecode") for each in container.streams]
            told.append((kinds, sorted(filter(None, codes))))
    assert told[0] == told[1]
    assert "01:00:00:10" in told[0][1]


def write_with_cover(folder: Path, container: str) -> Path:
    """Write a clip with a cover image, a stream in MP4 and an attachment in Matroska."""
    made = write_clip(folder / f"made.{container}", make_frames(5))
    drawn = BytesIO()
    Image.fromarray(draw_background()).save(drawn, "png")
    one: Any
    two: Any
    with av.open(str(made)) as one, av.open(str(folder / f"in.{container}"), "w") as two:
        video = two.add_stream_from_template(one.streams.video[0], opaque=True)
        if container == "mkv":
            two.add_attachment("cover.png", "image/png", drawn.getvalue())
        else:
            cover = two.add_stream("png", rate=1)
            cover.width, cover.height, cover.pix_fmt = 64, 48, "rgb24"
            cover.disposition = av.stream.Disposition.attached_pic
            frame = av.VideoFrame.from_ndarray(draw_background(), format="rgb24")
            frame.pts = 0
            two.mux([*cover.encode(frame), *cover.encode()])
        for packet in one.demux(one.streams.video[0]):
            if packet.size:
                packet.stream = video
                two.mux_one(packet)
    return folder / f"in.{container}"


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_cover_image_is_copied(container: str, options: VideoOptions, tmp_path: Path) -> None:
    source = write_with_cover(tmp_path, container)
    output = tmp_path / f"out.{container}"
    derain_video(source, output, options)
    covers = []
    for path in (source, output):
        with av.open(str(path)) as opened:
            index = next(
                each.index
                for each in opened.streams.video
                if each.disposition & av.stream.Disposition.attached_pic
            )
        covers.append([each[3] for each in read_packets(path, "video") if each[0] == index])
    assert covers[0] == covers[1] != []
