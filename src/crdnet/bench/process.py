"""Client side of the worker processes that measure."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from time import perf_counter
from types import TracebackType
from typing import Any

from crdnet.errors import CRDNetError

IMAGE = "image"
"""Request to derain the image as users do.

Input and output are uint8; the image is sensed at smaller scales too if the model senses rain.
"""
NETWORK = "network"
"""Request to run the network alone on the image at full size.

Input and output are float32; padding and tiles are included.
"""
MEMORY = "memory"
"""Request for the peak memory of the process in bytes; null if the system does not report it."""


class WorkerProcess:
    """Process that runs tasks on request; the constructor waits until it is ready.

    Args:
        task: Task of the process; see `crdnet.bench.worker`.
        environment: Variables that are added to the environment of the process.

    Raises:
        CRDNetError: The process reported an error, or ended without an answer.
    """

    def __init__(
        self, task: Mapping[str, Any], environment: Mapping[str, str] | None = None
    ) -> None:
        self._task = task
        began = perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "crdnet.bench.worker", json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | dict(environment or {}),
            text=True,
            # Ctrl-C reaches this process only, which ends the worker.
            start_new_session=True,
        )
        try:
            self.description: Any = self._read_answer()
            """Device and engine that a derainer reports when it is ready."""
        except BaseException:
            # Ctrl-C too: before the constructor returns, no `with` block would end the process.
            self.__exit__(None, None, None)
            raise
        self.ready_seconds = perf_counter() - began
        """Time from its start until it was ready."""

    def __enter__(self) -> "WorkerProcess":
        """Return this object."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        # Killed at once, because its work has no effect outside.
        self._process.kill()
        self._process.communicate()

    def ask(self, request: str) -> Any:
        """Send a request and return the answer.

        Raises:
            CRDNetError: The process reported an error, or ended without an answer.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            # The process has ended, so reading the answer raises the error.
            pass
        return self._read_answer()

    def _read_answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        # Even an empty answer has a line end, so this is the end of the output.
        if not line:
            raise CRDNetError(
                f"the process that measured {self._task} ended with {self._process.wait()} "
                "and no answer; if memory ran out, measure smaller sizes"
            )
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            raise CRDNetError(answer["error"])
        return answer
