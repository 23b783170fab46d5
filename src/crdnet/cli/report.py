"""Report of `crdnet derain` and `crdnet sense`.

Results go to standard output, everything else to standard error.
"""

import json
import traceback
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import click

from crdnet.batch import Run
from crdnet.cli.interruption import stop_on_signals
from crdnet.cli.messages import escape, name_flags
from crdnet.cli.progress import Bar, format_duration
from crdnet.pipeline import Outcome

PLAIN_SECONDS = 30.0
"""Time between two lines of progress if there is no terminal for a bar."""
# Failed inputs named again at the end, for each reason.
_MOST_NAMES = 10


@dataclass(frozen=True)
class ReportOptions:
    """Form and amount of detail of the report."""

    as_json: bool
    """If True, print one JSON object per line in place of words."""
    quiet: bool
    """If True, print errors only; JSON is still printed, because it is a result."""
    verbose: bool
    """If True, also print tracebacks, the engine, and inputs that were done already."""


class Report:
    """Report that prints a line for each outcome and counts the outcomes.

    Args:
        task: The task of the run.
        options: Form and amount of detail.
        results_to_stderr: True if standard output is used for an image.
    """

    def __init__(
        self,
        task: Literal["derain", "sense"],
        options: ReportOptions,
        *,
        results_to_stderr: bool = False,
    ) -> None:
        self._task = task
        self._counts = Counter[str]()
        self._failed: list[Outcome] = []
        self._as_json = options.as_json
        self._quiet = options.quiet
        self._verbose = options.verbose
        self._results_to_stderr = results_to_stderr
        self._began = self._told = perf_counter()
        self._left = 0
        self._worked = 0
        self._pixels = 0
        self._tiles: dict[str, tuple[int, int]] = {}
        self._bar = Bar("", quiet=True)

    def follow(self, run: Run) -> int:
        """Execute a run and report its outcomes and progress; return the exit code.

        Raises:
            KeyboardInterrupt: The run was stopped by a signal.
        """
        with run:
            if self._verbose and run.to_do:
                session = run.derainer.session
                line = f"model {session.info.name} {session.info.version} on {session.engine}"
                click.echo(line, err=True)
            with stop_on_signals(run.stop, quiet=self._quiet):
                try:
                    with closing(iter(run)) as outcomes:
                        for _ in run.settled:
                            self._report(next(outcomes))
                        self._begin(run)
                        for outcome in outcomes:
                            with self._bar.hidden():
                                self._count_work(outcome)
                finally:
                    self._bar.close()
                    self._summarise(run.left_out)
        return 1 if self._failed else 0

    def fail(self, name: str, reason: str) -> int:
        """Report the failure of an input for which no run starts; return the exit code."""
        self._report(Outcome(name, status="failed", reason=reason))
        return 1

    def _begin(self, run: Run) -> None:
        """Start the timer, and the progress bar if there is a terminal."""
        self._left = len(run.to_do)
        self._began = self._told = perf_counter()
        label = {"derain": "deraining", "sense": "sensing"}[self._task]
        self._bar = Bar(label, quiet=self._quiet)
        run.on_tile = self._count_tiles
        if self._left > 1:
            self._update_bar()

    def _count_tiles(self, name: str, done: int, tiles: int) -> None:
        """Show the progress within an image; called from worker threads."""
        if tiles > 1:
            self._tiles[name] = (done, tiles)
            self._update_bar()

    def _update_bar(self) -> None:
        self._bar.update(self._compute_share(), self._tell_progress())

    def _compute_share(self) -> float:
        """Return the finished share of all images, from 0 to 1."""
        within = sum(done / tiles for done, tiles in list(self._tiles.values()))
        return (self._worked + within) / max(1, self._worked + self._left)

    def _report(self, outcome: Outcome) -> None:
        """Report one outcome."""
        self._counts[outcome.status] += 1
        if outcome.status == "failed":
            self._failed.append(outcome)
            name = "" if outcome.input in str(outcome.reason) else f"{outcome.input}: "
            reason = name_flags(str(outcome.reason))
            click.echo(f"Error: {escape(f'{name}{reason}')}", err=True)
            if self._verbose and outcome.error is not None:
                click.echo("".join(traceback.format_exception(outcome.error)), err=True, nl=False)
        elif not self._quiet and (self._verbose or not outcome.resumed):
            self._show(outcome)
        if self._as_json:
            click.echo(json.dumps(self._convert(outcome)))

    def _count_work(self, outcome: Outcome) -> None:
        self._left -= 1
        self._worked += 1
        self._tiles.pop(outcome.input, None)
        if outcome.status in ("done", "dry"):
            assert outcome.width is not None
            assert outcome.height is not None
            self._pixels += outcome.width * outcome.height
        self._report(outcome)
        if self._left:
            self._update_bar()
        if self._quiet or not self._left or self._bar.is_drawn:
            return
        if perf_counter() - self._told >= PLAIN_SECONDS:
            self._told = perf_counter()
            click.echo(self._tell_progress(), err=True)

    def _summarise(self, left_out: Counter[str]) -> None:
        """Print the failures by reason, and the counts, if there was more than one input."""
        if self._quiet:
            return
        is_several = self._counts.total() + self._left > 1
        if is_several:
            for reason, names in self._group_failures().items():
                click.echo(f"{len(names):,} failed: {escape(reason)}", err=True)
                for name in sorted(names)[:_MOST_NAMES]:
                    click.echo(f"  {escape(name)}", err=True)
                if len(names) > _MOST_NAMES:
                    click.echo(f"  and {len(names) - _MOST_NAMES:,} more", err=True)
        if left_out.total():
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in left_out.items() if count)
            click.echo(f"left out: {kinds}", err=True)
        if is_several:
            line = f"{self._format_counts()} in {format_duration(perf_counter() - self._began)}"
            if self._pixels:
                line += (
                    f"; {self._pixels / 1e6:,.1f} megapixels, {self._compute_rate():.2f} per second"
                )
            click.echo(line, err=True)

    def _group_failures(self) -> dict[str, list[str]]:
        """Return the names of the inputs that failed, by reason; the most frequent is last."""
        groups: dict[str, list[str]] = {}
        for outcome in self._failed:
            reason = name_flags(str(outcome.reason)).removeprefix(f"{outcome.input} ")
            for name, word in ((str(outcome.output), "the output"), (outcome.input, "the input")):
                if "." in name:  # a name such as "a" would match any sentence
                    reason = reason.replace(name, word)
            groups.setdefault(reason, []).append(outcome.input)
        return dict(sorted(groups.items(), key=lambda group: len(group[1])))

    def _format_counts(self) -> str:
        counts = {
            name: self._counts[name] for name in ("planned", "done", "dry", "skipped", "failed")
        }
        counts["left"] = self._left
        return (
            ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
            or "nothing to do"
        )

    def _tell_progress(self) -> str:
        """Return the counts, the speed, and an estimate of the time left."""
        parts = [self._format_counts()] if self._worked or self._left > 1 else []
        if self._left == 1 and self._tiles:
            parts += [f"{done} of {tiles} tiles" for done, tiles in list(self._tiles.values())]
        share = self._compute_share()
        if share:
            rate = f"{self._compute_rate():.2f} MP/s, " if self._pixels else ""
            seconds = (perf_counter() - self._began) * (1 - share) / share
            parts.append(f"{rate}{format_duration(seconds)} left")
        return "; ".join(parts)

    def _compute_rate(self) -> float:
        """Return the rate in megapixels per second."""
        return self._pixels / 1e6 / max(1e-9, perf_counter() - self._began)

    def _show(self, outcome: Outcome) -> None:
        for warning in outcome.warnings:
            click.echo(f"Warning: {escape(f'{outcome.input}: {warning}')}", err=True)
        if outcome.status == "skipped":
            click.echo(f"Skipped: {escape(f'{outcome.input}: {outcome.reason}')}", err=True)
        elif not self._as_json:
            line = self._format_line(outcome)
            click.echo(line, err=self._results_to_stderr)

    def _format_line(self, outcome: Outcome) -> str:
        if self._task == "sense":
            return f"{escape(outcome.input)}: {outcome.sensed.describe()}"
        arrow = f"{escape(outcome.input)} -> {escape(str(outcome.output or 'standard output'))}"
        if outcome.status == "planned":
            return arrow
        grade = "unknown" if outcome.density is None else outcome.density.name.lower()
        kept = ", pixels left as they were" if outcome.status == "dry" else ""
        return f"{arrow}  (density: {grade}{', left as it was' if outcome.left_alone else kept})"

    def _convert(self, outcome: Outcome) -> dict[str, Any]:
        """Return an outcome as JSON values, with messages in the words of the command line."""
        values = outcome.as_dict()
        if values["error"] is not None:
            values["error"] = name_flags(values["error"])
        if self._task == "sense":
            for key in ("output", "rain", "left_alone"):
                del values[key]
        return values
