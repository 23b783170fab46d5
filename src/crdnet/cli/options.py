"""What `crdnet derain` and `crdnet sense` have in common: options, the list of inputs, the derainer."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from crdnet.devices import DEVICES

if TYPE_CHECKING:
    from crdnet.runtime import Derainer, StoredModel

model = click.option(
    "-m",
    "--model",
    default="default",
    show_default=True,
    help="A name that `crdnet models` lists, or the path of an .onnx file.",
)
device = click.option(
    "-d",
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="What runs the network; auto is the fastest that is installed and works.",
)
jobs = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Pictures in work at a time. One network serves them and they share the processors; a single picture "
    "gets all.",
)
max_pixels = click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=2_000_000_000,
    show_default=True,
    metavar="N",
    help="Refuse larger pictures, all frames together, from their header.",
)
files_from = click.option(
    "--files-from",
    type=click.File("r", errors="surrogateescape"),
    metavar="FILE|-",
    help="Read inputs from a list, one a line.",
)
as_json = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON object a line on standard output for each input.",
)
quiet = click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
verbose = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Say which model and device work, and where errors come from.",
)


def all_inputs(named: Sequence[str], listed: Any) -> list[str]:
    """Return the inputs that were typed and those of --files-from (a file, or None).

    Raises:
        click.UsageError: There are none, or - is among them and in front of a list.
    """
    from crdnet.cli.inputs import STREAM, read_list  # noqa: PLC0415

    if listed is None:
        if not named:
            raise click.UsageError("no input; give files, a folder, or - for standard input")
        return list(named)
    if STREAM in named:
        raise click.UsageError(
            "- (standard input) is one picture and stands alone; leave --files-from away"
        )
    return [*named, *read_list(listed)]


def stored_model(name: str) -> "StoredModel":
    """Return the model that was asked for; one that is not there is wrong usage."""
    from crdnet.errors import ModelError  # noqa: PLC0415
    from crdnet.runtime import find_model  # noqa: PLC0415

    try:
        return find_model(_as_path_or_name(name))
    except ModelError as error:
        raise click.BadParameter(str(error), param_hint="-m/--model") from error


def shared_derainer(
    name: str, device: str, tile: int | Literal["auto"], *, pictures: int, jobs: int
) -> "Derainer":
    """Return the derainer of `jobs` threads that share the processors; a single picture gets all of them."""
    from crdnet.runtime import Derainer, usable_cpus  # noqa: PLC0415

    # What Pillow tells of a damaged corner of a file helps nobody here; what matters becomes an error.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    threads = max(1, usable_cpus() // min(jobs, max(1, pictures)))
    return Derainer(_as_path_or_name(name), device=device, threads=threads, tile=tile)


def _as_path_or_name(name: str) -> str | Path:
    return Path(name) if Path(name).suffix == ".onnx" or len(Path(name).parts) > 1 else name
