"""Clips that are refused in one line, with nothing left half-written."""

import errno
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from crdnet.errors import CRDNetError, OutputError, VideoError
from crdnet.files import write_whole
from crdnet.video import EncoderOptions, VideoOptions, Window, derain_video
from crdnet.video.source import FrameChecker, open_clip
from tests.video.clips import Recipe, make_frames, read_planes, write_clip


def make_text(folder: Path) -> Path:
    (folder / "in.mp4").write_text("no video")
    return folder / "in.mp4"


def make_nothing(folder: Path) -> Path:
    return folder / "missing.mp4"


def make_empty(folder: Path) -> Path:
    (folder / "in.mkv").write_bytes(b"")
    return folder / "in.mkv"


def make_sound(folder: Path) -> Path:
    return write_clip(folder / "in.mkv", [], Recipe(with_video=False, audio="flac"))


def make_truncated(folder: Path) -> Path:
    options = {"movflags": "faststart"}
    path = write_clip(
        folder / "in.mp4",
        make_frames(30),
        Recipe(container_options=options, options={"g": "5", "crf": "1"}),
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def make_truncated_matroska(folder: Path) -> Path:
    path = write_clip(folder / "in.mkv", make_frames(30), Recipe(options={"g": "5", "crf": "1"}))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def make_header_only(folder: Path) -> Path:
    path = write_clip(folder / "in.mp4", make_frames(8))
    path.write_bytes(path.read_bytes()[:-400])
    return path


def make_without_timestamps(folder: Path) -> Path:
    return write_clip(folder / "in.h264", make_frames(6), Recipe(container="h264"))


def make_interlaced(folder: Path) -> Path:
    options = {"x264-params": "interlaced=1", "crf": "1"}
    return write_clip(folder / "in.mkv", make_frames(6), Recipe(options=options))


def make_still(folder: Path) -> Path:
    return write_clip(folder / "in.mp4", make_frames(1))


def make_encrypted(folder: Path) -> Path:
    options = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
    }
    return write_clip(folder / "in.mp4", make_frames(8), Recipe(container_options=options))


def make_changing(folder: Path) -> Path:
    """Two clips of different sizes behind each other."""
    parts = [
        write_clip(folder / f"{side}.ts", [frame[:side] for frame in make_frames(5)], Recipe())
        for side in (48, 32)
    ]
    path = folder / "in.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()
    return path


def make_without_frames(folder: Path) -> Path:
    """A header that promises video, and no frame."""
    with av.open(str(folder / "in.avi"), "w") as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        output.start_encoding()
    return folder / "in.avi"


def make_codec_without_encoder(folder: Path) -> Path:
    """Autodesk Animator Studio frames, which here are raw pixels behind four bytes."""
    path = folder / "in.avi"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr24"
        for number in range(5):
            packet = av.Packet(bytes(4) + rng.bytes(64 * 48 * 3))
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base = Fraction(1, 25)
            packet.is_keyframe = True
            output.mux(packet)
    content = bytearray(path.read_bytes())
    header, format_ = content.index(b"vids"), content.index(b"strf")
    content[header + 4 : header + 8] = b"AASC"
    content[format_ + 24 : format_ + 28] = b"AASC"
    path.write_bytes(content)
    return path


def make_codec_that_is_only_decoded(folder: Path) -> Path:
    return write_clip(
        folder / "in.avi",
        make_frames(5),
        Recipe(codec="msvideo1", pixel_format="rgb555le", options={}),
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_text, "cannot be read as a clip"),
        (make_nothing, "does not exist"),
        (make_empty, "cannot be read as a clip"),
        (make_sound, "holds audio and no video"),
        (make_truncated, "truncated or damaged"),
        (make_truncated_matroska, "truncated or damaged"),
        (make_header_only, "truncated"),
        (make_without_timestamps, "without a timestamp"),
        (make_interlaced, "interlaced"),
        (make_still, "only one frame"),
        (make_encrypted, "encrypted"),
        (make_changing, "changes its size from 64 x 48 to 64 x 32"),
        (make_without_frames, "no frame that can be decoded"),
        (make_codec_without_encoder, "aasc .*cannot be encoded here; choose one .*-c: h264"),
        (make_codec_that_is_only_decoded, "rgb555le"),
    ],
)
def test_a_clip_that_cannot_be_kept_is_refused(
    make: Callable[[Path], Path], words: str, options: VideoOptions, tmp_path: Path
) -> None:
    source = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    output = tmp_path / f"out{source.suffix if source.suffix != '.h264' else '.mkv'}"
    with pytest.raises(CRDNetError, match=words) as caught:
        derain_video(source, output, options)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_groups_that_are_open_are_read(options: VideoOptions, tmp_path: Path) -> None:
    """Frames shown before a key frame but coded after it."""
    recipe = Recipe(
        options={"x264-params": "open-gop=1:keyint=6:min-keyint=2:bframes=3:b-adapt=0", "crf": "1"}
    )
    source = write_clip(tmp_path / "in.mkv", make_frames(20), recipe)
    derain_video(source, tmp_path / "out.mkv", options)
    assert [time for time, _ in read_planes(source)] == [
        time for time, _ in read_planes(tmp_path / "out.mkv")
    ]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "in.mkv", make_frames(6), Recipe(subtitles="srt"))


