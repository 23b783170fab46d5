"""`crdnet batch`: derain the images of a bucket, on a Ray cluster or in shares."""

import sys
from contextlib import redirect_stdout
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from crdnet.cli import options

if TYPE_CHECKING:
    from crdnet.batch.cluster import Job, JobReport

_HELP = """\
Derain or sense the images of a folder, a bucket, a pattern or a list, on a cluster.

\b
crdnet batch s3://frames/2026/ s3://derained/2026/        use Ray; repeat the command to resume
crdnet batch frames.parquet clean/ --shard 3/16           process share 3 of 16, without Ray
crdnet batch s3://frames/ rain/ --sense-only              write only the densities, as Parquet

SRC and DST are paths or URLs that fsspec supports (s3://, gs://, sftp:// and others). SRC may also
be a list of addresses (.parquet, .jsonl, .txt). Subfolders are included. DST mirrors the tree of
SRC; its folder `_crdnet/` holds the manifest, the results and the dead letters. Every input has
exactly one output, and existing files are never replaced. Exit codes: 0 all done; 1 some inputs
failed (each is named); 2 wrong usage; 130 interrupted.
"""
_SHOWN_FAILURES = 10


@click.command("batch", help=_HELP)
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.option(
    "--address",
    metavar="auto|local|URL",
    help="Ray cluster; auto: the one of RAY_ADDRESS or of this machine, else a new one; local: a "
    "new one on this machine; or ray://HOST:PORT.",
)
@click.option("--shard", metavar="K/N", help="Process share K of N, without Ray.")
@click.option(
    "--workers",
    type=options.AT_LEAST_ONE,
    help="Workers on the cluster.  [default: as many as fit]",
)
@click.option(
    "--cpus-per-worker", type=options.AT_LEAST_ONE, default=1, help="CPUs and threads of a worker."
)
@click.option(
    "--gpus-per-worker", type=click.FloatRange(min=0), default=0.0, help="GPUs of a worker."
)
@click.option("--limit", type=options.AT_LEAST_ONE, help="Process only the first N inputs.")
@options.add_flag("--dry-run", help="List the outputs without writing them.")
@click.option(
    "--max-failures",
    metavar="N|P%",
    help="Stop when more inputs than this have failed; a number, or a share such as 1%.",
)
@options.add_flag("--sense-only", help="Only sense the rain; write results but no images.")
@click.option(
    "--only",
    type=click.Choice(["dry", "rainy"]),
    help="Write only the outputs of dry or of rainy images; with --sense-only, list these images "
    "in DST as Parquet.",
)
@click.option("--uri-column", default="uri", help="Column of the list that holds the addresses.")
@click.option(
    "--id-column",
    default="id",
    help="Column of the list that holds the names of the outputs; optional.",
)
@options.model
@options.device
@options.jobs
@options.tile
@options.strength
@options.add_flag("--always", help="Derain dry images too.")
@options.add_flag(
    "--ensemble",
    help="Average the results for the image and for its mirror image, at twice the time.",
)
@click.option(
    "--format",
    type=click.Choice(["jpg", "png", "webp", "tiff", "avif", "webdataset"]),
    help="Format of all outputs; webdataset: inputs and outputs are tar files; their images are "
    "derained, other members are copied.",
)
@click.option(
    "--fallback-format",
    type=options.FORMATS,
    help="Output format for inputs that can be read but not written.",
)
@click.option(
    "--quality",
    metavar="keep|N",
    default="keep",
    type=options.parse_number_or("keep", None, int, 1, 100),
    help="Quality of lossy formats, 1 to 100; keep: that of the input.",
)
@options.add_flag("--strip-gps", help="Remove the location from the metadata.")
@options.max_pixels
@click.option(
    "--price-per-hour",
    type=click.FloatRange(min=0),
    help="Price of all workers together, to report the cost per million images.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Port of an HTTP endpoint with counters for Prometheus.",
)
@options.add_flag("--json", "as_json", help="Print the report as JSON.")
@options.quiet
@options.traceback
def command(
    source: str,
    destination: str,
    model: str,
    price_per_hour: float | None,
    as_json: bool,
    quiet: bool,
    **values: Any,
) -> int:
    # Imported here, since pyarrow takes longer to load than --help may take.
    from crdnet.batch.cluster import Job, JobOptions
    from crdnet.cli.interruption import stop_on_signals
    from crdnet.pipeline import DerainOptions

    if values["format"] == "webdataset":
        values |= {"format": None, "webdataset": True}
    derain = options.take_fields(values, DerainOptions)
    job_options = options.take_fields(
        values, JobOptions, model=options.parse_model(model), derain=derain
    )
    with options.refuse_unknown_model():
        job = Job(source, destination, job_options)
    if job_options.dry_run:
        return _list_planned(job, quiet=quiet)
    progress = _Progress(price_per_hour, quiet=quiet)
    # Ray prints events of nodes to standard output, which is reserved for the report.
    with stop_on_signals(job.stop, quiet=quiet), redirect_stdout(sys.stderr):
        try:
            report = job.run(progress.show)
        finally:
            progress.close()
    _summarise(report, progress, as_json=as_json, quiet=quiet)
    return 0 if report.is_complete else 1


