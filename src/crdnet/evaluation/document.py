"""Report of an evaluation as text, JSON, CSV, Markdown or HTML."""

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from crdnet._version import __version__
from crdnet.evaluation.cases import Case, Failure
from crdnet.evaluation.comparison import (
    Difference,
    compare_methods,
    convert_differences,
    format_differences,
)
from crdnet.evaluation.formats import (
    convert_evaluation,
    format_csv,
    format_json,
    format_markdown,
    format_text,
)
from crdnet.evaluation.html_report import MethodReport, Thumbnails, format_html
from crdnet.evaluation.scoring import Evaluation
from crdnet.evaluation.summary import Row, summarise

_SHOWN_SIZES = 4


@dataclass(frozen=True)
class Document:
    """Content of the reports, for each of the evaluated methods."""

    evaluation: Evaluation
    """Scores of the first method, with the failures of all."""
    evaluations: Mapping[str, Evaluation]
    rows: Mapping[str, Sequence[Row]]
    differences: Sequence[Difference]
    about: Mapping[str, Any]

    @classmethod
    def summarise(
        cls,
        evaluations: Mapping[str, Evaluation],
        failures: Sequence[Failure],
        about: Mapping[str, Any],
        seed: int,
    ) -> "Document":
        """Summarise each method, and compare each two methods."""
        rows = {
            name: summarise(each, np.random.default_rng(seed)) for name, each in evaluations.items()
        }
        first = next(iter(evaluations.values()))
        sizes = [image.size for image in first.images if image.size is not None]
        return cls(
            replace(first, failures=tuple(failures)),
            evaluations,
            rows,
            compare_methods(evaluations, np.random.default_rng(seed)),
            {**about, **_describe_run(sizes)},
        )

    def as_text(self) -> str:
        """Return the table of each method, and their differences."""
        text = ""
        for name, rows in self.rows.items():
            text += f"{name}:\n" if len(self.rows) > 1 else ""
            text += format_text(rows) if rows else ""
        return text + format_differences(self.differences)

    def as_html(self, cases: Mapping[str, Sequence[Case]], thumbnails: Thumbnails) -> str:
        """Return everything as a page."""
        methods = [
            MethodReport(name, each, self.rows[name]) for name, each in self.evaluations.items()
        ]
        about = {**self.about, "crdnet": __version__}
        return format_html(methods, cases, thumbnails, self.differences, about)

    def as_json(self) -> str:
        """Return everything as JSON; one method has the form of earlier versions."""
        first = next(iter(self.rows.values()))
        if len(self.rows) == 1:
            return format_json(self.evaluation, first, self.about)
        document = {
            "format": "crdnet-comparison/1",
            "about": {**self.about, "crdnet": __version__},
            "methods": {
                name: convert_evaluation(each, self.rows[name])
                for name, each in self.evaluations.items()
            },
            "differences": convert_differences(self.differences),
            "failures": [asdict(failure) for failure in self.evaluation.failures],
        }
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def as_csv(self) -> str:
        """Return the scores of every image; with several methods the first column names it."""
        if len(self.rows) == 1:
            return format_csv(self.evaluation)
        lines: list[str] = []
        for name, each in self.evaluations.items():
            head, *body = format_csv(each).splitlines()
            quoted = '"' + name.replace('"', '""') + '"'
            lines += [f"method,{head}"] * (not lines) + [f"{quoted},{line}" for line in body]
        return "\n".join(lines) + "\n"

    def as_markdown(self) -> str:
        """Return the tables and the differences."""
        text = ""
        for name, of_method in self.rows.items():
            about = self.about if len(self.rows) == 1 else {"method": name, **self.about}
            text += format_markdown(of_method, about)
        if self.differences:
            text += "\n## Differences\n\n" + "".join(
                f"- {line}\n" for line in format_differences(self.differences).splitlines()
            )
        return text


def _describe_run(sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return sizes of the images, versions and date, for the reports."""
    counts = Counter(f"{width} x {height}" for width, height in sizes)
    shown = [f"{size}: {count}" for size, count in counts.most_common(_SHOWN_SIZES)]
    more = len(counts) - _SHOWN_SIZES
    return {
        "sizes": ", ".join(shown) + (f", and {more} more" if more > 0 else ""),
        "numpy": np.__version__,
        "pillow": version("Pillow"),
        "onnxruntime": version("onnxruntime"),
        "python": platform.python_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
