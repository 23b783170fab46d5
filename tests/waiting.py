"""Waiting for conditions in tests, never for a fixed time."""

import time
from collections.abc import Callable

HANG_SECONDS = 900.0
"""Time-out of all processes and conditions that tests wait for.

It only ends a test that hangs: no test may depend on the speed of the machine.
"""


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds; fail if it never does."""
    until = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < until, f"{condition} never held"
        time.sleep(0.02)
