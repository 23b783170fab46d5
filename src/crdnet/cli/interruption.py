"""Handling of Ctrl-C and SIGTERM: the first finishes the running work, the second ends at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from crdnet.cli.progress import CLEAR_LINE

_AGAIN = b"finishing the images in progress; interrupt again to exit at once\n"


@contextmanager
def stop_on_signals(stop: Callable[[], None], *, quiet: bool) -> Iterator[None]:
    """Call `stop` at the first signal in the block; a second signal interrupts the block.

    Args:
        stop: Function that asks the work to stop.
        quiet: If True, print no message.

    Raises:
        KeyboardInterrupt: A signal arrived; raised at the end of the block.
    """
    asked = False

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        stop()
        if not quiet:  # the interrupted code may be writing to sys.stderr, so bypass its buffer
            os.write(2, (CLEAR_LINE.encode() if os.isatty(2) else b"") + _AGAIN)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt
