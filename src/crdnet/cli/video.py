"""`crdnet video`: derain a clip, a pipe or a camera."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from crdnet.cli import options

if TYPE_CHECKING:
    from crdnet.video import VideoOptions, VideoProgress, VideoRecord

_HELP = """\
Remove rain from a clip, numbered images, a pipe or a live stream (extra: video).

\b
crdnet video dashcam.mp4 -o clean.mp4          derain a clip; repeat the command to resume
crdnet video in.mkv -o test.mkv --preview 5    derain five seconds, also written side by side
crdnet video frames/%05d.png -o clean/%05d.png read and write numbered images
cat in.nut | crdnet video - -o - > out.nut     read and write a pipe (NUT or Matroska)
crdnet video rtsp://camera -o udp://127.0.0.1:5000   live: drop frames instead of falling behind

The output keeps sound, subtitles, chapters, attachments, metadata and the timestamp of each frame;
a clip that cannot be kept whole is refused with the reason. Existing files are replaced only with
--overwrite. Exit codes: 0 done; 1 failed; 2 wrong usage; 130 interrupted.
"""
# Seconds between two lines of progress without a terminal.
_TELL_SECONDS = 30.0


def _parse_pairs(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Parse the values of -e as options of the encoder."""
    pairs = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{value!r} is not key=value", ctx, param)
        pairs[name] = text
    return pairs


