"""A bar on standard error, for those who watch."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(total: int, of: str, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Draw a bar with the time left on standard error, if that is a terminal; yields what moves it on.

    Args:
        total: How often it will be moved on.
        of: What is counted, in the plural.
        quiet: Draw none.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console  # noqa: PLC0415 - rich is slow to import
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

    columns = BarColumn(), MofNCompleteColumn(), of, TimeRemainingColumn(), "left"
    # Drawn seldom: what is measured, or worked on, needs the processors.
    with Progress(
        *columns, console=Console(stderr=True), transient=True, refresh_per_second=2
    ) as bar:
        task = bar.add_task(of, total=total)
        yield lambda: bar.advance(task)
