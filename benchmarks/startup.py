"""How long the commands take as a user waits for them: the start of Python, imports, the model, files.

    python benchmarks/startup.py                      ten runs of each command

Contract: every run is a process of its own, timed from its start to its end, with the operating system's file cache
warm (one run of each is thrown away). The commands take turns. The picture is 512 x 512, a JPEG of smooth noise of
quality 90; the network does not care what it sees.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from PIL import Image, ImageFilter

from crdnet.bench import Timing, interleaved, machine, told

SIZE = 512


class CommandError(Exception):
    """A timed command failed, so that its time means nothing."""


def measure(model: str, rounds: int) -> dict[str, Any]:
    """Return the report: the machine, and a timing of every command."""
    place = machine()
    with TemporaryDirectory() as folder:
        picture = Path(folder) / "street.jpg"
        noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1.5)).save(picture, quality=90)
        commands: dict[str, Sequence[str]] = {
            "crdnet --version": ["--version"],
            "crdnet --help": ["--help"],
            f"crdnet derain ({SIZE} x {SIZE})": [
                "derain",
                str(picture),
                "--model",
                model,
                "--overwrite",
                "-q",
            ],
        }
        seconds = interleaved(
            [lambda arguments=arguments: _run(arguments) for arguments in commands.values()],
            rounds=rounds,
            warm_up=1,
        )
    return {
        "machine": place,
        "rounds": rounds,
        "commands": {
            name: Timing.of(each).as_dict() for name, each in zip(commands, seconds, strict=True)
        },
    }


def as_text(report: dict[str, Any]) -> str:
    """Return the report as a table."""
    place = report["machine"]
    lines = [
        told(place),
        f"median of {report['rounds']} runs",
        "",
        Timing.HEADER,
        *(Timing(**timing).row(name) for name, timing in report["commands"].items()),
    ]
    return "\n".join(lines)


def _run(arguments: Sequence[str]) -> None:
    result = subprocess.run([_command(), *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        reason = (result.stderr.splitlines() or ["nothing was said"])[-1]
        raise CommandError(f"crdnet {' '.join(arguments)} ended with {result.returncode}: {reason}")


def _command() -> str:
    """Return the `crdnet` of the Python that runs us, or else the one on the path."""
    beside = Path(sys.executable).with_name("crdnet")
    found = str(beside) if beside.exists() else shutil.which("crdnet")
    if found is None:
        raise CommandError("there is no command crdnet; install it first: pip install --editable .")
    return found


@click.command()
@click.option(
    "-m",
    "--model",
    default="default",
    show_default=True,
    help="Name of a model or path of an .onnx file.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Timed runs of each command.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def main(model: str, rounds: int, as_json: bool) -> None:
    """Time whole commands, each in a process of its own."""
    try:
        report = measure(model, rounds)
    except CommandError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    print(json.dumps(report, indent=2) if as_json else as_text(report))


if __name__ == "__main__":
    main()
