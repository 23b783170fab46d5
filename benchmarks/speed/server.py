"""Measure `crdnet serve` under load: throughput, a soak test, many connections, and fairness.

    python -m benchmarks.speed.server throughput    8 clients, and `crdnet derain` on the same files
    python -m benchmarks.speed.server soak          mixed sizes and bad files, for --minutes
    python -m benchmarks.speed.server connections   200 at once
    python -m benchmarks.speed.server fairness      small images beside two of 24 megapixels

Contract: the script starts and stops the servers on this machine. `throughput` sends JPEGs of 1
megapixel and compares images per second, from the first finished image to the last. `soak` sends
images of 0.1 to 12 megapixels, a tenth of them bad files, and records statuses, latencies and
memory. `connections` compares the time of an image before and after many simultaneous connections.
`fairness` sends images of 0.1 megapixels while two images of 24 megapixels are processed, and
measures their time. The output is JSON; the exit code is 1 if a promised figure is not reached.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import click
import numpy as np
from PIL import Image

from benchmarks.helpers import REPOSITORY, measure_resident, model_option
from crdnet.bench import inspect_machine

EXAMPLE = REPOSITORY / "examples" / "heavy.jpg"
MEGAPIXELS = (0.1, 0.3, 1.0, 2.0, 4.0, 12.0)
OFTEN = (30, 25, 25, 12, 6, 2)
"""Percentage of each size: photographs of a phone are rarer than images for web pages."""
BAD_SHARE = 0.1
KEPT_THROUGHPUT = 0.85
SMALL_SECONDS = 3.0
FLAT = 1.1

jobs_option = click.option(
    "-j", "--jobs", default=2, show_default=True, help="Images in progress at once."
)


def make_photograph(megapixels: float, seed: int = 0) -> bytes:
    """Return a JPEG of heavy rain that is removed at full size, the most expensive case.

    It is an example, mirrored to the size; each seed shows another part of it.
    """
    width, height = (
        round((megapixels * 1e6 * 4 / 3) ** 0.5),
        round((megapixels * 1e6 * 3 / 4) ** 0.5),
    )
    with Image.open(EXAMPLE) as example:
        rainy = np.asarray(example)
    below, beside = max(height - rainy.shape[0], 0), max(width - rainy.shape[1], 0)
    large = np.pad(rainy, ((0, below), (0, beside), (0, 0)), "symmetric")
    top, left = np.random.default_rng(seed).integers(0, large.shape[:2])
    buffer = BytesIO()
    Image.fromarray(np.roll(large, (top, left), (0, 1))[:height, :width]).save(
        buffer, "JPEG", quality=90
    )
    return buffer.getvalue()


@dataclass(frozen=True)
class Server:
    """Running server that answers."""

    port: int
    pid: int

    def post(self, content: bytes, path: str = "/v1/derain?always=true") -> tuple[int, bytes]:
        """Return status and body; status 0 if there was no answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request("POST", path, content)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException) as error:
            return 0, repr(error).encode()
        finally:
            connection.close()

    def megabytes(self) -> float:
        """Return the resident memory of the server and its processes."""
        return measure_resident(self.pid) / 1e6


