"""Jobs on a Ray cluster of several nodes on this machine, some of which are killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import crdnet
from crdnet.batch import BatchOptions, JobOptions, JobReport, run_job
from crdnet.errors import StoreError
from tests.batch.cluster.conftest import write_damaged_images
from tests.batch.cluster.test_job import check_once, read_tree
from tests.ray_machines import RAY_SETTINGS
from tests.waiting import wait_until

SOAKED_IMAGES = os.environ.get("CRDNET_CLUSTER_IMAGES")
IMAGES = int(SOAKED_IMAGES or "400")
KILLS = 2
pytest.importorskip("ray", reason="needs the extra cluster")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own, from its threads


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without CPUs, and two CPUs on one node, or on two nodes where nodes are killed."""
    patience = {
        "RAY_health_check_timeout_ms": "60000",
        "RAY_health_check_failure_threshold": "10",
    }
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory(prefix="r", dir="/tmp") as short:
        for name, value in {**RAY_SETTINGS, **patience, "RAY_TMPDIR": short}.items():
            patch.setenv(name, value)
        import ray  # noqa: PLC0415 - reads these variables
        from ray.cluster_utils import Cluster  # noqa: PLC0415

        store: dict[str, Any] = {"object_store_memory": 100_000_000}
        head = {"num_cpus": 0, "include_dashboard": False, **store}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for processors in (1, 1) if SOAKED_IMAGES else (2,):
            cluster.add_node(num_cpus=processors, **store)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def many_images(tmp_path: Path) -> Path:
    """A folder of images, of which one in a hundred is damaged."""
    folder = tmp_path / "images"
    write_damaged_images(folder, IMAGES)
    return folder


def make_options(cluster: Any, model: Path, **more: Any) -> JobOptions:
    return JobOptions(address=cluster.address, model=model, **more)


@pytest.mark.skipif(
    not SOAKED_IMAGES, reason="`make soak` runs it: Ray misses a node after minutes"
)
def test_a_job_outlives_its_nodes(
    cluster: Any, many_images: Path, model: Path, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill_node(report: JobReport) -> None:
        if len(killed) < KILLS and report.finished > 300 * len(killed):
            killed.append(report.finished)
            cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
            cluster.add_node(num_cpus=1, object_store_memory=100_000_000)

    report = run_job(
        many_images, tmp_path / "job", make_options(cluster, model), on_progress=kill_node
    )
    assert len(killed) == KILLS
    assert (report.left, report.tally.counts["failed"]) == (0, IMAGES // 100)
    check_once(tmp_path / "job", IMAGES)
    options = BatchOptions(model=model)
    list(crdnet.derain_folder(many_images, tmp_path / "folder", recursive=True, options=options))
    assert read_tree(tmp_path / "job") == read_tree(tmp_path / "folder")


def test_a_job_outlives_its_driver(
    cluster: Any, many_images: Path, model: Path, tmp_path: Path
) -> None:
    job = tmp_path / "job"
    arguments = ["batch", many_images, job, "-m", model, "--address", cluster.address]
    command = [sys.executable, "-m", "crdnet.cli", *map(str, arguments)]
    driver = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_until(lambda: any((job / "_crdnet/results").glob("*.parquet")))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    report = run_job(many_images, job, make_options(cluster, model, workers=2))
    assert (report.left, report.tally.counts["failed"]) == (0, IMAGES // 100)
    assert report.earlier + report.tally.earlier > 0
    check_once(job, IMAGES)


def test_what_ends_a_worker_is_one_error(
    cluster: Any, images: Path, model: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(model.read_bytes()[:100])
    with pytest.raises(StoreError, match="is not a model that onnxruntime can open"):
        run_job(images, tmp_path / "a", make_options(cluster, broken))
    job = tmp_path / "b"
    results = job / "_crdnet/results"

    def forbid(_report: JobReport) -> None:
        if not results.exists():
            results.write_text("a file where a folder belongs")

    with pytest.raises(StoreError, match="cannot be read: Not a directory"):
        run_job(images, job, make_options(cluster, model), on_progress=forbid)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("ray://head:10001", ConnectionError("ray client connection timeout")),
        ("auto", RuntimeError("Version mismatch: the cluster was started with Ray: 2.50.0")),
    ],
)
def test_a_cluster_that_cannot_be_used_is_one_error(
    address: str,
    found: Exception,
    images: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray  # noqa: PLC0415 - may be absent

    def refuse(**_arguments: Any) -> None:
        raise found

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    with pytest.raises(StoreError, match=f"the Ray cluster {address} cannot be used: {found}"):
        run_job(images, tmp_path / "job", JobOptions(address=address, model=model))