def test_a_source_is_never_its_output(source: Path, options: VideoOptions) -> None:
    content = source.read_bytes()
    with pytest.raises(OutputError, match="never replaced"):
        derain_video(source, source, replace(options, overwrite=True))
    assert source.read_bytes() == content


def test_an_output_is_not_replaced_unasked(
    source: Path, options: VideoOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    output.write_text("mine")
    with pytest.raises(OutputError, match="exists; use `overwrite=True` to replace it"):
        derain_video(source, output, options)
    assert output.read_text() == "mine"
    derain_video(source, output, replace(options, overwrite=True))
    assert len(read_planes(output)) == 6


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("out.mp4", {}, "cannot hold the subtitle stream"),
        ("out.xyz", {}, "no container has this suffix"),
        (
            "out.mkv",
            {"encoder": EncoderOptions(codec="h265x")},
            "cannot be encoded here; choose .*hevc",
        ),
        ("out.mkv", {"encoder": EncoderOptions(codec="mpeg4", crf=3.0)}, "has no CRF"),
        ("out.mkv", {"encoder": EncoderOptions(extra={"colour": "1"})}, "has no option colour"),
        ("out.mkv", {"encoder": EncoderOptions(pixel_format="pal8")}, "has no pixel format pal8"),
        ("out.mkv", {"encoder": EncoderOptions(codec="flac")}, "not video"),
        ("out.mkv", {"window": Window(start=50.0)}, "no frame in this part"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    name: str,
    changes: dict[str, object],
    words: str,
    source: Path,
    options: VideoOptions,
    tmp_path: Path,
) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CRDNetError, match=words) as caught:
        derain_video(source, tmp_path / name, replace(options, **changes))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_hdr_metadata_that_an_encoder_cannot_carry_is_refused(
    options: VideoOptions, tmp_path: Path
) -> None:
    hdr = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    recipe = Recipe(
        codec="libx265",
        pixel_format="yuv420p10le",
        options={"x265-params": f"log-level=none:{hdr}"},
    )
    source = write_clip(tmp_path / "in.mkv", make_frames(3), recipe)
    with pytest.raises(VideoError, match="HDR static metadata"):
        derain_video(
            source, tmp_path / "out.mkv", replace(options, encoder=EncoderOptions(codec="ffv1"))
        )


def test_a_full_disk_is_named_and_the_run_goes_on_later(
    source: Path, options: VideoOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = write_whole, [0]

    def write(path: Path, content: bytes) -> None:
        calls[0] += 1
        if calls[0] == 3:
            raise OutputError(errno.ENOSPC, "no space left; make room")
        real(path, content)

    monkeypatch.setattr("crdnet.video.segments.write_whole", write)
    output = tmp_path / "out.mkv"
    with pytest.raises(OutputError, match="make room"):
        derain_video(source, output, options)
    assert not output.exists()
    assert derain_video(source, output, options).resumed == 4


def test_a_negative_time_is_refused(source: Path) -> None:
    """Few containers can be made to hold one."""
    with open_clip(source) as clip:
        frame = next(clip.container.decode(video=0))
        frame.pts = -40
        with pytest.raises(VideoError, match="negative time"):
            FrameChecker(clip).check(frame)


def test_times_that_do_not_rise_are_refused(options: VideoOptions, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    recipe = Recipe(codec="rawvideo", times=[0, 2, 4, 4, 6], options={}, time_base=Fraction(1, 25))
    frames = [rng.integers(0, 255, (16, 16, 3), dtype=np.uint8) for _ in range(5)]
    source = write_clip(tmp_path / "in.mkv", frames, recipe)
    options = replace(options, encoder=EncoderOptions())
    with pytest.raises(VideoError, match="do not rise"):
        derain_video(source, tmp_path / "out.mkv", options)