class _Progress:
    """Progress display: a bar on a terminal, otherwise a line at intervals."""

    def __init__(self, price_per_hour: float | None, *, quiet: bool) -> None:
        from crdnet.cli.progress import Bar

        self._bar = Bar("deraining", quiet=quiet)
        self._quiet = quiet
        self._price = price_per_hour
        self._began = self._told = perf_counter()

    def show(self, report: "JobReport") -> None:
        from crdnet.cli.report import PLAIN_SECONDS

        done = report.inputs - report.left
        text = self.describe(report)
        self._bar.update(done / max(1, report.inputs), text)
        is_plain = not self._quiet and not self._bar.is_drawn
        if is_plain and perf_counter() - self._told >= PLAIN_SECONDS:
            self._told = perf_counter()
            click.echo(text, err=True)

    def close(self) -> None:
        self._bar.close()

    def describe(self, report: "JobReport") -> str:
        """Return counts, rates, time left and cost."""
        from crdnet.cli.progress import format_duration

        counts, seconds = report.tally.counts, perf_counter() - self._began
        parts = [f"{counts[name]:,} {name}" for name in _STATUSES if counts[name]]
        parts += [f"{report.earlier + report.tally.earlier:,} before"] * bool(report.earlier)
        text = ", ".join(parts) or "nothing done yet"
        if report.left:
            text += f", {report.left:,} left"
        if not report.finished:
            return text
        rate = report.finished / max(seconds, 1e-9)
        text += f"; {rate:,.2f} images/s, {report.tally.pixels / 1e6 / seconds:,.2f} MP/s"
        if report.left:
            text += f", {format_duration(report.left / rate)} left"
        if self._price is not None:
            text += f", {self._price / rate / 3600 * 1e6:,.2f} per million images"
        return text


_STATUSES = ("done", "dry", "skipped", "failed")


def _list_planned(job: "Job", *, quiet: bool) -> int:
    from crdnet.cli.messages import escape

    count = bad = 0
    for each in job.plan():
        count += 1
        if each.problem is not None:
            bad += 1
            click.echo(f"Error: {escape(f'{each.uri}: {each.problem}')}", err=True)
        elif not quiet:
            click.echo(escape(f"{each.uri} -> {job.locate(each)}"))
    if not quiet:
        _tell_left_out(job.report.left_out)
        click.echo(f"{count:,} planned", err=True)
    return 1 if bad else 0


def _tell_left_out(left_out: dict[str, int]) -> None:
    if left_out:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in left_out.items())
        click.echo(f"left out: {kinds}", err=True)


def _summarise(report: "JobReport", progress: _Progress, *, as_json: bool, quiet: bool) -> None:
    import json

    from crdnet.cli.messages import escape, name_flags

    if as_json:
        click.echo(json.dumps(report.as_dict()))
    for failure in report.tally.failures[:_SHOWN_FAILURES]:
        name = "" if failure.uri in failure.reason else f"{failure.uri}: "
        click.echo(f"Error: {escape(name + name_flags(failure.reason))}", err=True)
    if (more := report.tally.counts["failed"] - _SHOWN_FAILURES) > 0:
        click.echo(f"  and {more:,} more, see _crdnet/dead_letters.jsonl", err=True)
    if report.stopped:
        click.echo(f"Error: stopped early, {name_flags(report.stopped)}", err=True)
    if not quiet:
        _tell_left_out(report.left_out)
        if not report.finished and not report.left:
            click.echo(f"{report.inputs:,} inputs, nothing left to do", err=True)
        else:
            click.echo(progress.describe(report), err=True)
