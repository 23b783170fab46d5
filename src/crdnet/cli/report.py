"""Telling what `crdnet derain` and `crdnet sense` did.

Results go to standard output, everything else to standard error.
"""

import json
import sys
import traceback
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Literal

import click

from crdnet.cli.inputs import Job
from crdnet.cli.work import Outcome
from crdnet.density import RainDensity
from crdnet.runtime import SenseReport, Session

PLAIN_SECONDS = 30.0
"""Time between two lines that tell how far we are, where there is no terminal to draw a bar on."""
_SCALES = {1.0: "", 0.5: ", at 1/2 size", 0.25: ", at 1/4 size", 0.125: ", at 1/8 size"}


class Report:
    """Writes a line for each outcome and counts them.

    Args:
        task: What is done with each picture.
        as_json: One JSON object a line in place of words.
        quiet: Errors only; JSON is a result and stays.
        verbose: Tracebacks, and what was done already.
        results_to_stderr: Standard output belongs to a picture.
    """

    def __init__(
        self,
        task: Literal["derain", "sense"],
        *,
        as_json: bool,
        quiet: bool,
        verbose: bool,
        results_to_stderr: bool = False,
    ) -> None:
        self._task = task
        self._counts = Counter[str]()
        self._failed: list[str] = []
        self._as_json = as_json
        self._quiet = quiet
        self._verbose = verbose
        self._results_to_stderr = results_to_stderr
        self._began = self._told = perf_counter()
        self._left = 0
        self._worked = 0
        self._pixels = 0
        self._bar: Any = None

    @property
    def failed(self) -> bool:
        """Whether any input failed."""
        return bool(self._failed)

    def setting(self, session: Session) -> None:
        """Say, if asked, what does the work."""
        if self._verbose:
            info = session.info
            click.echo(f"model {info.name} {info.version} on {session.engine}", err=True)

    def follow(self, outcomes: Iterable[Outcome], *, total: int) -> None:
        """Tell of inputs that are worked on, and how far we are, while they come in.

        Args:
            outcomes: Of `total` jobs; fewer if the run is stopped.
            total: How many jobs there are.
        """
        with self._progress(total):
            for outcome in outcomes:
                self._worked_on(outcome)

    @contextmanager
    def _progress(self, total: int) -> Iterator[None]:
        """Draw a bar on standard error, if that is a terminal and there are several jobs."""
        self._left = total
        self._began = self._told = perf_counter()
        if self._quiet or total < 2 or not sys.stderr.isatty():
            yield
            return
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

        # Lines on a terminal go above the bar; standard output that goes elsewhere must not be led there.
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[told]}", markup=False),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        with bar:
            number = bar.add_task(
                {"derain": "deraining", "sense": "sensing"}[self._task], total=total, told=""
            )
            self._bar = lambda: bar.update(number, completed=self._worked, told=self._how_far())
            yield
        self._bar = None

    def settled(self, outcome: Outcome) -> None:
        """Tell of an input that needed no work."""
        self._counts[outcome.status] += 1
        if outcome.status == "failed":
            self._failed.append(outcome.input)
            name = "" if outcome.input in str(outcome.reason) else f"{outcome.input}: "
            click.echo(f"Error: {shown(f'{name}{outcome.reason}')}", err=True)
            if self._verbose and outcome.exception is not None:
                click.echo(
                    "".join(traceback.format_exception(outcome.exception)), err=True, nl=False
                )
        elif not self._quiet and (self._verbose or not outcome.resumed):
            self._tell(outcome)
        if self._as_json:
            click.echo(json.dumps(self._as_dict(outcome)))

    def planned(self, job: Job) -> None:
        """Tell of a job that would be done."""
        self.settled(Outcome(job.name, None if job.output is None else str(job.output), "planned"))

    def _worked_on(self, outcome: Outcome) -> None:
        self._left -= 1
        self._worked += 1
        if outcome.status in ("done", "dry"):
            assert outcome.width is not None
            assert outcome.height is not None
            self._pixels += outcome.width * outcome.height
        self.settled(outcome)
        if self._bar is not None:
            self._bar()
        elif not self._quiet and self._left and perf_counter() - self._told >= PLAIN_SECONDS:
            self._told = perf_counter()
            click.echo(self._how_far(), err=True)

    def summary(self, left_out: Counter[str]) -> None:
        """Count, where there was more than one input, and name again what failed.

        Args:
            left_out: How many entries of folders were no pictures, by kind.
        """
        if self._quiet:
            return
        if left_out.total():
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in left_out.items() if count)
            click.echo(f"left out: {kinds}", err=True)
        if self._counts.total() + self._left < 2:
            return
        line = f"{self._counted()} in {_duration(perf_counter() - self._began)}"
        if self._pixels:
            line += f"; {self._pixels / 1e6:,.1f} megapixels, {self._rate():.2f} a second"
        click.echo(line, err=True)
        if self._counts.total() > len(self._failed):
            for name in self._failed:
                click.echo(f"failed: {shown(name)}", err=True)

    def _counted(self) -> str:
        counts = {
            name: self._counts[name] for name in ("planned", "done", "dry", "skipped", "failed")
        }
        counts["left"] = self._left
        return (
            ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
            or "nothing to do"
        )

    def _how_far(self) -> str:
        """Return the counts, the speed, and the time left if the rest is like what was done."""
        seconds = (perf_counter() - self._began) * self._left / max(1, self._worked)
        return f"{self._counted()}; {self._rate():.2f} MP/s, {_duration(seconds)} left"

    def _rate(self) -> float:
        """Return megapixels per second."""
        return self._pixels / 1e6 / max(1e-9, perf_counter() - self._began)

    def _tell(self, outcome: Outcome) -> None:
        for warning in outcome.warnings:
            click.echo(f"Warning: {shown(f'{outcome.input}: {warning}')}", err=True)
        if outcome.status == "skipped":
            click.echo(f"Skipped: {shown(f'{outcome.input}: {outcome.reason}')}", err=True)
        elif not self._as_json:
            line = self._line(outcome)
            click.echo(line, err=self._results_to_stderr)

    def _line(self, outcome: Outcome) -> str:
        if self._task == "sense":
            assert outcome.sensed is not None
            return f"{shown(outcome.input)}: {in_words(outcome.sensed)}"
        arrow = f"{shown(outcome.input)} -> {shown(outcome.output or 'standard output')}"
        if outcome.status == "planned":
            return arrow
        density = None if outcome.sensed is None else outcome.sensed.density
        grade = "unknown" if density is None else density.name.lower()
        return f"{arrow}  (density: {grade}{', left as it was' if outcome.status == 'dry' else ''})"

    def _as_dict(self, outcome: Outcome) -> dict[str, Any]:
        sensed = outcome.sensed
        written = {
            "output": outcome.output if outcome.status != "failed" else None,
            "rain": outcome.rain,
        }
        return {
            "input": outcome.input,
            **(written if self._task == "derain" else {}),
            "status": outcome.status,
            "error": outcome.reason if outcome.status == "failed" else None,
            "reason": outcome.reason if outcome.status == "skipped" else None,
            "width": outcome.width,
            "height": outcome.height,
            "seconds": _rounded(outcome.seconds, 3),
            "engine": outcome.engine,
            "density": None
            if sensed is None or sensed.density is None
            else sensed.density.name.lower(),
            "probabilities": None
            if sensed is None or sensed.probabilities is None
            else {
                grade.name.lower(): round(share, 4) for grade, share in sensed.probabilities.items()
            },
            "score": None if sensed is None else _rounded(sensed.score, 4),
            "strength": None if sensed is None else _rounded(sensed.strength, 3),
            "scale": None if sensed is None else sensed.scale,
            "warnings": list(outcome.warnings),
        }


def in_words(sensed: SenseReport) -> str:
    """Return what was sensed, such as "medium, strength 14, score 0.58 (light 2 %, medium 98 %), at 1/2 size"."""
    if sensed.density is None or sensed.probabilities is None or sensed.scale is None:
        return "unknown"
    shares = {grade: round(100 * sensed.probabilities[grade]) for grade in RainDensity}
    likely = ", ".join(
        f"{grade.name.lower()} {share} %" for grade, share in shares.items() if share
    )
    # Rain of no strength is at no size.
    where = (
        ""
        if sensed.density is RainDensity.NONE
        else _SCALES.get(sensed.scale, f", at {sensed.scale:g} size")
    )
    return f"{sensed.density.name.lower()}, strength {sensed.strength:.2g}, score {sensed.score:.2f} ({likely}){where}"


def shown(name: str) -> str:
    """Return a text as one line of a terminal: line breaks, control characters and broken bytes become escapes."""
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in _UNSHOWN
        else letter
        for letter in name
    )


_UNSHOWN = {"Cc", "Cs", "Zl", "Zp"}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _duration(seconds: float) -> str:
    """Return a time in the unit that fits."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
