"""Progress bar of all commands: one line on standard error, below the printed lines.

It is drawn on a terminal only. Lines are printed while the bar is hidden, so that they appear above
it on either stream.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from time import perf_counter
from typing import TypeVar

CLEAR_LINE = "\r\x1b[K"
"""Escape sequence that moves to the start of the line of a terminal and erases the line."""
_CELLS = 20
Item = TypeVar("Item")


class Bar:
    """Progress bar with a text after it; its methods are thread-safe.

    Args:
        label: Text before the bar.
        quiet: If True, draw nothing.
    """

    def __init__(self, label: str, *, quiet: bool) -> None:
        self._label = label
        self.is_drawn = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._lock = RLock()
        self._line = ""

    def update(self, share: float, text: str) -> None:
        """Show the finished share, from 0 to 1, and a text."""
        if not self.is_drawn:
            return
        with self._lock:
            full = int(share * _CELLS)
            self._line = f"{self._label} [{'=' * full}{' ' * (_CELLS - full)}] {text}"
            self._draw()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the bar while the block prints lines."""
        with self._lock:
            self._write(CLEAR_LINE)
            yield
            self._draw()

    def close(self) -> None:
        """Erase the bar."""
        with self._lock:
            self._write(CLEAR_LINE)
            self._line = ""
            self.is_drawn = False

    def _draw(self) -> None:
        # A line wider than the terminal would wrap, and only its last row would be erased.
        self._write(CLEAR_LINE + self._line[: _read_columns() - 1])

    def _write(self, text: str) -> None:
        if self.is_drawn and self._line:
            sys.stdout.flush()
            sys.stderr.write(text)
            sys.stderr.flush()


@contextmanager
def progress(total: int, of: str, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Draw a bar with the time left; yield the function that advances it by one step.

    Args:
        total: Number of steps.
        of: Noun for the steps, in the plural.
        quiet: If True, draw nothing.
    """
    bar = Bar(of, quiet=quiet)
    began = perf_counter()
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        left = (perf_counter() - began) * (total - done) / done
        bar.update(done / total, f"{done:,} of {total:,}, {format_duration(left)} left")

    try:
        bar.update(0.0, f"0 of {total:,}")
        yield advance
    finally:
        bar.close()


def track(items: Sequence[Item], of: str, *, quiet: bool) -> Iterable[Item]:
    """Yield items, and draw a bar of the finished ones; `of` is the noun for them."""
    with progress(len(items), of, quiet=quiet) as advance:
        for item in items:
            yield item
            advance()


def format_duration(seconds: float) -> str:
    """Return a duration as text, in the unit that fits."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _read_columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
