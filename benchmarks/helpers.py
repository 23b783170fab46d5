"""Shared parts of the benchmarks: options, errors, images, and writing into documents."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

from crdnet.errors import CRDNetError, DataError
from crdnet.files import write_whole

REPOSITORY = Path(__file__).resolve().parents[1]
Rgb = npt.NDArray[np.uint8]
"""Image of gamma-encoded colours in [0, 255], (h, w, 3)."""

model_option = click.option(
    "-m",
    "--model",
    default="default",
    show_default=True,
    help="Name of a model or path of an .onnx file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
path_type = click.Path(path_type=Path)
folder_type = click.Path(path_type=Path, file_okay=False)
file_type = click.Path(path_type=Path, dir_okay=False)


@contextmanager
def report_errors() -> Iterator[None]:
    """Print an error of crdnet in one line and exit with 1; also a decorator of commands."""
    try:
        yield
    except CRDNetError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


def resize_image(image: Rgb, times: float) -> Rgb:
    """Return an image with both sides `times` as long, by bicubic interpolation."""
    if times == 1:
        return image
    size = (round(image.shape[1] * times), round(image.shape[0] * times))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def quantise_colours(colours: npt.NDArray[np.float32]) -> Rgb:
    """Return colours in [0, 1] as 8 bits; what lies outside is clipped."""
    return np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8)


def measure_resident(pid: int) -> int:
    """Return the resident memory of a process and its children, in bytes."""
    # A child belongs to the thread that started it.
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    pids = [pid, *(int(child) for each in lists for child in _read_proc(each).split())]
    pages = [_read_proc(Path(f"/proc/{each}/statm")).split() for each in pids]
    return sum(int(each[1]) for each in pages if each) * os.sysconf("SC_PAGE_SIZE")


def _read_proc(path: Path) -> str:
    """Return a file of /proc; empty if its process or thread has just ended."""
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""


def write_between_markers(path: Path, name: str, text: str) -> None:
    """Replace the text between `<!-- NAME: begin -->` and `<!-- NAME: end -->` in a document.

    Raises:
        DataError: The document has no such markers.
    """
    opening, closing = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    document = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, begin, rest = document.partition(opening)
    _, end, after = rest.partition(closing)
    if not (begin and end):
        raise DataError(
            f"{path} has no lines {opening} and {closing}; add them where the tables belong"
        )
    write_whole(path, f"{before}{begin}\n\n{text}\n{end}{after}".encode())
