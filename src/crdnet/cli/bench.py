"""`crdnet bench`: measure the speed of the engines on this machine."""

import click

from crdnet.cli import options
from crdnet.cli.progress import progress
from crdnet.devices import DEVICES

_HELP = """\
Measure how fast each engine derains on this machine, and how near it comes to what it could do.

\b
crdnet bench                              every device that is installed, at 0.25, 2 and 12 MP
crdnet bench -d cpu --size 2 --rounds 20  one device and one size, more exactly
crdnet bench -m default -m my.onnx --json

Every row is a process of its own; those of one size take turns, so that whatever disturbs the
machine disturbs them alike. The table has the network alone (median and quartiles, megapixels per
second, its share of a matrix product and of a copy of memory that are timed in the same turns), an
image as users have it derained, the time from the start of a process to its first image, and the
peak of its memory. Quartiles far apart say that the machine was busy: measure again. It takes a
minute or two; memory for all devices at once is needed, some 1 GB each at 12 megapixels.

Exit codes: 0 measured; 1 a model or a device does not work; 2 wrong usage; 130 interrupted.
"""


@click.command("bench", help=_HELP)
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    default=("default",),
    help="A name that `crdnet models` lists, or an .onnx file; may be repeated.",
)
@click.option(
    "-d",
    "--device",
    "devices",
    type=click.Choice(DEVICES),
    multiple=True,
    help="May be repeated. All that are installed, if not given.",
)
@click.option(
    "--size",
    "sizes",
    type=click.FloatRange(min=0, max=1000, min_open=True),
    multiple=True,
    default=(0.25, 2.0, 12.0),
    metavar="MEGAPIXELS",
    help="Of the image, 4 to 3; may be repeated.",
)
@click.option(
    "--rounds", type=options.AT_LEAST_ONE, default=5, help="Timed runs of each after the warm-up."
)
@click.option(
    "--threads",
    type=options.AT_LEAST_ONE,
    help="Processors for each; all that may be used, if not given.",
)
@options.as_one_json
@options.add_flag("--markdown", help="Print Markdown.")
@options.quiet
@options.traceback
def command(
    models: tuple[str, ...],
    devices: tuple[str, ...],
    sizes: tuple[float, ...],
    rounds: int,
    threads: int | None,
    as_json: bool,
    markdown: bool,
    quiet: bool,
) -> int:
    if as_json and markdown:
        raise click.UsageError("--json and --markdown are two forms of one table; choose one")
    # Imported here, since numpy and onnxruntime take longer to load than --help may take.
    from crdnet import bench
    from crdnet.runtime import count_cpus, list_installed_devices

    stored = [options.find_stored_model(model) for model in models]
    subjects = [
        bench.Subject(model, device)
        for model in stored
        for device in devices or list_installed_devices()
    ]
    with progress(bench.count_steps(sizes, len(subjects), rounds), "steps", quiet=quiet) as on_step:
        report = bench.measure(
            subjects, sizes, threads=threads or count_cpus(), rounds=rounds, on_step=on_step
        )
    written = bench.as_json if as_json else bench.as_markdown if markdown else bench.as_text
    click.echo(written(report), nl=False)
    return 0
