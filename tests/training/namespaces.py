"""Two machines as network namespaces of this one, each with its own address."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from secrets import token_hex
from typing import NamedTuple

import pytest


class Machine(NamedTuple):
    """A namespace."""

    address: str
    prefix: list[str]
    """Words before a command that is to run in it."""
    environment: dict[str, str]


@contextmanager
def make_two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Make two namespaces joined by a cable, for the time of the block.

    Skips the test where that is refused.
    """
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and the command ip")
    mark = token_hex(2)
    names = [f"crdnet-{mark}-{index}" for index in (0, 1)]
    cables = [f"crd{mark}{index}" for index in (0, 1)]
    with ExitStack() as stack:
        for name in names:
            try:
                _run("netns", "add", name)
            except subprocess.CalledProcessError:
                pytest.skip("this machine refuses network namespaces")
            stack.callback(_run, "netns", "del", name)
        _run("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
        machines = []
        for index, (name, cable) in enumerate(zip(names, cables, strict=True)):
            address = f"192.0.2.{index + 1}"  # of those reserved for examples
            _run("link", "set", cable, "netns", name)
            _run("-n", name, "addr", "add", f"{address}/24", "dev", cable)
            for device in (cable, "lo"):
                _run("-n", name, "link", "set", device, "up")
            environment = {"GLOO_SOCKET_IFNAME": cable, "TP_SOCKET_IFNAME": cable}
            machines.append(Machine(address, ["ip", "netns", "exec", name], environment))
        yield machines[0], machines[1]


def _run(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
