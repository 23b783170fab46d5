"""Speed and memory of `crdnet batch`, on this machine.

The commands create their images and buckets in a temporary folder and measure:

- `shares`: images per second of `crdnet derain` on one CPU, of one share on one CPU, and of two
  shares on one CPU each, in turns;
- `resume`: seconds and peak memory of `crdnet batch` on a manifest whose inputs are all done;
- `listing`: peak memory of the driver while it lists a simulated bucket, and while it plans;
- `kills`: tiny images, one in a hundred of them damaged, while workers are killed: the number of
  images that were lost, and of those done twice;
- `requests`: number of requests to a store per image, counted by an S3 server on this machine
  (needs the development extras);
- `sizes`: memory of a worker with one CPU and two images at a time, including its subprocesses, and
  its CPU seconds per image, by size of the images: the difference between two runs, one of which
  has twice the images;
- `store`: bytes in the object store of a local Ray while a job runs, every 50 ms;
- `group`: peak memory of a dry run on a twentieth of a Parquet list with one row group of two
  gigabytes.

Contract: each row is one run of the command in a separate process on this machine; runs that are
compared take turns. `shares` pins processes to CPUs. Results are Markdown on standard output.

    python -m benchmarks.speed.batch shares
    python -m benchmarks.speed.batch resume
    python -m benchmarks.speed.batch listing
    python -m benchmarks.speed.batch kills
    python -m benchmarks.speed.batch requests
    python -m benchmarks.speed.batch sizes
    python -m benchmarks.speed.batch store
    python -m benchmarks.speed.batch group
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from threading import Event, Thread
from time import perf_counter, sleep
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.helpers import REPOSITORY, measure_resident, model_option, report_errors
from crdnet.batch import JobOptions, iterate_results, run_job
from crdnet.batch.cluster.inputs import Input, Source
from crdnet.batch.cluster.manifest import CHUNK_ROWS, Manifest
from crdnet.batch.cluster.store import open_store


@click.group()
@report_errors()
def main() -> None:
    """Measure crdnet batch."""


@main.command()
@model_option
@click.option("--images", default=48, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def shares(model: str, images: int, rounds: int) -> None:
    """Compare shares on one CPU with crdnet derain, and two shares with one."""
    rates: dict[str, list[float]] = {"crdnet derain": [], "one share": [], "two shares": []}
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "images"
        copy_example(source, images)
        for turn in range(rounds):
            here = Path(place) / f"{turn}"
            one = [*CRDNET, "derain", source, "-o", here / "a", "-r", "-m", model, "--always"]
            rates["crdnet derain"].append(images / time_together([one], [0]))
            job = [*CRDNET, "batch", source, here / "b", "-m", model, "--always"]
            rates["one share"].append(images / time_together([[*job, "--shard", "1/1"]], [0]))
            job[3 + len(CRDNET) - 1] = here / "c"
            both = [[*job, "--shard", f"{share}/2"] for share in (1, 2)]
            rates["two shares"].append(images / time_together(both, [0, 1]))
    best = {name: max(values) for name, values in rates.items()}
    click.echo("| run | images/s, best of rounds | all rounds |\n|---|---:|---|")
    for name, values in rates.items():
        click.echo(f"| {name} | {best[name]:.2f} | {', '.join(f'{v:.2f}' for v in values)} |")
    click.echo(f"\none share / crdnet derain: {best['one share'] / best['crdnet derain']:.2f}")
    click.echo(f"two shares / one share: {best['two shares'] / best['one share']:.2f}")


@main.command()
@click.option("--rows", default=1_000_000, show_default=True)
def resume(rows: int) -> None:
    """Time a call on a manifest of done work."""
    with tempfile.TemporaryDirectory() as place:
        source, job = Path(place) / "images", Path(place) / "job"
        copy_example(source, 1)
        arguments = [source, job, "--shard", "1/1", "--sense-only"]
        subprocess.run([*CRDNET, "batch", *map(str, arguments)], check=True, capture_output=True)
        pretend_done(job, rows)
        seconds, memory, text = measure([*CRDNET, "batch", *map(str, arguments)])
    click.echo("| rows | seconds | peak memory | said |\n|---:|---:|---:|---|")
    click.echo(f"| {rows:,} | {seconds:.1f} | {memory / 1e6:,.0f} MB | {text} |")


@main.command()
@click.option("--rows", default=10_000_000, show_default=True)
def listing(rows: int) -> None:
    """List a simulated bucket, and choose the chunks to work on, as a driver does."""

    class Simulated(Source):
        # Unused here; the interface of sources gives the argument its name.
        def iterate(self, known: int, after: str | None) -> Iterator[Input]:  # noqa: ARG002
            for row in range(known, rows):
                key = f"camera-{row % 97:03}/2026-11-{row % 28 + 1:02}/{row:012}.jpg"
                yield Input(f"s3://frames/{key}", key, 150_000 + row % 999, f"{row:032x}")

    began = perf_counter()
    with tempfile.TemporaryDirectory() as place:
        manifest = Manifest(open_store(place))
        manifest.extend(Simulated(), None)
        chunks = [first for part in manifest.parts for first in part.list_chunks()]
    seconds, memory = perf_counter() - began, getrusage(RUSAGE_SELF).ru_maxrss * 1024
    click.echo("| rows | chunks | seconds | peak memory |\n|---:|---:|---:|---:|")
    click.echo(f"| {manifest.rows:,} | {len(chunks):,} | {seconds:.0f} | {memory / 1e6:,.0f} MB |")


@main.command()
@click.option("--images", default=100_000, show_default=True)
@click.option("--kills", default=3, show_default=True)
def kills(images: int, kills: int) -> None:
    """Kill workers of a job on tiny images, and count what is lost or done twice."""
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        source, job = Path(place) / "images", Path(place) / "job"
        for number in range(images):
            path = source / f"{number // 1000:03}/{number:06}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            grey = generator.integers(0, 255, (8, 8, 3), np.uint8)
            Image.fromarray(grey).save(path, compress_level=0)
            if number % 100 == 50:
                path.write_bytes(path.read_bytes()[:40])
        began = perf_counter()
        shares = {share: start_share(source, job, share) for share in (1, 2)}
        for kill in range(kills):
            goal = images * (kill + 1) // (kills + 2)
            while count_results(job) * CHUNK_ROWS < goal:
                sleep(0.5)
            shares[kill % 2 + 1].send_signal(signal.SIGKILL)
            shares[kill % 2 + 1].wait()
            shares[kill % 2 + 1] = start_share(source, job, kill % 2 + 1)
        for process in shares.values():
            process.wait()
        seconds = perf_counter() - began
        rows = Counter(row["uri"] for row in iterate_results(job))
        status = Counter(row["status"] for row in iterate_results(job))
        outputs = sum(1 for path in job.rglob("*.png"))
    click.echo("| images | damaged | kills | results | done twice | outputs | failed | images/s |")
    click.echo("|---:|---:|---:|---:|---:|---:|---:|---:|")
    twice = sum(count > 1 for count in rows.values())
    click.echo(
        f"| {images:,} | {images // 100:,} | {kills} | {len(rows):,} | {twice} | {outputs:,} "
        f"| {status['failed']:,} | {images / seconds:.1f} |"
    )


@main.command()
def requests() -> None:
    """Count the requests of a job on a bucket."""
    from tests.batch.cluster.s3_server import S3Server  # noqa: PLC0415 - of the tests

    content = (REPOSITORY / "examples/light.jpg").read_bytes()
    with S3Server() as server:
        os.environ.update(server.environment)
        for number in range(CHUNK_ROWS):
            server.put("rainy", f"frames/{number:03}.jpg", content)
        server.requests.clear()
        options = JobOptions(shard="1/1", sense_only=False)
        report = run_job("s3://rainy/frames", "s3://clean/out", options)
        counts = Counter(classify(request) for request in server.requests)
    click.echo(f"{report.finished} images, one chunk\n\n| requests | number |\n|---|---:|")
    for name, number in sorted(counts.items()):
        click.echo(f"| {name} | {number} |")


@main.command()
@model_option
@click.option(
    "--images", default=16, show_default=True, help="Images of 8 megapixels; or 4 x, 16 x."
)
def sizes(model: str, images: int) -> None:
    """Measure memory and CPU time of a worker by the size of images."""
    click.echo("| image | peak memory | CPU seconds per image |\n|---|---:|---:|")
    for width, height, count in ((512, 342, 16), (1920, 1080, 4), (3840, 2160, 1)):
        seconds, memory = [], 0
        for number in (count * images // 2, count * images):
            with tempfile.TemporaryDirectory() as place:
                source = Path(place) / "images"
                copy_example(source, number, (width, height))
                job = ["batch", f"{source}", f"{place}/job", "-m", model, "--always", "-q"]
                used, peak = watch([*CRDNET, *job, "--shard", "1/1"])
            seconds.append(used)
            memory = max(memory, peak)
        cost = (seconds[1] - seconds[0]) / (count * images - count * images // 2)
        click.echo(f"| {width} x {height} | {memory / 1e6:,.0f} MB | {cost:.3f} |")


@main.command()
@click.option("--images", default=2_000, show_default=True)
def store(images: int) -> None:
    """Watch the object store of Ray while a job runs."""
    import ray  # noqa: PLC0415 - an extra
    from ray._private import internal_api  # noqa: PLC0415 - no public function tells the bytes

    api: Any = internal_api
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    state = api.get_state_from_address(ray.get_runtime_context().gcs_address)
    seen: list[int] = []
    ended = Event()

    def look() -> None:
        while not ended.wait(0.05):
            stats = api.get_memory_info_reply(state).store_stats
            seen.append(stats.object_store_bytes_used)

    thread = Thread(target=look)
    thread.start()
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "images"
        copy_example(source, images)
        report = run_job(source, Path(place) / "job", JobOptions())
    ended.set()
    thread.join()
    made = api.get_memory_info_reply(state).store_stats.cumulative_created_bytes
    ray.shutdown()
    click.echo("| images | pixels | looks | most at a time | made in all |\n|---|---|---|---|---|")
    click.echo(
        f"| {report.finished:,} | {report.tally.pixels:,} | {len(seen):,} "
        f"| {max(seen) / 1e6:.1f} MB | {made / 1e6:.1f} MB |"
    )


@main.command()
@click.option("--rows", default=500_000, show_default=True)
def group(rows: int) -> None:
    """Read a list in Parquet with one row group of two gigabytes."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "list.parquet"
        folder = pa.scalar(f"s3://frames/{'camera/' * 580}", pa.large_string())
        numbers = pa.array(range(rows)).cast(pa.large_string())
        suffix = pa.scalar(".jpg", numbers.type)
        uris = pc.binary_join_element_wise(folder, numbers, suffix, pa.scalar("", numbers.type))
        pq.write_table(
            pa.table({"uri": uris}),
            path,
            row_group_size=rows,
            compression="none",
            use_dictionary=False,
            use_byte_stream_split=False,
        )
        size, groups = path.stat().st_size, pq.ParquetFile(path).num_row_groups
        arguments = ["batch", f"{path}", f"{place}/job", "--shard", "1/1", "--dry-run", "-q"]
        arguments += ["--limit", f"{rows // 20}"]
        # Sampled, since the kernel counts the memory of this process as that of its child.
        _, memory = watch([*CRDNET, *arguments])
    click.echo("| rows | groups | bytes | peak memory |\n|---:|---:|---:|---:|")
    click.echo(f"| {rows:,} | {groups} | {size / 1e9:.2f} GB | {memory / 1e6:,.0f} MB |")


