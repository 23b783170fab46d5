"""Telling what `crdnet derain` did: results on standard output, everything else on standard error."""

import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import click

from crdnet.cli.work import Outcome
from crdnet.runtime import Session


class Report:
    """Writes a line for each outcome and counts them.

    Args:
        as_json: One JSON object a line in place of words.
        quiet: Errors only; JSON is a result and stays.
        verbose: Tracebacks, and why inputs were skipped.
        results_to_stderr: Standard output belongs to a picture.
    """

    def __init__(self, *, as_json: bool, quiet: bool, verbose: bool, results_to_stderr: bool) -> None:
        self.failed = 0
        self._counts = {"done": 0, "skipped": 0, "failed": 0}
        self._as_json = as_json
        self._quiet = quiet
        self._verbose = verbose
        self._results_to_stderr = results_to_stderr
        self._began = perf_counter()
        self._advance: Any = lambda: None

    def setting(self, session: Session) -> None:
        """Say, if asked, what does the work."""
        if self._verbose:
            info = session.info
            click.echo(f"model {info.name} {info.version} on {session.device}", err=True)

    @contextmanager
    def progress(self, total: int) -> Iterator[None]:
        """Draw a bar on standard error while outcomes come in, if somebody looks and there are several."""
        if self._quiet or total < 2 or not sys.stderr.isatty():
            yield
            return
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
        # Lines on a terminal go above the bar; standard output that goes elsewhere must not be led there.
        bar = Progress(
            *columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()
        )
        with bar:
            task = bar.add_task("deraining", total=total)
            self._advance = lambda: bar.advance(task)
            yield

    def add(self, outcome: Outcome) -> None:
        """Tell of one input."""
        self._counts[outcome.status] += 1
        self.failed = self._counts["failed"]
        self._advance()
        if outcome.status == "failed":
            name = "" if outcome.input in str(outcome.reason) else f"{outcome.input}: "
            click.echo(f"Error: {name}{outcome.reason}", err=True)
            if self._verbose and outcome.exception is not None:
                click.echo("".join(traceback.format_exception(outcome.exception)), err=True, nl=False)
        elif not self._quiet:
            self._tell(outcome)
        if self._as_json:
            click.echo(json.dumps(_as_dict(outcome)))

    def summary(self) -> None:
        """Count, where there was more than one input."""
        if not self._quiet and sum(self._counts.values()) > 1:
            counts = ", ".join(f"{count} {status}" for status, count in self._counts.items() if count)
            click.echo(f"{counts} in {perf_counter() - self._began:.1f} s", err=True)

    def _tell(self, outcome: Outcome) -> None:
        for warning in outcome.warnings:
            click.echo(f"Warning: {outcome.input}: {warning}", err=True)
        if outcome.status == "skipped":
            click.echo(f"Skipped: {outcome.input}: {outcome.reason}", err=True)
        elif not self._as_json:
            density = "unknown" if outcome.density is None else outcome.density.name.lower()
            output = outcome.output or "standard output"
            click.echo(f"{outcome.input} -> {output}  (density: {density})", err=self._results_to_stderr)


def _as_dict(outcome: Outcome) -> dict[str, Any]:
    return {
        "input": outcome.input,
        "output": outcome.output if outcome.status != "failed" else None,
        "status": outcome.status,
        "error": outcome.reason if outcome.status == "failed" else None,
        "reason": outcome.reason if outcome.status == "skipped" else None,
        "width": outcome.width,
        "height": outcome.height,
        "seconds": None if outcome.seconds is None else round(outcome.seconds, 3),
        "density": None if outcome.density is None else outcome.density.name.lower(),
        "warnings": list(outcome.warnings),
    }
