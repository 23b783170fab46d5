"""Parts of clips, previews, numbered images, pipes, and copying of what is dry."""

import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from crdnet.errors import VideoError
from crdnet.video import (
    EncoderOptions,
    VideoOptions,
    VideoProgress,
    Window,
    derain_video,
    frames,
)
from tests.video.clips import (
    HEIGHT,
    WIDTH,
    Recipe,
    draw_background,
    make_frames,
    read_packets,
    read_planes,
    read_rgb,
    write_clip,
)
from tests.waiting import HANG_SECONDS


def test_a_part_begins_at_zero_with_its_sound_and_chapters(
    options: VideoOptions, tmp_path: Path
) -> None:
    recipe = Recipe(audio="flac", chapters=True)
    source = write_clip(tmp_path / "in.mkv", make_frames(20), recipe)
    part = replace(options, window=Window(0.2, 0.44))
    record = derain_video(source, tmp_path / "out.mkv", part)
    assert record.frames == 6
    times = [time for time, _ in read_planes(tmp_path / "out.mkv")]
    assert times == [Fraction(40 * each, 1000) for each in range(6)]
    sound = read_packets(tmp_path / "out.mkv", "audio")
    assert sound
    assert all(0 <= time < Fraction(24, 100) for _, time, _, _ in sound)
    assert {each[3] for each in sound} <= {each[3] for each in read_packets(source, "audio")}
    with av.open(str(tmp_path / "out.mkv")) as container:
        chapters = container.chapters()
        assert [each["metadata"]["title"] for each in chapters] == ["b"]
        assert chapters[0]["start"] == 0


def test_the_rainy_frame_stands_beside_the_derained_one(
    options: VideoOptions, tmp_path: Path
) -> None:
    source = write_clip(tmp_path / "in.mkv", make_frames(5))
    derain_video(source, tmp_path / "one.mkv", options)
    derain_video(source, tmp_path / "two.mkv", replace(options, side_by_side=True))
    for rainy, derained, both in zip(
        read_rgb(source),
        read_rgb(tmp_path / "one.mkv"),
        read_rgb(tmp_path / "two.mkv"),
        strict=True,
    ):
        assert both.shape == (HEIGHT, 2 * WIDTH, 3)
        # Chroma at the seam is interpolated over it.
        assert np.abs(both[:, : WIDTH - 2].astype(int) - rainy[:, :-2]).max() <= 2
        assert np.abs(both[:, WIDTH + 2 :].astype(int) - derained[:, 2:]).max() <= 2


