"""Measure `crdnet derain` on folders: rate, memory, and the cost of resuming.

    python -m benchmarks.speed.folders rate      64 JPEGs of 2 megapixels
    python -m benchmarks.speed.folders memory    2,000 images of mixed sizes
    python -m benchmarks.speed.folders skip      100,000 images that are finished already

Contract. `rate`: the time of whole `crdnet derain` processes, on images in the file cache, compared
with that of the network alone (`Session`, all usable CPUs) on the same pixels, decoded, padded and
converted to floats beforehand. The two take turns, a batch of images each; the ratio is that of the
sums. `memory`: resident memory of one process, read after each image; means over a hundred images,
without the first hundred. `skip`: a run that is interrupted after its first image leaves its
journal, all other outputs are copied into place, and a second run, which has nothing to do, is
timed. Images are enlarged coarse noise, which the number of the image determines; they are written
to a temporary folder (in --folder, if given).
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np
from PIL import Image

from benchmarks.helpers import json_option, model_option, report_errors
from crdnet.bench import inspect_machine
from crdnet.runtime import Session, count_cpus, find_model
from crdnet.sizes import pad_to_multiple

CRDNET = (sys.executable, "-m", "crdnet.cli")


def write_image(path: Path, width: int, height: int, seed: int) -> None:
    """Write an image whose JPEG is about as large as that of a photograph."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 4), -(-width // 4), 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path)


def derain(source: Path, output: Path, model: str, jobs: int) -> float:
    """Return the seconds that `crdnet derain` takes for a folder."""
    arguments = ("derain", source, "-o", output, "-r", "-q", "-m", model, "-j", str(jobs))
    began = perf_counter()
    subprocess.run([*CRDNET, *arguments], check=True)
    return perf_counter() - began