@contextmanager
def start_server(*arguments: str) -> Iterator[Server]:
    """Start `crdnet serve` on a free port, and stop it."""
    command = [sys.executable, "-m", "crdnet.cli", "serve", "--port", "0", *arguments]
    with TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            yield _wait_until_ready(process, log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def _wait_until_ready(process: "subprocess.Popen[bytes]", log: Path) -> Server:
    port = 0
    for _ in range(1200):
        if process.poll() is not None:
            raise click.ClickException(log.read_text(encoding="utf-8"))
        for line in log.read_text(encoding="utf-8").splitlines():
            if '"listening"' in line:
                port = urlsplit(json.loads(line)["url"]).port or 0
        if port and _get_status(port, "/readyz") == 200:
            return Server(port, process.pid)
        time.sleep(0.1)
    raise click.ClickException("the server did not become ready")


def _get_status(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


@main.command()
@model_option
@jobs_option
@click.option("--images", default=32, show_default=True)
@click.option("--clients", default=8, show_default=True)
def throughput(model: str, jobs: int, images: int, clients: int) -> None:
    """Compare the rate of the server with that of `crdnet derain` on the same JPEGs."""
    files = [make_photograph(1.0, seed) for seed in range(images)]
    direct = _measure_derain(files, model, jobs)
    with start_server("-m", model, "-j", str(jobs), "--queue-seconds", "600") as running:
        done: list[float] = []

        def ask(content: bytes) -> int:
            status, _ = running.post(content)
            done.append(time.monotonic())
            return status

        with ThreadPoolExecutor(clients) as pool:
            statuses = Counter(pool.map(ask, files))
    served = (len(done) - 1) / (max(done) - min(done))
    kept = served >= KEPT_THROUGHPUT * direct and set(statuses) == {200}
    _print_report(
        kept,
        model=model,
        jobs=jobs,
        statuses=dict(statuses),
        derain_images_per_second=round(direct, 3),
        server_images_per_second=round(served, 3),
        share=round(served / direct, 3),
    )


def _measure_derain(files: Sequence[bytes], model: str, jobs: int) -> float:
    with TemporaryDirectory() as folder:
        source = Path(folder, "in")
        source.mkdir()
        for number, content in enumerate(files):
            (source / f"{number:03}.jpg").write_bytes(content)
        arguments = [
            "derain",
            str(source),
            "-o",
            str(Path(folder, "out")),
            "-m",
            model,
            "-j",
            str(jobs),
        ]
        command = [sys.executable, "-m", "crdnet.cli", *arguments, "--always", "--json", "--quiet"]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            done = [time.monotonic() for _ in process.stdout]
        if process.returncode != 0 or len(done) != len(files):
            raise click.ClickException(
                f"crdnet derain ended with {process.returncode} after {len(done)} images"
            )
    return (len(done) - 1) / (done[-1] - done[0])


@dataclass
class _Seen:
    """Observations of the clients and of the memory monitor."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@main.command()
@model_option
@jobs_option
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--clients", default=8, show_default=True)
@click.option("--largest", default=12.0, show_default=True, help="Largest image in megapixels.")
def soak(model: str, jobs: int, minutes: float, clients: int, largest: float) -> None:
    """Send images of 0.1 to 12 megapixels, a tenth of them bad; record answers and memory."""
    sizes = [
        (size, often) for size, often in zip(MEGAPIXELS, OFTEN, strict=True) if size <= largest
    ]
    photographs = [make_photograph(size) for size, _ in sizes]
    seen, end = _Seen(), time.monotonic() + 60 * minutes
    with start_server("-m", model, "-j", str(jobs)) as running:
        for content in photographs:  # warm-up: each size once
            running.post(content)
        watch = threading.Thread(target=_watch_memory, args=(running, seen, end))
        watch.start()
        with ThreadPoolExecutor(clients) as pool:
            list(
                pool.map(
                    lambda seed: _run_client(
                        running, seen, photographs, [often for _, often in sizes], end, seed
                    ),
                    range(clients),
                )
            )
        watch.join()
    third = len(seen.megabytes) // 3
    middle, last = max(seen.megabytes[third : 2 * third]), max(seen.megabytes[2 * third :])
    fine = not seen.wrong and not [
        status for status in seen.statuses if status >= 500 and status != 503
    ]
    _print_report(
        fine and last <= FLAT * middle and seen.statuses[200] > 0,
        model=model,
        minutes=minutes,
        statuses=dict(sorted(seen.statuses.items())),
        wrong=seen.wrong[:5],
        p50_seconds=round(float(np.percentile(seen.seconds, 50)), 3),
        p99_seconds=round(float(np.percentile(seen.seconds, 99)), 3),
        megabytes_in_thirds=[round(max(seen.megabytes[:third])), round(middle), round(last)],
    )


def _run_client(
    running: Server,
    seen: _Seen,
    photographs: Sequence[bytes],
    often: Sequence[int],
    end: float,
    seed: int,
) -> None:
    chance = random.Random(seed)
    while time.monotonic() < end:
        content = chance.choices(photographs, often)[0]
        bad = chance.random() < BAD_SHARE
        if bad:
            content = chance.choice(
                [
                    content[: len(content) // 2],
                    b"no image",
                    b"",
                    content[:2] + chance.randbytes(5000),
                ]
            )
        began = time.monotonic()
        status, answer = running.post(content)
        seen.statuses[status] += 1
        if status == 200:
            seen.seconds.append(time.monotonic() - began)
        elif status == 503:
            time.sleep(0.5)
        if (
            status == 0
            or (bad and status == 200 and len(content) < 6000)
            or (not bad and status not in (200, 503))
        ):
            seen.wrong.append(f"{status}: {answer[:200]!r}")


def _watch_memory(running: Server, seen: _Seen, end: float) -> None:
    while time.monotonic() < end:
        seen.megabytes.append(running.megabytes())
        time.sleep(0.25)


@main.command()
@model_option
@jobs_option
@click.option("--count", default=200, show_default=True)
def connections(model: str, jobs: int, count: int) -> None:
    """Open many connections at once; each is answered, and the server is as fast afterwards."""
    content = make_photograph(0.1)
    with start_server("-m", model, "-j", str(jobs)) as running:
        before = _measure_median(running, content)
        with ThreadPoolExecutor(count) as pool:
            statuses = Counter(status for status, _ in pool.map(running.post, [content] * count))
        after = _measure_median(running, content)
    fine = set(statuses) <= {200, 503} and statuses[200] > 0
    _print_report(
        fine and after <= 1.25 * before,
        model=model,
        statuses=dict(statuses),
        seconds_before=round(before, 3),
        seconds_after=round(after, 3),
    )


@main.command()
@model_option
@jobs_option
@click.option("--large", default=2, show_default=True, help="Large images at once.")
@click.option("--megapixels", default=24.0, show_default=True, help="Size of a large image.")
@click.option("--clients", default=4, show_default=True, help="Clients that send small images.")
def fairness(model: str, jobs: int, large: int, megapixels: float, clients: int) -> None:
    """Send small images while large ones are in work; none waits for them."""
    content, huge = make_photograph(0.1), make_photograph(megapixels)
    seconds: list[float] = []
    statuses: Counter[int] = Counter()
    with start_server("-m", model, "-j", str(jobs)) as running, ThreadPoolExecutor() as pool:
        began = time.monotonic()
        works = [pool.submit(running.post, huge) for _ in range(large)]
        time.sleep(1)

        def send_small() -> None:
            while not any(each.done() for each in works):
                start = time.monotonic()
                statuses[running.post(content)[0]] += 1
                seconds.append(time.monotonic() - start)

        for client in [pool.submit(send_small) for _ in range(clients)]:
            client.result()
        large_statuses = [each.result()[0] for each in works]
        took = time.monotonic() - began
    p99 = float(np.percentile(seconds, 99))
    _print_report(
        p99 < SMALL_SECONDS and set(statuses) == {200},
        model=model,
        statuses=dict(statuses),
        large_statuses=large_statuses,
        large_seconds=round(took, 1),
        p50_seconds=round(float(np.median(seconds)), 3),
        p99_seconds=round(p99, 3),
    )


def _measure_median(running: Server, content: bytes, rounds: int = 15) -> float:
    seconds = []
    for _ in range(rounds):
        began = time.monotonic()
        running.post(content)
        seconds.append(time.monotonic() - began)
    return float(np.median(seconds))


def _print_report(kept: bool, **report: object) -> None:
    print(json.dumps({"kept": kept, **report, "machine": inspect_machine()}, indent=2))
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