CRDNET = [sys.executable, "-m", "crdnet.cli"]


def copy_example(folder: Path, images: int, size: tuple[int, int] | None = None) -> None:
    """Write copies of an example image, enlarged if a size is given."""
    folder.mkdir(parents=True)
    content = (REPOSITORY / "examples/medium.jpg").read_bytes()
    if size is not None:
        with Image.open(BytesIO(content)) as image, BytesIO() as buffer:
            image.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
            content = buffer.getvalue()
    for number in range(images):
        (folder / f"{number:04}.jpg").write_bytes(content)


def time_together(commands: list[list[Any]], processors: list[int]) -> float:
    """Return the seconds of commands that run at once, each on its CPU with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    began = perf_counter()
    running = [
        subprocess.Popen(
            ["taskset", "-c", f"{processor}", *map(str, command)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command, processor in zip(commands, processors, strict=True)
    ]
    codes = [process.wait() for process in running]
    assert codes == [0] * len(codes), f"a run ended with {codes}"
    return perf_counter() - began


def measure(command: list[str]) -> tuple[float, int, str]:
    """Return the seconds of a command, its peak memory in bytes, and the last line it prints."""
    began = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, text
    last = text.strip().rpartition("\n")[2]
    return perf_counter() - began, usage.ru_maxrss * 1024, last


def watch(command: list[str]) -> tuple[float, int]:
    """Return the CPU seconds of a command, and its peak memory, with its subprocesses."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(["taskset", "-c", "0", *command], env=environment)
    peak = 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0
            return usage.ru_utime + usage.ru_stime, peak
        peak = max(peak, measure_resident(process.pid))
        sleep(0.05)


