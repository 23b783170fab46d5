"""Jobs on machines with their own addresses that lose power, the driver or the network."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import crdnet
from crdnet.batch import BatchOptions
from tests.batch.cluster.conftest import write_damaged_images
from tests.batch.cluster.test_job import check_once, read_tree
from tests.waiting import HANG_SECONDS, wait_until

pytest.importorskip("ray", reason="needs the extra cluster")
from tests.ray_machines import RayMachine, make_ray_machines

IMAGES = int(os.environ.get("CRDNET_CLUSTER_IMAGES", "0"))
PARTITION_SECONDS = 30
pytestmark = pytest.mark.skipif(
    not IMAGES, reason="`make soak` runs it: Ray misses a machine after a minute"
)


@pytest.fixture
def machines() -> Iterator[list[RayMachine]]:
    """A head for the driver, and two machines with one processor each."""
    with make_ray_machines(0, 1, 1) as nodes:
        yield nodes


class Job:
    """A job of `crdnet batch` on images of which one in a hundred is damaged."""

    def __init__(self, head: RayMachine, folder: Path, model: Path) -> None:
        self._head, self._model = head, model
        self._images, self.destination = folder / "images", folder / "job"
        write_damaged_images(self._images, IMAGES)

    def start(self) -> "subprocess.Popen[str]":
        """Start the driver."""
        words = ("batch", self._images, self.destination, "-m", self._model)
        address = self._head.environment["RAY_ADDRESS"]
        return self._head.start("-m", "crdnet.cli", *words, "--address", address, "--json")

    def wait_for_chunks(self, more: int) -> None:
        """Wait until there are so many results more."""
        goal = self._count_chunks() + more
        wait_until(lambda: self._count_chunks() >= goal)

    def _count_chunks(self) -> int:
        return len(list((self.destination / "_crdnet/results").glob("*.parquet")))

    def check(self, driver: "subprocess.Popen[str]") -> None:
        """Check that nothing is lost or done twice, and that outputs are those of the folder."""
        report = json.loads(driver.communicate(timeout=HANG_SECONDS)[0])
        assert driver.returncode == 1
        assert (report["left"], report["failed"]) == (0, IMAGES // 100)
        check_once(self.destination, IMAGES)
        folder = self.destination.with_name("folder")
        options = BatchOptions(model=self._model)
        list(crdnet.derain_folder(self._images, folder, recursive=True, options=options))
        assert read_tree(self.destination) == read_tree(folder)


@pytest.fixture
def job(machines: list[RayMachine], model: Path, tmp_path: Path) -> Job:
    """A job whose driver runs on the head."""
    return Job(machines[0], tmp_path, model)


def test_a_job_outlives_a_machine_without_power(machines: list[RayMachine], job: Job) -> None:
    driver = job.start()
    job.wait_for_chunks(10)
    lost = machines[1].machine
    lost.unplug()  # first, so that no connection is closed
    lost.kill_processes()
    job.check(driver)


def test_a_job_outlives_a_partition(machines: list[RayMachine], job: Job) -> None:
    driver = job.start()
    job.wait_for_chunks(10)
    machines[1].machine.unplug()
    time.sleep(PARTITION_SECONDS)
    assert driver.poll() is None
    machines[1].machine.plug_in()
    job.check(driver)


def test_a_job_outlives_its_driver(machines: list[RayMachine], job: Job) -> None:
    driver = job.start()
    job.wait_for_chunks(10)
    driver.kill()
    driver.communicate()
    job.check(job.start())
