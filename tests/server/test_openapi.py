"""The API against its OpenAPI document: schemathesis makes requests and judges the answers."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from tests.server.images import DRY, JPEG, RAINY
from tests.server.running import Running

EXAMPLES = 12
"""Generated requests for each operation and mode; the benchmark of the server sends more."""

# What a document cannot say: which bytes are an image.
schemathesis.openapi.format("binary", strategies.sampled_from([DRY, JPEG, RAINY]))


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_the_api_is_what_its_document_says(server: Running, mode: GenerationMode) -> None:
    document = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations() if isinstance(found, Ok)]
    assert {operation.label for operation in operations} >= {
        "POST /v1/derain",
        "POST /v1/sense",
        "GET /metrics",
    }
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not operation.query and not operation.body:
            continue

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def check(case: "schemathesis.Case[Any]") -> None:
            case.call_and_validate(headers={"Host": "localhost"})

        check()
