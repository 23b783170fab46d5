"""Ablation of the ideas of the paper: networks of equal cost, trained on the same batches.

    python -m benchmarks.experiments.ablation time -o runs/ablation
    python -m benchmarks.experiments.ablation train --data DATA -o runs/ablation --jobs 2
    python -m benchmarks.experiments.ablation report runs/ablation --into docs/ablation.md

Contract: the rows add the ideas one after the other. All rows cost about 14.8 kMAC per pixel,
except the published network with 13.3. A seed determines the batches and the initial weights. Runs
of one seed see the same batches, drawn once from the mixture of configs/default.yaml (crops of 64
px) and stored in a file. All runs use one loop: Charbonnier loss, plus a hundredth of density loss
if there is a head; AdamW at a constant rate after a warm-up; bfloat16 by autocast; one thread per
run. The averaged weights are scored in float32 twice: at equal steps, after all of them, and at
equal time, at the step that a row reaches in the time that `default` needs for half of them. `time`
measures the step times of all rows in turn (a minute, on a quiet machine). Because the rate is
constant, both scores come from one run. `train` resumes and keeps finished runs.
"""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import click

from benchmarks.experiments.ablation_report import Results, report
from benchmarks.experiments.ablation_runs import (
    ROWS,
    STEPS,
    TIMES,
    make_batches,
    read_times,
    run_one,
    time_steps,
)
from benchmarks.helpers import report_errors, write_between_markers
from crdnet.bench import Timing, inspect_machine
from crdnet.errors import DataError
from crdnet.files import write_whole


@click.group()
def main() -> None:
    """Train and compare the rows of the ablation."""


_FOLDER = click.Path(path_type=Path, file_okay=False)
_steps = click.option(
    "--steps", type=click.IntRange(2), default=STEPS, show_default=True, help="Steps of every run."
)


@main.command("time")
@click.option("-o", "--output", type=_FOLDER, required=True, help="Folder of the runs.")
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="Timed steps of each row.",
)
@report_errors()
def time_command(output: Path, rounds: int) -> None:
    """Measure how long a step of each row takes; the machine should have nothing else to do."""
    if (output / TIMES).exists():
        # Runs are scored at steps that follow from it.
        raise DataError(
            f"{output / TIMES} is there; delete it, and the runs beside it, to measure again"
        )
    timings = time_steps(rounds)
    print(Timing.HEADER)
    for name, timing in timings.items():
        print(timing.format_row(name))
    document = {
        "machine": inspect_machine(),
        "rounds": rounds,
        "milliseconds": {name: timing.to_dict() for name, timing in timings.items()},
    }
    write_whole(output / TIMES, (json.dumps(document, indent=2) + "\n").encode())


@main.command("train")
@click.option(
    "--data",
    type=_FOLDER,
    required=True,
    help="Folder of clean/, rain800/, streaks/ and val_synth/.",
)
@click.option("-o", "--output", type=_FOLDER, required=True, help="Folder of the runs.")
@click.option(
    "--only",
    "names",
    type=click.Choice(list(ROWS)),
    multiple=True,
    help="Rows to train.  [default: all]",
)
@click.option(
    "--seed", "seeds", type=int, multiple=True, help="Seeds to train.  [default: all of a row]"
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Runs at a time, with one thread each.",
)
@_steps
@report_errors()
def train_command(
    data: Path, output: Path, names: tuple[str, ...], seeds: tuple[int, ...], jobs: int, steps: int
) -> None:
    """Train and score every run that is not done yet."""
    runs = [
        (name, seed)
        for name in names or ROWS
        for seed in ROWS[name].seeds
        if seed in (seeds or ROWS[name].seeds)
    ]
    if not runs:
        raise click.UsageError(f"no row of these has a run of seed {', '.join(map(str, seeds))}")
    read_times(output)
    needed = sorted({seed for _, seed in runs})
    # Spawned processes: PyTorch's threads do not survive a fork.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"))
    try:
        for done in as_completed(
            pool.submit(make_batches, data, output, seed, steps) for seed in needed
        ):
            print(done.result(), flush=True)
        for done in as_completed(pool.submit(run_one, data, output, *run, steps) for run in runs):
            print(done.result(), flush=True)
    finally:
        pool.shutdown(cancel_futures=True)  # after a failure, pending runs are dropped


@main.command("report")
@click.argument("folder", type=_FOLDER)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    help="Document whose part between markers is replaced.",
)
@_steps
@report_errors()
def report_command(folder: Path, into: Path | None, steps: int) -> None:
    """Print the tables as Markdown."""
    results = Results(folder, steps)
    text = report(results, read_times(folder))
    print(text)
    if into is not None:
        write_between_markers(into, "ablation", text)


if __name__ == "__main__":
    main()
