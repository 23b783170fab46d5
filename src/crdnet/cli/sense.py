"""`crdnet sense`: sense the rain in images and clips; nothing is derained."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crdnet.cli import options

if TYPE_CHECKING:
    from crdnet.video import Moment

CLIPS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".mpg", ".mpeg", ".nut")
"""Suffixes of files that are sensed as clips, second by second."""

_HELP = """\
Measure the rain in images. INPUT is a file, a folder, a pattern, or - for standard input.

\b
crdnet sense street.jpg                   density, intensity (0 to 255), score (0 to 1)
crdnet sense photos/ -r --json            one JSON object per image
crdnet sense clip.mp4 --plot rain.png     one clip, second by second (extra: video)

No images are written. Exit codes: 0 all done; 1 some inputs failed (each is named); 2 wrong usage,
such as a model that does not sense rain; 130 interrupted.
"""


@click.command("sense", help=_HELP)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@options.model
@options.device
@options.jobs
@options.recursive
@options.files_from
@options.max_pixels
@click.option("--plot", type=options.FILE, help="Plot the rain in a clip to a PNG file.")
@click.option(
    "--csv", "table", type=options.FILE, help="Write the rain in each second of a clip to a table."
)
@options.as_json
@options.quiet
@options.verbose
def command(
    inputs: tuple[str, ...],
    recursive: bool,
    files_from: Any,
    model: str,
    max_pixels: int,
    plot: Path | None,
    table: Path | None,
    **values: Any,
) -> int:
    if len(inputs) == 1 and Path(inputs[0]).suffix.lower() in CLIPS:
        return _sense_clip(inputs[0], model, plot, table, **values)
    if plot or table:
        raise click.UsageError(f"--plot and --csv need one clip as input ({', '.join(CLIPS)})")
    # Imported here, since numpy and onnxruntime take longer to load than --help may take.
    from crdnet.batch import BatchOptions, SenseRun, plan_sensing
    from crdnet.cli.report import Report, ReportOptions
    from crdnet.pipeline import DerainOptions

    sources = options.list_inputs(inputs, files_from)
    report = Report("sense", options.take_fields(values, ReportOptions))
    if not sources:
        return report.fail(files_from.name, "the list names no images")
    derain = DerainOptions(max_pixels=max_pixels)
    batch = options.take_fields(
        values, BatchOptions, model=options.parse_model(model), derain=derain
    )
    with options.refuse_unknown_model():
        run = SenseRun(plan_sensing(sources, batch, recursive=recursive))
    return report.follow(run)


def _sense_clip(
    source: str,
    model: str,
    plot: Path | None,
    table: Path | None,
    *,
    device: str,
    as_json: bool,
    quiet: bool,
    **_others: Any,
) -> int:
    """Print the rain in a clip for each second, and write the requested files."""
    # Imported here, since PyAV is an extra and slow to load.
    from crdnet.files import write_whole
    from crdnet.video import VideoOptions, sense_video

    def tell(moment: "Moment") -> None:
        if not (as_json or quiet):
            grade = moment.density.name.lower()
            click.echo(f"{_format_clock(moment.start)}  {grade}, intensity {moment.intensity:.2g}")

    for file in (plot, table):
        if file is not None and file.exists():
            raise click.UsageError(f"{file} exists; name another file")
    timeline = sense_video(
        source, replace(VideoOptions(), model=model, device=device), on_second=tell
    )
    if as_json:
        click.echo(json.dumps(timeline.as_dict()))
    if table is not None:
        write_whole(table, timeline.as_csv().encode())
    if plot is not None:
        timeline.plot(plot)
    return 0


def _format_clock(seconds: int) -> str:
    """Return a time as h:mm:ss."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
