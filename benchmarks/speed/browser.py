"""Time the app in the browser against onnxruntime on the same machine.

    make web
    python -m benchmarks.speed.browser ratio      # and the first result after opening
    python -m benchmarks.speed.browser memory     # peak memory for an image of 12 megapixels
    python -m benchmarks.speed.browser memory --fine # the same, for one derained in tiles
    python -m benchmarks.speed.browser lighthouse # scores of the page, by Lighthouse of npm

Contract: `crdnet serve` serves the app, and Chromium without a GPU opens it. A run lasts from the
choice of a file to its decoded result. `ratio` (512 x 512, PNG) alternates runs in the page with
`Derainer.run`, and runs of the network alone in the page with onnxruntime, all on two threads; on a
busy machine the fastest runs are more reliable than the medians. `memory` is the highest VmHWM of
the renderer processes of Chromium, for a JPEG of 4000 x 3000: an enlarged street, which is derained
at an eighth of its size, or with `--fine` many streets, derained in tiles at full size.
`lighthouse` needs npm. Printed are times, their ratio, megabytes, scores, and the load. Needs
Chromium and the extras `dev` and `serve`.
"""

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image
from playwright.sync_api import sync_playwright
from tests.conftest import launch_chromium
from tests.server.running import run_server

import crdnet

STREET = Path(__file__).resolve().parents[2] / "examples" / "medium.jpg"
ROUNDS = 9
NETWORK = "network 512 x 512"  # as web/src/engine.ts names it
# Waits by events: looking in each frame would make Chromium draw frames, on the processor.
SHOW = """() => new Promise((resolve) => {
    const observer = new MutationObserver(look);
    observer.observe(document.body, { subtree: true, childList: true, attributes: true });
    look();
    function look() {
        const card = document.querySelector("article:not([hidden])");
        if (!card?.querySelector(".done:not([hidden])")) return;
        observer.disconnect();
        resolve(card.querySelector(".after").decode());
    }
})"""
MILLISECONDS = 600_000


@click.group(help=__doc__)
def main() -> None:
    """Dispatch the commands."""


def make_street(height: int, width: int, kind: str = "PNG") -> bytes:
    with Image.open(STREET) as street:
        resized = street.resize((width, height), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    resized.save(buffer, kind)
    return buffer.getvalue()


def repeat_street(height: int, width: int) -> bytes:
    """Return a JPEG of streets side by side, whose fine streaks are derained at full size."""
    with Image.open(STREET) as street:
        pixels = np.asarray(street)
    times = -(-height // pixels.shape[0]), -(-width // pixels.shape[1]), 1
    buffer = BytesIO()
    Image.fromarray(np.tile(pixels, times)[:height, :width]).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@contextmanager
def open_app() -> Iterator[tuple[Any, str]]:
    """Open the app as a person does; yield its page and the address."""
    with (
        tempfile.TemporaryDirectory() as folder,
        run_server("-d", "cpu", log=Path(folder) / "log") as server,
        sync_playwright() as playwright,
    ):
        browser = launch_chromium(playwright.chromium, "disable-gpu")
        page = browser.new_page()
        page.set_default_timeout(MILLISECONDS)
        yield page, f"{server.url}/app/"
        browser.close()


def derain_in_page(page: Any, content: bytes, kind: str = "png") -> float:
    """Return the seconds until the result is shown."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"street.{kind}"
        path.write_bytes(content)
        began = time.perf_counter()
        page.set_input_files("#files", path)
        page.evaluate(SHOW)
        seconds = time.perf_counter() - began
    page.click("article:not([hidden]) .remove")
    return seconds


@main.command("ratio")
def time_ratio() -> None:
    """Time 512 x 512 in the page and in onnxruntime."""
    content = make_street(512, 512)
    rainy = np.asarray(Image.open(BytesIO(content)))
    native = crdnet.Derainer(device="cpu", threads=2)
    native.run(rainy)
    run_network = open_network(rainy)
    run_network()
    with open_app() as (page, url):
        began = time.perf_counter()
        page.goto(url)
        derain_in_page(page, content)
        first = time.perf_counter() - began
        threads = page.evaluate(
            "crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 4) : 1"
        )
        derain_in_page(page, content)
        whole, network = [], []
        for _ in range(ROUNDS):
            in_page = derain_in_page(page, content)
            whole.append((in_page, time_call(lambda: native.run(rainy))))
            in_page = page.workers[0].evaluate(f"performance.getEntriesByName('{NETWORK}').at(-1)")
            network.append((in_page["duration"] / 1000, time_call(run_network)))
    load = os.getloadavg()[0]
    print(f"512 x 512, load {load:.0f}, {threads} threads in the page, 2 in onnxruntime")
    tell_ratio("whole call", whole)
    tell_ratio("network at 512 x 512", network)
    print(f"first result {first:.1f} s after opening")


def open_network(rainy: npt.NDArray[np.uint8]) -> Callable[[], Any]:
    """Return a function that runs the shipped network in onnxruntime on two threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    path = files("crdnet") / "weights" / "default.onnx"
    session = onnxruntime.InferenceSession(path.read_bytes(), options)
    planes = np.moveaxis(rainy, 2, 0)[None].astype(np.float32) / 255
    return lambda: session.run(None, {"rainy": planes})


def time_call(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def tell_ratio(name: str, pairs: list[tuple[float, float]]) -> None:
    ratio = statistics.median(one / other for one, other in pairs)
    medians, fastest = (
        [choose(times) for times in zip(*pairs, strict=True)] for choose in (statistics.median, min)
    )
    print(f"{name}: page {medians[0]:.2f} s, onnxruntime {medians[1]:.2f} s, ratio {ratio:.1f}")
    here, there = fastest
    print(f"  fastest of {ROUNDS}: {here:.2f} s and {there:.3f} s, ratio {here / there:.1f}")


def read_peak_bytes(name: str) -> int:
    """Return the highest resident memory of the processes of Chromium that show pages."""
    peaks = [0]
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            command = (status.parent / "cmdline").read_bytes()
            if name.encode() in command and b"--type=renderer" in command:
                fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                peaks.append(1024 * int(fields["VmHWM"].split()[0]))
        except (OSError, KeyError):  # the process has ended
            continue
    return max(peaks)


@main.command("memory")
@click.option("--fine", is_flag=True, help="Repeat the street instead of enlarging it.")
def measure_memory(fine: bool) -> None:
    """Measure the peak memory of the page for 12 megapixels."""
    content = repeat_street(3000, 4000) if fine else make_street(3000, 4000, "JPEG")
    with open_app() as (page, url):
        page.goto(url)
        derain_in_page(page, make_street(64, 64))
        before = read_peak_bytes("chromium")
        seconds = derain_in_page(page, content, "jpeg")
        after = read_peak_bytes("chromium")
    print(f"4000 x 3000: {seconds:.0f} s, peak of the page's process {after / 1e6:.0f} MB")
    print(f"before it, with the network loaded: {before / 1e6:.0f} MB")


@main.command("lighthouse")
def score_page() -> None:
    """Score the page by Lighthouse of npm."""
    command = ["npx", "--yes", "lighthouse@13.5.0", "--quiet", "--output=json"]
    command += ["--only-categories=accessibility,best-practices"]
    command += ["--chrome-flags=--headless --no-sandbox --disable-gpu"]
    with open_app() as (_, url):
        done = subprocess.run([*command, url], capture_output=True, text=True, check=True)
    for name, category in json.loads(done.stdout)["categories"].items():
        print(f"{name}: {100 * category['score']:.0f}")


if __name__ == "__main__":
    main()