def measure_rate(
    folder: Path, model: str, jobs: int, *, number: int, batches: int, width: int, height: int
) -> dict[str, Any]:
    """Return the seconds of the command and of the network alone, and the ratio of their rates."""
    session = Session(find_model(model), "auto", count_cpus())  # the device that the command takes
    seconds = {"crdnet derain": 0.0, "network alone": 0.0}
    for batch in range(batches):
        source = folder / f"batch{batch}"
        for each in range(number // batches):
            write_image(source / f"{each:03}.jpg", width, height, seed=batch * number + each)
        multiple = session.info.size_multiple
        floats = [
            pad_to_multiple(
                np.asarray(Image.open(path), dtype=np.float32) / np.float32(255), multiple
            )
            for path in sorted(source.iterdir())
        ]
        session(floats[0])
        began = perf_counter()
        for pixels in floats:
            session(pixels)
        seconds["network alone"] += perf_counter() - began
        seconds["crdnet derain"] += derain(source, folder / f"out{batch}", model, jobs)
    pixels_done = number // batches * batches * width * height / 1e6
    return {
        "images": number // batches * batches,
        "seconds": seconds,
        "megapixels_per_second": {name: pixels_done / each for name, each in seconds.items()},
        "ratio": seconds["network alone"] / seconds["crdnet derain"],
    }


def measure_memory(
    folder: Path, model: str, jobs: int, *, number: int, largest: int
) -> dict[str, Any]:
    """Return mean resident memory in MB over the second and the last hundred of many images."""
    rng = np.random.default_rng(0)
    suffixes = ("jpg", "png", "webp")
    for each in range(number):
        width, height = rng.integers(16, largest + 1, 2).tolist()
        write_image(folder / "images" / f"{each:05}.{suffixes[each % 3]}", width, height, seed=each)
    arguments = (
        "derain",
        folder / "images",
        "-o",
        folder / "out",
        "--json",
        "-m",
        model,
        "-j",
        str(jobs),
    )
    resident: list[float] = []
    with subprocess.Popen(
        [*CRDNET, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        for _ in process.stdout:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
            resident += [
                int(line.split()[1]) / 1024
                for line in status.splitlines()
                if line.startswith("VmRSS")
            ]
    hundred = min(100, len(resident) // 3)
    second, last = (
        float(np.mean(resident[hundred : 2 * hundred])),
        float(np.mean(resident[-hundred:])),
    )
    return {
        "images": number,
        "second_hundred_mb": second,
        "last_hundred_mb": last,
        "ratio": last / second,
    }


def measure_skip(folder: Path, model: str, jobs: int, *, number: int) -> dict[str, Any]:
    """Return the seconds in which a run finds that everything is finished."""
    source, output = folder / "images", folder / "out"
    write_image(source / "0" / "0.jpg", 16, 16, seed=0)
    content = (source / "0" / "0.jpg").read_bytes()
    for each in range(1, number):
        place = source / str(each // 1000) / f"{each}.jpg"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
    arguments = ("derain", source, "-o", output, "-r", "--json", "-m", model, "-j", "1")
    with subprocess.Popen(
        [*CRDNET, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        done = Path(json.loads(process.stdout.readline())["output"])
        process.send_signal(signal.SIGINT)
        process.communicate()
    for each in range(number):
        place = output / str(each // 1000) / f"{each}.jpg"
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(done, place)
    before = {path: path.stat().st_mtime_ns for path in (output / "0").iterdir()}
    seconds = derain(source, output, model, jobs)
    untouched = before == {path: path.stat().st_mtime_ns for path in (output / "0").iterdir()}
    return {"images": number, "seconds": seconds, "untouched": untouched}


def print_report(
    measure: Callable[[Path], dict[str, Any]], folder: str | None, *, as_json: bool
) -> None:
    """Measure in a temporary folder and print the figures."""
    with report_errors(), tempfile.TemporaryDirectory(dir=folder) as temporary:
        measured = measure(Path(temporary))
    place = inspect_machine()
    if as_json:
        print(json.dumps({"machine": place, **measured}, indent=2))
        return
    print(f"{place['cpu']}, {place['usable_cores']} usable cores, load {place['load']}")
    for name, value in measured.items():
        shown = value
        if isinstance(value, dict):
            shown = {key: round(each, 2) for key, each in value.items()}
        print(f"{name}: {shown:.3f}" if isinstance(shown, float) else f"{name}: {shown}")


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


jobs_option = click.option("-j", "--jobs", type=click.IntRange(1), default=2, show_default=True)
folder_option = click.option("--folder", type=click.Path(exists=True, file_okay=False))


@main.command()
@click.option("--number", type=click.IntRange(1), default=64, show_default=True)
@click.option("--batches", type=click.IntRange(1), default=4, show_default=True)
@click.option(
    "--size", type=(int, int), default=(1632, 1224), show_default=True, help="Width and height."
)
@model_option
@jobs_option
@folder_option
@json_option
def rate(
    number: int,
    batches: int,
    size: tuple[int, int],
    model: str,
    jobs: int,
    folder: str | None,
    as_json: bool,
) -> None:
    """Measure megapixels per second, against the network alone."""
    width, height = size
    print_report(
        lambda place: measure_rate(
            place, model, jobs, number=number, batches=batches, width=width, height=height
        ),
        folder,
        as_json=as_json,
    )


@main.command()
@click.option("--number", type=click.IntRange(3), default=2000, show_default=True)
@click.option(
    "--largest", type=click.IntRange(16), default=320, show_default=True, help="Longest side."
)
@model_option
@jobs_option
@folder_option
@json_option
def memory(
    number: int, largest: int, model: str, jobs: int, folder: str | None, as_json: bool
) -> None:
    """Measure memory at the end, against that near the beginning."""
    print_report(
        lambda place: measure_memory(place, model, jobs, number=number, largest=largest),
        folder,
        as_json=as_json,
    )


@main.command()
@click.option("--number", type=click.IntRange(1), default=100_000, show_default=True)
@model_option
@jobs_option
@folder_option
@json_option
def skip(number: int, model: str, jobs: int, folder: str | None, as_json: bool) -> None:
    """Measure the seconds to find that everything is finished."""
    print_report(
        lambda place: measure_skip(place, model, jobs, number=number), folder, as_json=as_json
    )


if __name__ == "__main__":
    main()
