"""`crdnet bench`: measure the speed of the engines on this machine."""

import click

from crdnet.cli import options
from crdnet.cli.progress import progress
from crdnet.devices import DEVICES

_HELP = """\
Measure the speed of each engine on this machine, and its share of the machine's peak rates.

\b
crdnet bench                              all installed devices, at 0.25, 2 and 12 megapixels
crdnet bench -d cpu --size 2 --rounds 20  one device and one size, with more runs
crdnet bench -m default -m my.onnx --json

Each row is measured in its own process. The processes of one size take turns, so that other load on
the machine affects all of them alike. The table shows the network alone (median, quartiles,
megapixels per second, and the rate relative to a matrix product and to a memory copy timed in the
same turns), a whole image, the time from process start to the first image, and the peak memory. If
the quartiles are far apart, the machine was busy: measure again. It takes a minute or two; all
devices are in memory at the same time, with about 1 GB each at 12 megapixels.

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
    help="Device; may be repeated.  [default: all that are installed]",
)
@click.option(
    "--size",
    "sizes",
    type=click.FloatRange(min=0, max=1000, min_open=True),
    multiple=True,
    default=(0.25, 2.0, 12.0),
    metavar="MEGAPIXELS",
    help="Image size (aspect ratio 4:3); may be repeated.",
)
@click.option(
    "--rounds", type=options.AT_LEAST_ONE, default=5, help="Timed runs after the warm-up."
)
@click.option(
    "--threads",
    type=options.AT_LEAST_ONE,
    help="CPU threads.  [default: all usable CPUs]",
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
        raise click.UsageError("--json and --markdown cannot be combined")
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
