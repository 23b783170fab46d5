"""A client that a generator makes of the OpenAPI document works, without settings for it."""

import json
import subprocess
import sys
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.server.images import JPEG, RAINY
from tests.server.running import Running
from tests.waiting import HANG_SECONDS


@pytest.fixture(scope="module")
def generated(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A package that openapi-python-client made."""
    folder = tmp_path_factory.mktemp("generated")
    document = folder / "openapi.json"
    document.write_text(json.dumps(server.get("/openapi.json").json()), encoding="utf-8")
    config = folder / "config.json"
    config.write_text('{"post_hooks": []}', encoding="utf-8")  # which would lay the code out
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    options = {"--path": document, "--output-path": folder / "rain_client", "--config": config}
    words = [str(word) for pair in options.items() for word in pair]
    result = subprocess.run(
        [*command, "--fail-on-warning", *words], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield import_module("rain_client")


def call(operation: str, server: Running, **arguments: Any) -> Any:
    client = import_module("rain_client").Client(base_url=server.url, timeout=HANG_SECONDS)
    with client as opened:
        module = import_module(f"rain_client.api.default.{operation}")
        return module.sync(client=opened, **arguments)


def test_it_derains_an_image(generated: Any, server: Running) -> None:
    types = import_module("rain_client.types")
    answer = call("derain", server, body=types.File(payload=BytesIO(JPEG)), strength=0.5)
    expected = server.post("/v1/derain", params={"strength": 0.5}, content=JPEG)
    assert answer.payload.read() == expected.content


def test_it_derains_an_image_in_a_form(generated: Any, server: Running) -> None:
    types, models = import_module("rain_client.types"), import_module("rain_client.models")
    form = models.DerainFilesBody(
        file=types.File(payload=BytesIO(RAINY), file_name="street.png"),
        format_=models.DerainFilesBodyFormat.WEBP,
    )
    answer = call("derain", server, body=form)
    assert answer.payload.read()[8:12] == b"WEBP"


def test_it_senses_and_lists_models_and_understands_problems(
    generated: Any, server: Running
) -> None:
    types = import_module("rain_client.types")
    sensed = call("sense", server, body=types.File(payload=BytesIO(RAINY)))
    assert sensed.density.value == server.post("/v1/sense", content=RAINY).json()["density"]
    assert "paper" in [each.name for each in call("list_models", server)]
    refused = call("sense", server, body=types.File(payload=BytesIO(b"no image")))
    assert refused.type_ == "urn:crdnet:not-an-image"


def test_the_generator_is_what_made_it(generated: Any) -> None:
    assert Path(generated.__file__).parent.name == "rain_client"