def test_numbered_images_go_in_and_out(options: VideoOptions, tmp_path: Path) -> None:
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    rainy = make_frames(5)
    for number, frame in enumerate(rainy):
        Image.fromarray(frame).save(tmp_path / "in" / f"{number + 3:03d}.png")
    pattern = tmp_path / "in" / "%03d.png"
    images = replace(options, encoder=EncoderOptions())
    record = derain_video(pattern, tmp_path / "out" / "%05d.png", images)
    assert record.frames == 5
    names = sorted(each.name for each in (tmp_path / "out").iterdir())
    assert names == [f"{number:05d}.png" for number in range(1, 6)]
    truth = draw_background().astype(int)
    for number, frame in enumerate(rainy):
        derained = np.asarray(Image.open(tmp_path / "out" / f"{number + 1:05d}.png")).astype(int)
        assert np.abs(derained - truth).mean() < 0.5 * np.abs(frame - truth).mean()
    with pytest.raises(VideoError, match="give its frame rate"):
        derain_video(pattern, tmp_path / "out.mkv", images)
    derain_video(pattern, tmp_path / "out.mkv", replace(images, rate=12.5))
    assert [time for time, _ in read_planes(tmp_path / "out.mkv")] == [
        Fraction(80 * each, 1000) for each in range(5)
    ]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_numbered_images_keep_their_metadata(
    suffix: str, options: VideoOptions, tmp_path: Path
) -> None:
    """Profile, EXIF with an orientation, and resolution; a dry image stays what it is."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", 6
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    for number, frame in enumerate(make_frames(8, rain=lambda each: each < 5)):
        lossy: dict[str, Any] = {"quality": 95, "subsampling": 0} if suffix == ".jpg" else {}
        Image.fromarray(frame).save(
            tmp_path / f"in/{number}{suffix}", icc_profile=profile, exif=exif, dpi=(72, 72), **lossy
        )
    images = replace(options, encoder=EncoderOptions())
    derain_video(tmp_path / f"in/%d{suffix}", tmp_path / f"out/%d{suffix}", images)
    upright = np.rot90(draw_background().astype(int), -1)
    for number in range(8):
        before, after = tmp_path / f"in/{number}{suffix}", tmp_path / f"out/{number + 1}{suffix}"
        with Image.open(after) as image:
            assert image.info["icc_profile"] == profile
            assert dict(image.getexif())[0x010F] == "a camera"
            assert image.getexif()[0x0112] == 6
            assert image.info["dpi"] == pytest.approx((72, 72), abs=0.1)
            derained = np.asarray(ImageOps.exif_transpose(image)).astype(int)
        with Image.open(before) as image:
            rainy = np.asarray(ImageOps.exif_transpose(image)).astype(int)
        if number < 4:
            assert np.abs(derained - upright).mean() < 0.6 * np.abs(rainy - upright).mean()
    assert after.read_bytes() == before.read_bytes()
    lossless = replace(options, rate=5.0, encoder=EncoderOptions(codec="ffv1"))
    derain_video(tmp_path / f"in/%d{suffix}", tmp_path / "out.mkv", lossless)
    with av.open(str(tmp_path / "out.mkv")) as container:
        # EXIF turns by a quarter to the right, the display matrix counts to the left.
        assert next(container.decode(video=0)).rotation == -90


def test_numbered_images_keep_depth_and_alpha(options: VideoOptions, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    alpha = np.full((HEIGHT, WIDTH), 77, np.uint8)
    for number, frame in enumerate(make_frames(3)):
        Image.fromarray(np.dstack([frame, alpha])).save(tmp_path / f"a{number}.png")
        Image.fromarray(frame[..., 0].astype(np.uint16) * 257).save(tmp_path / f"b{number}.png")
    images = replace(options, encoder=EncoderOptions())
    for name in "ab":
        derain_video(tmp_path / f"{name}%d.png", tmp_path / f"out/{name}%d.png", images)
    with Image.open(tmp_path / "out/a2.png") as image:
        assert np.array_equal(np.asarray(image)[..., 3], alpha)
    with Image.open(tmp_path / "out/b2.png") as image:
        assert image.mode.startswith("I;16")
    derain_video(
        tmp_path / "a%d.png", tmp_path / "out/both%d.png", replace(images, side_by_side=True)
    )
    with Image.open(tmp_path / "out/both2.png") as image:
        assert np.array_equal(np.asarray(image)[..., 3], np.hstack([alpha, alpha]))


def test_a_format_that_is_only_read_is_refused_before_the_work(
    options: VideoOptions, tmp_path: Path
) -> None:
    for number, frame in enumerate(make_frames(3)):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    images = replace(options, encoder=EncoderOptions())
    told: list[VideoProgress] = []
    with pytest.raises(VideoError, match=r"has no suffix of a supported image format; use"):
        derain_video(tmp_path / "%d.png", tmp_path / "out%d.gif", images, told.append)
    assert not told


@pytest.mark.parametrize("container", ["nut", "matroska"])
def test_a_pipe_goes_in_and_out(container: str, streak_model: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in", make_frames(6), Recipe(container=container, audio="flac"))
    program = (
        "from crdnet.video import EncoderOptions, VideoOptions, derain_video\n"
        f"options = VideoOptions(model={str(streak_model)!r}, device='cpu', threads=1,"
        " encoder=EncoderOptions(crf=0.0, preset='ultrafast'))\n"
        "derain_video('-', '-', options)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        input=source.read_bytes(),
        stdout=subprocess.PIPE,
        env=os.environ,
        check=True,
        timeout=HANG_SECONDS,
    )
    output = tmp_path / "out"
    output.write_bytes(ended.stdout)
    assert [time for time, _ in read_planes(source)] == [time for time, _ in read_planes(output)]
    assert read_packets(source, "audio") == read_packets(output, "audio")


def test_binary_files_go_in_and_out(options: VideoOptions, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", make_frames(5))
    written = BytesIO()
    derain_video(BytesIO(source.read_bytes()), written, options)
    (tmp_path / "out.mkv").write_bytes(written.getvalue())
    derain_video(source, tmp_path / "file.mkv", options)
    for one, two in zip(
        read_planes(tmp_path / "out.mkv"), read_planes(tmp_path / "file.mkv"), strict=True
    ):
        assert one[0] == two[0]
        assert np.array_equal(one[1], two[1])


def test_frames_are_given_one_by_one(options: VideoOptions, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", make_frames(6))
    given = list(frames(source, options))
    assert [each.number for each in given] == list(range(6))
    assert [each.time for each in given] == pytest.approx([0.04 * each for each in range(6)])
    truth = draw_background().astype(int)
    for each in given:
        assert each.derained.dtype == np.uint8
        assert np.abs(each.derained - truth).mean() < 0.5 * np.abs(each.rainy - truth).mean()
    deep = Recipe(codec="ffv1", pixel_format="yuv420p10le", options={})
    source = write_clip(tmp_path / "deep.mkv", make_frames(2), deep)
    assert {each.derained.dtype for each in frames(source, options)} == {np.dtype(np.uint16)}


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("in.mkv", Recipe(options={"g": "5", "crf": "1"})),
        ("in.mp4", Recipe(options={"g": "5", "crf": "1", "bf": "2"})),
        (
            "in.ts",
            Recipe(
                options={"g": "5", "crf": "1"},
                time_base=Fraction(1, 90000),
                times=[3600 * each for each in range(20)],
            ),
        ),
        (
            "in.avi",
            Recipe(
                codec="mjpeg",
                pixel_format="yuvj420p",
                options={"qmin": "1", "qmax": "1"},
                colours=(2, 5, 6, 5),
            ),
        ),
    ],
)
def test_only_groups_with_rain_are_encoded(
    name: str, recipe: Recipe, options: VideoOptions, tmp_path: Path
) -> None:
    """It rains in frames 6 to 8 of twenty, in the second group of five."""
    rainy = make_frames(20, rain=lambda number: 6 <= number <= 8)
    source = write_clip(tmp_path / name, rainy, recipe)
    output = tmp_path / f"out{source.suffix}"
    chosen = EncoderOptions() if recipe.codec == "mjpeg" else options.encoder
    record = derain_video(source, output, replace(options, only_rain=True, encoder=chosen))
    assert record.frames == 20
    kept = {each[3] for each in read_packets(source, "video")}
    told = [each[3] in kept for each in read_packets(output, "video")]
    assert sum(told) == record.copied
    # Frames of MJPEG are copied one by one, those of H.264 by the group.
    assert record.copied == (record.left_alone if recipe.codec == "mjpeg" else 15)
    assert 15 <= record.left_alone <= 17
    before, after = read_planes(source), read_planes(output)
    assert [time for time, _ in before] == [time for time, _ in after]
    for number in (0, 3, 12, 16, 19):
        assert np.array_equal(before[number][1], after[number][1])
    assert not np.array_equal(before[7][1], after[7][1])


def test_codecs_that_cannot_be_copied_in_parts_are_refused(
    options: VideoOptions, tmp_path: Path
) -> None:
    recipe = Recipe(codec="mpeg4", options={})
    source = write_clip(tmp_path / "in.mkv", make_frames(6), recipe)
    with pytest.raises(VideoError, match="cannot be copied in parts"):
        derain_video(
            source,
            tmp_path / "out.mkv",
            replace(options, only_rain=True, encoder=EncoderOptions()),
        )
