"""Options that several commands share, and the types of their values."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from math import inf, isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from crdnet.devices import DEVICES
from crdnet.errors import ModelError

if TYPE_CHECKING:
    from crdnet.runtime import StoredModel

Options = TypeVar("Options", bound=Any)
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

FILE = click.Path(path_type=Path, dir_okay=False)
PATH = click.Path(path_type=Path)
FORMATS = click.Choice(["jpg", "png", "webp", "tiff", "avif"])
ABOVE_ZERO = click.FloatRange(min=0, min_open=True)
AT_LEAST_ONE = click.IntRange(min=1)


def parse_number_or(
    word: str, value: Any, number: type[Any], low: float | int, high: float | int = inf
) -> Callable[[str], Any]:
    """Return the type of an option that accepts a number in a range, or one word.

    Args:
        word: The accepted word.
        value: Value of the option for the word.
        number: `int` or `float`.
        low: The smallest number.
        high: The largest number.
    """

    def parse(text: str) -> Any:
        if text == word:
            return value
        try:
            # int() also accepts 1_0 and digits of any script.
            is_plain = number is float or (text.isascii() and text.isdecimal())
            parsed = number(text) if is_plain else nan
        except ValueError:
            parsed = nan
        if not low <= parsed <= high:
            span = f"from {low:g}" + (f" to {high:g}" if high < inf else "")
            raise click.BadParameter(f"{text!r} is neither {word} nor a number {span}")
        return parsed

    return parse


def _refuse_nan(ctx: click.Context, param: click.Parameter, value: float) -> float:
    # NaN is never out of range by comparison.
    if isnan(value):
        raise click.BadParameter("nan is not in the range 0<=x<=1", ctx, param)
    return value


def add_flag(*names: str, help: str, **more: Any) -> Decorator:  # noqa: A002 - click's word
    """Return a flag: an option without a value."""
    return click.option(*names, is_flag=True, help=help, **more)


model = click.option(
    "-m",
    "--model",
    default="default",
    help="A name that `crdnet models` lists, or the path of an .onnx file.",
)
device = click.option(
    "-d",
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    help="Device that runs the network; auto: the fastest one that is installed and works.",
)
jobs = click.option(
    "-j",
    "--jobs",
    type=AT_LEAST_ONE,
    default=2,
    help="Images in progress at a time. They share one network and the CPUs; a single image "
    "uses all CPUs.",
)
tile = click.option(
    "--tile",
    metavar="auto|0|N",
    default="auto",
    type=parse_number_or("auto", "auto", int, 0),
    help="Side of a tile in pixels, rounded up to the model's size multiple; 0: no tiles; "
    "auto: tiles for images above 8 megapixels, which bounds memory. The result is the same.",
)
strength = click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    default=1.0,
    callback=_refuse_nan,
    help="Share of the rain to remove, from 0 to 1.",
)
recursive = add_flag("-r", "--recursive", help="Include subfolders.")
overwrite = add_flag("--overwrite", help="Replace existing outputs. An input is never replaced.")
seed = click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="Seed of all random choices."
)
max_pixels = click.option(
    "--max-pixels",
    type=AT_LEAST_ONE,
    default=2_000_000_000,
    metavar="N",
    help="Refuse images with more pixels (all frames together), before they are decoded.",
)
files_from = click.option(
    "--files-from",
    type=click.File("r", errors="surrogateescape"),
    metavar="FILE|-",
    help="Read the inputs from a list, one per line.",
)
as_json = add_flag("--json", "as_json", help="Print one JSON object per line.")
as_one_json = add_flag("--json", "as_json", help="Print everything as one JSON object.")
quiet = add_flag("-q", "--quiet", help="Print errors only.")
verbose = add_flag(
    "-v", "--verbose", help="Also print the model, the engine, and tracebacks of errors."
)
traceback = add_flag(
    "-v", "--verbose", expose_value=False, help="Print the traceback of an error."
)  # read by `main`


def list_inputs(named: Sequence[str], listed: Any) -> list[str]:
    """Return the inputs of the command line and those of --files-from, which has one per line.

    Raises:
        click.UsageError: There are no inputs, or - is given together with --files-from.
    """
    if listed is None:
        if not named:
            raise click.UsageError("no input; give files, a folder, or - for standard input")
        return list(named)
    if "-" in named:
        raise click.UsageError(
            "- (standard input) is one image; it cannot be combined with --files-from"
        )
    return [*named, *(path for line in listed if (path := line.rstrip("\r\n")))]


def find_stored_model(name: str) -> "StoredModel":
    """Return the model with a name; an unknown model is a usage error."""
    # Imported here, since onnxruntime takes longer to load than --help may take.
    from crdnet.runtime import find_model

    with refuse_unknown_model():
        return find_model(parse_model(name))


@contextmanager
def refuse_unknown_model() -> Iterator[None]:
    """Convert the error about an unknown model to an error about the option."""
    try:
        yield
    except ModelError as error:
        raise click.BadParameter(str(error), param_hint="-m/--model") from error


def parse_model(name: str) -> str | Path:
    """Return the value of --model in the form that the library accepts."""
    return Path(name) if Path(name).suffix == ".onnx" or len(Path(name).parts) > 1 else name


def take_fields(values: dict[str, Any], kind: type[Options], **more: Any) -> Options:
    """Build a dataclass from the options with the names of its fields; remove them from `values`.

    Args:
        values: Options by name; changed in place.
        kind: Class to build.
        more: Values of further fields.
    """
    names = [field.name for field in fields(kind) if field.name in values]
    return cast(Options, kind(**{name: values.pop(name) for name in names}, **more))
