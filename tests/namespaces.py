"""Machines as network namespaces of this one, each with its own address, on one switch."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from secrets import token_hex

import pytest

_CABLE = "eth0"


@dataclass(frozen=True)
class Machine:
    """A namespace; it shares files and processors with the others."""

    address: str
    name: str
    switch: str
    port: str
    """Other end of its cable, in the namespace of the switch."""

    @property
    def prefix(self) -> list[str]:
        """Words before a command that is to run in it."""
        return ["ip", "netns", "exec", self.name]

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which torch finds the cable."""
        return {"GLOO_SOCKET_IFNAME": _CABLE, "TP_SOCKET_IFNAME": _CABLE}

    def unplug(self) -> None:
        """Take the cable out of the switch: packets are lost, and nobody is told."""
        _run("-n", self.switch, "link", "set", self.port, "down")

    def plug_in(self) -> None:
        """Put the cable back."""
        _run("-n", self.switch, "link", "set", self.port, "up")

    def kill_processes(self) -> None:
        """Kill all that runs in it."""
        found = subprocess.run(
            ["ip", "netns", "pids", self.name], check=True, capture_output=True, text=True
        )
        for number in found.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)


@contextmanager
def make_machines(count: int) -> Iterator[list[Machine]]:
    """Make namespaces on one switch, for the time of the block; what runs in them is killed.

    Skips the test where that is refused.
    """
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and the command ip")
    mark = token_hex(2)
    switch = f"crdnet-{mark}-switch"
    with ExitStack() as stack:

        def add(name: str) -> None:
            _run("netns", "add", name)
            stack.callback(_run, "netns", "del", name)

        machines = []
        try:
            add(switch)
            _run("-n", switch, "link", "add", "bridge", "up", "type", "bridge")
            for index in range(count):
                # The addresses are of those reserved for examples.
                machine = Machine(
                    f"192.0.2.{index + 1}", f"crdnet-{mark}-{index}", switch, f"port{index}"
                )
                add(machine.name)
                stack.callback(machine.kill_processes)
                words = ("type", "veth", "peer", "name", machine.port, "netns", switch)
                _run("-n", machine.name, "link", "add", _CABLE, *words)
                _run("-n", machine.name, "addr", "add", f"{machine.address}/24", "dev", _CABLE)
                for device in ("lo", _CABLE):
                    _run("-n", machine.name, "link", "set", device, "up")
                _run("-n", switch, "link", "set", machine.port, "master", "bridge", "up")
                machines.append(machine)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine refuses network namespaces: {error.stderr}")
        yield machines


def _run(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
