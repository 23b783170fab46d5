"""`crdnet models`: the models that come with crdnet, and what a model file costs."""

import json
import re

import click

from crdnet.cli import options

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


def _parse_size(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    """Turn WIDTHxHEIGHT into height and width."""
    found = _SIZE.fullmatch(value)
    if found is None or not all(int(side) for side in found.groups()):
        raise click.BadParameter(f"{value!r} is not WIDTHxHEIGHT in pixels", ctx=ctx, param=param)
    return int(found[2]), int(found[1])


@click.command("models")
@click.argument("models", nargs=-1)
@click.option(
    "--cost",
    is_flag=True,
    help="Measure parameters, operations, margin, memory and time of MODELS: names or .onnx files.",
)
@click.option(
    "--size",
    callback=_parse_size,
    default="512x512",
    show_default=True,
    metavar="WIDTHxHEIGHT",
    help="Image for memory and time, with --cost.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads, with --cost [default: all].")
@options.device
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each model.")
def command(
    models: tuple[str, ...],
    cost: bool,
    size: tuple[int, int],
    threads: int | None,
    device: str,
    as_json: bool,
) -> int:
    """List the models that come with crdnet: name, size, what it is, and measured scores.

    With --cost, print what MODELS cost, by default those that come with crdnet. The network alone is timed, in a
    process of its own; its memory is the peak of that process while it derains the image.
    """
    if cost:
        return _print_costs(models, size, threads, device, as_json=as_json)
    if models:
        raise click.UsageError("names of models go with --cost; without it all are listed")
    return _list_models(as_json=as_json)


def _print_costs(
    names: tuple[str, ...],
    size: tuple[int, int],
    threads: int | None,
    device: str,
    *,
    as_json: bool,
) -> int:
    from crdnet.bench import measure_model_cost  # noqa: PLC0415
    from crdnet.errors import CRDNetError  # noqa: PLC0415
    from crdnet.runtime import count_cpus, find_model, list_models  # noqa: PLC0415

    failed = False
    for name in names or tuple(model.name for model in list_models()):
        try:
            measured = measure_model_cost(
                find_model(name), *size, device=device, threads=threads or count_cpus()
            )
        except CRDNetError as error:
            failed = True
            click.echo(f"Error: {error}", err=True)
            continue
        if as_json:
            click.echo(json.dumps(measured.as_dict()))
            continue
        memory = "" if measured.peak_bytes is None else f", {measured.peak_bytes / 1e6:.0f} MB"
        click.echo(
            f"{measured.model}: {measured.parameters:,} parameters, "
            f"{measured.kilo_macs:.2f} kMAC per pixel, sides in multiples of "
            f"{measured.size_multiple}, margin {measured.margin} px"
        )
        click.echo(
            f"    {measured.width} x {measured.height}: {measured.seconds:.3f} s{memory} "
            f"({measured.engine}, {measured.threads} threads)"
        )
    return 1 if failed else 0


def _list_models(*, as_json: bool) -> int:
    from crdnet.errors import ModelError  # noqa: PLC0415
    from crdnet.runtime import FUSE, list_models, read_info  # noqa: PLC0415

    failed = False
    models = (*list_models(), *list_models(task=FUSE))
    if not models:
        click.echo(
            "no models come with this installation; give -m the path of an .onnx file", err=True
        )
    for model in models:
        try:
            info, size = read_info(model), model.path.stat().st_size
        except ModelError as error:
            failed = True
            click.echo(f"Error: {error}", err=True)
            continue
        if as_json:
            click.echo(
                json.dumps(
                    {
                        "name": model.name,
                        "aliases": list(model.aliases),
                        "summary": model.summary,
                        "bytes": size,
                        "parameters": model.parameters,
                        "version": info.version,
                        "size_multiple": info.size_multiple,
                        "margin": info.margin,
                        "training_data": info.training_data,
                        "scores": dict(info.scores),
                        "sha256": model.sha256,
                    }
                )
            )
            continue
        also = f" (also called {', '.join(model.aliases)})" if model.aliases else ""
        parameters = "" if model.parameters is None else f", {model.parameters:,} parameters"
        click.echo(f"{model.name}{also}: {size / 1e6:.1f} MB{parameters}")
        click.echo(f"    {model.summary}")
        click.echo(f"    trained on: {info.training_data}")
        for score, value in info.scores.items():
            click.echo(f"    {score}: {value:g}")
    return 1 if failed else 0
