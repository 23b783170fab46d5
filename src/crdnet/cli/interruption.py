"""Ctrl-C and SIGTERM: the first finishes what is in work, the second ends at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from crdnet.cli.progress import CLEAR_LINE

_AGAIN = b"finishing the images in work; once more ends at once\n"


@contextmanager
def stop_on_signals(stop: Callable[[], None], *, quiet: bool) -> Iterator[None]:
    """Let the first signal in the block only ask to stop; a second one interrupts.

    Args:
        stop: Asks to stop.
        quiet: Say nothing of it.

    Raises:
        KeyboardInterrupt: There was a signal, when the block has ended.
    """
    asked = False

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        stop()
        if not quiet:  # whom we interrupt may be writing to sys.stderr, so go past it
            os.write(2, (CLEAR_LINE.encode() if os.isatty(2) else b"") + _AGAIN)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt
