"""A Ray cluster of machines with their own addresses, started by `ray start` as users do."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.namespaces import Machine, make_machines
from tests.waiting import HANG_SECONDS

RAY_SETTINGS = {
    "RAY_raylet_start_wait_time_s": f"{HANG_SECONDS:.0f}",
    "RAY_AUTH_MODE": "disabled",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_enable_metrics_collection": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Variables of a cluster that is quiet, and has time to start on a busy machine."""
_ATTEMPTS = 8
# Shorter than in `RAY_SETTINGS`, since a start that fails is tried again.
_START_SECONDS = "60"


@dataclass(frozen=True)
class RayMachine:
    """A machine that runs a node of the cluster."""

    machine: Machine
    environment: dict[str, str]

    def start(self, *words: object, **more: Any) -> "subprocess.Popen[str]":
        """Start a Python program on it, beside its node."""
        return subprocess.Popen(
            [*self.machine.prefix, sys.executable, *map(str, words)],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            text=True,
            **more,
        )


@contextmanager
def make_ray_machines(*processors: int) -> Iterator[list[RayMachine]]:
    """Start a cluster of machines with so many processors each; the first is the head.

    Skips the test where network namespaces are refused.
    """
    with (
        TemporaryDirectory(prefix="r", dir="/tmp") as short,  # Ray's sockets take 100 characters
        make_machines(len(processors)) as machines,
    ):
        address = f"{machines[0].address}:6379"
        nodes = []
        for machine, count in zip(machines, processors, strict=True):
            folder = Path(short) / machine.address.rpartition(".")[2]
            folder.mkdir()
            own = {
                **machine.environment,
                "RAY_TMPDIR": f"{folder}",
                "RAY_ADDRESS": address,
                "RAY_raylet_start_wait_time_s": _START_SECONDS,
            }
            nodes.append(RayMachine(machine, {**RAY_SETTINGS, **own}))
            role = [f"--address={address}"]
            if not nodes[1:]:
                role = ["--head", "--port=6379", "--include-dashboard=false"]
            words = ["-m", "ray.scripts.scripts", "start", *role, f"--num-cpus={count}"]
            words += [f"--node-ip-address={machine.address}", "--object-store-memory=100000000"]
            _start_node(nodes[-1], words)
        yield nodes


def _start_node(node: RayMachine, words: list[str]) -> None:
    # A node dies if its agents take 15 s to start, which they do on a busy machine.
    for _ in range(_ATTEMPTS):
        starting = node.start(*words, stderr=subprocess.STDOUT)
        text, _ = starting.communicate(timeout=HANG_SECONDS)
        if starting.returncode == 0:
            return
        node.machine.kill_processes()
    raise AssertionError(text)
