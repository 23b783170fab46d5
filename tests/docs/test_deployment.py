"""The files of docs/how-to/cluster.md that schedulers read."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.docs.markdown import REPOSITORY

PAGE = (REPOSITORY / "docs/how-to/cluster.md").read_text(encoding="utf-8")
RAY_JOB = json.loads(Path(__file__).with_name("rayjob.schema.json").read_text(encoding="utf-8"))
KUBERNETES = "1.37"


def read_job() -> dict[str, Any]:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    job: dict[str, Any] = yaml.safe_load(block)
    return job


def list_groups(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def validate(job: dict[str, Any]) -> None:
    """Raise an error if Kubernetes would refuse a job or one of its pods."""
    jsonschema.validate(job, RAY_JOB)
    for group in list_groups(job):
        pods = {"apiVersion": "v1", "kind": "PodTemplate", "template": group["template"]}
        kubernetes_validate.validate(pods, KUBERNETES, strict=True)


def test_the_ray_job_is_of_its_schema() -> None:
    validate(read_job())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec/backofLimit", 3),
        ("spec/backoffLimit", "3"),
        ("spec/rayClusterSpec/headGroupSpec/rayStartParams/num-cpus", 0),
        ("spec/rayClusterSpec/headGroupSpec/template/spec/container", []),
        ("spec/rayClusterSpec/headGroupSpec/template/spec/containers", [{"image": "no name"}]),
    ],
)
def test_the_check_of_the_ray_job_can_fail(path: str, value: object) -> None:
    job = read_job()
    *places, last = path.split("/")
    place = job
    for each in places:
        place = place[each]
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        validate(job)


def test_the_ray_job_runs_the_pinned_ray() -> None:
    job = read_job()
    assert job["spec"]["entrypoint"].startswith("crdnet batch ")
    cluster = job["spec"]["rayClusterSpec"]
    pins = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    assert f"\nray=={cluster['rayVersion']}\n" in pins
    images = {
        container["image"]
        for group in list_groups(job)
        for container in group["template"]["spec"]["containers"]
    }
    assert len(images) == 1
    # No worker beside the driver.
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_the_image_of_workers_is_built_with_an_extra_that_exists() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    assert '".[${EXTRAS}]"' in dockerfile
    assert "--build-arg EXTRAS=cluster" in PAGE
