"""`crdnet models`: what comes with crdnet, and how good it is."""

import json

import click


@click.command("models")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each model.")
def command(as_json: bool) -> int:
    """List the models that come with crdnet: name, size, what it is, and measured scores."""
    from crdnet.errors import ModelError  # noqa: PLC0415
    from crdnet.runtime import read_info, stored_models  # noqa: PLC0415

    failed = False
    models = stored_models()
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
