"""ARCHITECTURE.md lists the stops of one JPEG as they are traced."""

import re
from pathlib import Path

import pytest
from tools.trace_route import trace_stops

from crdnet.runtime import list_models

ARCHITECTURE = Path(__file__).parents[2] / "ARCHITECTURE.md"


@pytest.mark.skipif(not list_models(), reason="crdnet has no shipped model yet")
def test_the_listed_stops_are_those_that_are_traced() -> None:
    paragraph = ARCHITECTURE.read_text().split("with this list:\n")[1].split("\n\n")[0]
    stops = re.findall(r"`([\w.]+)`", paragraph)
    assert stops == trace_stops()
    assert f"planning and resuming | 25 | {len(stops)} |" in ARCHITECTURE.read_text()
