"""Time of whole commands, including the start of Python, imports, the model and files.

Contract: every run is a separate process, timed from start to end, with a warm file cache (the
first run of each is discarded). The commands take turns. The image is a JPEG of smooth noise, 512 x
512, of quality 90; its content does not change the time.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from crdnet import CRDNetError
from crdnet.bench import Timing, format_machine, inspect_machine, time_in_turns

SIZE = 512


class CommandError(CRDNetError):
    """A timed command failed, so its time means nothing."""


def measure_commands(model: str, rounds: int) -> dict[str, Any]:
    """Return the report: the machine, and a timing of every command."""
    place = inspect_machine()
    with TemporaryDirectory() as folder:
        image = Path(folder) / "street.jpg"
        noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1.5)).save(image, quality=90)
        commands: dict[str, Sequence[str]] = {
            "crdnet --version": ["--version"],
            "crdnet --help": ["--help"],
            f"crdnet derain ({SIZE} x {SIZE})": [
                "derain",
                str(image),
                "--model",
                model,
                "--overwrite",
                "-q",
            ],
        }
        seconds = time_in_turns(
            [lambda arguments=arguments: _run(arguments) for arguments in commands.values()],
            rounds=rounds,
            warm_up=1,
        )
    return {
        "machine": place,
        "rounds": rounds,
        "commands": {
            name: Timing.from_seconds(each).to_dict()
            for name, each in zip(commands, seconds, strict=True)
        },
    }


def format_commands(report: dict[str, Any]) -> str:
    """Return the report as a table."""
    place = report["machine"]
    lines = [
        format_machine(place),
        f"median of {report['rounds']} runs",
        "",
        Timing.HEADER,
        *(Timing(**timing).format_row(name) for name, timing in report["commands"].items()),
    ]
    return "\n".join(lines)


def _run(arguments: Sequence[str]) -> None:
    result = subprocess.run([_command(), *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        reason = (result.stderr.splitlines() or ["no message"])[-1]
        raise CommandError(f"crdnet {' '.join(arguments)} ended with {result.returncode}: {reason}")


def _command() -> str:
    """Return the `crdnet` beside the running Python, else the one on the path."""
    beside = Path(sys.executable).with_name("crdnet")
    found = str(beside) if beside.exists() else shutil.which("crdnet")
    if found is None:
        raise CommandError("there is no command crdnet; install it first: pip install --editable .")
    return found
