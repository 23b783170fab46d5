"""A worker process, as the process that starts it sees it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from time import perf_counter
from types import TracebackType
from typing import Any

from crdnet.errors import CRDNetError

PICTURE = "picture"
"""Derain the picture as users do: uint8 in, uint8 out, with looks at smaller sizes where the model senses rain."""
NETWORK = "network"
"""Run the network alone over the picture at full size: float32 in, float32 out, padding and tiles included."""
MEMORY = "memory"
"""Say the most memory that the process ever had, in bytes; null where the system does not tell."""


class WorkerProcess:
    """Starts a worker and waits until it is ready.

    Args:
        task: What it shall be; see `crdnet.bench.worker`.
        environment: Variables for it, besides ours.

    Raises:
        CRDNetError: It said what is wrong, or ended without a word.
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
            start_new_session=True,  # Ctrl-C is for us, who end it
        )
        try:
            self.said: Any = self._answer()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.ready_seconds = perf_counter() - began
        """From its start until it was ready."""

    def __enter__(self) -> "WorkerProcess":
        """Return the process itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def ask(self, question: str) -> Any:
        """Have something done, and return the answer.

        Raises:
            CRDNetError: It said what is wrong, or ended without a word.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(question + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # there is no answer either
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CRDNetError(
                f"the process that measured {self._task} ended with {self._process.wait()} and no answer; if memory "
                "ran out, measure smaller sizes"
            )
        said = json.loads(line)
        if isinstance(said, dict) and "error" in said:
            raise CRDNetError(said["error"])
        return said