def pretend_done(job: Path, rows: int) -> None:
    """Make the manifest and the names of results of a job in which all is done."""
    folder = job / "_crdnet"
    (folder / "manifest/complete.json").unlink()
    for path in (folder / "manifest").iterdir():
        path.unlink()

    class Done(Source):
        # Unused here; the interface of sources gives the argument its name.
        def iterate(self, known: int, after: str | None) -> Iterator[Input]:  # noqa: ARG002
            for row in range(known, rows):
                yield Input(f"/frames/{row:012}.jpg", f"{row:012}.jpg", 150_000, f"{row:032x}")

    manifest = Manifest(open_store(job))
    manifest.extend(Done(), None)
    result = next((folder / "results").iterdir())
    content = result.read_bytes()
    for part in manifest.parts:
        for first in part.list_chunks():
            (folder / f"results/{first:012}-000.parquet").write_bytes(content)


def start_share(source: Path, job: Path, share: int) -> "subprocess.Popen[bytes]":
    """Start one of two shares."""
    arguments = ["batch", source, job, "--shard", f"{share}/2", "-q", "-j", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*CRDNET, *map(str, arguments)], env=environment)


def count_results(job: Path) -> int:
    """Return the number of chunks that have results."""
    folder = job / "_crdnet/results"
    return len(list(folder.iterdir())) if folder.exists() else 0


def classify(request: str) -> str:
    """Return the kind of a request."""
    method, path = request.split(" ", 1)
    for word in ("manifest", "results", "unfinished", "job.json", "dead_letters"):
        if f"_crdnet/{word}" in path:
            return f"{method} {word}"
    return f"{method} {path.split('/')[1]} {'image' if path.endswith('.jpg') else 'listing'}"


if __name__ == "__main__":
    main()
