"""Options that `crdnet derain` and `crdnet sense` have in common."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import click

from crdnet.devices import DEVICES
from crdnet.errors import ModelError

if TYPE_CHECKING:
    from crdnet.runtime import StoredModel

Options = TypeVar("Options", bound=Any)

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
    help="Images in work at a time. One network serves them and they share the processors; a single image gets "
    "all.",
)


def _parse_tile(ctx: click.Context, param: click.Parameter, value: str) -> int | Literal["auto"]:
    """Turn the text of --tile into what a Derainer takes."""
    if value == "auto":
        return "auto"
    if not (value.isascii() and value.isdecimal()):
        raise click.BadParameter(
            f"{value!r} is neither auto, nor 0 (whole images), nor a side in pixels", ctx, param
        )
    return int(value)


tile = click.option(
    "--tile",
    metavar="auto|0|N",
    default="auto",
    show_default=True,
    callback=_parse_tile,
    help="Side of a tile in pixels, rounded up to the model's size multiple; 0: whole images; "
    "auto: whole up to 8 megapixels, above that tiles that bound the memory. The result is the "
    "same.",
)
max_pixels = click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=2_000_000_000,
    show_default=True,
    metavar="N",
    help="Refuse larger images, all frames together, from their header.",
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


def list_inputs(named: Sequence[str], listed: Any) -> list[str]:
    """Return the inputs that were typed and those of --files-from (a file, or None), one a line.

    Raises:
        click.UsageError: There are none, or - is among them and in front of a list.
    """
    if listed is None:
        if not named:
            raise click.UsageError("no input; give files, a folder, or - for standard input")
        return list(named)
    if "-" in named:
        raise click.UsageError(
            "- (standard input) is one image and stands alone; leave --files-from away"
        )
    return [*named, *(path for line in listed if (path := line.rstrip("\r\n")))]


def stored_model(name: str) -> "StoredModel":
    """Return the model that was asked for; one that is not there is wrong usage."""
    from crdnet.runtime import find_model  # noqa: PLC0415 - takes longer to load than --help may take

    with refuse_unknown_model():
        return find_model(as_path_or_name(name))


@contextmanager
def refuse_unknown_model() -> Iterator[None]:
    """Turn the error about a model that is not there into one about its option."""
    try:
        yield
    except ModelError as error:
        raise click.BadParameter(str(error), param_hint="-m/--model") from error


def as_path_or_name(name: str) -> str | Path:
    """Return the value of --model as the library takes it."""
    return Path(name) if Path(name).suffix == ".onnx" or len(Path(name).parts) > 1 else name


def take_fields(values: dict[str, Any], kind: type[Options], **more: Any) -> Options:
    """Take the options that are named like the fields of a dataclass out of `values`, and make one of them.

    Args:
        values: Options by their names.
        kind: The dataclass.
        more: Further fields.
    """
    names = [field.name for field in fields(kind) if field.name in values]
    return cast(Options, kind(**{name: values.pop(name) for name in names}, **more))
