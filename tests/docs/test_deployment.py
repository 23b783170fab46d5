"""The files of docs/how-to/cluster.md that schedulers read."""

import re

import yaml

from tests.docs.markdown import REPOSITORY

PAGE = (REPOSITORY / "docs/how-to/cluster.md").read_text(encoding="utf-8")


def test_the_ray_job_is_whole_and_runs_the_pinned_ray() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    job = yaml.safe_load(block)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["spec"]["entrypoint"].startswith("crdnet batch ")
    cluster = job["spec"]["rayClusterSpec"]
    pins = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    assert f"\nray=={cluster['rayVersion']}\n" in pins
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    images = {
        container["image"]
        for group in groups
        for container in group["template"]["spec"]["containers"]
    }
    assert len(images) == 1
    # No worker beside the driver.
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_the_image_of_workers_is_built_with_an_extra_that_exists() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    assert '".[${EXTRAS}]"' in dockerfile
    assert "--build-arg EXTRAS=cluster" in PAGE