def _parse_seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Parse 90, 1:30 or 0:01:30.5 as seconds."""
    if value is None:
        return None
    try:
        parts = [float(each) for each in value.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(0 <= each < float("inf") for each in parts):
        raise click.BadParameter(
            f"{value!r} is not a time such as 90, 1:30 or 0:01:30.5", ctx, param
        )
    return float(sum(each * 60**place for place, each in enumerate(reversed(parts))))


@click.command("video", help=_HELP)
@click.argument("source", metavar="INPUT")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUTPUT",
    help="A file, numbered images (%05d.png), a URL, or - for standard output.",
)
@options.model
@options.device
@options.strength
@options.add_flag("--always", help="Derain dry frames too.")
@click.option(
    "--static",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    help="Whether the camera is static; auto: detect it.",
)
@options.add_flag("--single", help="Derain each frame alone, without its neighbours.")
@click.option(
    "-c",
    "--codec",
    metavar="NAME",
    help="Video codec, such as h264, hevc, av1, vp9 or ffv1.  [default: that of the input]",
)
@click.option(
    "--crf",
    type=float,
    metavar="N",
    help="Quality on the encoder's scale; lower is better.  [default: visually lossless]",
)
@click.option("--preset", metavar="NAME", help="Preset of the encoder: speed against file size.")
@click.option(
    "--pix-fmt", "pixel_format", metavar="NAME", help="Pixel format.  [default: that of the input]"
)
@click.option(
    "-e",
    "--encoder-option",
    "extra",
    multiple=True,
    callback=_parse_pairs,
    metavar="KEY=VALUE",
    help="Further option of the encoder; may be repeated.",
)
@click.option(
    "--start", callback=_parse_seconds, metavar="TIME", help="Start time: seconds, or H:M:S."
)
@click.option("--end", callback=_parse_seconds, metavar="TIME", help="End time: seconds, or H:M:S.")
@click.option(
    "--preview",
    type=options.ABOVE_ZERO,
    metavar="SECONDS",
    help="Derain only so many seconds, and also write *_side_by_side.",
)
@options.add_flag("--side-by-side", help="Show the rainy frame to the left of each derained frame.")
@options.add_flag(
    "--only-rain",
    help="Copy dry groups of frames bit for bit (h264, mjpeg, prores, lossless codecs).",
)
@click.option(
    "--rate",
    type=options.ABOVE_ZERO,
    metavar="FPS",
    help="Frames per second, if the input is numbered images.",
)
@click.option(
    "--format",
    "container",
    metavar="NAME",
    help="Container, if the name of the output does not state it.",
)
@click.option(
    "--every",
    type=options.AT_LEAST_ONE,
    default=1,
    metavar="N",
    help="Live input: derain every N-th frame and drop the others.",
)
@options.overwrite
@options.add_flag(
    "--json", "as_json", help="Print one JSON object per line: for each frame, and at the end."
)
@options.quiet
@options.traceback
def command(source: str, output: str, **given: Any) -> int:
    # Imported here, since numpy and onnxruntime take longer to load than --help may take.
    from crdnet.video import (
        LiveOptions,
        derain_live,
        derain_video,
        is_live,
    )

    as_json, quiet = given["as_json"], given["quiet"]
    if output == "-" and sys.stdout.isatty():
        raise click.UsageError(
            "the clip would be written to the terminal; redirect standard output, or give a file"
        )
    if output == "-" and as_json:
        raise click.UsageError(
            "--json and the clip would both be written to standard output; give -o FILE"
        )
    if given["every"] != 1 and not is_live(source):
        raise click.UsageError("--every needs a live input; a file keeps all frames")
    if given["preview"] is not None and (given["end"] is not None or given["side_by_side"]):
        raise click.UsageError(
            "--preview sets the end and writes a side-by-side clip; omit --end and --side-by-side"
        )
    options.find_stored_model(given["model"])
    chosen = _choose_options(given)
    report = _Report(source, as_json=as_json, quiet=quiet)
    if is_live(source):
        live = LiveOptions(every=given["every"])
        record = derain_live(source, output, chosen, live, report.tell, report.tell_event)
        report.end(record)
        return 0
    for place, each in _split_preview(output, chosen, given["preview"]):
        report.end(derain_video(source, place, each, report.tell))
    return 0


def _choose_options(given: dict[str, Any]) -> "VideoOptions":
    from crdnet.video import EncoderOptions, VideoOptions, Window

    start, end = given["start"], given["end"]
    if given["preview"] is not None:
        end = (start or 0.0) + given["preview"]
    if start is not None and end is not None and end <= start:
        raise click.UsageError(f"--end must be after --start, got {start:g} and {end:g} s")
    return VideoOptions(
        model=given["model"],
        device=given["device"],
        strength=given["strength"],
        always=given["always"],
        temporal=not given["single"],
        static=given["static"],
        encoder=EncoderOptions(
            given["codec"], given["crf"], given["preset"], given["pixel_format"], given["extra"]
        ),
        window=Window(start, end),
        side_by_side=given["side_by_side"],
        only_rain=given["only_rain"],
        overwrite=given["overwrite"],
        container=given["container"],
        rate=given["rate"],
    )


def _split_preview(
    output: str, chosen: "VideoOptions", preview: float | None
) -> "list[tuple[str, VideoOptions]]":
    """Return each output to write, with its options."""
    if preview is None:
        return [(output, chosen)]
    if output == "-":
        raise click.UsageError("--preview writes two files; give -o FILE")
    path = Path(output)
    beside = path.with_name(f"{path.stem}_side_by_side{path.suffix}")
    return [(output, chosen), (str(beside), replace(chosen, side_by_side=True))]


class _Report:
    """Report on the progress and the result of a run.

    Args:
        source: Name of the input.
        as_json: If True, print one JSON object per line in place of words.
        quiet: If True, print only errors; JSON is still printed, because it is a result.
    """

    def __init__(self, source: str, *, as_json: bool, quiet: bool) -> None:
        self._source, self._as_json, self._quiet = source, as_json, quiet
        self._told = perf_counter()
        self._draw: Callable[[str], None] | None = None
        if not quiet and sys.stderr.isatty():
            self._draw = lambda line: click.echo(f"\r\x1b[K{line}", err=True, nl=False)

    def tell(self, progress: "VideoProgress") -> None:
        """Report the progress after a frame."""
        if self._as_json:
            told = {"event": "frame", "input": self._source, **progress.as_dict()}
            click.echo(json.dumps(told))
        if self._draw is not None:
            self._draw(progress.as_text())
        elif not self._quiet and perf_counter() - self._told >= _TELL_SECONDS:
            self._told = perf_counter()
            click.echo(progress.as_text(), err=True)

    def tell_event(self, line: str) -> None:
        """Report that a connection was lost or restored."""
        if self._as_json:
            click.echo(json.dumps({"event": "connection", "input": self._source, "message": line}))
        if not self._quiet:
            click.echo(line, err=True)

    def end(self, record: "VideoRecord") -> None:
        """Report the result of the run."""
        if self._draw is not None:
            self._draw("")
        if self._as_json:
            click.echo(json.dumps({"event": "done", **record.as_dict()}))
        elif not self._quiet:
            click.echo(record.as_text(), err=record.output in ("-", "standard output"))
