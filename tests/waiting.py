"""Waiting in tests: for a condition, never for a time."""

import time
from collections.abc import Callable

HANG_SECONDS = 900.0
"""Time-out of whatever a test starts or waits for.

It only ends a test that hangs: no test may depend on how fast the machine is.
"""


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds; fail if it never does."""
    until = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < until, f"{condition} never held"
        time.sleep(0.02)
